/* seen.h - inner: a set of job ids, each remembered until a time, in bounded memory.
 *
 * An id is kept as 128 bits of its SHA-256, 24 bytes an id in a table that is at least a quarter
 * full.  What is past its time is dropped when the table would grow. */
#ifndef TALLY_SEEN_H
#define TALLY_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/id.h>
#include <tally/status.h>

#pragma GCC visibility push(hidden)

struct tally_seen;

/* An empty set for at most max ids (at least 1).  NULL when out of memory. */
struct tally_seen *tally_seen_new(size_t max);

/* Accepts NULL. */
void tally_seen_free(struct tally_seen *seen);

/* Whether the id is there, also past its time when it was not dropped yet. */
bool tally_seen_has(const struct tally_seen *seen, const struct tally_job_id *id);

/* Adds an id that is not there, until until_ms.  Past max, and with nothing to drop that ended
 * before now_ms, about half are forgotten: those that end first.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_seen_add(struct tally_seen *seen, const struct tally_job_id *id,
					     int64_t until_ms, int64_t now_ms);

/* How many there are. */
size_t tally_seen_count(const struct tally_seen *seen);

#pragma GCC visibility pop

#endif
