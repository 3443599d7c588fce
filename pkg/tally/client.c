#include <tally/client.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <tally/consume.h>
#include <tally/message_out.h>
#include <tally/topics.h>

#define POSITION_MS 10000 /* to learn the end of a partition */
#define POLL_MS     100
#define NOBODY      ((size_t)-1)

/* A job that was submitted and not awaited yet. */
struct job {
	struct tally_job_id id;
	tally_status status; /* RESULT_NOT_READY, OK: answer is there, TOO_LARGE */
	struct tally_answer answer;
};

/* What the broker said of the request that is being sent. */
struct report {
	bool has_come;
	tally_status status;
};

struct tally_client {
	struct tally_trouble trouble; /* first: see struct tally_role */
	rd_kafka_t *producer;
	rd_kafka_t *consumer;
	char source[TALLY_EVENT_SOURCE_MAX + 1];
	char tenant[TALLY_TENANT_MAX + 1]; /* "": the default one */
	int32_t partition;                 /* of the results, that answers come to */
	size_t max_bytes;
	size_t held_bytes; /* of answers that are there */
	struct tally_parts *parts;
	struct report report;
	size_t max_jobs;
	size_t n_jobs;
	struct job jobs[];
};

/* ---- open and free ----------------------------------------------------------- */

static void
on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *ctx)
{
	struct tally_client *client = ctx;

	(void)producer;
	client->report.has_come = true;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		client->report.status = TALLY_OK;
	else if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
		client->report.status = TALLY_KAFKA_UNAVAILABLE;
	else
		client->report.status = TALLY_OUTCOME_UNKNOWN;
	/* Not rd_kafka_message_errstr: of a message that was sent, that is its value. */
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		(void)snprintf(client->trouble.text, sizeof client->trouble.text, "%s",
			       rd_kafka_err2str(message->err));
}

static tally_status
open_producer(struct tally_client *client, const struct tally_client_settings *settings,
	      struct tally_error *err)
{
	char timeout[16];
	const struct tally_property properties[] = {
		{ "acks",				  "all"     },
		{ "enable.idempotence",                    "true"    },
		{ "linger.ms",                             "0"       },
		{ "partitioner",                           "murmur2" },
		{ "message.timeout.ms",                    timeout   },
		{ "max.in.flight.requests.per.connection", "1"       }, /* else some may be lost */
	};
	const struct tally_role role = {
		.type = RD_KAFKA_PRODUCER,
		.properties = properties,
		.n = sizeof properties / sizeof *properties,
		.on_report = on_report,
		.ctx = client,
	};

	(void)snprintf(timeout, sizeof timeout, "%d",
		       settings->send_ms > 0 ? settings->send_ms : TALLY_CLIENT_SEND_MS);
	return tally_consume_open(&settings->kafka, &role, &client->producer, err);
}

static tally_status
open_consumer(struct tally_client *client, const struct tally_client_settings *settings,
	      struct tally_error *err)
{
	/* librdkafka wants the name of a group; it is never joined. */
	static const struct tally_property properties[] = {
		{ "group.id",                 "libtally-client" },
		{ "enable.auto.commit",       "false"           },
		{ "enable.auto.offset.store", "false"           },
		{ "auto.offset.reset",        "earliest"        },
	};
	const struct tally_role role = {
		.type = RD_KAFKA_CONSUMER,
		.properties = properties,
		.n = sizeof properties / sizeof *properties,
		.ctx = client,
	};
	tally_status status = tally_consume_open(&settings->kafka, &role, &client->consumer, err);

	if (status == TALLY_OK)
		(void)rd_kafka_poll_set_consumer(client->consumer);
	return status;
}

/* How many partitions a topic has.  Asking makes a producer ready, too: the first message to a
 * topic that it does not know waits for up to a second (librdkafka 2.0.2). */
static tally_status
count_partitions(rd_kafka_t *rk, const char *name, int timeout_ms, int *out_n,
		 struct tally_error *err)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
	rd_kafka_resp_err_t code;
	int n = 0;

	if (!topic)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	code = rd_kafka_metadata(rk, 0, topic, &metadata, timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1)
		n = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(topic);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_consume_fail(err, TALLY_KAFKA_UNAVAILABLE, "no Kafka broker answers",
					  rd_kafka_err2str(code));
	if (n == 0)
		return tally_consume_fail(err, TALLY_NOT_FOUND, "there is no topic", name);
	*out_n = n;
	return TALLY_OK;
}

