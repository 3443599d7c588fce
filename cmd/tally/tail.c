#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <tally/job.h>

#include "cli.h"
#include "kafka/browse.h"
#include "message.h"

#define POLL_MS  1000
#define MAX_RUNS 256

/* What is known of a result in parts that is not whole yet. */
struct run {
	struct tally_job_id id;
	uint64_t run;
	uint64_t n_bytes;
};

struct tail {
	bool as_json;
	bool ends;
	struct run runs[MAX_RUNS]; /* the oldest gives way */
	size_t next_run;
};

/* Adds a part to what is known of its run; the bytes of the run so far. */
static uint64_t
add_part(struct tail *tail, const struct tally_job_result *result, size_t len)
{
	struct run *run = NULL;

	for (size_t i = 0; i < MAX_RUNS && !run; i++) {
		if (tail->runs[i].run == result->run
		    && strcmp(tail->runs[i].id.text, result->id.text) == 0)
			run = &tail->runs[i];
	}
	if (!run) {
		run = &tail->runs[tail->next_run++ % MAX_RUNS];
		*run = (struct run){ .id = result->id, .run = result->run };
	}
	/* The first part begins again: the reader may have been behind by a whole run. */
	run->n_bytes = result->part == 1 ? len : run->n_bytes + len;
	return run->n_bytes;
}

static void
print_line(const struct tally_job_result *result, const char *time, uint64_t n_bytes)
{
	(void)printf("%s  %s  %-16s  %-9s  %8" PRIu64 " rows  %10" PRIu64 " bytes", time,
		     result->id.text, result->dataset, tally_state_name(result->state),
		     result->rows, n_bytes);
	if (result->error_code != TALLY_OK)
		(void)printf("  %s", tally_status_code(result->error_code));
	(void)fputc('\n', stdout);
}

static void
print_json(const struct kafka_message *message, const struct tally_job_result *result,
	   const char *time, uint64_t n_bytes)
{
	json_auto_t *line =
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:I}", "time", time, "id",
		      result->id.text, "tenant", result->tenant, "dataset", result->dataset,
		      "state", tally_state_name(result->state), "rows", (json_int_t)result->rows,
		      "bytes", (json_int_t)n_bytes, "attempt", (json_int_t)result->attempt,
		      "partition", (int)kafka_message_partition(message), "offset",
		      (json_int_t)kafka_message_offset(message));

	if (line && result->error_code != TALLY_OK)
		(void)json_object_set_new(line, "code",
					  json_string(tally_status_code(result->error_code)));
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
}

static void
show(struct tail *tail, const struct kafka_message *message)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);
	struct tally_job_result result;
	struct tally_error err = { 0 };
	char time[MESSAGE_TIME_CHARS];
	size_t key_len, len;
	const void *key = kafka_message_key(message, &key_len);
	uint64_t n_bytes;

	(void)kafka_message_value(message, &len);
	if (tally_job_result_read(key, key_len, headers, n, &result, &err) != TALLY_OK) {
		(void)fprintf(stderr, "tally: %s/%d/%" PRId64 " is no result: %s\n",
			      TALLY_TOPIC_RESULTS, (int)kafka_message_partition(message),
			      kafka_message_offset(message), err.detail);
		return;
	}
	n_bytes = tally_job_result_is_part(&result) ? add_part(tail, &result, len) : len;
	if (tally_job_result_is_part(&result) && !tally_job_result_is_last(&result))
		return;
	message_time(kafka_message_time_ms(message), time);
	if (tail->as_json)
		print_json(message, &result, time, n_bytes);
	else
		print_line(&result, time, n_bytes);
}

static int
follow(struct tail *tail, struct kafka_browse *browse)
{
	tally_status status = TALLY_OK;

	while (status != TALLY_CLOSED) {
		struct kafka_message *message = NULL;

		status = kafka_browse_next(browse, 0, &message);
		if (status == TALLY_DEADLINE_EXCEEDED) {
			/* Nothing more for now: let it be seen. */
			if (fflush(stdout) != 0)
				return CLI_FAILED;
			status = kafka_browse_next(browse, POLL_MS, &message);
		}
		if (status == TALLY_OK)
			show(tail, message);
		kafka_message_free(message);
	}
	return CLI_OK;
}

static int
run(struct cli *cli)
{
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	struct kafka_config kafka;
	struct kafka_browse *browse = NULL;
	struct tally_error err = { 0 };
	struct tail tail = { .as_json = cli_flag(cli, "--json"),
			     .ends = cli_flag(cli, "--until-end") };
	struct kafka_browse_options options = { .topic = TALLY_TOPIC_RESULTS,
						.from_end = !cli_flag(cli, "--from-beginning"),
						.follows = !tail.ends };
	tally_status status;
	int code;

	if (cli->n_words > 0)
		return cli_usage(&command_tail, "tail does not take %s", cli->words[0]);
	status = cli_kafka(cli, properties, &kafka, &err);
	if (status == TALLY_OK)
		status = kafka_browse_open(&kafka, &options, &browse, &err);
	code = status == TALLY_OK ? follow(&tail, browse) : cli_fail(status, &err);
	kafka_browse_close(browse);
	return code;
}

const struct cli_command command_tail = {
	"tail",
	"follow the results of all jobs in Kafka",
	"usage: tally tail [--from-beginning] [--until-end] [--json] --kafka HOST:PORT\n"
	"\n"
	"Prints a line for each result that is published from now on: when, which job, its\n"
	"dataset, state, rows and bytes.  A result in parts is shown once, with its last part.\n"
	"\n"
	"  --from-beginning  begins with the oldest result that Kafka has\n"
	"  --until-end       ends where the topic ends now\n"
	"\n"
	"    tally tail --from-beginning --until-end\n",
	run,
};
