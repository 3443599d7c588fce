#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/watchdog.h"

#define EVENTS_A_TURN 64

struct loop {
	int epoll_fd;
	int wake_fd;
	loop_fn *on_wake;
	void *ctx;
	_Atomic int64_t now_ms; /* written by the loop's thread, read by any */
	struct pulse pulse;
	atomic_bool is_rung;
	atomic_bool is_stopped;
	/* A binary heap by at_ms; slot 0 is unused, so that slot 0 means "not set". */
	struct loop_timer **timers;
	size_t n_timers;
	size_t cap_timers;
	/* What epoll reported this turn; unwatching blanks entries that are still to come. */
	struct epoll_event events[EVENTS_A_TURN];
	int n_events;
};

tally_status
loop_new(loop_fn *on_wake, void *ctx, struct loop **out_loop, struct tally_error *err)
{
	struct loop *loop = calloc(1, sizeof *loop);
	struct epoll_event event = { .events = EPOLLIN };

	if (!loop)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	loop->on_wake = on_wake;
	loop->ctx = ctx;
	atomic_init(&loop->now_ms, clock_mono_ms());
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->wake_fd < 0 || loop->epoll_fd < 0
	    || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) != 0) {
		tally_status status =
		    tally_fail(err, TALLY_INTERNAL_ERROR, "no event loop: %s", strerror(errno));

		loop_free(loop);
		return status;
	}
	*out_loop = loop;
	return TALLY_OK;
}

void
loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(loop->n_timers == 0);
	if (loop->epoll_fd >= 0)
		(void)close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		(void)close(loop->wake_fd);
	free(loop->timers);
	free(loop);
}

int64_t
loop_now_ms(const struct loop *loop)
{
	return atomic_load_explicit(&loop->now_ms, memory_order_relaxed);
}

const struct pulse *
loop_pulse(const struct loop *loop)
{
	return &loop->pulse;
}

/* ---- timers ------------------------------------------------------------------ */

static void
place(struct loop *loop, size_t slot, struct loop_timer *timer)
{
	loop->timers[slot] = timer;
	timer->slot = slot;
}

static void
sift_up(struct loop *loop, size_t slot, struct loop_timer *timer)
{
	while (slot > 1 && loop->timers[slot / 2]->at_ms > timer->at_ms) {
		place(loop, slot, loop->timers[slot / 2]);
		slot /= 2;
	}
	place(loop, slot, timer);
}

static void
sift_down(struct loop *loop, size_t slot, struct loop_timer *timer)
{
	for (size_t child; (child = slot * 2) <= loop->n_timers; slot = child) {
		if (child < loop->n_timers
		    && loop->timers[child + 1]->at_ms < loop->timers[child]->at_ms)
			child++;
		if (loop->timers[child]->at_ms >= timer->at_ms)
			break;
		place(loop, slot, loop->timers[child]);
	}
	place(loop, slot, timer);
}

static tally_status
reserve_timer(struct loop *loop)
{
	size_t cap = loop->cap_timers ? loop->cap_timers * 2 : 16;
	struct loop_timer **timers;

	if (loop->n_timers + 1 < loop->cap_timers)
		return TALLY_OK;
	timers = realloc(loop->timers, cap * sizeof *timers);
	if (!timers)
		return TALLY_NO_MEMORY;
	loop->timers = timers;
	loop->cap_timers = cap;
	return TALLY_OK;
}

tally_status
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
	tally_status status;

	loop_timer_clear(loop, timer);
	status = reserve_timer(loop);
	if (status != TALLY_OK)
		return status;
	timer->at_ms = at_ms;
	sift_up(loop, ++loop->n_timers, timer);
	return TALLY_OK;
}

void
loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	size_t slot = timer->slot;
	struct loop_timer *last;

	if (slot == 0)
		return;
	timer->slot = 0;
	last = loop->timers[loop->n_timers--];
	if (last == timer)
		return;
	if (slot > 1 && loop->timers[slot / 2]->at_ms > last->at_ms)
		sift_up(loop, slot, last);
	else
		sift_down(loop, slot, last);
}

static void
run_timers(struct loop *loop)
{
	while (loop->n_timers > 0 && loop->timers[1]->at_ms <= loop->now_ms) {
		struct loop_timer *timer = loop->timers[1];

		loop_timer_clear(loop, timer);
		timer->on_time(timer->ctx);
	}
}

/* ---- descriptors ------------------------------------------------------------- */

tally_status
loop_watch(struct loop *loop, struct loop_watch *watch)
{
	struct epoll_event event = { .events = watch->events, .data.ptr = watch };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) != 0)
		return TALLY_INTERNAL_ERROR;
	return TALLY_OK;
}

void
loop_watch_set(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	if (watch->events == events)
		return;
	watch->events = events;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event); /* it is watched */
}

void
loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
	if (watch->fd < 0)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL); /* or closed already */
	for (int i = 0; i < loop->n_events; i++) {
		if (loop->events[i].data.ptr == watch)
			loop->events[i].events = 0;
	}
	watch->fd = -1;
}

/* ---- turns ------------------------------------------------------------------- */

void
loop_wake(struct loop *loop)
{
	if (!atomic_exchange(&loop->is_rung, true))
		(void)!eventfd_write(loop->wake_fd, 1); /* full means rung */
}

void
loop_stop(struct loop *loop)
{
	atomic_store(&loop->is_stopped, true);
	loop_wake(loop);
}

static void
answer_wake(struct loop *loop)
{
	eventfd_t rings;

	(void)!eventfd_read(loop->wake_fd, &rings);
	/* Before the callback, so that a ring during it is not lost. */
	atomic_store(&loop->is_rung, false);
	if (loop->on_wake)
		loop->on_wake(loop->ctx);
}

static int
wait_ms(const struct loop *loop, int timeout_ms)
{
	int64_t until;

	if (loop->n_timers == 0)
		return timeout_ms;
	until = loop->timers[1]->at_ms - clock_mono_ms();
	if (until < 0)
		until = 0;
	if (until > 3600000)
		until = 3600000;
	return timeout_ms < 0 || until < timeout_ms ? (int)until : timeout_ms;
}

void
loop_step(struct loop *loop, int timeout_ms)
{
	int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_A_TURN, wait_ms(loop, timeout_ms));

	loop->n_events = n < 0 ? 0 : n;
	atomic_store_explicit(&loop->now_ms, clock_mono_ms(), memory_order_relaxed);
	pulse_work(&loop->pulse);
	for (int i = 0; i < loop->n_events; i++) {
		struct loop_watch *watch = loop->events[i].data.ptr;

		if (loop->events[i].events == 0)
			continue;
		if (watch)
			watch->on_event(watch->ctx, watch->fd, loop->events[i].events);
		else
			answer_wake(loop);
	}
	loop->n_events = 0;
	run_timers(loop);
	pulse_wait(&loop->pulse);
}

void
loop_run(struct loop *loop)
{
	while (!atomic_load(&loop->is_stopped))
		loop_step(loop, -1);
}
