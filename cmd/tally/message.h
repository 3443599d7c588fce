/* message.h - messages of Kafka for a person. */
#ifndef TALLY_CLI_MESSAGE_H
#define TALLY_CLI_MESSAGE_H

#include "kafka/message.h"

#define MESSAGE_TIME_CHARS 25

/* Writes Unix ms as RFC 3339 UTC with milliseconds; "" for a time before 1970. */
void message_time(int64_t unix_ms, char out[MESSAGE_TIME_CHARS]);

/* Copies a header's text, cut off at size; "" without one. */
void message_header(const struct kafka_message *message, const char *name, char *out, size_t size);

#endif
