/* parts.h - puts results in parts together again.
 *
 * Parts are gathered by (job id, run), so that those of two executions never mix; each run's parts
 * must come in order, 1, 2, ... : a run with a gap or a wrong SHA-256 is dropped.  A reader drops
 * what is incomplete when the id is final or after TALLY_PARTS_AGE_MS.  One thread at a time. */
#ifndef TALLY_PARTS_H
#define TALLY_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include <tally/job.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_PARTS_AGE_MS 60000

struct tally_parts;

/* A body that was put together: malloc'ed and terminated, the caller's to free. */
struct tally_body {
	char *bytes;
	size_t len;
};

/* A table that holds at most max_bytes of bodies and max_runs (at least 1) runs at once.  NULL when
 * out of memory. */
struct tally_parts *tally_parts_new(size_t max_bytes, size_t max_runs);

/* Frees the table and what it holds.  Accepts NULL. */
void tally_parts_free(struct tally_parts *parts);

/* Adds a part (result: its headers; data is copied).  TALLY_OK: that was the last one, and
 * *out_body the whole body.  TALLY_RESULT_NOT_READY: more are to come.  TALLY_BAD_REQUEST: out of
 * order, or the body does not match its SHA-256; the run is dropped.  TALLY_TOO_LARGE: past
 * max_bytes; the run is dropped, and its further parts are TALLY_TOO_LARGE too.  TALLY_NO_MEMORY.
 * Where max_runs are held, the one whose last part is the oldest makes room.  now_ms: any clock
 * that does not go back; what is past its age is dropped first. */
TALLY_MUST_CHECK tally_status tally_parts_add(struct tally_parts *parts,
					      const struct tally_job_result *result,
					      const void *data, size_t len, int64_t now_ms,
					      struct tally_body *out_body);

/* Drops all runs of an id: it is final. */
void tally_parts_drop(struct tally_parts *parts, const struct tally_job_id *id);

/* Drops runs whose last part came more than TALLY_PARTS_AGE_MS before now_ms. */
void tally_parts_age(struct tally_parts *parts, int64_t now_ms);

/* Changes the ceiling of bytes, as to what others leave that share a larger one.  What is held
 * already stays. */
void tally_parts_limit(struct tally_parts *parts, size_t max_bytes);

/* Bytes held now. */
size_t tally_parts_bytes(const struct tally_parts *parts);

#ifdef __cplusplus
}
#endif

#endif
