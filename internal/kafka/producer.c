#include "kafka/producer.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/client.h"

#define POLL_MS 100
#define TURN_MS 5

struct kafka_producer {
	const struct kafka_config *config;
	rd_kafka_t *client;
	pthread_t thread;
	bool has_thread;
	atomic_bool is_stopped;
	kafka_failed_fn *on_failed; /* NULL: every message has its report */
	void *failed_ctx;
};

/* What a message's report needs; lives from the send to the report. */
struct report {
	kafka_delivered_fn *on_delivered;
	void *ctx;
};

static tally_status
delivered_status(const rd_kafka_message_t *message)
{
	switch (message->err) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return TALLY_OK;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return TALLY_TOO_LARGE;
	default:
		return rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED
			   ? TALLY_OUTCOME_UNKNOWN
			   : TALLY_KAFKA_UNAVAILABLE;
	}
}

static void
on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
	struct report *report = message->_private;

	(void)client;
	(void)opaque;
	if (!report)
		return;
	report->on_delivered(report->ctx, delivered_status(message), message->partition,
			     message->offset);
	free(report);
}

/* Of a quiet producer, which every message of its carries. */
static void
on_failure(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
	const struct kafka_producer *producer = message->_private;

	(void)client;
	(void)opaque;
	if (message->err)
		producer->on_failed(producer->failed_ctx, delivered_status(message),
				    (const struct kafka_message *)(const void *)message);
}

static void *
poll_reports(void *arg)
{
	struct kafka_producer *producer = arg;

	while (!atomic_load(&producer->is_stopped))
		(void)rd_kafka_poll(producer->client, POLL_MS);
	return NULL;
}

static void
free_producer(struct kafka_producer *producer)
{
	if (producer->has_thread) {
		atomic_store(&producer->is_stopped, true);
		pthread_join(producer->thread, NULL);
	}
	if (producer->client)
		rd_kafka_destroy(producer->client);
	free(producer);
}

static tally_status
open_client(struct kafka_producer *producer, enum kafka_durability durability,
	    int message_timeout_ms, struct tally_error *err)
{
	char timeout[16];
	bool is_all = durability == KAFKA_ALL;
	const struct client_setting role[] = {
		/* What must be on all replicas may wait for its neighbours: at 2,000 messages a
		 * second a third of the broker's work and half of the readers' goes. */
		{ "linger.ms",                             is_all ? "2" : "0"                     },
		{ "acks",				  is_all ? "all" : "1"                   },
		{ "enable.idempotence",                    is_all ? "true" : "false"              },
		/* What comes while one request is on its way gathers for the next: a message goes
		 * at once when nothing is under way, and with others under load.  And with more on
		 * their way a broker that refuses the first batch of a producer in a partition may
		 * take the second, and then calls the first, when it comes again, a duplicate: it
		 * would be lost and reported as stored. */
		{ "max.in.flight.requests.per.connection", "1"                                    },
		{ "message.timeout.ms",                    timeout                                },
		{ "delivery.report.only.error",            producer->on_failed ? "true" : "false" },
		{ "partitioner",                           "murmur2"                              },
		{ "compression.codec",                     "none"                                 },
		/* A topic's max.message.bytes is that of a batch.  Ours allow many
		 * times this; a message that is larger goes alone. */
		{ "batch.size",                            "65536"                                },
		{ "queue.buffering.max.messages",          "100000"                               },
		{ "queue.buffering.max.kbytes",            "65536"                                },
		{ NULL,				    NULL				   },
	};
	rd_kafka_conf_t *conf;
	tally_status status;

	(void)snprintf(timeout, sizeof timeout, "%d", message_timeout_ms);
	status = client_conf(producer->config, role, &conf, err);
	if (status != TALLY_OK)
		return status;
	rd_kafka_conf_set_dr_msg_cb(conf, producer->on_failed ? on_failure : on_report);
	return client_new(RD_KAFKA_PRODUCER, conf, &producer->client, err);
}

/* Takes the producer. */
static tally_status
start(struct kafka_producer *producer, enum kafka_durability durability, int message_timeout_ms,
      struct kafka_producer **out_producer, struct tally_error *err)
{
	tally_status status = open_client(producer, durability, message_timeout_ms, err);
	if (status == TALLY_OK) {
		producer->has_thread =
		    pthread_create(&producer->thread, NULL, poll_reports, producer) == 0;
		if (!producer->has_thread)
			status = tally_fail(err, TALLY_NO_MEMORY, "no thread for a producer");
	}
	if (status != TALLY_OK) {
		free_producer(producer);
		return status;
	}
	*out_producer = producer;
	return TALLY_OK;
}

tally_status
kafka_producer_start(const struct kafka_config *config, enum kafka_durability durability,
		     int message_timeout_ms, struct kafka_producer **out_producer,
		     struct tally_error *err)
{
	struct kafka_producer *producer = calloc(1, sizeof *producer);

