#include "gateway/flights.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* An allocation that fails must not end the process: uthash then leaves the element out. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct flight {
	unsigned char id[FLIGHTS_KEY_BYTES];
	unsigned char fingerprint[FLIGHTS_KEY_BYTES];
	bool is_shared; /* in the table by fingerprint */
	unsigned attempt;
	int64_t deadline_ms; /* of the waiter that published it */
	struct waiter_list waiters;
	size_t n_waiters;
	UT_hash_handle by_id;
	UT_hash_handle by_fingerprint;
};

struct flights {
	size_t max_waiters;
	pthread_mutex_t lock; /* guards everything below */
	bool is_closed;
	size_t n_waiters;
	struct flight *ids;
	struct flight *fingerprints;
	/* Sorted by deadline: waits of equal length end in the order in which they began. */
	struct waiter_list by_wait[FLIGHTS_MAX_WAIT_S + 1];
};

struct flights *
flights_new(size_t max_waiters)
{
	struct flights *flights = calloc(1, sizeof *flights);

	if (!flights)
		return NULL;
	flights->max_waiters = max_waiters;
	pthread_mutex_init(&flights->lock, NULL);
	for (size_t i = 0; i <= FLIGHTS_MAX_WAIT_S; i++)
		TAILQ_INIT(&flights->by_wait[i]);
	return flights;
}

void
flights_free(struct flights *flights)
{
	if (!flights)
		return;
	assert(flights->n_waiters == 0);
	pthread_mutex_destroy(&flights->lock);
	free(flights);
}

/* ---- under the lock ---------------------------------------------------------- */

static struct flight *
find_by_fingerprint(struct flights *flights, const unsigned char *fingerprint)
{
	struct flight *flight = NULL;

	if (fingerprint)
		HASH_FIND(by_fingerprint, flights->fingerprints, fingerprint, FLIGHTS_KEY_BYTES,
			  flight);
	return flight;
}

static void
forget_flight(struct flights *flights, struct flight *flight)
{
	HASH_DELETE(by_id, flights->ids, flight);
	if (flight->is_shared)
		HASH_DELETE(by_fingerprint, flights->fingerprints, flight);
	free(flight);
}

/* Makes the flight findable by fingerprint too, in place of an older one. */
static void
share_flight(struct flights *flights, struct flight *flight, const unsigned char *fingerprint)
{
	struct flight *older = find_by_fingerprint(flights, fingerprint);

	if (older) {
		HASH_DELETE(by_fingerprint, flights->fingerprints, older);
		older->is_shared = false;
	}
	memcpy(flight->fingerprint, fingerprint, FLIGHTS_KEY_BYTES);
	HASH_ADD(by_fingerprint, flights->fingerprints, fingerprint, FLIGHTS_KEY_BYTES, flight);
	/* Without memory for the table the flight flies alone. */
	flight->is_shared = flight->by_fingerprint.tbl != NULL;
}

static struct flight *
add_flight(struct flights *flights, const unsigned char *fingerprint,
	   const unsigned char id[FLIGHTS_KEY_BYTES])
{
	struct flight *flight = calloc(1, sizeof *flight);

	if (!flight)
		return NULL;
	memcpy(flight->id, id, FLIGHTS_KEY_BYTES);
	TAILQ_INIT(&flight->waiters);
	HASH_ADD(by_id, flights->ids, id, FLIGHTS_KEY_BYTES, flight);
	if (!flight->by_id.tbl) {
		free(flight);
		return NULL;
	}
	if (fingerprint)
		share_flight(flights, flight, fingerprint);
	return flight;
}

/* Into the list of its wait, by deadline: nearly always the last, but for a second flight. */
static void
attach_deadline(struct waiter_list *list, struct waiter *waiter)
{
	struct waiter *before = TAILQ_LAST(list, waiter_list);

	while (before && before->deadline_ms > waiter->deadline_ms)
		before = TAILQ_PREV(before, waiter_list, by_deadline);
	if (before)
		TAILQ_INSERT_AFTER(list, before, waiter, by_deadline);
	else
		TAILQ_INSERT_HEAD(list, waiter, by_deadline);
}

