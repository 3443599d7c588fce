#include <tally/consume.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRING(x)  #x
#define NUMBER(x)  STRING(x)
#define READ_BYTES 16777216

_Static_assert(TALLY_MAX_MESSAGE_BYTES == READ_BYTES, "a message of any topic is to be read");

/* Properties below the caller's own.  Nagle's algorithm is on by default in older versions and
 * costs up to 40 ms; the partitions of a reader that died are given away after 10 s; what waits to
 * be read takes 16 MiB at most, and one message more. */
static const struct tally_property common[] = {
	{ "client.id",                  "libtally"         },
	{ "socket.nagle.disable",       "true"             },
	{ "socket.keepalive.enable",    "true"             },
	{ "log.connection.close",       "false"            },
	{ "message.max.bytes",          NUMBER(READ_BYTES) },
	{ "reconnect.backoff.ms",       "50"               },
	{ "reconnect.backoff.max.ms",   "1000"             },
	{ "session.timeout.ms",         "10000"            },
	{ "heartbeat.interval.ms",      "1000"             },
	{ "fetch.wait.max.ms",          "100"              },
	{ "fetch.error.backoff.ms",     "10"               },
	{ "queued.max.messages.kbytes", "16384"            },
};

static tally_status
set_all(rd_kafka_conf_t *conf, const struct tally_property *properties, size_t n,
	struct tally_error *err)
{
	char reason[256];

	for (size_t i = 0; i < n; i++) {
		if (rd_kafka_conf_set(conf, properties[i].name, properties[i].value, reason,
				      sizeof reason)
		    != RD_KAFKA_CONF_OK)
			return tally_fail(err, TALLY_WRONG_SETTING, "Kafka property %s: %s",
					  properties[i].name, reason);
	}
	return TALLY_OK;
}

static void
on_error(rd_kafka_t *client, int code, const char *reason, void *ctx)
{
	struct tally_trouble *trouble = ctx;

	(void)client;
	(void)snprintf(trouble->text, sizeof trouble->text, "%s: %s",
		       rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

/* A library writes nothing to standard error; what is wrong is told by on_error. */
static void
drop_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client;
	(void)level;
	(void)facility;
	(void)text;
}

tally_status
tally_consume_open(const struct tally_kafka *kafka, const struct tally_role *role,
		   rd_kafka_t **out_client, struct tally_error *err)
{
	const struct tally_property servers = { "bootstrap.servers", kafka->servers };
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	tally_status status = set_all(conf, &servers, 1, err);
	char reason[256];

	if (status == TALLY_OK)
		status = set_all(conf, common, sizeof common / sizeof *common, err);
	if (status == TALLY_OK)
		status = set_all(conf, kafka->properties, kafka->n_properties, err);
	if (status == TALLY_OK)
		status = set_all(conf, role->properties, role->n, err);
	if (status != TALLY_OK) {
		rd_kafka_conf_destroy(conf);
		return status;
	}
	rd_kafka_conf_set_opaque(conf, role->ctx);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, drop_log);
	if (role->on_rebalance)
		rd_kafka_conf_set_rebalance_cb(conf, role->on_rebalance);
	if (role->on_report)
		rd_kafka_conf_set_dr_msg_cb(conf, role->on_report);
	*out_client = rd_kafka_new(role->type, conf, reason, sizeof reason);
	if (*out_client)
		return TALLY_OK;
	rd_kafka_conf_destroy(conf); /* on failure it stays ours */
	return tally_fail(err, TALLY_WRONG_SETTING, "Kafka client: %s", reason);
}

void
tally_consume_note(struct tally_trouble *trouble, const rd_kafka_message_t *message)
{
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		trouble->text[0] = '\0';
	else
		(void)snprintf(trouble->text, sizeof trouble->text, "%s",
			       rd_kafka_message_errstr(message));
}

int64_t
tally_consume_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
tally_consume_unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
tally_consume_stamp_ms(const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;

	return rd_kafka_message_timestamp(message, &type);
}

tally_status
tally_consume_read(const rd_kafka_message_t *message, struct tally_job_result *out_result)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	rd_kafka_headers_t *all;
	size_t n = 0;

	if (rd_kafka_message_headers(message, &all) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return TALLY_BAD_REQUEST;
	while (
	    n < TALLY_HEADERS_MAX
	    && rd_kafka_header_get_all(all, n, &headers[n].name, &headers[n].value, &headers[n].len)
		   == RD_KAFKA_RESP_ERR_NO_ERROR)
		n++;
	return tally_job_result_read(message->key, message->key_len, headers, n, out_result, NULL);
}

/* The value of a message, terminated; NULL when out of memory. */
static char *
dup_value(const rd_kafka_message_t *message)
{
	char *body = malloc(message->len + 1);

	if (!body)
		return NULL;
	if (message->len > 0)
		memcpy(body, message->payload, message->len);
	body[message->len] = '\0';
	return body;
}

static void
read_error(const struct tally_answer *answer, struct tally_error *out_error)
{
	tally_status code = answer->result.error_code;

	if (code == TALLY_OK)
		return;
	if (!answer->body || tally_error_decode(answer->body, answer->len, out_error) != TALLY_OK)
		(void)tally_fail(out_error, code, "%s", tally_status_title(code));
	out_error->status = code;
}

tally_status
tally_consume_answer(const rd_kafka_message_t *message, const struct tally_job_result *result,
		     const struct tally_body *body, size_t max_bytes,
		     struct tally_answer *out_answer)
{
	struct tally_answer answer = {
		.result = *result,
		.partition = message->partition,
		.offset = message->offset,
		.at_ms = tally_consume_stamp_ms(message),
	};

	if (tally_job_result_is_part(result)) {
		answer.body = body ? body->bytes : NULL;
		answer.len = body ? body->len : 0;
	} else if (message->len <= max_bytes) {
		answer.body = dup_value(message);
		answer.len = message->len;
		if (!answer.body)
			return TALLY_NO_MEMORY;
	}
	read_error(&answer, &answer.error);
	*out_answer = answer;
	return TALLY_OK;
}

void
tally_answer_fini(struct tally_answer *answer)
{
	if (!answer)
		return;
	free(answer->body);
	*answer = (struct tally_answer){ .body = NULL };
}

tally_status
tally_consume_fail(struct tally_error *err, tally_status status, const char *what, const char *why)
{
	(void)tally_fail(err, status, "%s%s%s", what, why[0] ? ": " : "", why);
	if (err)
		memcpy(err->source, "kafka", sizeof "kafka");
	return status;
}