/* Chooses the partition of the results that answers shall come to. */
static tally_status
choose_partition(struct tally_client *client, int timeout_ms, struct tally_error *err)
{
	uint32_t random;
	int n;
	tally_status status =
	    count_partitions(client->producer, TALLY_TOPIC_REQUESTS_JOBS, timeout_ms, &n, err);

	if (status == TALLY_OK)
		status =
		    count_partitions(client->consumer, TALLY_TOPIC_RESULTS, timeout_ms, &n, err);
	if (status != TALLY_OK)
		return status;
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness for a partition");
	client->partition = (int32_t)(random % (uint32_t)n);
	return TALLY_OK;
}

static bool
keep_names(struct tally_client *client, const struct tally_client_settings *settings)
{
	size_t source_len = settings->source ? strlen(settings->source) : 0;
	size_t tenant_len = settings->tenant ? strlen(settings->tenant) : 0;

	if (source_len == 0 || source_len > TALLY_EVENT_SOURCE_MAX
	    || strcmp(settings->source, TALLY_EVENT_SOURCE) == 0)
		return false;
	if (settings->tenant && !tally_tenant_is_valid(settings->tenant, tenant_len))
		return false;
	memcpy(client->source, settings->source, source_len);
	if (settings->tenant)
		memcpy(client->tenant, settings->tenant, tenant_len);
	return true;
}

static tally_status
start(struct tally_client *client, const struct tally_client_settings *settings, int timeout_ms,
      struct tally_error *err)
{
	tally_status status;

	if (!keep_names(client, settings))
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "source must be 1 to %d bytes and not \"" TALLY_EVENT_SOURCE
				  "\", tenant 1 to %d of A-Z a-z 0-9 _ . -",
				  TALLY_EVENT_SOURCE_MAX, TALLY_TENANT_MAX);
	client->parts = tally_parts_new(client->max_bytes, TALLY_RUNS_MAX);
	if (!client->parts)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status = open_producer(client, settings, err);
	if (status == TALLY_OK)
		status = open_consumer(client, settings, err);
	return status == TALLY_OK ? choose_partition(client, timeout_ms, err) : status;
}

tally_status
tally_client_open(const struct tally_client_settings *settings, int timeout_ms,
		  struct tally_client **out_client, struct tally_error *err)
{
	size_t max_jobs = settings->max_jobs > 0 ? settings->max_jobs : TALLY_CLIENT_JOBS;
	struct tally_client *client = NULL;
	tally_status status;

	if (max_jobs < (SIZE_MAX - sizeof *client) / sizeof *client->jobs)
		client = calloc(1, sizeof *client + max_jobs * sizeof *client->jobs);
	if (!client)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	client->max_jobs = max_jobs;
	client->max_bytes = settings->max_bytes > 0 ? settings->max_bytes : TALLY_CLIENT_BYTES;
	status = start(client, settings, timeout_ms, err);
	if (status != TALLY_OK) {
		tally_client_free(client);
		return status;
	}
	*out_client = client;
	return TALLY_OK;
}

