/* run - a dataset straight on the databases, without Kafka, gateway or worker: for writing and
 * trying dataset files. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/utf8.h"
#include "cli.h"
#include "databases.h"
#include "dataset/catalog.h"
#include "dataset/engine.h"
#include "dataset/transcode.h"
#include "table.h"

OWN_DEFINE(catalog);
OWN_DEFINE(params);
OWN_DEFINE(plan);

/* One run of one request. */
struct asked {
	const struct cli *cli;
	const struct definition *definition;
	const char *format;
	bool explains;
	bool is_done;
	struct engine_answer answer;
};

static tally_status
split_words(const struct cli *cli, struct params_text *texts, struct tally_error *err)
{
	for (size_t i = 1; i < cli->n_words; i++) {
		char *equals = strchr(cli->words[i], '=');

		if (!equals || !utf8_valid(cli->words[i], strlen(cli->words[i]), NULL))
			return tally_fail(err, TALLY_INVALID_PARAMETER, "%s is not name=value",
					  equals ? "a word that is not UTF-8" : cli->words[i]);
		*equals = '\0';
		texts[i - 1] =
		    (struct params_text){ cli->words[i], equals + 1, strlen(equals + 1) };
	}
	return TALLY_OK;
}

static tally_status
read_params(const struct cli *cli, const struct definition *definition, struct params **out_params,
	    struct tally_error *err)
{
	struct params_text texts[2 * DEFINITION_MAX_PARAMS];
	struct params_faults faults = { 0 };
	tally_status status;

	if (cli->n_words - 1 > sizeof texts / sizeof *texts)
		return tally_fail(err, TALLY_INVALID_PARAMETER, "too many parameters");
	status = split_words(cli, texts, err);
	if (status == TALLY_OK)
		status = params_from_texts(definition, texts, cli->n_words - 1, out_params, &faults,
					   err);
	for (size_t i = 1; i < faults.n; i++) /* the first is in err */
		(void)fprintf(stderr, "tally: %s %s\n", faults.items[i].name,
			      faults.items[i].detail);
	return status;
}

static tally_status
find_dataset(const struct catalog *catalog, const char *name,
	     const struct definition **out_definition, struct tally_error *err)
{
	char names[300] = "";

	*out_definition = catalog_find(catalog, name, strlen(name));
	if (*out_definition)
		return TALLY_OK;
	for (size_t i = 0; i < catalog_count(catalog); i++) {
		size_t len = strlen(names);

		(void)snprintf(names + len, sizeof names - len, "%s%s", i > 0 ? ", " : "",
			       catalog_at(catalog, i)->name);
	}
	return tally_fail(err, TALLY_UNKNOWN_DATASET, "there is no dataset %s; there are %s", name,
			  names);
}

