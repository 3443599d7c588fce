/* ranges.h - where partitions begin and end now, by asking the broker: what a consumer knows of it
 * is what its last fetch said, and stays so when the broker is away.  One thread at a time. */
#ifndef KAFKA_RANGES_H
#define KAFKA_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "kafka/config.h"

struct kafka_ranges;

/* What a partition holds: offsets begin .. end - 1. */
struct kafka_range {
	int32_t partition;
	int64_t begin;
	int64_t end;
};

/* Makes a client to ask with.  config outlives it.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_ranges_start(const struct kafka_config *config,
						 struct kafka_ranges **out_ranges,
						 struct tally_error *err);

/* Asks what the topic's partitions hold, waiting for at most timeout_ms: all that was there when
 * it was called is in them.  *out_all are *out_n ranges, in order of the partitions, until the next
 * call.  TALLY_KAFKA_UNAVAILABLE: no answer; TALLY_NOT_FOUND: there is no such topic;
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_ranges_ask(struct kafka_ranges *ranges, const char *topic,
					       int timeout_ms, const struct kafka_range **out_all,
					       size_t *out_n, struct tally_error *err);

/* Frees the client.  Accepts NULL. */
void kafka_ranges_stop(struct kafka_ranges *ranges);

#endif
