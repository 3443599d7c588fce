#include <criterion/criterion.h>

#include "worker/solo.h"

enum { SYNC, JOBS };

static int n_woken[SOLO_SEATS];

static void
wake(void *ctx)
{
	++*(int *)ctx;
}

static struct solo *
start(void)
{
	struct solo *solo = solo_new();

	for (int i = 0; i < SOLO_SEATS; i++)
		solo_join(solo, i, wake, &n_woken[i]);
	return solo;
}

static void
stop(struct solo *solo)
{
	for (int i = 0; i < SOLO_SEATS; i++)
		solo_leave(solo, i);
	solo_free(solo);
}

Test(solo, everybody_works_together_while_nobody_wants_the_floor)
{
	struct solo *solo = start();

	cr_expect(solo_enter(solo, SYNC, 0));
	cr_expect(solo_enter(solo, JOBS, 0));
	cr_expect(solo_enter(solo, SYNC, 1));
	solo_rest(solo, SYNC);
	cr_expect(solo_enter(solo, SYNC, 2));
	stop(solo);
	solo_free(NULL);
}

Test(solo, the_floor_is_free_when_all_rest)
{
	struct solo *solo = start();

	cr_expect(solo_take(solo, JOBS, 0));
	cr_expect_not(solo_enter(solo, SYNC, 1));
	cr_expect_not(solo_enter(solo, JOBS, 1));
	cr_expect_not(solo_take(solo, SYNC, 1));
	stop(solo);
}

Test(solo, who_wants_the_floor_waits_for_those_inside_and_nobody_enters_meanwhile)
{
	struct solo *solo = start();

	cr_assert(solo_enter(solo, SYNC, 0));
	cr_assert(solo_enter(solo, JOBS, 0));
	cr_expect_not(solo_take(solo, JOBS, 10));
	cr_expect_not(solo_enter(solo, SYNC, 11), "not even who is inside");
	solo_rest(solo, JOBS);
	cr_expect_not(solo_take(solo, JOBS, 12));
	n_woken[JOBS] = 0;
	solo_rest(solo, SYNC);
	cr_expect_eq(n_woken[JOBS], 1);
	cr_expect(solo_take(solo, JOBS, 13));
	stop(solo);
}

Test(solo, who_does_not_come_to_rest_is_waited_for_a_while)
{
	struct solo *solo = start();

	cr_assert(solo_enter(solo, JOBS, 0));
	cr_expect_not(solo_take(solo, SYNC, 100));
	cr_expect_not(solo_take(solo, SYNC, 99 + SOLO_CLOSED_MS));
	cr_expect(solo_take(solo, SYNC, 100 + SOLO_CLOSED_MS));
	stop(solo);
}

Test(solo, what_runs_alone_for_long_lets_ordinary_work_in_and_nobody_else_on_probation)
{
	struct solo *solo = start();

	cr_assert(solo_take(solo, JOBS, 0));
	cr_expect_not(solo_enter(solo, SYNC, SOLO_ALONE_MS - 1));
	cr_expect(solo_enter(solo, SYNC, SOLO_ALONE_MS));
	cr_expect(solo_enter(solo, JOBS, SOLO_ALONE_MS));
	solo_rest(solo, SYNC);
	solo_rest(solo, JOBS);
	cr_expect_not(solo_take(solo, SYNC, 100 * SOLO_ALONE_MS));
	solo_give(solo, JOBS, 100 * SOLO_ALONE_MS);
	cr_expect(solo_take(solo, SYNC, 100 * SOLO_ALONE_MS));
	stop(solo);
}

Test(solo, the_next_message_of_who_has_the_floor_is_alone_for_as_long)
{
	struct solo *solo = start();

	cr_assert(solo_take(solo, JOBS, 0));
	solo_keep(solo, JOBS, 500);
	cr_expect_not(solo_enter(solo, SYNC, 499 + SOLO_ALONE_MS));
	cr_expect(solo_enter(solo, SYNC, 500 + SOLO_ALONE_MS));
	stop(solo);
}

Test(solo, who_was_refused_enters_once_before_the_floor_is_given_again)
{
	struct solo *solo = start();

	cr_assert(solo_take(solo, JOBS, 0));
	cr_expect(solo_may_keep(solo, JOBS));
	cr_expect_not(solo_enter(solo, SYNC, 1));
	cr_expect_not(solo_may_keep(solo, JOBS));
	n_woken[SYNC] = 0;
	solo_give(solo, JOBS, 2);
	cr_expect_eq(n_woken[SYNC], 1);
	cr_expect_not(solo_take(solo, JOBS, 3));
	cr_expect(solo_enter(solo, SYNC, 4), "though the floor is wanted");
	cr_expect_not(solo_enter(solo, SYNC, 5), "once");
	solo_rest(solo, SYNC);
	cr_expect(solo_take(solo, JOBS, 6));
	stop(solo);
}

Test(solo, who_was_refused_and_does_not_come_holds_up_nobody_for_long)
{
	struct solo *solo = start();

	cr_assert(solo_take(solo, JOBS, 0));
	cr_expect_not(solo_enter(solo, SYNC, 1));
	solo_give(solo, JOBS, 2);
	cr_expect_not(solo_take(solo, JOBS, 1 + SOLO_TURN_MS));
	cr_expect(solo_take(solo, JOBS, 2 + SOLO_TURN_MS));
	cr_expect_not(solo_enter(solo, SYNC, 3 + SOLO_TURN_MS), "its turn is over");
	stop(solo);
}

Test(solo, lanes_that_both_want_the_floor_take_turns)
{
	struct solo *solo = start();

	cr_assert(solo_take(solo, JOBS, 0));
	cr_expect_not(solo_take(solo, SYNC, 1));
	cr_expect_not(solo_may_keep(solo, JOBS));
	solo_give(solo, JOBS, 2);
	cr_expect_not(solo_take(solo, JOBS, 2));
	cr_expect(solo_take(solo, SYNC, 3));
	solo_give(solo, SYNC, 4);
	cr_expect(solo_take(solo, JOBS, 5));
	stop(solo);
}

Test(solo, a_wish_that_is_given_up_lets_everybody_enter)
{
	struct solo *solo = start();

	cr_assert(solo_enter(solo, SYNC, 0));
	cr_expect_not(solo_take(solo, JOBS, 1));
	cr_expect_not(solo_enter(solo, SYNC, 2));
	solo_give(solo, JOBS, 3);
	cr_expect(solo_enter(solo, SYNC, 4));
	stop(solo);
}

Test(solo, a_wish_that_nobody_comes_back_for_closes_the_door_only_for_a_while)
{
	struct solo *solo = start();

	cr_assert(solo_enter(solo, SYNC, 0));
	cr_expect_not(solo_take(solo, JOBS, 0));
	cr_expect_not(solo_enter(solo, SYNC, SOLO_CLOSED_MS - 1));
	cr_expect(solo_enter(solo, SYNC, SOLO_CLOSED_MS));
	stop(solo);
}

Test(solo, who_leaves_gives_everything_back)
{
	struct solo *solo = start();

	cr_assert(solo_take(solo, JOBS, 0));
	cr_expect_not(solo_enter(solo, SYNC, 1));
	n_woken[SYNC] = 0;
	solo_leave(solo, JOBS);
	cr_expect_eq(n_woken[SYNC], 1);
	cr_expect(solo_enter(solo, SYNC, 2));
	solo_rest(solo, SYNC);
	cr_expect(solo_take(solo, SYNC, 3));
	stop(solo);
}
