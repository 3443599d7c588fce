#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "kafka/probation.h"

static const struct probation nothing;

/* Assigned with what was found at offset 100 of a log that ends at end. */
static struct probation
assigned(unsigned starts, int64_t end)
{
	const struct probation_found found = {
		.mark = { 100, starts },
                  .end = end
	};
	struct probation probation;

	probation_assign(&probation, &nothing, &found);
	return probation;
}

/* What goes out next, which is acknowledged. */
static struct probation_mark
committed(struct probation *probation)
{
	cr_assert(probation_is_dirty(probation));
	struct probation_mark mark = probation_send(probation);
	probation_answer(probation, true);
	cr_expect_not(probation_is_dirty(probation));
	return mark;
}

#define EXPECT_COMMIT(probation, at, n)                                                            \
	do {                                                                                       \
		struct probation_mark mark_ = committed(probation);                                \
		cr_expect_eq(mark_.offset, (at), "offset %ld", (long)mark_.offset);                \
		cr_expect_eq(mark_.starts, (unsigned)(n), "starts %u", mark_.starts);              \
	} while (0)

/* On probation with a head at 100 that was taken, and runs. */
static struct probation
running(unsigned starts)
{
	struct probation probation = assigned(starts, 200);

	(void)committed(&probation);
	cr_assert_eq(probation_take(&probation, 100), starts);
	probation_begin(&probation, 100);
	EXPECT_COMMIT(&probation, 100, starts + 1);
	cr_assert_eq(probation.state, PROBATION_RUNS);
	return probation;
}

/* ---- metadata ---------------------------------------------------------------- */

Test(probation, metadata_are_the_starts_and_who_wrote_them)
{
	char text[PROBATION_TEXT_MAX];
	unsigned starts;
	bool is_ours;

	probation_write(2, "0123456789abcdef", text);
	cr_expect_str_eq(text, "2 0123456789abcdef");
	probation_read(text, strlen(text), "0123456789abcdef", &starts, &is_ours);
	cr_expect_eq(starts, 2);
	cr_expect(is_ours);
	probation_read(text, strlen(text), "0123456789abcdee", &starts, &is_ours);
	cr_expect_eq(starts, 2);
	cr_expect_not(is_ours);
}

