#include "support/jobs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"

static const struct tally_secrets secrets = {
	.items = { { "a secret of thirty-two characters", 33 } },
	.n = 1,
};

__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("jobs: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	abort();
}

static void
check(tally_status status, const struct tally_error *err)
{
	if (status != TALLY_OK)
		die("%s: %s", tally_status_code(status), err->detail);
}

/* ---- reading ----------------------------------------------------------------- */

static struct kafka_reader *
read_topic(struct jobs *jobs, const char *topic, int32_t partition, struct inbox *inbox)
{
	const struct kafka_reader_options options = {
		.topic = topic, .partition = partition, .on_message = inbox_add, .ctx = inbox
	};
	struct kafka_reader *reader;
	struct tally_error err = { 0 };

	inbox_init(inbox);
	inbox->keeps_messages = true;
	check(kafka_reader_start(&jobs->service->broker.config, &options, &reader, &err), &err);
	SERVICE_AWAIT(kafka_reader_is_positioned(reader));
	return reader;
}

void
jobs_open(struct jobs *jobs, struct service *service)
{
	memset(jobs, 0, sizeof *jobs);
	jobs->service = service;
	jobs->parts = tally_parts_new(64 << 20, 1000);
	jobs->results_reader =
	    read_topic(jobs, TALLY_TOPIC_RESULTS, JOBS_PARTITION, &jobs->results);
	jobs->control_reader = read_topic(jobs, TALLY_TOPIC_CONTROL, 0, &jobs->control);
	jobs->letters_reader = read_topic(jobs, TALLY_TOPIC_DEAD_LETTERS, 0, &jobs->letters);
}

void
jobs_close(struct jobs *jobs)
{
	kafka_reader_quiesce(jobs->results_reader);
	kafka_reader_quiesce(jobs->control_reader);
	kafka_reader_quiesce(jobs->letters_reader);
	inbox_fini(&jobs->results);
	inbox_fini(&jobs->control);
	inbox_fini(&jobs->letters);
	kafka_reader_stop(jobs->results_reader);
	kafka_reader_stop(jobs->control_reader);
	kafka_reader_stop(jobs->letters_reader);
	for (size_t i = 0; i < jobs->n; i++)
		free(jobs->all[i].body);
	tally_parts_free(jobs->parts);
}

/* Whether the message makes a result whole, which goes into *out. */
static bool
read_result(struct jobs *jobs, const struct kafka_message *message, struct job_result *out)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);
	struct tally_error err = { 0 };
	size_t key_len, len;
	const void *key = kafka_message_key(message, &key_len);
	const void *value = kafka_message_value(message, &len);

	check(tally_job_result_read(key, key_len, headers, n, &out->head, &err), &err);
	if (tally_job_result_is_part(&out->head)) {
		struct tally_body body;
		if (tally_parts_add(jobs->parts, &out->head, value, len, clock_mono_ms(), &body)
		    != TALLY_OK)
			return false;
		out->body = body.bytes;
		out->len = body.len;
		return true;
	}
	out->body = malloc(len + 1);
	if (!out->body)
		die("out of memory");
	memcpy(out->body, value, len);
	out->len = len;
	return true;
}

const struct job_result *
jobs_look(struct jobs *jobs, const struct tally_job_id *id)
{
	size_t n_come = inbox_count(&jobs->results);

	while (jobs->n_read < n_come) {
		if (jobs->n == JOBS_MAX)
			die("too many results");
		jobs->n += read_result(jobs, jobs->results.all[jobs->n_read++].message,
				       &jobs->all[jobs->n]);
	}
	for (size_t i = 0; i < jobs->n; i++) {
		if (strcmp(jobs->all[i].head.id.text, id->text) == 0)
			return &jobs->all[i];
	}
	return NULL;
}

const struct job_result *
jobs_await(struct jobs *jobs, const struct tally_job_id *id)
{
	SERVICE_AWAIT(jobs_look(jobs, id));
	return jobs_look(jobs, id);
}

