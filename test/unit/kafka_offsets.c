#include <criterion/criterion.h>

#include <stdlib.h>

#include "kafka/offsets.h"

static void
take(struct offsets *offsets, int64_t offset)
{
	cr_assert_eq(offsets_take(offsets, offset), TALLY_OK, "offset %ld", (long)offset);
}

Test(offsets, commit_nothing_before_anything_is_done)
{
	struct offsets *offsets = offsets_new(4);

	cr_expect_eq(offsets_to_commit(offsets), -1);
	take(offsets, 0);
	cr_expect_eq(offsets_to_commit(offsets), -1);
	cr_expect_eq(offsets_count(offsets), 1);
	offsets_free(offsets);
	offsets_free(NULL);
}

Test(offsets, commit_the_next_message_to_be_read_and_only_once)
{
	struct offsets *offsets = offsets_new(4);

	take(offsets, 7);
	offsets_done(offsets, 7);
	cr_expect_eq(offsets_to_commit(offsets), 8);
	cr_expect_eq(offsets_to_commit(offsets), -1);
	cr_expect_eq(offsets_count(offsets), 0);
	offsets_free(offsets);
}

Test(offsets, are_held_back_by_the_earliest_that_is_not_done)
{
	struct offsets *offsets = offsets_new(8);

	for (int64_t i = 10; i < 15; i++)
		take(offsets, i);
	offsets_done(offsets, 12);
	offsets_done(offsets, 14);
	cr_expect_eq(offsets_to_commit(offsets), -1);
	offsets_done(offsets, 10);
	cr_expect_eq(offsets_to_commit(offsets), 11);
	offsets_done(offsets, 11);
	cr_expect_eq(offsets_to_commit(offsets), 13);
	cr_expect_eq(offsets_count(offsets), 2);
	offsets_done(offsets, 13);
	cr_expect_eq(offsets_to_commit(offsets), 15);
	offsets_free(offsets);
}

Test(offsets, may_have_gaps)
{
	struct offsets *offsets = offsets_new(4);

	take(offsets, 3);
	take(offsets, 100);
	take(offsets, 5000000000);
	offsets_done(offsets, 3);
	cr_expect_eq(offsets_to_commit(offsets), 4);
	offsets_done(offsets, 5000000000);
	cr_expect_eq(offsets_to_commit(offsets), -1);
	offsets_done(offsets, 100);
	cr_expect_eq(offsets_to_commit(offsets), 5000000001);
	offsets_free(offsets);
}

Test(offsets, ignore_what_was_never_taken_and_what_is_done_twice)
{
	struct offsets *offsets = offsets_new(4);

	offsets_done(offsets, 1);
	take(offsets, 2);
	take(offsets, 4);
	offsets_done(offsets, 1);
	offsets_done(offsets, 3);
	offsets_done(offsets, 5);
	cr_expect_eq(offsets_count(offsets), 2);
	offsets_done(offsets, 2);
	cr_expect_eq(offsets_to_commit(offsets), 3);
	offsets_done(offsets, 2);
	cr_expect_eq(offsets_to_commit(offsets), -1);
	cr_expect_eq(offsets_count(offsets), 1);
	offsets_free(offsets);
}

Test(offsets, refuse_more_than_their_capacity_until_the_earliest_is_done)
{
	struct offsets *offsets = offsets_new(2);

	take(offsets, 1);
	cr_expect_not(offsets_is_full(offsets));
	take(offsets, 2);
	cr_expect(offsets_is_full(offsets));
	cr_expect_eq(offsets_take(offsets, 3), TALLY_FULL);
	offsets_done(offsets, 2); /* held back: its place is not free yet */
	cr_expect_eq(offsets_take(offsets, 3), TALLY_FULL);
	offsets_done(offsets, 1);
	cr_expect_not(offsets_is_full(offsets));
	take(offsets, 3);
	cr_expect_eq(offsets_to_commit(offsets), 3);
	offsets_free(offsets);
}

Test(offsets, know_how_many_are_under_way_and_which_is_the_first)
{
	struct offsets *offsets = offsets_new(4);

	cr_expect_eq(offsets_first(offsets), -1);
	for (int64_t i = 5; i < 8; i++)
		take(offsets, i);
	cr_expect_eq(offsets_open(offsets), 3);
	cr_expect_eq(offsets_first(offsets), 5);
	offsets_done(offsets, 6);
	offsets_done(offsets, 6);
	cr_expect_eq(offsets_open(offsets), 2);
	cr_expect_eq(offsets_count(offsets), 3);
	cr_expect_eq(offsets_first(offsets), 5);
	offsets_done(offsets, 5);
	cr_expect_eq(offsets_open(offsets), 1);
	cr_expect_eq(offsets_first(offsets), 7);
	offsets_free(offsets);
}

/* Against the definition: the lowest offset that was taken and is not done, or the one after the
 * last when all are. */
Test(offsets, agree_with_the_definition_in_any_order)
{
	enum { CAPACITY = 16, OFFSETS = 5000 };
	struct offsets *offsets = offsets_new(CAPACITY);
	static bool is_done[OFFSETS];
	int64_t lowest = 0, taken = 0, committed = 0;

	srandom(42);
	while (lowest < OFFSETS) {
		if (taken < OFFSETS && taken - lowest < CAPACITY && random() % 2 == 0) {
			take(offsets, taken++);
		} else if (taken > lowest) {
			int64_t offset = lowest + random() % (taken - lowest);

			offsets_done(offsets, offset);
			is_done[offset] = true;
		}
		while (lowest < taken && is_done[lowest])
			lowest++;
		int64_t to_commit = offsets_to_commit(offsets);
		cr_assert_eq(to_commit, lowest > committed ? lowest : -1);
		if (to_commit >= 0)
			committed = to_commit;
		cr_assert_eq(offsets_count(offsets), (size_t)(taken - lowest));
		cr_assert_eq(offsets_is_full(offsets), taken - lowest == CAPACITY);
	}
	offsets_free(offsets);
}
