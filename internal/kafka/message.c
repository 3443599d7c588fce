#include "kafka/message.h"

#include <librdkafka/rdkafka.h>

/* struct kafka_message is never defined: it is librdkafka's own message. */
static const rd_kafka_message_t *
inner(const struct kafka_message *message)
{
	return (const rd_kafka_message_t *)(const void *)message;
}

void
kafka_message_free(struct kafka_message *message)
{
	if (message)
		rd_kafka_message_destroy((rd_kafka_message_t *)(void *)message);
}

const void *
kafka_message_key(const struct kafka_message *message, size_t *out_len)
{
	*out_len = inner(message)->key_len;
	return inner(message)->key;
}

const void *
kafka_message_value(const struct kafka_message *message, size_t *out_len)
{
	*out_len = inner(message)->len;
	return inner(message)->payload;
}

size_t
kafka_message_headers(const struct kafka_message *message, struct tally_header *headers, size_t max)
{
	rd_kafka_headers_t *all;
	size_t n = 0;

	if (rd_kafka_message_headers(inner(message), &all) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	while (
	    n < max
	    && rd_kafka_header_get_all(all, n, &headers[n].name, &headers[n].value, &headers[n].len)
		   == RD_KAFKA_RESP_ERR_NO_ERROR)
		n++;
	return n;
}

const char *
kafka_message_topic(const struct kafka_message *message)
{
	return rd_kafka_topic_name(inner(message)->rkt);
}

int32_t
kafka_message_partition(const struct kafka_message *message)
{
	return inner(message)->partition;
}

int64_t
kafka_message_offset(const struct kafka_message *message)
{
	return inner(message)->offset;
}

int64_t
kafka_message_time_ms(const struct kafka_message *message)
{
	rd_kafka_timestamp_type_t type;

	return rd_kafka_message_timestamp(inner(message), &type);
}
