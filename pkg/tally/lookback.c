#include <tally/lookback.h>

#include <tally/consume.h>

#define POSITION_MS 10000 /* to learn offsets */

/* A partition where nothing was ever committed begins at its end, or with its oldest result. */
static bool
begin_fresh(rd_kafka_t *consumer, rd_kafka_topic_partition_t *item, bool is_from_end)
{
	int64_t low, high;

	if (item->offset >= 0)
		return true;
	if (rd_kafka_query_watermark_offsets(consumer, item->topic, item->partition, &low, &high,
					     POSITION_MS)
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	item->offset = is_from_end ? high : low;
	return true;
}

/* The time to look back to: before the stamp that was committed with the offset; without one (the
 * offset was set by hand), before now. */
static int64_t
lookback_of(const rd_kafka_topic_partition_t *item, int64_t lookback_ms)
{
	int64_t at_ms = tally_consume_unix_ms();
	int64_t stamp_ms = 0;
	const char *text = item->metadata;

	for (size_t i = 0; i < item->metadata_size && i < 18; i++) {
		if (text[i] < '0' || text[i] > '9')
			break;
		stamp_ms = stamp_ms * 10 + (text[i] - '0');
	}
	if (stamp_ms > 0 && stamp_ms < at_ms)
		at_ms = stamp_ms;
	return at_ms > lookback_ms ? at_ms - lookback_ms : 0;
}

bool
tally_lookback_boundaries(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list,
			  bool is_from_end)
{
	bool ok = rd_kafka_committed(consumer, list, POSITION_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;

	for (int i = 0; ok && i < list->cnt; i++)
		ok = list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR
		     && begin_fresh(consumer, &list->elems[i], is_from_end);
	return ok;
}

bool
tally_lookback_starts(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list,
		      int64_t lookback_ms)
{
	rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_copy(list);
	bool ok;

	for (int i = 0; i < times->cnt; i++)
		times->elems[i].offset = lookback_of(&list->elems[i], lookback_ms);
	ok = rd_kafka_offsets_for_times(consumer, times, POSITION_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
	for (int i = 0; ok && i < times->cnt; i++) {
		/* Negative: all is older than that time. */
		ok = times->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR;
		if (times->elems[i].offset >= 0 && times->elems[i].offset < list->elems[i].offset)
			list->elems[i].offset = times->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(times);
	return ok;
}
