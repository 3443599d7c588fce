#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/signals.h"

static struct loop *loop;
static int n_wakes;

static void
count_wake(void *ctx)
{
	(void)ctx;
	n_wakes++;
}

static void
start(void)
{
	cr_assert_eq(loop_new(count_wake, NULL, &loop, NULL), TALLY_OK);
}

static void
end(void)
{
	loop_free(loop);
}

TestSuite(loop, .init = start, .fini = end, .timeout = 20);

struct order {
	struct loop_timer timer;
	int64_t due_ms;
	int64_t *last_ms;
	int *n_run;
};

static void
check_order(void *ctx)
{
	struct order *order = ctx;

	cr_expect_geq(order->due_ms, *order->last_ms);
	cr_expect_geq(loop_now_ms(loop), order->due_ms);
	*order->last_ms = order->due_ms;
	++*order->n_run;
}

Test(loop, runs_timers_in_order_and_not_those_that_were_cleared)
{
	enum { N = 200 };
	static struct order orders[N];
	int64_t last_ms = 0, now_ms = loop_now_ms(loop);
	int n_run = 0;

	for (int i = 0; i < N; i++) {
		orders[i] = (struct order){ .timer.on_time = check_order,
					    .timer.ctx = &orders[i],
					    .due_ms = now_ms + i * 7919 % 20,
					    .last_ms = &last_ms,
					    .n_run = &n_run };
		cr_assert_eq(loop_timer_set(loop, &orders[i].timer, now_ms + i % 3), TALLY_OK);
	}
	for (int i = 0; i < N; i++)
		cr_assert_eq(loop_timer_set(loop, &orders[i].timer, orders[i].due_ms), TALLY_OK);
	for (int i = 0; i < N; i += 4) {
		loop_timer_clear(loop, &orders[i].timer);
		loop_timer_clear(loop, &orders[i].timer);
	}
	while (n_run < N - N / 4)
		loop_step(loop, -1);
	cr_expect_eq(n_run, N - N / 4);
	for (int i = 0; i < N; i++)
		cr_expect_eq(orders[i].timer.slot, 0);
}

static struct loop_timer again;
static int n_again;

static void
set_again(void *ctx)
{
	if (++n_again < 5)
		cr_assert_eq(loop_timer_set(ctx, &again, loop_now_ms(ctx) + 1), TALLY_OK);
	else
		loop_stop(ctx);
}

Test(loop, lets_a_timer_set_itself_again_and_stop_the_loop)
{
	again = (struct loop_timer){ .on_time = set_again, .ctx = loop };
	cr_assert_eq(loop_timer_set(loop, &again, 0), TALLY_OK);
	loop_run(loop);
	cr_expect_eq(n_again, 5);
}

Test(loop, runs_on_wake_once_for_many_rings)
{
	for (int i = 0; i < 10; i++)
		loop_wake(loop);
	loop_step(loop, -1);
	cr_expect_eq(n_wakes, 1);
	loop_step(loop, 0);
	cr_expect_eq(n_wakes, 1);
	loop_wake(loop);
	loop_step(loop, -1);
	cr_expect_eq(n_wakes, 2);
}

Test(loop, returns_at_once_when_it_was_stopped_before_it_ran)
{
	loop_stop(loop);
	loop_run(loop);
}

static void *
ring_and_stop(void *ctx)
{
	for (int i = 0; i < 1000; i++)
		loop_wake(ctx);
	loop_stop(ctx);
	return NULL;
}

Test(loop, is_woken_and_stopped_by_another_thread)
{
	pthread_t other;

	cr_assert_eq(pthread_create(&other, NULL, ring_and_stop, loop), 0);
	loop_run(loop);
	cr_assert_eq(pthread_join(other, NULL), 0);
	loop_step(loop, 0); /* it may have been stopped before it looked */
	cr_expect_geq(n_wakes, 1);
}

struct pair {
	struct loop_watch watches[2];
	int n_events;
};

static void
unwatch_both(void *ctx, int fd, uint32_t events)
{
	struct pair *pair = ctx;

	(void)fd;
	cr_expect(events & EPOLLIN);
	pair->n_events++;
	loop_unwatch(loop, &pair->watches[0]);
	loop_unwatch(loop, &pair->watches[1]);
}