	if (!producer)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	producer->config = config;
	return start(producer, durability, message_timeout_ms, out_producer, err);
}

tally_status
kafka_producer_start_quiet(const struct kafka_config *config, int message_timeout_ms,
			   kafka_failed_fn *on_failed, void *ctx,
			   struct kafka_producer **out_producer, struct tally_error *err)
{
	struct kafka_producer *producer = calloc(1, sizeof *producer);

	if (!producer)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	producer->config = config;
	producer->on_failed = on_failed;
	producer->failed_ctx = ctx;
	return start(producer, KAFKA_LEADER, message_timeout_ms, out_producer, err);
}

void
kafka_producer_stop(struct kafka_producer *producer, int flush_ms)
{
	if (!producer)
		return;
	(void)rd_kafka_flush(producer->client, flush_ms); /* what is left is reported as lost */
	(void)rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	(void)rd_kafka_flush(producer->client, 1000);
	free_producer(producer);
}

static tally_status
send_status(rd_kafka_resp_err_t code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return TALLY_OK;
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
		return TALLY_FULL;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return TALLY_TOO_LARGE;
	default:
		return TALLY_KAFKA_UNAVAILABLE;
	}
}

/* NULL when out of memory. */
static rd_kafka_headers_t *
make_headers(const struct kafka_outgoing *message)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->n_headers);

	for (size_t i = 0; headers && i < message->n_headers; i++) {
		const struct tally_header *header = &message->headers[i];

		if (rd_kafka_header_add(headers, header->name, -1, header->value,
					(ssize_t)header->len)
		    != RD_KAFKA_RESP_ERR_NO_ERROR) {
			rd_kafka_headers_destroy(headers);
			return NULL;
		}
	}
	return headers;
}

static rd_kafka_resp_err_t
produce(struct kafka_producer *producer, const struct kafka_outgoing *message,
	rd_kafka_headers_t *headers, void *opaque)
{
	void *value =
	    message->owned_value ? message->owned_value : (void *)(uintptr_t)message->value;
	int flags = message->owned_value ? RD_KAFKA_MSG_F_FREE : RD_KAFKA_MSG_F_COPY;

	return rd_kafka_producev(producer->client, RD_KAFKA_V_TOPIC(message->topic),
				 RD_KAFKA_V_PARTITION(message->partition < 0 ? RD_KAFKA_PARTITION_UA
									     : message->partition),
				 RD_KAFKA_V_MSGFLAGS(message->is_lent ? 0 : flags),
				 RD_KAFKA_V_KEY(message->key, message->key_len),
				 RD_KAFKA_V_VALUE(value, message->value_len),
				 RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(opaque),
				 RD_KAFKA_V_END);
}

tally_status
kafka_producer_send(struct kafka_producer *producer, const struct kafka_outgoing *message)
{
	rd_kafka_headers_t *headers = make_headers(message);
	struct report *report = NULL;
	rd_kafka_resp_err_t code;

	assert(!producer->on_failed || !message->on_delivered);
	if (!headers)
		return TALLY_NO_MEMORY;
	if (message->on_delivered) {
		report = malloc(sizeof *report);
		if (!report) {
			rd_kafka_headers_destroy(headers);
			return TALLY_NO_MEMORY;
		}
		*report = (struct report){ message->on_delivered, message->ctx };
	}
	code = produce(producer, message, headers, producer->on_failed ? (void *)producer : report);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		/* On failure headers and value stay ours (rd_kafka_producev's documentation). */
		rd_kafka_headers_destroy(headers);
		free(report);
	}
	return send_status(code);
}

int32_t
kafka_producer_turn(int32_t n_partitions, int32_t first)
{
	return n_partitions > 0 ? (int32_t)((clock_mono_ms() / TURN_MS + first) % n_partitions)
				: -1;
}

tally_status
kafka_producer_warm(struct kafka_producer *producer, const char *topic, int timeout_ms,
		    int *out_partitions, struct tally_error *err)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(producer->client, topic, NULL);
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t code;
	int n = 0;

	if (!handle)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	code = rd_kafka_metadata(producer->client, 0, handle, &metadata, timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1)
		n = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(handle);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return client_no_broker(producer->config, timeout_ms, err);
	if (n == 0)
		return tally_fail(err, TALLY_NOT_FOUND,
				  "Kafka has no topic %s: run \"tally topics create\"", topic);
	*out_partitions = n;
	return TALLY_OK;
}

int
kafka_producer_pending(struct kafka_producer *producer)
{
	return rd_kafka_outq_len(producer->client);
}

bool
kafka_producer_is_dead(struct kafka_producer *producer)
{
	return rd_kafka_fatal_error(producer->client, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}
