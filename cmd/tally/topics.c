#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "kafka/admin.h"

#define MAX_TOPICS 32

static void
print_retention(int64_t ms)
{
	if (ms % 86400000 == 0)
		(void)printf("%7" PRId64 " d", ms / 86400000);
	else if (ms % 3600000 == 0)
		(void)printf("%7" PRId64 " h", ms / 3600000);
	else
		(void)printf("%5" PRId64 " min", ms / 60000);
}

static void
print_reports(const struct kafka_topic_report *reports, size_t n)
{
	static const char *const states[] = {
		[KAFKA_TOPIC_CREATED] = "created",
		[KAFKA_TOPIC_EXISTS] = "exists",
		[KAFKA_TOPIC_MISSING] = "missing",
	};

	(void)printf("%-24s %10s %9s  %s\n", "topic", "partitions", "retention", "state");
	for (size_t i = 0; i < n; i++) {
		(void)printf("%-24s %10d ", reports[i].topic->name, reports[i].partitions);
		print_retention(reports[i].topic->retention_ms);
		(void)printf("  %s\n", states[reports[i].state]);
	}
}

static int
run(struct cli *cli)
{
	struct kafka_topic_report reports[MAX_TOPICS] = { 0 };
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	struct tally_error err = { 0 };
	struct kafka_config kafka;
	size_t n;
	const struct tally_topic *topics = tally_topics(&n);
	bool creates;
	tally_status status;

	if (cli->n_words != 1
	    || (strcmp(cli->words[0], "create") != 0 && strcmp(cli->words[0], "list") != 0))
		return cli_usage(&command_topics, "topics takes one word, create or list");
	creates = strcmp(cli->words[0], "create") == 0;
	status = cli_kafka(cli, properties, &kafka, &err);
	if (status == TALLY_OK)
		status = creates ? kafka_topics_create(&kafka, topics, n, reports, &err)
				 : kafka_topics_look(&kafka, topics, n, reports, &err);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	print_reports(reports, n);
	for (size_t i = 0; i < n; i++) {
		if (reports[i].state == KAFKA_TOPIC_MISSING)
			return CLI_FAILED;
	}
	return CLI_OK;
}

const struct cli_command command_topics = {
	"topics",
	"create the topics in Kafka, or list them",
	"usage: tally topics create|list --kafka HOST:PORT\n"
	"\n"
	"  create  creates the topics that are missing; what exists stays as it is\n"
	"  list    shows them; fails when one is missing\n"
	"\n"
	"The retention shown is what a topic is created with.  The replication factor is the\n"
	"broker's default.\n",
	run,
};