static void
attach(struct flights *flights, struct flight *flight, struct waiter *waiter)
{
	waiter->flight = flight;
	TAILQ_INSERT_TAIL(&flight->waiters, waiter, in_flight);
	attach_deadline(&flights->by_wait[waiter->wait_s], waiter);
	flight->n_waiters++;
	flights->n_waiters++;
}

/* Out of the table of deadlines and of the count; still in its flight's list. */
static void
detach_from_table(struct flights *flights, struct waiter *waiter)
{
	TAILQ_REMOVE(&flights->by_wait[waiter->wait_s], waiter, by_deadline);
	waiter->flight = NULL;
	flights->n_waiters--;
}

/* A flight whose last waiter has left is forgotten: its result will be a late one. */
static void
detach(struct flights *flights, struct waiter *waiter)
{
	struct flight *flight = waiter->flight;

	TAILQ_REMOVE(&flight->waiters, waiter, in_flight);
	detach_from_table(flights, waiter);
	if (--flight->n_waiters == 0)
		forget_flight(flights, flight);
}

/* A flight that the waiter may join: NULL, there is none. */
static struct flight *
find_to_join(struct flights *flights, const struct waiter *waiter, const unsigned char *fingerprint,
	     int64_t now_ms)
{
	struct flight *flight = find_by_fingerprint(flights, fingerprint);
	bool is_long_enough =
	    flight && flight->deadline_ms - now_ms >= (waiter->deadline_ms - now_ms) / 2;

	return is_long_enough ? flight : NULL;
}

static tally_status
join_locked(struct flights *flights, struct waiter *waiter, const unsigned char *fingerprint,
	    const unsigned char *id, int64_t now_ms)
{
	struct flight *flight;

	if (flights->is_closed)
		return TALLY_CLOSED;
	if (flights->n_waiters >= flights->max_waiters)
		return TALLY_SATURATED;
	flight = find_to_join(flights, waiter, fingerprint, now_ms);
	waiter->is_joiner = flight != NULL;
	if (!waiter->is_joiner) {
		flight = add_flight(flights, fingerprint, id);
		if (!flight)
			return TALLY_NO_MEMORY;
		flight->deadline_ms = waiter->deadline_ms;
		flight->attempt = 1;
	}
	attach(flights, flight, waiter);
	return TALLY_OK;
}

static tally_status
again_locked(struct flights *flights, struct flight_taken *taken, const unsigned char *fingerprint,
	     const unsigned char *id)
{
	struct flight *flight = add_flight(flights, fingerprint, id);
	struct waiter *waiter;

	if (!flight)
		return TALLY_NO_MEMORY;
	flight->attempt = taken->attempt + 1;
	while ((waiter = TAILQ_FIRST(&taken->waiters))) {
		TAILQ_REMOVE(&taken->waiters, waiter, in_flight);
		if (waiter->deadline_ms > flight->deadline_ms)
			flight->deadline_ms = waiter->deadline_ms;
		attach(flights, flight, waiter);
	}
	taken->n_waiters = 0;
	return TALLY_OK;
}

/* ---- with the lock ----------------------------------------------------------- */

bool
flights_board(struct flights *flights, struct waiter *waiter, const unsigned char *fingerprint,
	      int64_t now_ms)
{
	struct flight *flight = NULL;

	pthread_mutex_lock(&flights->lock);
	if (!flights->is_closed && flights->n_waiters < flights->max_waiters)
		flight = find_to_join(flights, waiter, fingerprint, now_ms);
	if (flight) {
		waiter->is_joiner = true;
		attach(flights, flight, waiter);
	}
	pthread_mutex_unlock(&flights->lock);
	return flight != NULL;
}

