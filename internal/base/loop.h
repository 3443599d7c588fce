/* loop.h - one thread's event loop: file descriptors (epoll), timers (a heap), and a wake-up that
 * other threads may ring (eventfd).
 *
 * Everything is called on the loop's own thread, except loop_wake, loop_stop and loop_now_ms.
 * Callbacks may add, change and remove watches and timers, their own included. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

struct loop;
struct pulse; /* base/watchdog.h */

/* events are EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP (epoll_ctl(2)). */
typedef void loop_fd_fn(void *ctx, int fd, uint32_t events);
typedef void loop_fn(void *ctx);

/* A descriptor under watch.  The caller owns the struct; it must not move while it is watched. */
struct loop_watch {
	int fd; /* -1: not watched */
	uint32_t events;
	loop_fd_fn *on_event;
	void *ctx;
};

/* A one-shot timer.  The caller owns the struct; it must not move while it is set. */
struct loop_timer {
	int64_t at_ms; /* clock_mono_ms() */
	loop_fn *on_time;
	void *ctx;
	size_t slot; /* the loop's own: its place in the heap, 0 when not set */
};

/* A new loop; on_wake (may be NULL) runs on the loop's thread after one or more loop_wake calls.
 * TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR (no descriptors left). */
TALLY_MUST_CHECK tally_status loop_new(loop_fn *on_wake, void *ctx, struct loop **out_loop,
				       struct tally_error *err);

/* Frees the loop; nothing may be watched or set any more.  Accepts NULL. */
void loop_free(struct loop *loop);

/* Runs until loop_stop.  A stop that came first makes it return at once. */
void loop_run(struct loop *loop);

/* Waits for at most timeout_ms (-1: until something happens) and runs what is due, once. */
void loop_step(struct loop *loop, int timeout_ms);

/* Makes loop_run return; any thread, any time. */
void loop_stop(struct loop *loop);

/* Makes on_wake run soon; any thread.  Cheap when it is already rung. */
void loop_wake(struct loop *loop);

/* When this turn of the loop, or its last one, began: clock_mono_ms().  Any thread. */
int64_t loop_now_ms(const struct loop *loop);

/* For a watchdog: whether it waits or works, and at what. */
const struct pulse *loop_pulse(const struct loop *loop);

/* Watches fd for events with the callback in watch (fd, events, on_event, ctx are filled in by the
 * caller).  TALLY_INTERNAL_ERROR when the kernel refuses. */
TALLY_MUST_CHECK tally_status loop_watch(struct loop *loop, struct loop_watch *watch);

/* Changes the events of a watched descriptor; no call to the kernel when they are the same. */
void loop_watch_set(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* Stops watching, before fd is closed; no callback comes afterwards.  Accepts an unwatched one. */
void loop_unwatch(struct loop *loop, struct loop_watch *watch);

/* Sets the timer to at_ms, moving it if it is set already.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status loop_timer_set(struct loop *loop, struct loop_timer *timer,
					     int64_t at_ms);

/* Clears the timer; accepts one that is not set. */
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

#endif