/* ---- publishing -------------------------------------------------------------- */

static rd_kafka_t *
open_producer(const struct jobs *jobs)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", jobs->service->broker.config.brokers,
				NULL, 0);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
	if (!client)
		die("%s", reason);
	return client;
}

void
jobs_send_raw(struct jobs *jobs, const char *topic, const struct tally_headers *headers,
	      const char *key, const char *value, int64_t stamp_ms)
{
	rd_kafka_t *client = open_producer(jobs);
	rd_kafka_headers_t *list = rd_kafka_headers_new(headers ? headers->n : 0);

	for (size_t i = 0; headers && i < headers->n; i++)
		(void)rd_kafka_header_add(list, headers->items[i].name, -1, headers->items[i].value,
					  (ssize_t)headers->items[i].len);
	rd_kafka_resp_err_t code = rd_kafka_producev(
	    client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, strlen(key)),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)value, strlen(value)), RD_KAFKA_V_HEADERS(list),
	    RD_KAFKA_V_TIMESTAMP(stamp_ms), RD_KAFKA_V_END);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR
	    || rd_kafka_flush(client, SERVICE_PATIENCE_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("no message to %s: %s", topic, rd_kafka_err2str(code));
	rd_kafka_destroy(client);
}

struct tally_job_request
jobs_request(void)
{
	struct tally_job_request request = {
		.created_ms = clock_unix_ms(),
		.reply_partition = JOBS_PARTITION,
		.budget_ms = 20000,
		.tenant = "default",
	};
	struct tally_error err = { 0 };

	request.deadline_ms = request.created_ms + request.budget_ms;
	check(tally_job_id_make(&secrets, request.tenant, request.created_ms, JOBS_PARTITION,
				&request.id, &err),
	      &err);
	check(tally_trace_make(&request.trace), &err);
	return request;
}

struct tally_job_id
jobs_send(struct jobs *jobs, const struct tally_job_request *request, const char *value,
	  int64_t ago_ms)
{
	struct tally_headers headers;
	const struct tally_error err = { .detail = "the request cannot be written" };

	check(tally_job_request_write(request, &headers), &err);
	jobs_send_raw(jobs, TALLY_TOPIC_REQUESTS_JOBS, &headers, "key", value,
		      clock_unix_ms() - ago_ms);
	return request->id;
}

struct tally_job_id
jobs_send_echo(struct jobs *jobs, const char *text)
{
	struct tally_job_request request = jobs_request();
	char value[400];

	(void)snprintf(value, sizeof value, "{\"dataset\":\"echo\",\"params\":{\"text\":\"%s\"}}",
		       text);
	return jobs_send(jobs, &request, value, 0);
}

struct tally_job_id
jobs_send_slow(struct jobs *jobs, const char *text, int ms)
{
	struct tally_job_request request = jobs_request();
	char value[400];

	(void)snprintf(value, sizeof value,
		       "{\"dataset\":\"slow\",\"params\":{\"text\":\"%s\",\"ms\":%d}}", text, ms);
	return jobs_send(jobs, &request, value, 0);
}

void
jobs_cancel(struct jobs *jobs, const struct tally_job_id *id)
{
	struct tally_control control = {
		.kind = TALLY_CONTROL_CANCEL,
		.id = *id,
		.tenant = "default",
		.created_ms = clock_unix_ms(),
		.deadline_ms = clock_unix_ms() + 20000,
		.at_ms = clock_unix_ms(),
	};
	struct tally_job_id_parts parts;
	struct tally_job_id same;
	struct tally_headers headers;
	const struct tally_error err = { .detail = "the cancellation cannot be written" };

	if (tally_job_id_parse(id->text, strlen(id->text), &same, &parts) == TALLY_OK
	    && !parts.is_foreign)
		control.created_ms = parts.created_ms;
	check(tally_control_write(&control, &headers), &err);
	jobs_send_raw(jobs, TALLY_TOPIC_CONTROL, &headers, id->text, "{}", 0);
}
