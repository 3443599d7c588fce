/* Producers and consumers on one small queue: each item arrives once, and the end wakes all. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/queue.h"

#define THREADS 3
#define ITEMS   20000

static struct queue *queue;
static _Atomic int seen[THREADS * ITEMS];

static void *
produce(void *arg)
{
	_Atomic int *mine = arg;

	for (int i = 0; i < ITEMS; i++) {
		tally_status status;

		while ((status = queue_push(queue, &mine[i])) == TALLY_FULL)
			(void)sched_yield();
		if (status != TALLY_OK)
			abort();
	}
	return NULL;
}

static void *
consume(void *arg)
{
	_Atomic int *item;

	(void)arg;
	while ((item = queue_pop(queue, 60000)))
		atomic_fetch_add(item, 1);
	return NULL;
}

int
main(void)
{
	pthread_t producers[THREADS], consumers[THREADS];

	queue = queue_new(16);
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&consumers[i], NULL, consume, NULL);
		pthread_create(&producers[i], NULL, produce, seen + (size_t)i * ITEMS);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(producers[i], NULL);
	queue_close(queue);
	for (int i = 0; i < THREADS; i++)
		pthread_join(consumers[i], NULL);
	for (int i = 0; i < THREADS * ITEMS; i++) {
		if (seen[i] != 1) {
			(void)fprintf(stderr, "item %d arrived %d times\n", i, seen[i]);
			return EXIT_FAILURE;
		}
	}
	queue_free(queue);
	puts("base_queue: every item arrived once");
	return EXIT_SUCCESS;
}
