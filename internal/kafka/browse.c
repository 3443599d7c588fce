#include "kafka/browse.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/admin.h"
#include "kafka/client.h"

struct kafka_browse {
	rd_kafka_t *client;
	bool follows;
	int n_partitions;
	int64_t *ends;    /* by partition: where it ended when we began; -1: not read, or read */
	int n_unfinished; /* partitions with an end */
};

static tally_status
open_client(struct kafka_browse *browse, const struct kafka_config *config, struct tally_error *err)
{
	/* The group is required by librdkafka and never joined. */
	static const struct client_setting role[] = {
		{ "group.id",                   "tally-browse"     },
		{ "enable.auto.commit",         "false"            },
		{ "enable.auto.offset.store",   "false"            },
		{ "enable.partition.eof",       "true"             },
		/* What retention takes away meanwhile is left out. */
		{ "auto.offset.reset",          "earliest"         },
		{ "isolation.level",            "read_uncommitted" },
		{ "fetch.wait.max.ms",          "100"              },
		{ "queued.max.messages.kbytes", "65536"            },
		{ NULL,			 NULL               },
	};
	rd_kafka_conf_t *conf;
	tally_status status = client_conf(config, role, &conf, err);

	if (status == TALLY_OK)
		status = client_new(RD_KAFKA_CONSUMER, conf, &browse->client, err);
	if (status == TALLY_OK)
		(void)rd_kafka_poll_set_consumer(browse->client);
	return status;
}

static tally_status
count_partitions(struct kafka_browse *browse, const struct kafka_config *config, const char *topic,
		 struct tally_error *err)
{
	const struct rd_kafka_metadata *metadata;

	if (rd_kafka_metadata(browse->client, 1, NULL, &metadata, KAFKA_ADMIN_MS)
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return client_no_broker(config, KAFKA_ADMIN_MS, err);
	browse->n_partitions = client_count_partitions(metadata, topic);
	rd_kafka_metadata_destroy(metadata);
	if (browse->n_partitions == 0)
		return tally_fail(err, TALLY_NOT_FOUND,
				  "there is no topic %s: tally topics create makes it", topic);
	browse->ends = malloc((size_t)browse->n_partitions * sizeof *browse->ends);
	if (!browse->ends)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (int i = 0; i < browse->n_partitions; i++)
		browse->ends[i] = -1;
	return TALLY_OK;
}

static tally_status
start(struct kafka_browse **browse, const struct kafka_config *config, const char *topic,
      struct tally_error *err)
{
	tally_status status;

	*browse = calloc(1, sizeof **browse);
	if (!*browse)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status = open_client(*browse, config, err);
	return status == TALLY_OK ? count_partitions(*browse, config, topic, err) : status;
}

/* Adds a partition to what is to be read, from an offset (-1: its end) to the end it has now. */
static tally_status
add(struct kafka_browse *browse, rd_kafka_topic_partition_list_t *list, const char *topic,
    int32_t partition, int64_t from, struct tally_error *err)
{
	int64_t low, high;
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
	    browse->client, topic, partition, &low, &high, KAFKA_ADMIN_MS);

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "%s partition %d: %s", topic,
				  (int)partition, rd_kafka_err2str(code));
	if (from < 0)
		from = high;
	if (from < low)
		from = low;
	if (!browse->follows && from >= high)
		return TALLY_OK;
	browse->ends[partition] = high;
	browse->n_unfinished++;
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = from;
	return TALLY_OK;
}

/* Ends the opening: hands the browse out, or closes it. */
static tally_status
finish(struct kafka_browse *browse, rd_kafka_topic_partition_list_t *list, tally_status status,
       struct kafka_browse **out_browse, struct tally_error *err)
{
	if (status == TALLY_OK
	    && rd_kafka_assign(browse->client, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		status = tally_fail(err, TALLY_INTERNAL_ERROR, "partitions cannot be assigned");
	rd_kafka_topic_partition_list_destroy(list);
	if (status == TALLY_OK)
		*out_browse = browse;
	else
		kafka_browse_close(browse);
	return status;
}

tally_status
kafka_browse_open(const struct kafka_config *config, const struct kafka_browse_options *options,
		  struct kafka_browse **out_browse, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	struct kafka_browse *browse = NULL;
	tally_status status = start(&browse, config, options->topic, err);

	if (browse)
		browse->follows = options->follows;
	for (int i = 0; status == TALLY_OK && i < browse->n_partitions; i++)
		status = add(browse, list, options->topic, i, options->from_end ? -1 : 0, err);
	return finish(browse, list, status, out_browse, err);
}

tally_status
kafka_browse_open_at(const struct kafka_config *config, const char *topic, int32_t partition,
		     int64_t offset, struct kafka_browse **out_browse, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	struct kafka_browse *browse = NULL;
	tally_status status = start(&browse, config, topic, err);

	if (status == TALLY_OK && (partition < 0 || partition >= browse->n_partitions))
		status = tally_fail(err, TALLY_NOT_FOUND, "%s has no partition %d", topic,
				    (int)partition);
	if (status == TALLY_OK)
		status = add(browse, list, topic, partition, offset, err);
	return finish(browse, list, status, out_browse, err);
}

static void
end_partition(struct kafka_browse *browse, int32_t partition)
{
	if (browse->follows || browse->ends[partition] < 0)
		return;
	browse->ends[partition] = -1;
	browse->n_unfinished--;
}

/* Whether the message is one to hand out; it is freed otherwise. */
static bool
take(struct kafka_browse *browse, rd_kafka_message_t *message)
{
	int32_t partition = message->partition;
	int64_t offset = message->offset;
	int64_t end;

	if (message->err) {
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			end_partition(browse, partition);
		/* Other errors are transient: librdkafka goes on by itself. */
		rd_kafka_message_destroy(message);
		return false;
	}
	end = browse->ends[partition];
	if (!browse->follows && (end < 0 || offset >= end)) {
		/* It came while we read. */
		end_partition(browse, partition);
		rd_kafka_message_destroy(message);
		return false;
	}
	if (offset + 1 == end)
		end_partition(browse, partition);
	return true;
}

tally_status
kafka_browse_next(struct kafka_browse *browse, int timeout_ms, struct kafka_message **out_message)
{
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	int64_t left_ms = timeout_ms;

	while (browse->follows || browse->n_unfinished > 0) {
		rd_kafka_message_t *message =
		    rd_kafka_consumer_poll(browse->client, left_ms > 0 ? (int)left_ms : 0);

		if (message && take(browse, message)) {
			*out_message = (struct kafka_message *)(void *)message;
			return TALLY_OK;
		}
		left_ms = until_ms - clock_mono_ms();
		if (!message && left_ms <= 0)
			return TALLY_DEADLINE_EXCEEDED;
	}
	return TALLY_CLOSED;
}

void
kafka_browse_close(struct kafka_browse *browse)
{
	if (!browse)
		return;
	if (browse->client) {
		(void)rd_kafka_assign(browse->client, NULL);
		rd_kafka_destroy_flags(browse->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	}
	free(browse->ends);
	free(browse);
}
