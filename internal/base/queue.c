#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct queue {
	size_t capacity;
	pthread_mutex_t lock;   /* guards everything below */
	pthread_cond_t changed; /* an item came, or the queue was closed */
	bool is_closed;
	size_t first;
	size_t n;
	void *items[];
};

struct queue *
queue_new(size_t capacity)
{
	struct queue *queue = calloc(1, sizeof *queue + capacity * sizeof(void *));
	pthread_condattr_t monotonic;

	if (!queue)
		return NULL;
	queue->capacity = capacity;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return queue;
}

void
queue_free(struct queue *queue)
{
	if (!queue)
		return;
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

tally_status
queue_push(struct queue *queue, void *item)
{
	tally_status status = TALLY_OK;

	pthread_mutex_lock(&queue->lock);
	if (queue->is_closed) {
		status = TALLY_CLOSED;
	} else if (queue->n == queue->capacity) {
		status = TALLY_FULL;
	} else {
		queue->items[(queue->first + queue->n++) % queue->capacity] = item;
		pthread_cond_signal(&queue->changed);
	}
	pthread_mutex_unlock(&queue->lock);
	return status;
}

static void
wait_for_item(struct queue *queue, int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (queue->n == 0 && !queue->is_closed) {
		if (pthread_cond_timedwait(&queue->changed, &queue->lock, &until) == ETIMEDOUT)
			return;
	}
}

void *
queue_pop(struct queue *queue, int timeout_ms)
{
	void *item = NULL;

	pthread_mutex_lock(&queue->lock);
	if (timeout_ms > 0)
		wait_for_item(queue, timeout_ms);
	if (queue->n > 0) {
		item = queue->items[queue->first];
		queue->first = (queue->first + 1) % queue->capacity;
		queue->n--;
	}
	pthread_mutex_unlock(&queue->lock);
	return item;
}

void
queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->is_closed = true;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

size_t
queue_count(struct queue *queue)
{
	size_t n;

	pthread_mutex_lock(&queue->lock);
	n = queue->n;
	pthread_mutex_unlock(&queue->lock);
	return n;
}
