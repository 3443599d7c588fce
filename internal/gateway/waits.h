/* waits.h - callers that wait for a job which this gateway published.
 *
 * A wait is registered before its request is published, so no result of it can have been missed;
 * whoever did not publish a job asks the store instead.  As with flights, a wait is in the table or
 * detached, and whoever detaches it (a result, its deadline, its client's leaving, a failed send,
 * the stop) answers.
 *
 * Any thread; one lock inside, never held across a call out.  Times are clock_mono_ms(). */
#ifndef GATEWAY_WAITS_H
#define GATEWAY_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tally/id.h>
#include <tally/status.h>

#define WAITS_MAX_WAIT_S 30

struct waits;
struct waits_entry;

/* One wait.  Embedded in the waiter's own struct. */
struct wait {
	struct tally_job_id id;
	int64_t deadline_ms;
	uint32_t wait_s; /* 1 .. WAITS_MAX_WAIT_S */
	/* waits.c's own */
	struct waits_entry *entry; /* NULL: detached */
	TAILQ_ENTRY(wait) link;
};

TAILQ_HEAD(wait_list, wait);

/* A table for at most max_waits.  NULL when out of memory. */
struct waits *waits_new(size_t max_waits);

/* Frees the table; nobody may wait any more.  Accepts NULL. */
void waits_free(struct waits *waits);

/* Adds a wait (id, deadline_ms, wait_s filled in); one for an id.  From here on other threads may
 * detach it.  TALLY_SATURATED: max_waits wait; TALLY_CLOSED; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status waits_add(struct waits *waits, struct wait *wait);

/* Whether somebody waits for this job; id is TALLY_JOB_ID_CHARS long, not terminated. */
bool waits_has(struct waits *waits, const char *id);

/* Detaches the wait for this job; NULL when there is none any more. */
struct wait *waits_take(struct waits *waits, const struct tally_job_id *id);

/* Detaches a wait.  False when somebody else has. */
bool waits_leave(struct waits *waits, struct wait *wait);

/* Detaches every wait whose deadline has come, and appends it to list. */
void waits_expire(struct waits *waits, int64_t now_ms, struct wait_list *list);

/* The earliest deadline, or INT64_MAX. */
int64_t waits_next_deadline(struct waits *waits);

/* Takes no more from now on; those in it stay. */
void waits_close(struct waits *waits);

/* How many wait. */
size_t waits_count(struct waits *waits);

#endif
