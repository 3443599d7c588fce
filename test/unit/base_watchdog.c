#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/watchdog.h"

#define LIMIT_MS 1000

static void
pause_ms(int ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static void
count(void *ctx, const char *name)
{
	cr_expect_str_eq(name, "lane");
	atomic_fetch_add((atomic_int *)ctx, 1);
}

static struct watchdog *
start(int64_t limit_ms, atomic_int *n)
{
	struct watchdog *watchdog;
	struct tally_error err;

	cr_assert_eq(watchdog_start(limit_ms, count, n, &watchdog, &err), TALLY_OK);
	return watchdog;
}

Test(watchdog, tells_of_a_thread_that_works_at_one_thing_for_too_long, .timeout = 60)
{
	atomic_int n = 0;
	struct watchdog *watchdog = start(LIMIT_MS, &n);
	struct pulse pulse = { 0 };
	struct watched watched = { .pulse = &pulse, .name = "lane" };

	watchdog_add(watchdog, &watched);
	pulse_work(&pulse);
	int64_t began_ms = clock_mono_ms();
	while (atomic_load(&n) == 0)
		pause_ms(1);
	cr_expect_geq(clock_mono_ms() - began_ms, LIMIT_MS);
	watchdog_remove(watchdog, &watched);
	watchdog_stop(watchdog);
}

Test(watchdog, says_nothing_of_one_that_waits_or_goes_on, .timeout = 60)
{
	atomic_int n = 0;
	struct watchdog *watchdog = start(LIMIT_MS, &n);
	struct pulse waits = { 0 }, goes_on = { 0 }, is_gone = { 0 };
	struct watched all[] = {
		{ .pulse = &waits,   .name = "lane" },
		{ .pulse = &goes_on, .name = "lane" },
		{ .pulse = &is_gone, .name = "lane" },
	};

	for (size_t i = 0; i < 3; i++)
		watchdog_add(watchdog, &all[i]);
	pulse_work(&waits);
	pulse_wait(&waits);
	pulse_wait(&waits);
	pulse_work(&is_gone);
	watchdog_remove(watchdog, &all[2]);
	for (int64_t until_ms = clock_mono_ms() + 2 * LIMIT_MS; clock_mono_ms() < until_ms;) {
		pulse_work(&goes_on);
		pause_ms(1);
	}
	cr_expect_eq(atomic_load(&n), 0);
	watchdog_remove(watchdog, &all[0]);
	watchdog_remove(watchdog, &all[1]);
	watchdog_stop(watchdog);
}

Test(watchdog, without_a_limit_watches_nothing)
{
	atomic_int n = 0;
	struct watchdog *watchdog = start(0, &n);
	struct pulse pulse = { 0 };
	struct watched watched = { .pulse = &pulse, .name = "lane" };

	cr_expect_null(watchdog);
	watchdog_add(watchdog, &watched);
	watchdog_remove(watchdog, &watched);
	watchdog_stop(watchdog);
}

/* ---- a loop ------------------------------------------------------------------ */

static atomic_bool must_hang;

static void
on_time(void *ctx)
{
	(void)ctx;
	while (atomic_load(&must_hang))
		pause_ms(1);
}

static void *
run(void *ctx)
{
	loop_run(ctx);
	return NULL;
}

Test(watchdog, sees_a_loop_that_does_not_turn, .timeout = 60)
{
	atomic_int n = 0;
	struct watchdog *watchdog = start(LIMIT_MS, &n);
	struct loop_timer timer = { .on_time = on_time };
	struct tally_error err;
	struct loop *loop;
	pthread_t thread;

	cr_assert_eq(loop_new(NULL, NULL, &loop, &err), TALLY_OK);
	struct watched watched = { .pulse = loop_pulse(loop), .name = "lane" };
	watchdog_add(watchdog, &watched);
	cr_assert_eq(loop_timer_set(loop, &timer, clock_mono_ms() + 2 * LIMIT_MS), TALLY_OK);
	atomic_store(&must_hang, true);
	int64_t began_ms = clock_mono_ms();
	cr_assert_eq(pthread_create(&thread, NULL, run, loop), 0);
	while (atomic_load(&n) == 0)
		pause_ms(1);
	cr_expect_geq(clock_mono_ms() - began_ms, 3 * LIMIT_MS, "while it slept all was well");
	cr_expect_leq(loop_now_ms(loop), clock_mono_ms() - LIMIT_MS);
	atomic_store(&must_hang, false);
	loop_stop(loop);
	pthread_join(thread, NULL);
	watchdog_remove(watchdog, &watched);
	watchdog_stop(watchdog);
	loop_free(loop);
}

/* ---- a process that is stopped ----------------------------------------------- */

/* Works at one thing after the other, each of them short, and ends with 1 if that was called a
 * hang. */
static void
work(int ready_fd)
{
	atomic_int n = 0;
	struct watchdog *watchdog = start(LIMIT_MS, &n);
	struct pulse pulse = { 0 };
	struct watched watched = { .pulse = &pulse, .name = "lane" };

	watchdog_add(watchdog, &watched);
	for (int i = 0; i < 20; i++) {
		pulse_work(&pulse);
		pause_ms(LIMIT_MS / 20);
		if (i == 0)
			(void)!write(ready_fd, "x", 1);
	}
	_exit(atomic_load(&n) > 0);
}

Test(watchdog, does_not_take_a_stopped_process_for_one_that_hangs, .timeout = 60)
{
	int fds[2], status;
	char byte;

	cr_assert_eq(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0)
		work(fds[1]);
	cr_assert_eq(read(fds[0], &byte, 1), 1);
	cr_assert_eq(kill(child, SIGSTOP), 0);
	pause_ms(2 * LIMIT_MS);
	cr_assert_eq(kill(child, SIGCONT), 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
