/* browse.h - reads all partitions of a topic in the caller's thread, without a group: once, or on
 * and on.  For the command line. */
#ifndef KAFKA_BROWSE_H
#define KAFKA_BROWSE_H

#include <stdbool.h>
#include <stdint.h>

#include "kafka/config.h"
#include "kafka/message.h"

struct kafka_browse;

struct kafka_browse_options {
	const char *topic;
	bool from_end; /* what is there already is left out */
	bool follows;  /* goes on where the topic ends now */
};

/* Opens a topic.  TALLY_NOT_FOUND: there is none.  TALLY_KAFKA_UNAVAILABLE, TALLY_WRONG_SETTING,
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_browse_open(const struct kafka_config *config,
						const struct kafka_browse_options *options,
						struct kafka_browse **out_browse,
						struct tally_error *err);

/* Opens a topic to read one message: the first at or after offset in a partition.  Statuses as
 * kafka_browse_open; TALLY_NOT_FOUND also without such a partition. */
TALLY_MUST_CHECK tally_status kafka_browse_open_at(const struct kafka_config *config,
						   const char *topic, int32_t partition,
						   int64_t offset, struct kafka_browse **out_browse,
						   struct tally_error *err);

/* The next message, in the order of its partition; the caller frees it.  TALLY_CLOSED: that was
 * all.  TALLY_DEADLINE_EXCEEDED: none came within timeout_ms. */
TALLY_MUST_CHECK tally_status kafka_browse_next(struct kafka_browse *browse, int timeout_ms,
						struct kafka_message **out_message);

/* Closes and frees it; its messages must be freed.  Accepts NULL. */
void kafka_browse_close(struct kafka_browse *browse);

#endif