tally_status
flights_join(struct flights *flights, struct waiter *waiter, const unsigned char *fingerprint,
	     const unsigned char id[FLIGHTS_KEY_BYTES], int64_t now_ms, bool *out_is_new)
{
	tally_status status;

	assert(waiter->wait_s >= 1 && waiter->wait_s <= FLIGHTS_MAX_WAIT_S);
	pthread_mutex_lock(&flights->lock);
	status = join_locked(flights, waiter, fingerprint, id, now_ms);
	if (status == TALLY_OK)
		*out_is_new = !waiter->is_joiner;
	pthread_mutex_unlock(&flights->lock);
	return status;
}

bool
flights_take(struct flights *flights, const unsigned char id[FLIGHTS_KEY_BYTES],
	     struct flight_taken *out_taken)
{
	struct flight *flight;
	struct waiter *waiter;

	pthread_mutex_lock(&flights->lock);
	HASH_FIND(by_id, flights->ids, id, FLIGHTS_KEY_BYTES, flight);
	if (flight) {
		TAILQ_INIT(&out_taken->waiters);
		out_taken->n_waiters = flight->n_waiters;
		out_taken->attempt = flight->attempt;
		TAILQ_FOREACH (waiter, &flight->waiters, in_flight)
			detach_from_table(flights, waiter);
		TAILQ_CONCAT(&out_taken->waiters, &flight->waiters, in_flight);
		forget_flight(flights, flight);
	}
	pthread_mutex_unlock(&flights->lock);
	return flight != NULL;
}

tally_status
flights_again(struct flights *flights, struct flight_taken *taken, const unsigned char *fingerprint,
	      const unsigned char id[FLIGHTS_KEY_BYTES])
{
	tally_status status;

	pthread_mutex_lock(&flights->lock);
	status = again_locked(flights, taken, fingerprint, id);
	pthread_mutex_unlock(&flights->lock);
	return status;
}

bool
flights_leave(struct flights *flights, struct waiter *waiter)
{
	bool was_waiting;

	pthread_mutex_lock(&flights->lock);
	was_waiting = waiter->flight != NULL;
	if (was_waiting)
		detach(flights, waiter);
	pthread_mutex_unlock(&flights->lock);
	return was_waiting;
}

void
flights_expire(struct flights *flights, int64_t now_ms, struct waiter_list *list)
{
	struct waiter *waiter;

	pthread_mutex_lock(&flights->lock);
	for (size_t i = 1; i <= FLIGHTS_MAX_WAIT_S; i++) {
		while ((waiter = TAILQ_FIRST(&flights->by_wait[i]))
		       && waiter->deadline_ms <= now_ms) {
			detach(flights, waiter);
			TAILQ_INSERT_TAIL(list, waiter, in_flight);
		}
	}
	pthread_mutex_unlock(&flights->lock);
}

int64_t
flights_next_deadline(struct flights *flights)
{
	int64_t earliest = INT64_MAX;

	pthread_mutex_lock(&flights->lock);
	for (size_t i = 1; i <= FLIGHTS_MAX_WAIT_S; i++) {
		const struct waiter *waiter = TAILQ_FIRST(&flights->by_wait[i]);

		if (waiter && waiter->deadline_ms < earliest)
			earliest = waiter->deadline_ms;
	}
	pthread_mutex_unlock(&flights->lock);
	return earliest;
}

void
flights_close(struct flights *flights)
{
	pthread_mutex_lock(&flights->lock);
	flights->is_closed = true;
	pthread_mutex_unlock(&flights->lock);
}

size_t
flights_count(struct flights *flights)
{
	size_t n;

	pthread_mutex_lock(&flights->lock);
	n = flights->n_waiters;
	pthread_mutex_unlock(&flights->lock);
	return n;
}

size_t
flights_in_air(struct flights *flights)
{
	size_t n;

	pthread_mutex_lock(&flights->lock);
	n = HASH_CNT(by_id, flights->ids);
	pthread_mutex_unlock(&flights->lock);
	return n;
}
