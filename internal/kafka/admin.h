/* admin.h - topics, made explicitly and never by accident; records, deleted before their time. */
#ifndef KAFKA_ADMIN_H
#define KAFKA_ADMIN_H

#include <tally/topics.h>

#include "kafka/config.h"

/* How long one question to the broker may take. */
#define KAFKA_ADMIN_MS 10000

enum kafka_topic_state {
	KAFKA_TOPIC_CREATED,
	KAFKA_TOPIC_EXISTS,
	KAFKA_TOPIC_MISSING,
};

/* What is with one topic. */
struct kafka_topic_report {
	const struct tally_topic *topic;
	enum kafka_topic_state state;
	int partitions; /* as the broker has them; 0: missing */
};

/* Creates the topics that are missing, each with partitions, retention, segment.ms, LogAppendTime
 * and the replication factor of the broker's default.  reports has room for n.  What exists stays
 * as it is.  TALLY_KAFKA_UNAVAILABLE ("no broker answers at ..."), TALLY_INTERNAL_ERROR with the
 * broker's reason. */
TALLY_MUST_CHECK tally_status kafka_topics_create(const struct kafka_config *config,
						  const struct tally_topic *topics, size_t n,
						  struct kafka_topic_report *reports,
						  struct tally_error *err);

/* Looks at the topics without changing anything.  Statuses as kafka_topics_create. */
TALLY_MUST_CHECK tally_status kafka_topics_look(const struct kafka_config *config,
						const struct tally_topic *topics, size_t n,
						struct kafka_topic_report *reports,
						struct tally_error *err);

/* Deletes the records of a partition before an offset.  *out_low is its first offset then.
 * TALLY_KAFKA_UNAVAILABLE; TALLY_BAD_REQUEST with the broker's reason (no such partition, an offset
 * past its end). */
TALLY_MUST_CHECK tally_status kafka_records_delete(const struct kafka_config *config,
						   const char *topic, int32_t partition,
						   int64_t before, int64_t *out_low,
						   struct tally_error *err);

#endif
