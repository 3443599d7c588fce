/* reader.h - reads one partition without a consumer group, so that no rebalance can take it away:
 * from its end on (replies to this process and to nobody else), or all that it has. */
#ifndef KAFKA_READER_H
#define KAFKA_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "kafka/config.h"
#include "kafka/message.h"

struct kafka_reader;

/* A message, on the reader's thread; the callee takes and frees it. */
typedef void kafka_reader_fn(void *ctx, struct kafka_message *message);

struct kafka_reader_options {
	const char *topic; /* copied */
	int32_t partition;
	bool from_start; /* everything that the partition has; else only what comes */
	kafka_reader_fn *on_message;
	void *ctx;
};

/* Starts reading topic/partition from the start or end offset that it has when the broker first
 * answers; tries until then.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_reader_start(const struct kafka_config *config,
						 const struct kafka_reader_options *options,
						 struct kafka_reader **out_reader,
						 struct tally_error *err);

/* No message comes any more once this has returned; those that came can still be used.  Accepts
 * NULL. */
void kafka_reader_quiesce(struct kafka_reader *reader);

/* Stops and frees the reader.  Waits until all of its messages are freed: librdkafka does.  Accepts
 * NULL. */
void kafka_reader_stop(struct kafka_reader *reader);

/* Whether the offset is known and assigned: messages from now on are not missed. */
bool kafka_reader_is_positioned(const struct kafka_reader *reader);

/* Whether all that the partition had when it was positioned has been given to on_message. */
bool kafka_reader_has_caught_up(const struct kafka_reader *reader);

/* Messages that the broker has and the reader has not yet; -1 when not known. */
int64_t kafka_reader_lag(const struct kafka_reader *reader);

#endif
