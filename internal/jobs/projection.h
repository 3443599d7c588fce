/* projection.h - what a batch of messages of the job lane does to the job store, worked out in
 * memory, so that it can be written with a few statements of many rows.
 *
 * Everything that is written is a function of the messages alone: no clock, and nothing that
 * depends on how the topics came to be interleaved.  Of an id's messages in a batch one change of
 * its row is made; the statements (recorder_write.c) then apply it to the row by the same rules:
 *   - request half: of the earliest request; the same one again changes nothing;
 *   - started: only while queued;
 *   - result half: the first one to come, which is the one with the lowest offset, as the results
 *     of an id stand in one partition; it overrides what started said.
 * Parts of a result are rows of their own, and the last one makes the job final, if all are there.
 *
 * Bodies and keys are borrowed from the messages.  One thread at a time. */
#ifndef JOBS_PROJECTION_H
#define JOBS_PROJECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include <tally/job.h>

#include "base/buf.h"
#include "jobs/job.h"

#define PROJECTION_MAX      2048 /* messages and jobs of one batch */
#define PROJECTION_PROGRESS 1024 /* partitions of one batch */

enum projection_topic {
	PROJECTION_REQUESTS,
	PROJECTION_RESULTS,
	PROJECTION_CONTROL,
	PROJECTION_TOPICS
};

/* A message as it came; all borrowed. */
struct projection_message {
	enum projection_topic topic;
	int32_t partition;
	int64_t offset;
	int64_t stamp_ms; /* of the broker, Unix */
	const void *key;
	size_t key_len;
	const void *value;
	size_t value_len;
	const struct tally_header *headers;
	size_t n_headers;
};

/* The days that the store has partitions for: bit i is day first + i (days since 1970-01-01). */
struct projection_days {
	int32_t first;
	uint64_t mask;
	int32_t last; /* a later one is a wrong clock's */
};

struct projection_rules {
	const struct tally_secrets *secrets; /* borrowed */
	int results_partitions;
	struct projection_days days;
};

enum projection_outcome {
	PROJECTION_DONE,
	PROJECTION_REFUSED, /* no message of its topic, or forged */
	PROJECTION_SKIPPED, /* the store has its day no more */
	PROJECTION_FLUSH,   /* cannot be told in one change with what the batch has: write that,
			     * reset, and add this one again */
	PROJECTION_NO_MEMORY,
};

/* A text of a change, in the projection's buffer. */
struct projection_text {
	size_t at;
	size_t len;
	bool is_set;
};

/* What the batch does to one job's row. */
struct projection_change {
	struct tally_job_id id;
	bool is_foreign;
	char tenant[TALLY_TENANT_MAX + 1];
	int64_t created_ms;
	int64_t deadline_ms;
	int32_t partition; /* of the result; -1: not known */
	/* request half */
	bool has_request;
	struct projection_text dataset; /* also of a result */
	struct projection_text params;
	struct projection_text format;
	struct projection_text labels;
	/* started, or result half */
	enum job_state state;
	uint32_t attempt;
	int64_t started_ms;
	bool has_results; /* messages about it came from the results */
	int64_t finished_ms;
	uint64_t run;
	uint64_t n_rows;
	uint64_t n_bytes; /* not known when n_parts > 1 */
	uint32_t n_parts; /* > 1: final only if the store has them all */
	bool has_sha256;
	unsigned char sha256[TALLY_SHA256_BYTES];
	int64_t offset;
	struct projection_text as_of;
	struct projection_text error;
	UT_hash_handle hh;
};

/* A message's worth of a result's body. */
struct projection_body {
	const struct projection_change *change;
	uint64_t run;
	uint32_t part; /* 1 .. */
	const void *data;
	size_t len;
};

/* An idempotency key that a request came with. */
struct projection_key {
	struct {
		char tenant[TALLY_TENANT_MAX + 1];
		char key[TALLY_IDEMPOTENCY_KEY_MAX + 1];
	} name;
	const struct projection_change *change;
	unsigned char body_hash[TALLY_SHA256_BYTES];
	const char *fingerprint; /* not terminated */
	size_t fingerprint_len;
	struct tally_trace trace;
	bool no_cache;
	int64_t deadline_ms;
	const void *request;
	size_t request_len;
	UT_hash_handle hh;
};

/* How far a partition has been read; of requests and results. */
struct projection_progress {
	enum projection_topic topic;
	int32_t partition;
	int64_t next_offset;
	int64_t stamp_ms;
};

struct projection {
	struct projection_change *changes;
	size_t n_changes;
	struct projection_body *bodies;
	size_t n_bodies;
	struct projection_key *keys;
	size_t n_keys;
	struct projection_progress *progress;
	size_t n_progress;
	struct buf texts;
	struct projection_change *by_id;
	struct projection_key *by_key;
};

/* An empty projection.  The caller frees it; NULL when out of memory. */
struct projection *projection_new(void);

/* Frees the projection.  Accepts NULL. */
void projection_free(struct projection *projection);

/* Forgets all that was added. */
void projection_reset(struct projection *projection);

/* Adds a message.  After PROJECTION_FLUSH nothing has changed; an empty projection never says it.
 * After PROJECTION_NO_MEMORY only projection_reset is left.  err says why one is refused. */
enum projection_outcome
projection_add(struct projection *projection, const struct projection_rules *rules,
	       const struct projection_message *message, struct tally_error *err);

/* The bytes of a text of this projection; NULL when it is not set. */
const char *
projection_text(const struct projection *projection, const struct projection_text *text);

/* The day of a time, since 1970-01-01. */
int32_t projection_day(int64_t unix_ms);

/* Whether there is a partition for the day. */
bool projection_has_day(const struct projection_days *days, int32_t day);

#endif
