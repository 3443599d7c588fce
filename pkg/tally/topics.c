#include <tally/topics.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

/* A topic's limit is that of a batch, and a producer that does not split batches loses all of one
 * that is larger: librdkafka's are of up to 1,000,000 bytes (batch.size), those of Kafka's own of
 * up to 1 MiB (max.request.size).  A request is smaller, TALLY_MAX_REQUEST_BYTES; workers see to
 * that. */
#define REQUEST_BYTES (1024 * 1024 + 64 * 1024)

/* Rows: name, partitions, retention, segment, largest message. */
static const struct tally_topic topics[] = {
	{ TALLY_TOPIC_REQUESTS_SYNC, 4,  10 * MINUTE_MS, 2 * MINUTE_MS, REQUEST_BYTES           },
	{ TALLY_TOPIC_REPLIES,       4,  10 * MINUTE_MS, 2 * MINUTE_MS, TALLY_MAX_MESSAGE_BYTES },
	{ TALLY_TOPIC_REQUESTS_JOBS, 12, DAY_MS,         2 * HOUR_MS,   REQUEST_BYTES           },
	{ TALLY_TOPIC_RESULTS,       12, DAY_MS,         2 * HOUR_MS,   TALLY_MAX_MESSAGE_BYTES },
	{ TALLY_TOPIC_CONTROL,       1,  DAY_MS,         2 * HOUR_MS,   REQUEST_BYTES           },
	{ TALLY_TOPIC_DEAD_LETTERS,  1,  14 * DAY_MS,    DAY_MS,        TALLY_MAX_MESSAGE_BYTES },
};

const struct tally_topic *
tally_topics(size_t *out_n)
{
	*out_n = sizeof topics / sizeof *topics;
	return topics;
}
