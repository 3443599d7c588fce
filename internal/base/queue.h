/* queue.h - a bounded queue of pointers between threads.  Whoever pops owns what it got. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>

#include <tally/status.h>

struct queue;

/* An empty queue for at most capacity (> 0) items.  NULL when out of memory. */
struct queue *queue_new(size_t capacity);

/* Frees the queue; what is still in it is not freed.  Accepts NULL. */
void queue_free(struct queue *queue);

/* Adds an item (not NULL) at the end; any thread.  TALLY_FULL, TALLY_CLOSED: the item stays the
 * caller's. */
TALLY_MUST_CHECK tally_status queue_push(struct queue *queue, void *item);

/* Takes the first item, waiting for at most timeout_ms (0: not at all); any thread.  NULL when
 * there is none, or the queue is closed and empty. */
void *queue_pop(struct queue *queue, int timeout_ms);

/* Takes no more items; those in it can still be popped, and whoever waits is woken. */
void queue_close(struct queue *queue);

/* How many items are in it. */
size_t queue_count(struct queue *queue);

#endif
