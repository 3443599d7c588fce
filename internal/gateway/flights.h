/* flights.h - who waits for what.
 *
 * A flight is one request message on its way; its waiters are the callers that it will answer.
 * Identical requests share a flight: a newcomer joins when the flight's deadline leaves it at least
 * half of its own wait.  Every waiter is in exactly one place: in a flight, or detached, and
 * whoever detaches it (a result, its deadline, its client's leaving, a failed send, the drain)
 * answers and frees it.  So no caller is answered twice and none is forgotten.
 *
 * Any thread; one lock inside, never held across a call out.  Times are clock_mono_ms(). */
#ifndef GATEWAY_FLIGHTS_H
#define GATEWAY_FLIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tally/status.h>

#define FLIGHTS_KEY_BYTES  16
#define FLIGHTS_MAX_WAIT_S 30

struct flight;
struct flights;

/* One caller.  Embedded in the caller's own struct. */
struct waiter {
	int64_t deadline_ms;
	uint32_t wait_s; /* 1 .. FLIGHTS_MAX_WAIT_S */
	bool is_joiner;  /* found the flight under way */
	/* flights.c's own */
	struct flight *flight; /* NULL: detached */
	TAILQ_ENTRY(waiter) in_flight;
	TAILQ_ENTRY(waiter) by_deadline;
};

TAILQ_HEAD(waiter_list, waiter);

/* A flight that has been taken out: its waiters are detached, linked by in_flight. */
struct flight_taken {
	struct waiter_list waiters;
	size_t n_waiters;
	unsigned attempt; /* 1: the first message; 2: the second and last */
};

/* A table for at most max_waiters.  NULL when out of memory. */
struct flights *flights_new(size_t max_waiters);

/* Frees the table; no waiter may be left.  Accepts NULL. */
void flights_free(struct flights *flights);

/* Joins a flight under way, if there is one that flights_join would let the waiter join: a caller
 * whose request need not be published need not write it.  On true as after flights_join; false:
 * there is none, or the waiter cannot be added, and it is untouched. */
bool flights_board(struct flights *flights, struct waiter *waiter, const unsigned char *fingerprint,
		   int64_t now_ms);

/* Adds a waiter (deadline_ms and wait_s filled in) that asks for the request with this fingerprint
 * (NULL: never shared).  TALLY_OK: *out_is_new says whether the caller must publish the request
 * under id, or joined a flight under way.  From here on other threads may detach and free the
 * waiter.  TALLY_SATURATED: max_waiters are waiting; TALLY_CLOSED; TALLY_NO_MEMORY; on these the
 * waiter is untouched. */
TALLY_MUST_CHECK tally_status flights_join(struct flights *flights, struct waiter *waiter,
					   const unsigned char *fingerprint,
					   const unsigned char id[FLIGHTS_KEY_BYTES],
					   int64_t now_ms, bool *out_is_new);

/* Takes the flight with this id out, with all its waiters.  False when there is none: its waiters
 * have left, or its result came before. */
bool flights_take(struct flights *flights, const unsigned char id[FLIGHTS_KEY_BYTES],
		  struct flight_taken *out_taken);

/* Starts a second flight under a new id for waiters taken from a first one; those past their
 * deadline must have been removed.  Statuses as flights_join; on failure the waiters stay taken. */
TALLY_MUST_CHECK tally_status flights_again(struct flights *flights, struct flight_taken *taken,
					    const unsigned char *fingerprint,
					    const unsigned char id[FLIGHTS_KEY_BYTES]);

/* Detaches one waiter.  False when somebody else has detached it already (and answers it). */
bool flights_leave(struct flights *flights, struct waiter *waiter);

/* Detaches every waiter whose deadline has come and appends it to list (linked by in_flight). */
void flights_expire(struct flights *flights, int64_t now_ms, struct waiter_list *list);

/* The earliest deadline of all waiters, or INT64_MAX. */
int64_t flights_next_deadline(struct flights *flights);

/* Takes no more waiters from now on; those that wait go on waiting. */
void flights_close(struct flights *flights);

/* How many callers wait. */
size_t flights_count(struct flights *flights);

/* How many messages they wait for: flights. */
size_t flights_in_air(struct flights *flights);

#endif