Test(probation, metadata_of_others_are_read_with_care)
{
	static const struct {
		const char *text;
		unsigned starts;
	} cases[] = {
		{ "",		       0 },
                { "0",                      0 },
                { "1",                      1 },
		{ "3",                      3 },
                { "9",                      3 },
                { "99999999999999999999",   3 },
		{ " 2",                     0 },
                { "-1",                     0 },
                { "two",                    0 },
		{ "2x",                     0 },
                { "2 ",                     2 },
                { "1 \n\xff somebody else", 1 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		unsigned starts = 77;
		bool is_ours = true;

		probation_read(cases[i].text, strlen(cases[i].text), "0123456789abcdef", &starts,
			       &is_ours);
		cr_expect_eq(starts, cases[i].starts, "\"%s\": %u", cases[i].text, starts);
		cr_expect_not(is_ours);
	}
}

/* ---- assignment -------------------------------------------------------------- */

Test(probation, a_partition_that_was_left_in_order_is_ordinary)
{
	struct probation probation = assigned(0, 5000);

	EXPECT_COMMIT(&probation, 100, 1);
	cr_expect_eq(probation_take(&probation, 100), 0);
	cr_expect_eq(probation_take(&probation, 101), 0);
	cr_expect_not(probation_may_begin(&probation, 100));
	probation_progress(&probation, 102);
	EXPECT_COMMIT(&probation, 102, 1);
	probation_leave(&probation, false);
	EXPECT_COMMIT(&probation, 102, 0);
}

Test(probation, starts_are_committed_as_they_were_found_and_last_until_the_logs_end)
{
	for (unsigned starts = 1; starts <= PROBATION_CONDEMNED; starts++) {
		struct probation probation = assigned(starts, 103);

		EXPECT_COMMIT(&probation, 100, starts);
		cr_expect_eq(probation_take(&probation, 100), starts);
		cr_expect_eq(probation_take(&probation, 101), 1);
		cr_expect_eq(probation_take(&probation, 102), 1);
		cr_expect_eq(probation_take(&probation, 103), 0);
		cr_expect(probation_is_suspect(&probation, 102));
		cr_expect_not(probation_is_suspect(&probation, 103));
	}
}

Test(probation, lasts_for_a_span_of_a_long_log)
{
	struct probation probation = assigned(1, 1000000);

	cr_expect_eq(probation_take(&probation, 100), 1);
	cr_expect_eq(probation_take(&probation, 99 + PROBATION_SPAN), 1);
	cr_expect_eq(probation_take(&probation, 100 + PROBATION_SPAN), 0);
}

Test(probation, of_an_idle_partition_is_over_at_once_and_never_adds_up)
{
	unsigned found = 0;

	for (int death = 0; death < 20; death++) {
		struct probation probation = assigned(found, 100);

		found = committed(&probation).starts;
		cr_expect_eq(found, 1);
		cr_expect_eq(probation_take(&probation, 100), 0); /* one that came later */
	}
}

Test(probation, of_a_log_without_known_end_lasts_for_a_span)
{
	struct probation probation = assigned(1, -1);

	cr_expect_eq(probation_take(&probation, 99 + PROBATION_SPAN), 1);
	cr_expect_eq(probation_take(&probation, 100 + PROBATION_SPAN), 0);
}

Test(probation, where_nothing_is_known_begins_with_the_first_message)
{
	const struct probation_found found = {
		.mark = { -1, 0 },
                  .end = -1
	};
	struct probation probation;

	probation_assign(&probation, &nothing, &found);
	cr_expect_not(probation_is_dirty(&probation), "there is no offset to commit");
	cr_expect_eq(probation_take(&probation, 700), 1);
	cr_expect_eq(probation_take(&probation, 699 + PROBATION_SPAN), 1);
	cr_expect_eq(probation_take(&probation, 700 + PROBATION_SPAN), 0);
	EXPECT_COMMIT(&probation, 700, 1);
	cr_assert(probation_may_begin(&probation, 700));
	probation_begin(&probation, 700);
	EXPECT_COMMIT(&probation, 700, 2);
	probation_progress(&probation, 701);
	probation_leave(&probation, false);
	EXPECT_COMMIT(&probation, 701, 0);
}

/* Its first commit was not acknowledged; a head at 100 that has begun. */
static struct probation
doubted(void)
{
	struct probation probation = assigned(0, -1);

	(void)probation_send(&probation);
	probation_answer(&probation, false);
	probation_doubt(&probation);
	cr_expect_eq(probation_take(&probation, 100), 1);
	probation_begin(&probation, 100);
	EXPECT_COMMIT(&probation, 100, 2);
	return probation;
}

Test(probation, a_start_that_cannot_be_stored_lets_nothing_run_uncounted)
{
	struct probation probation = doubted();

	cr_expect_eq(probation.state, PROBATION_RUNS);
}

Test(probation, a_start_that_cannot_be_stored_is_nobodys_death)
{
	struct probation probation = doubted();

	probation_progress(&probation, 101);
	EXPECT_COMMIT(&probation, 101, 1);
	cr_expect(probation_is_suspect(&probation, 101));
	probation_leave(&probation, false);
	EXPECT_COMMIT(&probation, 101, 0);
}

Test(probation, a_count_of_a_message_that_is_gone_is_nobodys)
{
	struct probation probation = assigned(PROBATION_CONDEMNED, 900);

	EXPECT_COMMIT(&probation, 100, PROBATION_CONDEMNED);
	cr_expect_eq(probation_take(&probation, 500), 1, "retention took the head");
	cr_assert(probation_may_begin(&probation, 500));
	probation_begin(&probation, 500);
	EXPECT_COMMIT(&probation, 500, 2);
}

Test(probation, not_counted_is_offsets_only)
{
	struct probation probation;

	probation_init(&probation);
	cr_expect_not(probation_is_dirty(&probation));
	cr_expect_eq(probation_take(&probation, 5), 0);
	probation_progress(&probation, -1);
	cr_expect_not(probation_is_dirty(&probation));
	probation_progress(&probation, 6);
	EXPECT_COMMIT(&probation, 6, 0);
	probation_leave(&probation, true);
	cr_expect_not(probation_is_dirty(&probation));
}

/* ---- the head ---------------------------------------------------------------- */

Test(probation, a_message_runs_when_its_start_is_stored_and_not_before)
{
	struct probation probation = assigned(1, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_begin(&probation, 100);
	cr_expect_not(probation_may_begin(&probation, 100), "it has begun");
	cr_expect_eq(probation.state, PROBATION_BEGINS);
	struct probation_mark mark = probation_send(&probation);
	cr_expect_eq(mark.starts, 2);
	cr_expect_eq(probation.state, PROBATION_BEGINS, "not before the answer");
	probation_answer(&probation, true);
	cr_expect_eq(probation.state, PROBATION_RUNS);
}

Test(probation, each_death_counts_once_and_the_third_start_is_the_last)
{
	unsigned found = 0;
	int deaths = 0;

	for (;; deaths++) {
		struct probation probation = assigned(found, 101);

		found = committed(&probation).starts;
		unsigned taken = probation_take(&probation, 100);
		if (taken == PROBATION_CONDEMNED)
			break;
		cr_assert_lt(deaths, 3);
		if (taken == 0)
			continue; /* it died among others */
		probation_begin(&probation, 100);
		found = committed(&probation).starts;
	}
	cr_expect_eq(deaths, 3);
}

Test(probation, a_condemned_head_never_begins_and_the_next_one_does)
{
	struct probation probation = assigned(PROBATION_CONDEMNED, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	(void)probation_take(&probation, 101);
	cr_expect_not(probation_may_begin(&probation, 100));
	probation_progress(&probation, 101); /* its dead letter is stored */
	cr_assert(probation_may_begin(&probation, 101));
	probation_begin(&probation, 101);
	EXPECT_COMMIT(&probation, 101, 2);
}

Test(probation, one_commit_tells_the_end_of_one_and_the_start_of_the_next)
{
	struct probation probation = running(2);

	probation_progress(&probation, 101);
	cr_expect(probation.has_ended);
	probation_begin(&probation, 101);
	EXPECT_COMMIT(&probation, 101, 2);
	cr_expect_not(probation.has_ended);
	cr_expect_eq(probation.state, PROBATION_RUNS);
}

Test(probation, an_end_counts_when_it_is_stored)
{
	struct probation probation = running(1);

	probation_progress(&probation, 101);
	cr_expect(probation.has_ended);
	(void)probation_send(&probation);
	probation_answer(&probation, false);
	cr_expect(probation.has_ended);
	EXPECT_COMMIT(&probation, 101, 1);
	cr_expect_not(probation.has_ended);
}

Test(probation, an_end_is_not_told_by_an_answer_to_what_went_out_before_it)
{
	struct probation probation = assigned(1, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_begin(&probation, 100);
	(void)probation_send(&probation);
	probation_back(&probation); /* while its start is under way */
	cr_expect(probation.has_ended);
	probation_answer(&probation, true);
	cr_expect(probation.has_ended, "2 is what is stored");
	cr_expect_eq(probation.state, PROBATION_RESTS);
	EXPECT_COMMIT(&probation, 100, 1);
	cr_expect_not(probation.has_ended);
}

Test(probation, what_does_not_go_on_counts_as_before)
{
	struct probation probation = running(2);

	probation_back(&probation);
	EXPECT_COMMIT(&probation, 100, 2);
	cr_expect_not(probation.has_ended);
	cr_assert(probation_may_begin(&probation, 100));
	probation_begin(&probation, 100);
	EXPECT_COMMIT(&probation, 100, 3);
}

Test(probation, what_goes_back_before_its_start_went_out_has_nothing_to_tell)
{
	struct probation probation = assigned(1, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_begin(&probation, 100);
	probation_back(&probation);
	cr_expect_not(probation.has_ended);
	cr_expect_not(probation_is_dirty(&probation));
	probation_back(&probation);
	cr_expect_not(probation.has_ended, "nothing had begun");
}

Test(probation, begins_behind_a_hole_in_the_log)
{
	struct probation probation = running(1);

	probation_progress(&probation, 101);
	cr_assert(probation_may_begin(&probation, 103));
	probation_begin(&probation, 103);
	EXPECT_COMMIT(&probation, 103, 2);
}

Test(probation, ends_where_it_was_to_end)
{
	struct probation probation = assigned(1, 101);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_begin(&probation, 100);
	(void)committed(&probation);
	probation_progress(&probation, 101);
	EXPECT_COMMIT(&probation, 101, 1);
	cr_expect_not(probation_may_begin(&probation, 101));
	probation_leave(&probation, false);
	EXPECT_COMMIT(&probation, 101, 0);
}

/* ---- commits that fail, or come late ----------------------------------------- */

Test(probation, a_commit_that_failed_is_followed_by_the_newest)
{
	struct probation probation = assigned(0, 100);

	(void)committed(&probation);
	probation_progress(&probation, 105);
	(void)probation_send(&probation);
	probation_progress(&probation, 109);
	cr_expect(probation_is_dirty(&probation));
	probation_answer(&probation, false);
	EXPECT_COMMIT(&probation, 109, 1);
}

Test(probation, a_commit_that_failed_may_have_been_stored)
{
	struct probation probation = running(1);

	probation_back(&probation);
	(void)probation_send(&probation);
	probation_answer(&probation, false);
	probation_begin(&probation, 100);
	cr_expect(probation_is_dirty(&probation), "1 or 2: nobody knows");
	cr_expect_eq(probation.state, PROBATION_BEGINS);
	EXPECT_COMMIT(&probation, 100, 2);
	cr_expect_eq(probation.state, PROBATION_RUNS);
}

Test(probation, a_start_that_failed_does_not_run)
{
	struct probation probation = assigned(1, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_begin(&probation, 100);
	(void)probation_send(&probation);
	probation_answer(&probation, false);
	cr_expect_eq(probation.state, PROBATION_BEGINS);
	EXPECT_COMMIT(&probation, 100, 2);
	cr_expect_eq(probation.state, PROBATION_RUNS);
}

Test(probation, an_answer_to_nothing_is_ignored)
{
	struct probation probation = running(1);
	const struct probation before = probation;

	probation_answer(&probation, false);
	probation_answer(&probation, true);
	cr_expect_eq(memcmp(&before, &probation, sizeof before), 0);
}

Test(probation, what_is_under_way_is_not_sent_again)
{
	struct probation probation = assigned(0, 100);

	(void)probation_send(&probation);
	cr_expect_not(probation_is_dirty(&probation));
	probation_progress(&probation, 101);
	cr_expect(probation_is_dirty(&probation), "something newer is there");
	probation_answer(&probation, true);
	EXPECT_COMMIT(&probation, 101, 1);
}

/* ---- partitions go ----------------------------------------------------------- */

Test(probation, a_head_that_waits_keeps_its_count_when_the_partition_goes)
{
	struct probation probation = assigned(2, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_leave(&probation, false);
	cr_expect_not(probation_is_dirty(&probation), "2 is there already");
	cr_expect_not(probation_may_begin(&probation, 100));
}

Test(probation, a_head_that_runs_when_the_partition_goes_has_cost_nobodys_life)
{
	struct probation probation = running(1);

	probation_leave(&probation, false);
	EXPECT_COMMIT(&probation, 100, 1);
}

Test(probation, a_head_that_hangs_when_the_partition_goes_counts)
{
	struct probation probation = running(1);

	probation_leave(&probation, false);
	probation_leave(&probation, true);
	cr_expect_not(probation_is_dirty(&probation), "2 is there already");
}

Test(probation, a_head_that_ends_while_the_partition_goes_has_ended)
{
	struct probation probation = running(2);

	probation_leave(&probation, false);
	probation_progress(&probation, 101);
	EXPECT_COMMIT(&probation, 101, 1);
	cr_expect_not(probation_may_begin(&probation, 101));
}

Test(probation, a_head_that_begins_when_the_partition_goes_does_not_run)
{
	struct probation probation = assigned(1, 200);

	(void)committed(&probation);
	(void)probation_take(&probation, 100);
	probation_begin(&probation, 100);
	(void)probation_send(&probation);
	probation_leave(&probation, false);
	probation_answer(&probation, true);
	cr_expect_eq(probation.state, PROBATION_RESTS);
	EXPECT_COMMIT(&probation, 100, 1);
}

/* What the same process finds when a partition comes back to it. */
static unsigned
taken_again(const struct probation *before, struct probation_mark mark)
{
	const struct probation_found found = { .mark = mark, .is_ours = true, .end = 200 };
	struct probation probation;

	probation_assign(&probation, before, &found);
	(void)committed(&probation);
	return probation_take(&probation, mark.offset);
}

Test(probation, a_process_that_stalled_and_goes_on_has_not_died)
{
	struct probation ordinary = assigned(0, -1);
	struct probation probation = running(1);
	struct probation twice = running(2);

	(void)committed(&ordinary);
	cr_expect_eq(taken_again(&ordinary, (struct probation_mark){ 100, 1 }), 0);
	cr_expect_eq(taken_again(&probation, (struct probation_mark){ 100, 2 }), 1);
	cr_expect_eq(taken_again(&twice, (struct probation_mark){ 100, 3 }), 2);
	/* A commit went through whose answer did not come. */
	cr_expect_eq(taken_again(&twice, (struct probation_mark){ 101, 1 }), 1);
	cr_expect_eq(taken_again(&twice, (struct probation_mark){ 200, 1 }), 0, "it was the last");
}

Test(probation, what_hangs_counts_though_the_partition_comes_back)
{
	struct probation probation = running(1);

	probation_leave(&probation, true);
	cr_expect_eq(taken_again(&probation, (struct probation_mark){ 100, 2 }), 2);
}

Test(probation, a_stall_counts_for_the_next_owner_and_not_for_who_stalled)
{
	struct probation first = running(1);
	struct probation second = assigned(2, 200); /* of another process */

	(void)committed(&second);
	cr_expect_eq(probation_take(&second, 100), 2);
	probation_begin(&second, 100);
	EXPECT_COMMIT(&second, 100, 3);
	/* The second one stalls as well, or dies. */
	const struct probation_found found = {
		.mark = { 100, 3 },
                  .end = 200
	};
	struct probation again;
	probation_assign(&again, &first, &found);
	cr_expect_eq(probation_take(&again, 100), 2, "one start was our own");
	probation_assign(&again, &nothing, &found);
	cr_expect_eq(probation_take(&again, 100), 3);
}

Test(probation, where_the_starts_of_an_older_assignment_are_unknown_they_are_as_found)
{
	const struct probation_found unknown = {
		.mark = { -1, 1 },
                  .end = -1
	};
	struct probation before;

	probation_assign(&before, &nothing, &unknown);
	cr_expect_eq(taken_again(&before, (struct probation_mark){ 100, 2 }), 2);
}

/* ---- all together ------------------------------------------------------------ */

/* A broker that stores, loses, or stores and says nothing; workers that die, leave and lose their
 * partition at random; one poisonous message.  It is condemned, after three deaths of its own (two
 * where a stall had brought it onto probation), and no other one is. */
struct world {
	struct probation_mark stored;
	unsigned writer; /* who stored it */
	int64_t head;    /* nothing before it is to be done */
	int deaths;
};

enum { POISON = 40, LOG_END = 100 };

static void
exchange(struct world *world, struct probation *probation, unsigned writer)
{
	while (probation_is_dirty(probation)) {
		struct probation_mark mark = probation_send(probation);
		bool is_stored = random() % 4 > 0;

		if (is_stored) {
			world->stored = mark;
			world->writer = writer;
		}
		probation_answer(probation, is_stored && random() % 4 > 0);
	}
}

/* One assignment; whether the process lives after it. */
static bool
live(struct world *world, struct probation *probation, unsigned writer)
{
	const struct probation before = *probation;
	const struct probation_found found = { .mark = world->stored,
					       .is_ours = writer == world->writer,
					       .end = LOG_END };

	probation_assign(probation, &before, &found);
	exchange(world, probation, writer);
	for (int64_t offset = world->stored.offset; offset < LOG_END; offset++) {
		unsigned starts = probation_take(probation, offset);

		if (starts == PROBATION_CONDEMNED) {
			cr_assert_eq(offset, POISON, "%ld was condemned", (long)offset);
			cr_assert(world->deaths == 2 || world->deaths == 3);
			probation_progress(probation, offset + 1);
			continue;
		}
		if (starts > 0) {
			probation_begin(probation, offset);
			exchange(world, probation, writer);
			cr_assert_eq(probation->state, PROBATION_RUNS);
		}
		if (offset == POISON) {
			world->deaths++;
			return false;
		}
		switch (random() % 30) {
		case 0: /* lost */
			return true;
		case 1: /* given away */
			probation_leave(probation, false);
			exchange(world, probation, writer);
			return true;
		default:
			probation_progress(probation, offset + 1);
			if (random() % 2)
				exchange(world, probation, writer);
		}
	}
	probation_leave(probation, false);
	exchange(world, probation, writer);
	return true;
}

Test(probation, condemns_the_poison_and_nothing_else_whatever_happens)
{
	for (unsigned seed = 0; seed < 500; seed++) {
		struct world world = { .writer = 99 };
		struct probation workers[2] = { 0 };
		unsigned names[2] = { 0, 1 };
		unsigned last_name = 1;

		srandom(seed);
		for (int turns = 0; world.stored.offset < LOG_END; turns++) {
			unsigned which = (unsigned)random() % 2;

			cr_assert_lt(turns, 10000, "seed %u", seed);
			if (live(&world, &workers[which], names[which]))
				continue;
			workers[which] = nothing;
			names[which] = ++last_name;
		}
		cr_expect_leq(world.deaths, 3, "seed %u: %d deaths", seed, world.deaths);
	}
}
