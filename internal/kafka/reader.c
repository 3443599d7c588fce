#include "kafka/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/client.h"

#define POLL_MS     100
#define POSITION_MS 2000 /* one try to learn the end offset */

struct kafka_reader {
	rd_kafka_t *client;
	char *topic;
	int32_t partition;
	bool from_start;
	kafka_reader_fn *on_message;
	void *ctx;
	pthread_t thread;
	bool has_thread;
	atomic_bool is_stopped;
	atomic_bool is_positioned;
	atomic_bool has_caught_up;
	int64_t end_offset;          /* when it was positioned */
	_Atomic int64_t next_offset; /* of the message to come */
};

/* The offset is asked for by its number and assigned as such: "latest" would be looked up by the
 * fetcher later, and messages in between would be missed. */
static bool
position(struct kafka_reader *reader)
{
	rd_kafka_topic_partition_list_t *list;
	int64_t low, high, first;
	bool ok;

	if (rd_kafka_query_watermark_offsets(reader->client, reader->topic, reader->partition, &low,
					     &high, POSITION_MS)
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	first = reader->from_start ? low : high;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, reader->topic, reader->partition)->offset = first;
	ok = rd_kafka_assign(reader->client, list) == RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_topic_partition_list_destroy(list);
	if (ok) {
		reader->end_offset = high;
		atomic_store(&reader->next_offset, first);
		atomic_store(&reader->has_caught_up, first >= high);
		atomic_store(&reader->is_positioned, true);
	}
	return ok;
}

static void
take(struct kafka_reader *reader, rd_kafka_message_t *message)
{
	int64_t next_offset = message->offset + 1;

	if (message->err) {
		/* The end is the end whatever its last offsets were: a partition may have gaps. */
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			atomic_store(&reader->has_caught_up, true);
		/* Others are transient: librdkafka goes on by itself.  Its log says what it was. */
		rd_kafka_message_destroy(message);
		return;
	}
	atomic_store(&reader->next_offset, next_offset);
	reader->on_message(reader->ctx, (struct kafka_message *)(void *)message);
	if (next_offset >= reader->end_offset)
		atomic_store(&reader->has_caught_up, true);
}

static void *
read_partition(void *arg)
{
	struct kafka_reader *reader = arg;

	while (!atomic_load(&reader->is_stopped)) {
		rd_kafka_message_t *message;

		if (!atomic_load(&reader->is_positioned) && !position(reader)) {
			/* Serves librdkafka's events; nothing is assigned, so nothing comes. */
			message = rd_kafka_consumer_poll(reader->client, POLL_MS);
			if (message)
				rd_kafka_message_destroy(message);
			continue;
		}
		message = rd_kafka_consumer_poll(reader->client, POLL_MS);
		if (message)
			take(reader, message);
	}
	return NULL;
}

static tally_status
open_client(struct kafka_reader *reader, const struct kafka_config *config, struct tally_error *err)
{
	/* The group is required by librdkafka and never joined. */
	const struct client_setting role[] = {
		{ "group.id",                   "tally-replies"                            },
		{ "enable.auto.commit",         "false"                                    },
		{ "enable.auto.offset.store",   "false"                                    },
		/* The offset that was asked for may be gone after a long outage: then go on with
		 * what there is, or with what comes; the waiters of replies have long timed out. */
		{ "auto.offset.reset",          reader->from_start ? "earliest" : "latest" },
		{ "enable.partition.eof",       reader->from_start ? "true" : "false"      },
		{ "isolation.level",            "read_uncommitted"                         },
		{ "fetch.wait.max.ms",          "100"                                      },
		{ "fetch.error.backoff.ms",     "10"                                       },
		{ "queued.min.messages",        "20000"                                    },
		{ "queued.max.messages.kbytes", "16384"                                    },
		{ "fetch.message.max.bytes",    "1048576"                                  },
		{ NULL,			 NULL				       },
	};
	rd_kafka_conf_t *conf;
	tally_status status = client_conf(config, role, &conf, err);

	if (status != TALLY_OK)
		return status;
	status = client_new(RD_KAFKA_CONSUMER, conf, &reader->client, err);
	if (status == TALLY_OK)
		(void)rd_kafka_poll_set_consumer(reader->client);
	return status;
}

tally_status
kafka_reader_start(const struct kafka_config *config, const struct kafka_reader_options *options,
		   struct kafka_reader **out_reader, struct tally_error *err)
{
	struct kafka_reader *reader = calloc(1, sizeof *reader);
	tally_status status;

	if (!reader)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	reader->partition = options->partition;
	reader->from_start = options->from_start;
	reader->on_message = options->on_message;
	reader->ctx = options->ctx;
	reader->topic = strdup(options->topic);
	status = reader->topic ? open_client(reader, config, err)
			       : tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK) {
		reader->has_thread =
		    pthread_create(&reader->thread, NULL, read_partition, reader) == 0;
		if (!reader->has_thread)
			status = tally_fail(err, TALLY_NO_MEMORY, "no thread for a reader");
	}
	if (status != TALLY_OK) {
		kafka_reader_stop(reader);
		return status;
	}
	*out_reader = reader;
	return TALLY_OK;
}

void
kafka_reader_quiesce(struct kafka_reader *reader)
{
	if (!reader || !reader->has_thread)
		return;
	atomic_store(&reader->is_stopped, true);
	pthread_join(reader->thread, NULL);
	reader->has_thread = false;
}

void
kafka_reader_stop(struct kafka_reader *reader)
{
	if (!reader)
		return;
	kafka_reader_quiesce(reader);
	if (reader->client) {
		(void)rd_kafka_assign(reader->client, NULL);
		rd_kafka_destroy_flags(reader->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	}
	free(reader->topic);
	free(reader);
}

bool
kafka_reader_is_positioned(const struct kafka_reader *reader)
{
	return atomic_load(&reader->is_positioned);
}

bool
kafka_reader_has_caught_up(const struct kafka_reader *reader)
{
	return atomic_load(&reader->has_caught_up);
}

int64_t
kafka_reader_lag(const struct kafka_reader *reader)
{
	int64_t low, high;

	/* The cached one: what the last fetch said. */
	if (rd_kafka_get_watermark_offsets(reader->client, reader->topic, reader->partition, &low,
					   &high)
		!= RD_KAFKA_RESP_ERR_NO_ERROR
	    || high < 0)
		return -1;
	high -= atomic_load(&reader->next_offset);
	return high > 0 ? high : 0;
}
