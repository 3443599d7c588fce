#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "gateway/waits.h"

static struct wait
wait_of(int number, int64_t deadline_ms, uint32_t wait_s)
{
	struct wait wait = { .deadline_ms = deadline_ms, .wait_s = wait_s };

	(void)snprintf(wait.id.text, sizeof wait.id.text, "%039d", number);
	return wait;
}

Test(waits, are_found_by_their_job_and_taken_once)
{
	struct waits *waits = waits_new(10);
	struct wait a = wait_of(1, 1000, 1), b = wait_of(2, 1000, 1), c = wait_of(3, 1000, 1);

	cr_assert_eq(waits_add(waits, &a), TALLY_OK);
	cr_assert_eq(waits_add(waits, &b), TALLY_OK);
	cr_expect(waits_has(waits, a.id.text));
	cr_expect_not(waits_has(waits, c.id.text));
	cr_expect_eq(waits_count(waits), 2);
	cr_expect_eq(waits_take(waits, &a.id), &a);
	cr_expect_null(waits_take(waits, &a.id));
	cr_expect_not(waits_leave(waits, &a), "it was taken");
	cr_expect(waits_leave(waits, &b));
	cr_expect_not(waits_leave(waits, &b));
	cr_expect_null(waits_take(waits, &b.id));
	cr_expect_eq(waits_count(waits), 0);
	waits_free(waits);
}

Test(waits, are_bounded_and_can_be_closed)
{
	struct waits *waits = waits_new(2);
	struct wait a = wait_of(1, 1000, 1), b = wait_of(2, 1000, 1), c = wait_of(3, 1000, 1);

	cr_assert_eq(waits_add(waits, &a), TALLY_OK);
	cr_assert_eq(waits_add(waits, &b), TALLY_OK);
	cr_expect_eq(waits_add(waits, &c), TALLY_SATURATED);
	cr_expect(waits_leave(waits, &a));
	cr_expect_eq(waits_add(waits, &c), TALLY_OK);
	waits_close(waits);
	cr_expect(waits_leave(waits, &b));
	cr_expect_eq(waits_add(waits, &a), TALLY_CLOSED);
	cr_expect_eq(waits_take(waits, &c.id), &c, "who waits stays");
	waits_free(waits);
}

Test(waits, end_at_their_deadlines_whatever_their_length)
{
	static const struct {
		int64_t deadline_ms;
		uint32_t wait_s;
	} cases[] = {
		{ 5000,  5  },
                { 30000, 30 },
                { 1000,  1  },
                { 4000,  5  },
                { 999,   30 }
	};
	struct waits *waits = waits_new(10);
	struct wait all[5];
	struct wait_list list = TAILQ_HEAD_INITIALIZER(list);
	size_t n = 0;
	struct wait *wait;

	cr_expect_eq(waits_next_deadline(waits), INT64_MAX);
	for (size_t i = 0; i < 5; i++) {
		all[i] = wait_of((int)i, cases[i].deadline_ms, cases[i].wait_s);
		cr_assert_eq(waits_add(waits, &all[i]), TALLY_OK);
	}
	cr_expect_eq(waits_next_deadline(waits), 999);
	waits_expire(waits, 4999, &list);
	TAILQ_FOREACH (wait, &list, link) {
		cr_expect_leq(wait->deadline_ms, 4999);
		cr_expect_not(waits_leave(waits, wait));
		n++;
	}
	cr_expect_eq(n, 3);
	cr_expect_eq(waits_next_deadline(waits), 5000);
	waits_expire(waits, INT64_MAX, &list);
	cr_expect_eq(waits_count(waits), 0);
	waits_free(waits);
}
