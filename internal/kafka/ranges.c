#include "kafka/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/client.h"

struct kafka_ranges {
	const struct kafka_config *config;
	rd_kafka_t *client;
	struct kafka_range *all; /* of the last question */
};

tally_status
kafka_ranges_start(const struct kafka_config *config, struct kafka_ranges **out_ranges,
		   struct tally_error *err)
{
	static const struct client_setting role[] = {
		{ NULL, NULL }
	};
	struct kafka_ranges *ranges = calloc(1, sizeof *ranges);
	rd_kafka_conf_t *conf;
	tally_status status;

	if (!ranges)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	ranges->config = config;
	status = client_conf(config, role, &conf, err);
	/* Nothing is sent; a producer has the fewest threads. */
	if (status == TALLY_OK)
		status = client_new(RD_KAFKA_PRODUCER, conf, &ranges->client, err);
	if (status != TALLY_OK) {
		kafka_ranges_stop(ranges);
		return status;
	}
	*out_ranges = ranges;
	return TALLY_OK;
}

void
kafka_ranges_stop(struct kafka_ranges *ranges)
{
	if (!ranges)
		return;
	if (ranges->client)
		rd_kafka_destroy(ranges->client);
	free(ranges->all);
	free(ranges);
}

static int
left_ms(int64_t until_ms)
{
	int64_t left = until_ms - clock_mono_ms();

	return left > 0 ? (int)left : 0;
}

static tally_status
count_partitions(struct kafka_ranges *ranges, const char *topic, int64_t until_ms, int *out_n,
		 struct tally_error *err)
{
	const struct rd_kafka_metadata *metadata;

	*out_n = 0;
	if (rd_kafka_metadata(ranges->client, 1, NULL, &metadata, left_ms(until_ms))
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "no Kafka broker answers at %s",
				  ranges->config->brokers);
	*out_n = client_count_partitions(metadata, topic);
	rd_kafka_metadata_destroy(metadata);
	if (*out_n == 0)
		return tally_fail(err, TALLY_NOT_FOUND, "there is no topic %s", topic);
	return TALLY_OK;
}

/* Asks for the offsets at a time.  RD_KAFKA_OFFSET_END and _BEGINNING are times too in Kafka's
 * protocol: so it is one question to each broker, and not one for each partition. */
static tally_status
ask(struct kafka_ranges *ranges, rd_kafka_topic_partition_list_t *list, int64_t time,
    int64_t until_ms, struct tally_error *err)
{
	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = time;
	if (rd_kafka_offsets_for_times(ranges->client, list, left_ms(until_ms))
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "no Kafka broker answers at %s",
				  ranges->config->brokers);
	for (int i = 0; i < list->cnt; i++) {
		if (list->elems[i].err || list->elems[i].offset < 0)
			return tally_fail(err, TALLY_KAFKA_UNAVAILABLE,
					  "partition %d of %s has no leader now",
					  (int)list->elems[i].partition, list->elems[i].topic);
	}
	return TALLY_OK;
}

static tally_status
ask_both(struct kafka_ranges *ranges, rd_kafka_topic_partition_list_t *list, int64_t until_ms,
	 struct tally_error *err)
{
	tally_status status = ask(ranges, list, RD_KAFKA_OFFSET_BEGINNING, until_ms, err);

	for (int i = 0; i < list->cnt && status == TALLY_OK; i++)
		ranges->all[i] =
		    (struct kafka_range){ list->elems[i].partition, list->elems[i].offset, 0 };
	if (status == TALLY_OK)
		status = ask(ranges, list, RD_KAFKA_OFFSET_END, until_ms, err);
	for (int i = 0; i < list->cnt && status == TALLY_OK; i++)
		ranges->all[i].end = list->elems[i].offset;
	return status;
}

tally_status
kafka_ranges_ask(struct kafka_ranges *ranges, const char *topic, int timeout_ms,
		 const struct kafka_range **out_all, size_t *out_n, struct tally_error *err)
{
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	rd_kafka_topic_partition_list_t *list;
	int n;
	tally_status status = count_partitions(ranges, topic, until_ms, &n, err);

	if (status != TALLY_OK)
		return status;
	free(ranges->all);
	ranges->all = calloc((size_t)n, sizeof *ranges->all);
	if (!ranges->all)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	list = rd_kafka_topic_partition_list_new(n);
	for (int32_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, topic, i);
	status = ask_both(ranges, list, until_ms, err);
	rd_kafka_topic_partition_list_destroy(list);
	if (status != TALLY_OK)
		return status;
	*out_all = ranges->all;
	*out_n = (size_t)n;
	return TALLY_OK;
}
