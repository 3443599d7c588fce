/* check - is all that a gateway and a worker need there and right?  Every line that is not "ok"
 * says what to do. */
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli.h"
#include "databases.h"
#include "dataset/catalog.h"
#include "kafka/admin.h"
#include "rollups.h"

#define MAX_TOPICS 32

OWN_DEFINE(catalog);
OWN_DEFINE(plan);

/* The worst so far: a wrong setting or definition is worse than something that is away. */
struct verdict {
	int code;
};

static void
say(const char *mark, const char *what, const char *text)
{
	(void)printf("%-5s %-9s %s\n", mark, what, text);
	(void)fflush(stdout); /* the next look may take seconds */
}

static void
fail(struct verdict *verdict, const char *what, tally_status status, const struct tally_error *err)
{
	int code = cli_code(status);

	say(code == CLI_WRONG ? "WRONG" : "FAIL", what,
	    err->detail[0] ? err->detail : tally_status_title(status));
	if (status == TALLY_SOURCE_UNAVAILABLE)
		say("", "", "-> is the database running, and is its TALLY_SOURCE_... right?");
	if (status == TALLY_KAFKA_UNAVAILABLE)
		say("", "", "-> is Kafka running, and are TALLY_KAFKA and TALLY_KAFKA_... right?");
	if (code > verdict->code)
		verdict->code = code;
}

static void
warn(void *ctx, const char *text)
{
	(void)ctx;
	say("warn", "dataset", text);
}

static void
put_before(const char *name, struct tally_error *err)
{
	char detail[sizeof err->detail];

	memcpy(detail, err->detail, sizeof detail);
	(void)tally_fail(err, err->status, "%s: %s", name, detail);
}

static void
check_dataset(struct databases *databases, const struct definition *definition,
	      struct verdict *verdict)
{
	struct tally_error err = { 0 };
	OWN(plan) plan = NULL;
	tally_status status = databases_plan(databases, definition, &plan, &err);
	char text[ROLLUPS_TEXT];

	if (status != TALLY_OK) {
		if (cli_code(status) != CLI_WRONG) /* those name the file themselves */
			put_before(definition->name, &err);
		fail(verdict, "dataset", status, &err);
		return;
	}
	(void)snprintf(text, sizeof text, "%s: %zu steps, %zu columns", definition->name,
		       definition->n_steps, definition->n_columns);
	say("ok", "dataset", text);
	plan_warnings(plan, warn, NULL);
	if (rollups_lag(databases, definition, text))
		warn(NULL, text);
}

static void
check_datasets(const struct cli *cli, struct verdict *verdict)
{
	OWN(catalog) catalog = NULL;
	struct databases databases = { 0 };
	struct tally_error err = { 0 };
	tally_status status = catalog_load(cli->config->datasets, &catalog, &err);

	if (status == TALLY_OK)
		status = databases_open(cli->config, &databases, &err);
	if (status != TALLY_OK)
		fail(verdict, "datasets", status, &err);
	for (size_t i = 0; status == TALLY_OK && i < catalog_count(catalog); i++)
		check_dataset(&databases, catalog_at(catalog, i), verdict);
	databases_close(&databases);
}

static void
judge_topics(const struct kafka_topic_report *reports, size_t n, struct verdict *verdict)
{
	size_t n_missing = 0;
	char text[128];

	for (size_t i = 0; i < n; i++) {
		if (reports[i].state != KAFKA_TOPIC_MISSING)
			continue;
		n_missing++;
		(void)snprintf(text, sizeof text, "%s is missing", reports[i].topic->name);
		say("FAIL", "topic", text);
	}
	if (n_missing > 0) {
		say("", "", "-> create what is missing: tally topics create");
		if (verdict->code < CLI_FAILED)
			verdict->code = CLI_FAILED;
		return;
	}
	(void)snprintf(text, sizeof text, "all %zu are there", n);
	say("ok", "topics", text);
}

static void
check_kafka(const struct cli *cli, struct verdict *verdict)
{
	struct kafka_topic_report reports[MAX_TOPICS] = { 0 };
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	struct tally_error err = { 0 };
	struct kafka_config kafka;
	size_t n;
	const struct tally_topic *topics = tally_topics(&n);
	tally_status status = cli_kafka(cli, properties, &kafka, &err);

	if (status == TALLY_OK)
		status = kafka_topics_look(&kafka, topics, n, reports, &err);
	if (status != TALLY_OK) {
		fail(verdict, "kafka", status, &err);
		return;
	}
	say("ok", "kafka", cli->config->kafka);
	judge_topics(reports, n, verdict);
}

static int
run(struct cli *cli)
{
	struct verdict verdict = { CLI_OK };

	if (cli->n_words > 0)
		return cli_usage(&command_check, "check takes no words");
	say("ok", "settings", "can be read");
	check_datasets(cli, &verdict);
	check_kafka(cli, &verdict);
	return verdict.code;
}

const struct cli_command command_check = {
	"check",
	"check settings, dataset files, databases and Kafka",
	"usage: tally check\n"
	"\n"
	"Reads the settings and every dataset file, has each step prepared by its database\n"
	"without running it, and looks for Kafka and its topics.  Changes nothing.  Each line\n"
	"begins with\n"
	"\n"
	"  ok     as it should be\n"
	"  warn   allowed, but often not meant\n"
	"  FAIL   something is away or missing now: exit code 1\n"
	"  WRONG  a setting or a dataset file must be changed: exit code 78\n",
	run,
};
