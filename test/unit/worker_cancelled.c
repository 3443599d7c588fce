#include <criterion/criterion.h>

#include <stdio.h>

#include "worker/cancelled.h"

static struct tally_job_id
id_of(int n)
{
	struct tally_job_id id;

	(void)snprintf(id.text, sizeof id.text, "%039d", n);
	return id;
}

static void
add(struct cancelled *cancelled, int n, int64_t deadline_ms, int64_t now_ms)
{
	struct tally_job_id id = id_of(n);

	cr_assert_eq(cancelled_add(cancelled, &id, deadline_ms, now_ms), TALLY_OK);
}

static bool
has(const struct cancelled *cancelled, int n)
{
	struct tally_job_id id = id_of(n);

	return cancelled_has(cancelled, &id);
}

Test(cancelled, knows_what_was_added)
{
	struct cancelled *cancelled = cancelled_new(10);

	cr_expect(!has(cancelled, 1));
	add(cancelled, 1, 5000, 1000);
	add(cancelled, 1, 5000, 1000);
	cr_expect(has(cancelled, 1));
	cr_expect(!has(cancelled, 2));
	cr_expect_eq(cancelled_count(cancelled), 1);
	cancelled_free(cancelled);
	cancelled_free(NULL);
}

Test(cancelled, leaves_out_what_is_late_already)
{
	struct cancelled *cancelled = cancelled_new(10);

	add(cancelled, 1, 1000, 1000);
	cr_expect_eq(cancelled_count(cancelled), 0);
	cancelled_free(cancelled);
}

Test(cancelled, forgets_ids_after_their_deadlines)
{
	struct cancelled *cancelled = cancelled_new(10);

	add(cancelled, 1, 2000, 1000);
	add(cancelled, 2, 4000, 1000);
	add(cancelled, 3, 2000, 1000);
	add(cancelled, 3, 4000, 1000); /* told again, later */
	cancelled_drop_late(cancelled, 2000);
	cr_expect(!has(cancelled, 1));
	cr_expect(has(cancelled, 2));
	cr_expect(has(cancelled, 3));
	cancelled_free(cancelled);
}

Test(cancelled, forgets_by_itself_once_a_minute)
{
	struct cancelled *cancelled = cancelled_new(10);

	for (int i = 0; i < 5; i++)
		add(cancelled, i, 2000, 1000);
	add(cancelled, 5, 200000, 30000);
	cr_expect_eq(cancelled_count(cancelled), 6);
	add(cancelled, 6, 200000, 61000);
	cr_expect_eq(cancelled_count(cancelled), 2);
	cr_expect(has(cancelled, 5) && has(cancelled, 6));
	cancelled_free(cancelled);
}

Test(cancelled, gives_the_place_of_the_oldest_when_it_is_full)
{
	struct cancelled *cancelled = cancelled_new(100);

	for (int i = 0; i < 1000; i++)
		add(cancelled, i, 5000, 1000);
	cr_expect_eq(cancelled_count(cancelled), 100);
	cr_expect(!has(cancelled, 0) && !has(cancelled, 899));
	cr_expect(has(cancelled, 900) && has(cancelled, 999));
	cancelled_free(cancelled);
}
