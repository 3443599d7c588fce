/* Waiters that are joined, taken, left and expired by several threads at once: each must be
 * detached exactly once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/flights.h"

#define ROUNDS  20000
#define JOINERS 2

struct counted {
	struct waiter waiter;
	_Atomic int detached;
};

static struct flights *flights;
static struct counted waiters[JOINERS][ROUNDS];
static _Atomic uint64_t sent; /* ids handed out */
static _Atomic bool is_over;

static void
id_of(uint64_t n, unsigned char id[FLIGHTS_KEY_BYTES])
{
	memset(id, 0, FLIGHTS_KEY_BYTES);
	memcpy(id, &n, sizeof n);
}

static void
count(struct waiter_list *list)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, waiter, in_flight);
		atomic_fetch_add(&((struct counted *)(void *)waiter)->detached, 1);
	}
}

static void *
join_and_leave(void *arg)
{
	struct counted *mine = arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned char fingerprint[FLIGHTS_KEY_BYTES] = { (unsigned char)(i % 7) };
		unsigned char id[FLIGHTS_KEY_BYTES];
		bool is_new;

		mine[i].waiter.wait_s = 1 + (uint32_t)i % 30;
		mine[i].waiter.deadline_ms = i % 11 == 0 ? 0 : 1000;
		id_of(atomic_fetch_add(&sent, 1), id);
		if (flights_join(flights, &mine[i].waiter, fingerprint, id, 0, &is_new) != TALLY_OK)
			abort();
		if (i % 5 == 0 && flights_leave(flights, &mine[i].waiter))
			atomic_fetch_add(&mine[i].detached, 1);
	}
	return NULL;
}

static void *
take_and_expire(void *arg)
{
	struct waiter_list expired = TAILQ_HEAD_INITIALIZER(expired);
	uint64_t next = 0;

	(void)arg;
	while (!atomic_load(&is_over) || next < atomic_load(&sent)) {
		unsigned char id[FLIGHTS_KEY_BYTES];
		struct flight_taken taken;

		if (next < atomic_load(&sent)) {
			id_of(next++, id);
			if (flights_take(flights, id, &taken))
				count(&taken.waiters);
		}
		flights_expire(flights, 500, &expired);
		count(&expired);
	}
	flights_expire(flights, 5000, &expired);
	count(&expired);
	return NULL;
}

int
main(void)
{
	pthread_t joiners[JOINERS], taker;

	flights = flights_new(JOINERS * ROUNDS);
	pthread_create(&taker, NULL, take_and_expire, NULL);
	for (int i = 0; i < JOINERS; i++)
		pthread_create(&joiners[i], NULL, join_and_leave, waiters[i]);
	for (int i = 0; i < JOINERS; i++)
		pthread_join(joiners[i], NULL);
	atomic_store(&is_over, true);
	pthread_join(taker, NULL);
	for (int i = 0; i < JOINERS; i++) {
		for (int j = 0; j < ROUNDS; j++) {
			if (atomic_load(&waiters[i][j].detached) != 1) {
				(void)fprintf(stderr, "waiter %d/%d was detached %d times\n", i, j,
					      waiters[i][j].detached);
				return EXIT_FAILURE;
			}
		}
	}
	flights_free(flights);
	puts("gateway_flights: every waiter was detached once");
	return EXIT_SUCCESS;
}
