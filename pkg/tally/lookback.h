/* lookback.h - inner: where a reader of results begins in a partition that it was given.
 *
 * What stands below the boundary (the committed offset) was done with before; it is read again from
 * the start on, so as to remember what must be remembered. */
#ifndef TALLY_LOOKBACK_H
#define TALLY_LOOKBACK_H

#include <stdbool.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>

#pragma GCC visibility push(hidden)

/* Sets the offsets of the list to what is committed, or where nothing was, to the end or the
 * beginning; metadata to what was committed with it.  False when the broker does not say. */
bool tally_lookback_boundaries(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list,
			       bool is_from_end);

/* Moves the offsets of such a list back to those of lookback_ms before the stamps that stand in
 * their metadata (decimal, Unix ms).  False when the broker does not say. */
bool tally_lookback_starts(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list,
			   int64_t lookback_ms);

#pragma GCC visibility pop

#endif