Test(loop, calls_nothing_that_a_callback_of_the_same_turn_unwatched)
{
	struct pair pair = { .n_events = 0 };
	int ends[2][2];

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pipe(ends[i]), 0);
		cr_assert_eq(write(ends[i][1], "x", 1), 1);
		pair.watches[i] = (struct loop_watch){
			.fd = ends[i][0], .events = EPOLLIN, .on_event = unwatch_both, .ctx = &pair
		};
		cr_assert_eq(loop_watch(loop, &pair.watches[i]), TALLY_OK);
	}
	loop_step(loop, -1);
	loop_step(loop, 0);
	cr_expect_eq(pair.n_events, 1);
	for (int i = 0; i < 2; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
}

static void
count_event(void *ctx, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	++*(int *)ctx;
}

Test(loop, watches_only_for_the_events_that_are_set)
{
	int ends[2], n = 0;
	struct loop_watch watch = { .on_event = count_event, .ctx = &n, .events = 0 };

	cr_assert_eq(pipe(ends), 0);
	watch.fd = ends[1];
	cr_assert_eq(loop_watch(loop, &watch), TALLY_OK);
	loop_step(loop, 0);
	cr_expect_eq(n, 0);
	loop_watch_set(loop, &watch, EPOLLOUT);
	loop_step(loop, -1);
	cr_expect_eq(n, 1);
	loop_watch_set(loop, &watch, 0);
	loop_step(loop, 0);
	cr_expect_eq(n, 1);
	loop_unwatch(loop, &watch);
	loop_unwatch(loop, &watch);
	close(ends[0]);
	close(ends[1]);
}

Test(loop, refuses_a_descriptor_that_is_none)
{
	struct loop_watch watch = { .fd = 100000, .events = EPOLLIN, .on_event = count_event };

	cr_expect_eq(loop_watch(loop, &watch), TALLY_INTERNAL_ERROR);
}

/* ---- signals: a child each, since they end processes -------------------------- */

static void
stop_loop(void *ctx, int signal)
{
	cr_expect(signal == SIGTERM || signal == SIGINT);
	loop_stop(ctx);
}

static int
status_of(pid_t child)
{
	int status = 0;

	cr_assert_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Test(signals, the_first_stops_the_loop, .init = start, .timeout = 20)
{
	pid_t child = fork();

	if (child == 0) {
		signals_block();
		(void)kill(getpid(), SIGTERM); /* before the start: not lost */
		if (signals_start(stop_loop, loop, NULL) != TALLY_OK)
			_exit(1);
		loop_run(loop);
		signals_stop();
		signals_stop();
		_exit(7);
	}
	cr_expect_eq(status_of(child), 7);
	end();
}

static void
count_hangups(void *ctx, int signal)
{
	static int n;

	if (signal != SIGHUP)
		_exit(40 + n);
	n++;
	(void)kill(getpid(), n < 3 ? SIGHUP : SIGTERM);
	(void)ctx;
}

Test(signals, a_hangup_is_told_each_time_and_ends_nothing, .timeout = 20)
{
	pid_t child = fork();

	if (child == 0) {
		signals_block();
		if (signals_start(count_hangups, NULL, NULL) != TALLY_OK)
			_exit(1);
		(void)kill(getpid(), SIGHUP);
		for (;;)
			(void)pause();
	}
	cr_expect_eq(status_of(child), 43);
}

static void
send_second(void *ctx, int signal)
{
	(void)ctx;
	(void)kill(getpid(), signal == SIGTERM ? SIGINT : SIGTERM);
}

Test(signals, the_second_ends_the_process_at_once, .timeout = 20)
{
	pid_t child = fork();

	if (child == 0) {
		signals_block();
		if (signals_start(send_second, NULL, NULL) != TALLY_OK)
			_exit(1);
		(void)kill(getpid(), SIGTERM);
		for (;;)
			(void)pause();
	}
	cr_expect_eq(status_of(child), 128 + SIGINT);
}

Test(signals, end_the_process_by_default_after_the_stop, .timeout = 20)
{
	pid_t child = fork();

	if (child == 0) {
		int ends[2];

		signals_block();
		if (signals_start(send_second, NULL, NULL) != TALLY_OK || pipe(ends) != 0)
			_exit(1);
		close(ends[0]);
		if (write(ends[1], "x", 1) != -1) /* SIGPIPE is ignored */
			_exit(2);
		signals_stop();
		(void)kill(getpid(), SIGTERM);
		for (;;)
			(void)pause();
	}
	cr_expect_eq(status_of(child), -SIGTERM);
}
