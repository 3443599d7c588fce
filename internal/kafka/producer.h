/* producer.h - messages out, with a report for each, or for each that fails.
 *
 * Reports come on the producer's own thread.  The queue is bounded: full is a status.  Sending is
 * thread-safe. */
#ifndef KAFKA_PRODUCER_H
#define KAFKA_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/message.h>

#include "kafka/config.h"
#include "kafka/message.h"

struct kafka_producer;

enum kafka_durability {
	KAFKA_LEADER, /* acks=1: a lost message is a wait that runs out */
	KAFKA_ALL,    /* acks=all, idempotent, in order: an acknowledged message is kept */
};

/* The end of a message, once.  TALLY_OK: it is stored at (partition, offset).
 * TALLY_KAFKA_UNAVAILABLE: it is not and will not be.  TALLY_OUTCOME_UNKNOWN: it may be.
 * TALLY_TOO_LARGE: the broker takes no message of that size. */
typedef void kafka_delivered_fn(void *ctx, tally_status status, int32_t partition, int64_t offset);

/* A message that will not arrive, or may not have; statuses as above.  message is borrowed for the
 * call. */
typedef void kafka_failed_fn(void *ctx, tally_status status, const struct kafka_message *message);

struct kafka_outgoing {
	const char *topic;
	int32_t partition; /* -1: by murmur2 of the key, like Kafka's own clients */
	const void *key;
	size_t key_len;
	const void *value; /* copied, unless owned_value or is_lent is set */
	size_t value_len;
	bool is_lent;      /* value is not copied: it stays as it is until the report */
	char *owned_value; /* malloc'ed, sent without a copy instead of value: taken on TALLY_OK */
	const struct tally_header *headers;
	size_t n_headers;
	kafka_delivered_fn *on_delivered; /* NULL: nobody asks; never of a quiet producer */
	void *ctx;
};

/* Starts a producer; message_timeout_ms bounds how long a message may be on its way.  Returns at
 * once, connected or not.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_producer_start(const struct kafka_config *config,
						   enum kafka_durability durability,
						   int message_timeout_ms,
						   struct kafka_producer **out_producer,
						   struct tally_error *err);

/* The same with acks=1 and word only of messages that fail: on_failed(ctx, ...), for each once.
 * Where nobody asks what became of the others, that is a thread less to be woken for each. */
TALLY_MUST_CHECK tally_status kafka_producer_start_quiet(const struct kafka_config *config,
							 int message_timeout_ms,
							 kafka_failed_fn *on_failed, void *ctx,
							 struct kafka_producer **out_producer,
							 struct tally_error *err);

/* Gives what is queued flush_ms to be delivered, then ends with a report for each message, joins
 * the thread and frees the producer.  Accepts NULL. */
void kafka_producer_stop(struct kafka_producer *producer, int flush_ms);

/* Sends a message; after TALLY_OK its report comes once.  TALLY_FULL: the queue is full.
 * TALLY_KAFKA_UNAVAILABLE: no such topic or partition, or a dead producer.  TALLY_TOO_LARGE. */
TALLY_MUST_CHECK tally_status kafka_producer_send(struct kafka_producer *producer,
						  const struct kafka_outgoing *message);

/* The partition for what is sent now, one after the other from first on: all messages of a moment
 * go to one, and those of the next moment to the next.  A request to the broker carries one
 * partition's messages (librdkafka 2.0.2): so there are fewer requests, and a reader finds the
 * messages together.  n_partitions 0, not known yet: -1, by the key.  Any thread. */
int32_t kafka_producer_turn(int32_t n_partitions, int32_t first);

/* Asks for the topic's metadata, waiting for at most timeout_ms, so that the first message need
 * not wait for them (up to 1 s in librdkafka 2.0.2).  *out_partitions is their number.
 * TALLY_KAFKA_UNAVAILABLE: no broker answers; TALLY_NOT_FOUND: there is no such topic. */
TALLY_MUST_CHECK tally_status kafka_producer_warm(struct kafka_producer *producer,
						  const char *topic, int timeout_ms,
						  int *out_partitions, struct tally_error *err);

/* Messages that are queued or on their way. */
int kafka_producer_pending(struct kafka_producer *producer);

/* Whether the producer cannot go on (a fatal error of the idempotent producer): start another
 * process. */
bool kafka_producer_is_dead(struct kafka_producer *producer);

#endif
