/* message.h - a message that was received: librdkafka's own buffer, not copied.  It moves between
 * threads by pointer; whoever has it frees it, before the reader or group that it came from is
 * stopped: librdkafka waits for that. */
#ifndef KAFKA_MESSAGE_H
#define KAFKA_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <tally/message.h>

struct kafka_message;

/* Frees the message and everything borrowed from it.  Accepts NULL.  Any thread. */
void kafka_message_free(struct kafka_message *message);

/* Key and value; NULL with length 0 when there is none (a tombstone).  Borrowed. */
const void *kafka_message_key(const struct kafka_message *message, size_t *out_len);
const void *kafka_message_value(const struct kafka_message *message, size_t *out_len);

/* Fills headers[0 .. result-1], at most max; further ones are left out.  Borrowed. */
size_t kafka_message_headers(const struct kafka_message *message, struct tally_header *headers,
			     size_t max);

/* Where it stands; the topic is borrowed. */
const char *kafka_message_topic(const struct kafka_message *message);
int32_t kafka_message_partition(const struct kafka_message *message);
int64_t kafka_message_offset(const struct kafka_message *message);

/* The broker's stamp (LogAppendTime) or the producer's, Unix ms; -1 without one. */
int64_t kafka_message_time_ms(const struct kafka_message *message);

#endif
