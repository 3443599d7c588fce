/* topics.h - the names of topics and headers, in one place, and how each topic is made.
 *
 * All topics: cleanup.policy=delete, message.timestamp.type=LogAppendTime (the age of a request is
 * counted from the broker's stamp), segment.ms at most a quarter of the retention (a segment is
 * deleted as a whole: Kafka documentation, "retention.ms"). */
#ifndef TALLY_TOPICS_H
#define TALLY_TOPICS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_TOPIC_REQUESTS_SYNC "tally.requests.sync"
#define TALLY_TOPIC_REPLIES       "tally.replies"
#define TALLY_TOPIC_REQUESTS_JOBS "tally.requests.jobs"
#define TALLY_TOPIC_RESULTS       "tally.results"
#define TALLY_TOPIC_CONTROL       "tally.control"
#define TALLY_TOPIC_DEAD_LETTERS  "tally.dead-letters"

#define TALLY_GROUP_WORKERS "tally-workers" /* consumer group of the workers: + "-sync", "-jobs" */

/* The largest message that any topic takes, in bytes, headers included. */
#define TALLY_MAX_MESSAGE_BYTES (16 * 1024 * 1024)
#define TALLY_MAX_REQUEST_BYTES (64 * 1024)

struct tally_topic {
	const char *name;
	int partitions; /* by default */
	int64_t retention_ms;
	int64_t segment_ms;
	int64_t max_message_bytes;
};

/* The topics of Tally; *out_n is how many.  A static array. */
const struct tally_topic *tally_topics(size_t *out_n);

/* Headers of the sync lane and those that both lanes share. */
#define TALLY_HEADER_ID              "tally-id"
#define TALLY_HEADER_REPLY_PARTITION "tally-reply-partition"
#define TALLY_HEADER_BUDGET_MS       "tally-budget-ms"
#define TALLY_HEADER_TENANT          "tally-tenant"
#define TALLY_HEADER_NO_CACHE        "tally-no-cache"
#define TALLY_HEADER_TRACEPARENT     "traceparent"
#define TALLY_HEADER_STATE           "tally-state"
#define TALLY_HEADER_RUN             "tally-run"
#define TALLY_HEADER_ERROR_CODE      "tally-error-code"
#define TALLY_HEADER_AS_OF           "tally-as-of-" /* + source */
#define TALLY_HEADER_TIMING          "tally-timing"

/* Headers of the job lane: CloudEvents 1.0, binary mode, and Tally's own. */
#define TALLY_HEADER_CE_SPECVERSION  "ce_specversion"
#define TALLY_HEADER_CE_ID           "ce_id"
#define TALLY_HEADER_CE_SOURCE       "ce_source"
#define TALLY_HEADER_CE_TYPE         "ce_type"
#define TALLY_HEADER_CE_TIME         "ce_time"
#define TALLY_HEADER_CE_SUBJECT      "ce_subject"
#define TALLY_HEADER_CONTENT_TYPE    "content-type"
#define TALLY_HEADER_DEADLINE_MS     "tally-deadline-ms"
#define TALLY_HEADER_IDEMPOTENCY_KEY "tally-idempotency-key"
#define TALLY_HEADER_BODY_HASH       "tally-body-hash"
#define TALLY_HEADER_DATASET         "tally-dataset"
#define TALLY_HEADER_DATASET_HASH    "tally-dataset-hash"
#define TALLY_HEADER_ATTEMPT         "tally-attempt"
#define TALLY_HEADER_ROWS            "tally-rows"
#define TALLY_HEADER_SHA256          "tally-sha256"
#define TALLY_HEADER_CREATED_MS      "tally-created-ms"
#define TALLY_HEADER_STARTED_MS      "tally-started-ms"
#define TALLY_HEADER_PART            "tally-part"
#define TALLY_HEADER_PARTS           "tally-parts"

/* Headers of dead letters: why, and where from. */
#define TALLY_HEADER_REASON           "tally-reason"
#define TALLY_HEADER_ORIGIN_TOPIC     "tally-origin-topic"
#define TALLY_HEADER_ORIGIN_PARTITION "tally-origin-partition"
#define TALLY_HEADER_ORIGIN_OFFSET    "tally-origin-offset"
#define TALLY_HEADER_ORIGIN_TIME      "tally-origin-time"

#ifdef __cplusplus
}
#endif

#endif
