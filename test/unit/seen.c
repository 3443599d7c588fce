/* The set of ids that a reader of results remembers. */
#include <criterion/criterion.h>

#include <stdio.h>

#include <tally/seen.h>

static struct tally_job_id
id_of(int number)
{
	struct tally_job_id id;

	snprintf(id.text, sizeof id.text, "%039d", number);
	return id;
}

static void
add(struct tally_seen *seen, int number, int64_t until_ms, int64_t now_ms)
{
	struct tally_job_id id = id_of(number);

	cr_assert_eq(tally_seen_add(seen, &id, until_ms, now_ms), TALLY_OK);
}

static bool
has(const struct tally_seen *seen, int number)
{
	struct tally_job_id id = id_of(number);

	return tally_seen_has(seen, &id);
}

static int
count(const struct tally_seen *seen, int first, int last)
{
	int n = 0;

	for (int i = first; i <= last; i++)
		n += has(seen, i);
	return n;
}

Test(seen, remembers_what_was_added_and_nothing_else)
{
	enum { N = 20000 };
	struct tally_seen *seen = tally_seen_new(1000000);

	cr_assert(seen);
	for (int i = 0; i < N; i++)
		add(seen, i, 1000, 0);
	cr_expect_eq(tally_seen_count(seen), N);
	cr_expect_eq(count(seen, 0, N - 1), N);
	cr_expect_eq(count(seen, N, 2 * N), 0);
	tally_seen_free(seen);
}

Test(seen, an_id_that_comes_again_is_there_once)
{
	struct tally_seen *seen = tally_seen_new(10);

	add(seen, 1, 1000, 0);
	add(seen, 1, 2000, 0);
	cr_expect_eq(tally_seen_count(seen), 1);
	tally_seen_free(seen);
}

/* With a thousand ids alive at any time the table stays as small as for these. */
Test(seen, what_is_past_its_time_makes_room)
{
	struct tally_seen *seen = tally_seen_new(1000000);

	for (int i = 0; i < 100000; i++)
		add(seen, i, i + 1000, i);
	cr_expect_eq(count(seen, 99000, 99999), 1000);
	cr_expect_lt(tally_seen_count(seen), 10000);
	tally_seen_free(seen);
}

Test(seen, past_its_ceiling_those_that_end_first_are_forgotten)
{
	struct tally_seen *seen = tally_seen_new(1000);

	for (int i = 0; i < 1000; i++)
		add(seen, i, 10000 + i, 0);
	cr_expect_eq(count(seen, 0, 999), 1000);
	add(seen, 1000, 20000, 0);
	cr_expect(has(seen, 1000));
	cr_expect_eq(count(seen, 500, 999), 500);
	cr_expect_eq(count(seen, 0, 490), 0);
	for (int i = 1001; i < 50000; i++)
		add(seen, i, 20000 + i, 0);
	cr_expect_leq(tally_seen_count(seen), 1000);
	cr_expect(has(seen, 49999));
	tally_seen_free(seen);
}

Test(seen, ids_that_all_end_at_once_do_not_stop_it)
{
	struct tally_seen *seen = tally_seen_new(1000);

	for (int i = 0; i < 5000; i++)
		add(seen, i, 10000, 0);
	cr_expect_leq(tally_seen_count(seen), 1000);
	cr_expect(has(seen, 4999));
	tally_seen_free(seen);
	tally_seen_free(NULL);
}
