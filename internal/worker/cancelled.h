/* cancelled.h - the jobs that were cancelled, for as long as a worker may still come upon one.
 *
 * A set of ids, each with the deadline after which nobody runs its job anyway.  Bounded: past its
 * ceiling the oldest entry makes room, whose job then runs in vain (its `cancelled` result came
 * first, and the first counts).  An entry takes about 130 bytes.  One thread at a time. */
#ifndef WORKER_CANCELLED_H
#define WORKER_CANCELLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/id.h>

struct cancelled;

/* An empty set of at most max (> 0) ids.  NULL when out of memory. */
struct cancelled *cancelled_new(size_t max);

/* Frees the set.  Accepts NULL. */
void cancelled_free(struct cancelled *cancelled);

/* Adds an id until deadline_ms, or moves the deadline of one that is there; both times are Unix ms.
 * What is past its deadline at now_ms is left out.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status cancelled_add(struct cancelled *cancelled,
					    const struct tally_job_id *id, int64_t deadline_ms,
					    int64_t now_ms);

/* Whether the id is in the set. */
bool cancelled_has(const struct cancelled *cancelled, const struct tally_job_id *id);

/* Drops what is past its deadline; cancelled_add does so by itself, once a minute. */
void cancelled_drop_late(struct cancelled *cancelled, int64_t now_ms);

/* How many ids are in the set. */
size_t cancelled_count(const struct cancelled *cancelled);

#endif