void
tally_client_free(struct tally_client *client)
{
	if (!client)
		return;
	if (client->consumer) {
		(void)rd_kafka_assign(client->consumer, NULL);
		rd_kafka_destroy_flags(client->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	}
	if (client->producer)
		rd_kafka_destroy(client->producer);
	for (size_t i = 0; i < client->n_jobs; i++)
		tally_answer_fini(&client->jobs[i].answer);
	tally_parts_free(client->parts);
	free(client);
}

/* ---- jobs -------------------------------------------------------------------- */

/* The index of a job, for which key has len characters; NOBODY: it is not ours. */
static size_t
find_job(const struct tally_client *client, const char *key, size_t len)
{
	for (size_t i = 0; i < client->n_jobs && len == TALLY_JOB_ID_CHARS; i++) {
		if (memcmp(client->jobs[i].id.text, key, len) == 0)
			return i;
	}
	return NOBODY;
}

/* Takes a job out; without any left, nothing is read any more. */
static void
drop_job(struct tally_client *client, size_t i)
{
	tally_parts_drop(client->parts, &client->jobs[i].id);
	client->held_bytes -= client->jobs[i].answer.len;
	tally_answer_fini(&client->jobs[i].answer);
	client->jobs[i] = client->jobs[--client->n_jobs];
	if (client->n_jobs == 0)
		(void)rd_kafka_assign(client->consumer, NULL); /* begin_reading assigns anew */
}

void
tally_client_forget(struct tally_client *client, const struct tally_job_id *id)
{
	size_t i = find_job(client, id->text, strlen(id->text));

	if (i != NOBODY)
		drop_job(client, i);
}

/* The end is asked for by its number: "latest" would be looked up later, behind the result. */
static tally_status
begin_reading(struct tally_client *client, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;
	int64_t low, high;

	code = rd_kafka_query_watermark_offsets(client->consumer, TALLY_TOPIC_RESULTS,
						client->partition, &low, &high, POSITION_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_consume_fail(err, TALLY_KAFKA_UNAVAILABLE, "the end of the results",
					  rd_kafka_err2str(code));
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, TALLY_TOPIC_RESULTS, client->partition)->offset =
	    high;
	code = rd_kafka_assign(client->consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_consume_fail(err, TALLY_INTERNAL_ERROR, "reading the results",
					  rd_kafka_err2str(code));
	return TALLY_OK;
}

/* Adds a job before its request is published, so that its result cannot be missed. */
static tally_status
add_job(struct tally_client *client, const struct tally_job_id *id, struct tally_error *err)
{
	tally_status status;

	if (find_job(client, id->text, TALLY_JOB_ID_CHARS) != NOBODY)
		return TALLY_OK;
	if (client->n_jobs == client->max_jobs)
		return tally_fail(err, TALLY_FULL, "%zu jobs are awaited already",
				  client->max_jobs);
	if (client->n_jobs == 0) {
		status = begin_reading(client, err);
		if (status != TALLY_OK)
			return status;
	}
	client->jobs[client->n_jobs++] =
	    (struct job){ .id = *id, .status = TALLY_RESULT_NOT_READY };
	return TALLY_OK;
}

/* ---- submit ------------------------------------------------------------------ */

static rd_kafka_headers_t *
dup_headers(const struct tally_headers *headers)
{
	rd_kafka_headers_t *copy = rd_kafka_headers_new(headers->n);

	for (size_t i = 0; copy && i < headers->n; i++) {
		if (rd_kafka_header_add(copy, headers->items[i].name, -1, headers->items[i].value,
					(ssize_t)headers->items[i].len)
		    != RD_KAFKA_RESP_ERR_NO_ERROR) {
			rd_kafka_headers_destroy(copy);
			return NULL;
		}
	}
	return copy;
}

/* Sends and waits for the report, which comes within message.timeout.ms. */
static tally_status
publish(struct tally_client *client, const struct tally_message_out *message,
	struct tally_error *err)
{
	rd_kafka_headers_t *headers = dup_headers(&message->headers);
	rd_kafka_resp_err_t code;

	if (!headers)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	client->report = (struct report){ false, TALLY_OK };
	code = rd_kafka_producev(client->producer, RD_KAFKA_V_TOPIC(TALLY_TOPIC_REQUESTS_JOBS),
				 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
				 RD_KAFKA_V_KEY(message->key, strlen(message->key)),
				 RD_KAFKA_V_VALUE(message->value, message->len),
				 RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_headers_destroy(headers);
		return tally_consume_fail(err, TALLY_KAFKA_UNAVAILABLE, "publishing",
					  rd_kafka_err2str(code));
	}
	while (!client->report.has_come)
		(void)rd_kafka_poll(client->producer, POLL_MS);
	if (client->report.status != TALLY_OK)
		return tally_consume_fail(err, client->report.status, "publishing",
					  client->trouble.text);
	return TALLY_OK;
}

tally_status
tally_client_submit(struct tally_client *client, const struct tally_request_view *request,
		    const struct tally_submission *how, struct tally_job_id *out_id,
		    struct tally_error *err)
{
	struct tally_job_request job = { .reply_partition = client->partition };
	struct tally_message_out message;
	tally_status status;

	memcpy(job.event_source, client->source, sizeof client->source);
	memcpy(job.tenant, client->tenant, sizeof client->tenant);
	status = tally_message_out_make(&job, request, how, &message, err);
	if (status != TALLY_OK)
		return status;
	status = add_job(client, &message.id, err);
	if (status == TALLY_OK) {
		status = publish(client, &message, err);
		if (status == TALLY_OK || status == TALLY_OUTCOME_UNKNOWN)
			*out_id = message.id;
		else
			tally_client_forget(client, &message.id);
	}
	free(message.value);
	return status;
}

/* ---- await ------------------------------------------------------------------- */

/* The part of a result that is awaited: TALLY_OK when it was the last, and *out_body is the whole;
 * TALLY_RESULT_NOT_READY when there is nothing to tell yet. */
static tally_status
add_part(struct tally_client *client, const rd_kafka_message_t *message,
	 const struct tally_job_result *result, struct tally_body *out_body)
{
	size_t free_bytes = client->max_bytes - client->held_bytes;
	tally_status status;

	tally_parts_limit(client->parts, free_bytes);
	status = tally_parts_add(client->parts, result, message->payload, message->len,
				 tally_consume_stamp_ms(message), out_body);
	/* What came out of order, or is no longer whole, is as if it had not come. */
	if (status == TALLY_BAD_REQUEST
	    || (status == TALLY_TOO_LARGE && !tally_job_result_is_last(result)))
		return TALLY_RESULT_NOT_READY;
	return status;
}

/* Keeps what the message says of a job that is awaited. */
static tally_status
take_result(struct tally_client *client, const rd_kafka_message_t *message)
{
	size_t i = find_job(client, message->key, message->key ? message->key_len : 0);
	struct tally_job_result result;
	struct tally_body body = { NULL, 0 };
	struct job *job;
	tally_status status = TALLY_OK;

	if (i == NOBODY || client->jobs[i].status != TALLY_RESULT_NOT_READY)
		return TALLY_OK; /* another's, or a second result: the first one counts */
	job = &client->jobs[i];
	if (tally_consume_read(message, &result) != TALLY_OK)
		return TALLY_OK;
	if (tally_job_result_is_part(&result))
		status = add_part(client, message, &result, &body);
	if (status == TALLY_RESULT_NOT_READY)
		return TALLY_OK;
	if (status != TALLY_OK && status != TALLY_TOO_LARGE)
		return status;
	tally_parts_drop(client->parts, &job->id);
	status = tally_consume_answer(message, &result, &body,
				      client->max_bytes - client->held_bytes, &job->answer);
	if (status != TALLY_OK)
		return status;
	job->status = job->answer.body ? TALLY_OK : TALLY_TOO_LARGE;
	client->held_bytes += job->answer.len;
	return TALLY_OK;
}

static tally_status
take(struct tally_client *client, rd_kafka_message_t *message, struct tally_error *err)
{
	tally_status status = TALLY_OK;

	tally_consume_note(&client->trouble, message);
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		status = take_result(client, message);
	rd_kafka_message_destroy(message);
	if (status != TALLY_OK)
		return tally_fail(err, status, "out of memory for a result");
	return TALLY_OK;
}

/* Hands over what came of a job. */
static tally_status
hand_over(struct tally_client *client, size_t i, struct tally_answer *out_answer,
	  struct tally_error *err)
{
	struct job *job = &client->jobs[i];
	tally_status status = job->status;

	if (status == TALLY_OK) {
		client->held_bytes -= job->answer.len;
		*out_answer = job->answer;
		job->answer = (struct tally_answer){ .body = NULL };
	} else {
		(void)tally_fail(err, status, "the result is past the ceiling of %zu bytes",
				 client->max_bytes);
	}
	drop_job(client, i);
	return status;
}

tally_status
tally_client_await(struct tally_client *client, const struct tally_job_id *id, int timeout_ms,
		   struct tally_answer *out_answer, struct tally_error *err)
{
	int64_t until_ms = tally_consume_clock_ms() + timeout_ms;
	size_t i = find_job(client, id->text, strlen(id->text));

	if (i == NOBODY)
		return tally_fail(err, TALLY_NOT_FOUND, "no such job is awaited");
	while (client->jobs[i].status == TALLY_RESULT_NOT_READY) {
		int64_t left = until_ms - tally_consume_clock_ms();
		rd_kafka_message_t *message =
		    rd_kafka_consumer_poll(client->consumer, left > 0 ? (int)left : 0);
		tally_status status = message ? take(client, message, err) : TALLY_OK;

		if (status != TALLY_OK)
			return status;
		if (left <= 0 && client->jobs[i].status == TALLY_RESULT_NOT_READY)
			return tally_consume_fail(err, TALLY_RESULT_NOT_READY,
						  "no result came in time", client->trouble.text);
	}
	return hand_over(client, i, out_answer, err);
}