static void
print_indented(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		(void)fprintf(stderr, "    %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void
explain_step(void *ctx, struct engine_run *engine, const struct engine_step *step)
{
	const struct source_statement *statement = step->statement;

	(void)ctx;
	(void)engine;
	(void)fprintf(stderr, "-- step %s on %s (%s): %zu %s, %zu %s, %.1f ms\n", step->step->name,
		      step->step->source, statement->where, step->n_keys,
		      step->n_keys == 1 ? "key" : "keys", step->n_rows,
		      step->n_rows == 1 ? "row" : "rows", (double)step->took_us / 1000);
	for (size_t i = 0; i < statement->n_binds; i++)
		(void)fprintf(stderr, "--   $%zu is %s, %s%s\n", i + 1, statement->binds[i].name,
			      tally_type_name(statement->binds[i].type),
			      statement->binds[i].is_array ? "[]" : "");
	print_indented(statement->sql);
}

static void
take_answer(void *ctx, struct engine_run *engine, size_t request, struct engine_answer *answer)
{
	struct asked *asked = ctx;

	(void)engine;
	(void)request; /* there is one */
	asked->answer = *answer;
	answer->body = NULL;
}

static void
end(void *ctx, struct engine_run *engine)
{
	struct asked *asked = ctx;

	(void)engine;
	asked->is_done = true;
}

static tally_status
ask(struct databases *databases, struct plan *plan, const struct params *params,
    struct asked *asked)
{
	const struct config *config = asked->cli->config;
	int64_t now_ms = clock_mono_ms();
	const struct engine_limits limits = {
		.now_ms = now_ms,
		.deadline_ms =
		    now_ms + config->query_timeout_ms * (int64_t)asked->definition->n_steps,
		.batch_bytes = (size_t)config->batch_bytes,
		.result_bytes = (size_t)config->result_max_bytes,
	};
	const struct engine_events events = {
		.on_answer = take_answer,
		.on_step = asked->explains ? explain_step : NULL,
		.on_end = end,
		.ctx = asked,
	};
	int64_t began_us = clock_mono_us();
	struct engine_run *engine;
	tally_status status = engine_start(plan, &params, 1, &limits, &events, &engine);

	while (status == TALLY_OK && !asked->is_done)
		loop_step(databases->loop, -1);
	if (status == TALLY_OK && asked->explains)
		(void)fprintf(stderr, "-- answer: %" PRIu64 " %s, %zu bytes, %.1f ms in all\n",
			      asked->answer.n_rows, asked->answer.n_rows == 1 ? "row" : "rows",
			      asked->answer.body_len, (double)(clock_mono_us() - began_us) / 1000);
	return status;
}

static tally_status
print_transcoded(const struct asked *asked, enum transcode_format format)
{
	struct transcode *transcode = transcode_new(asked->definition, format, false,
						    asked->answer.body, asked->answer.body_len);
	tally_status status = transcode ? TALLY_OK : TALLY_NO_MEMORY;
	char piece[8192];
	size_t len = 1;

	while (status == TALLY_OK && len > 0) {
		status = transcode_read(transcode, piece, sizeof piece, &len);
		if (status == TALLY_OK)
			(void)fwrite(piece, 1, len, stdout); /* main looks at ferror */
	}
	transcode_free(transcode);
	return status;
}

static tally_status
print_answer(const struct asked *asked)
{
	enum transcode_format format = TRANSCODE_JSON;
	tally_status status;

	if (strcmp(asked->format, "table") == 0)
		return table_print(stdout, asked->definition, asked->answer.body,
				   asked->answer.body_len);
	(void)transcode_format_parse(asked->format, strlen(asked->format), &format); /* checked */
	status = print_transcoded(asked, format);
	if (format == TRANSCODE_JSON && isatty(STDOUT_FILENO))
		(void)fputc('\n', stdout);
	return status;
}

static tally_status
run_on(struct databases *databases, struct asked *asked, const struct params *params,
       struct tally_error *err)
{
	OWN(plan) plan = NULL;
	tally_status status = databases_plan(databases, asked->definition, &plan, err);

	if (status == TALLY_OK)
		status = ask(databases, plan, params, asked);
	if (status == TALLY_OK && asked->answer.status != TALLY_OK) {
		*err = asked->answer.error;
		status = asked->answer.status;
	}
	if (status == TALLY_OK)
		status = print_answer(asked);
	free(asked->answer.body);
	return status;
}

static tally_status
run_dataset(struct asked *asked, struct tally_error *err)
{
	const struct cli *cli = asked->cli;
	OWN(catalog) catalog = NULL;
	OWN(params) params = NULL;
	struct databases databases = { 0 };
	tally_status status = catalog_load(cli->config->datasets, &catalog, err);

	if (status == TALLY_OK)
		status = find_dataset(catalog, cli->words[0], &asked->definition, err);
	if (status == TALLY_OK)
		status = read_params(cli, asked->definition, &params, err);
	if (status == TALLY_OK)
		status = databases_open(cli->config, &databases, err);
	if (status == TALLY_OK)
		status = run_on(&databases, asked, params, err);
	databases_close(&databases);
	return status;
}

static int
run(struct cli *cli)
{
	struct asked asked = { .cli = cli, .explains = cli_flag(cli, "--explain") };
	struct tally_error err = { 0 };
	enum transcode_format format;
	tally_status status;

	asked.format = isatty(STDOUT_FILENO) ? "table" : "json";
	if (!cli_option(cli, "--format", &asked.format))
		return cli_usage(&command_run, "--format needs a value");
	if (strcmp(asked.format, "table") != 0
	    && !transcode_format_parse(asked.format, strlen(asked.format), &format))
		return cli_usage(&command_run, "there is no format %s", asked.format);
	if (cli_unknown_flag(cli))
		return cli_usage(&command_run, "there is no flag %s", cli_unknown_flag(cli));
	if (cli->n_words == 0)
		return cli_usage(&command_run, "run takes the name of a dataset");
	status = run_dataset(&asked, &err);
	return status == TALLY_OK ? CLI_OK : cli_fail(status, &err);
}

const struct cli_command command_run = {
	"run",
	"run a dataset straight on the databases",
	"usage: tally run DATASET [NAME=VALUE]... [--format table|json|csv|ndjson] [--explain]\n"
	"\n"
	"Runs a dataset file of TALLY_DATASETS on the databases TALLY_SOURCE_<NAME>, without\n"
	"Kafka and gateway.  Prints a table on a terminal, and into a pipe the JSON that the\n"
	"gateway would answer, unless --format says otherwise.\n"
	"\n"
	"  --explain  says on standard error, for each step, its SQL, how many keys it was asked\n"
	"             for, how many rows came back, and how long that took\n"
	"\n"
	"    tally run comments login=vladimir --explain\n",
	run,
};
