#include <criterion/criterion.h>
#include <string.h>

#include "gateway/flights.h"

static const unsigned char print_a[FLIGHTS_KEY_BYTES] = "fingerprint-a..";
static const unsigned char id_1[FLIGHTS_KEY_BYTES] = "id-1...........";
static const unsigned char id_2[FLIGHTS_KEY_BYTES] = "id-2...........";

static struct waiter
waiting(int64_t now_ms, uint32_t wait_s)
{
	return (struct waiter){ .deadline_ms = now_ms + (int64_t)wait_s * 1000, .wait_s = wait_s };
}

static size_t
length(const struct waiter_list *list)
{
	const struct waiter *waiter;
	size_t n = 0;

	TAILQ_FOREACH (waiter, list, in_flight)
		n++;
	return n;
}

Test(flights, share_one_message_among_identical_requests)
{
	struct flights *flights = flights_new(10);
	struct waiter first = waiting(0, 10);
	struct waiter second = waiting(100, 10);
	struct flight_taken taken;
	bool is_new = false;

	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_expect(is_new);
	cr_assert_eq(flights_join(flights, &second, print_a, id_2, 100, &is_new), TALLY_OK);
	cr_expect_not(is_new);
	cr_expect_eq(flights_count(flights), 2);
	cr_expect_not(flights_take(flights, id_2, &taken), "no message was sent under this id");
	cr_assert(flights_take(flights, id_1, &taken));
	cr_expect_eq(taken.n_waiters, 2);
	cr_expect_eq(taken.attempt, 1);
	cr_expect_eq(TAILQ_FIRST(&taken.waiters), &first, "the one who published comes first");
	cr_expect_not(flights_take(flights, id_1, &taken), "a flight lands once");
	cr_expect_eq(flights_count(flights), 0);
	flights_free(flights);
}

Test(flights, are_boarded_without_a_message_while_they_are_under_way)
{
	struct flights *flights = flights_new(2);
	struct waiter first = waiting(0, 4), second = waiting(100, 4), third = waiting(100, 4);
	struct waiter late = waiting(2100, 4);
	struct flight_taken taken;
	bool is_new = false;

	cr_expect_not(flights_board(flights, &second, print_a, 0), "there is none");
	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_expect_not(flights_board(flights, &late, print_a, 2100), "half of its wait is lost");
	cr_expect(flights_board(flights, &second, print_a, 100));
	cr_expect(second.is_joiner);
	cr_expect_eq(flights_count(flights), 2);
	cr_expect_not(flights_board(flights, &third, print_a, 100), "too many wait");
	cr_assert(flights_take(flights, id_1, &taken));
	cr_expect_eq(taken.n_waiters, 2);
	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	flights_close(flights);
	cr_expect_not(flights_board(flights, &third, print_a, 100), "closed");
	cr_expect(flights_leave(flights, &first));
	flights_free(flights);
}

Test(flights, take_no_newcomer_who_would_lose_half_of_its_wait)
{
	struct flights *flights = flights_new(10);
	struct waiter first = waiting(0, 4);
	struct waiter late = waiting(2100, 4);
	struct waiter after = waiting(2200, 4);
	struct flight_taken taken;
	bool is_new = false;

	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_assert_eq(flights_join(flights, &late, print_a, id_2, 2100, &is_new), TALLY_OK);
	cr_expect(is_new, "1.9 s are left of the flight, the wait is 4 s");
	cr_assert_eq(flights_join(flights, &after, print_a, id_1, 2200, &is_new), TALLY_OK);
	cr_expect_not(is_new, "joins the newer flight");
	cr_assert(flights_take(flights, id_1, &taken));
	cr_expect_eq(taken.n_waiters, 1);
	cr_assert(flights_take(flights, id_2, &taken));
	cr_expect_eq(taken.n_waiters, 2);
	flights_free(flights);
}

Test(flights, are_never_shared_without_a_fingerprint)
{
	struct flights *flights = flights_new(10);
	struct waiter first = waiting(0, 10);
	struct waiter second = waiting(0, 10);
	struct flight_taken taken;
	bool is_new = false;

	cr_assert_eq(flights_join(flights, &first, NULL, id_1, 0, &is_new), TALLY_OK);
	cr_assert_eq(flights_join(flights, &second, NULL, id_2, 0, &is_new), TALLY_OK);
	cr_expect(is_new);
	cr_expect(flights_take(flights, id_1, &taken));
	cr_expect(flights_take(flights, id_2, &taken));
	flights_free(flights);
}

Test(flights, refuse_a_waiter_past_the_limit_and_after_closing)
{
	struct flights *flights = flights_new(1);
	struct waiter first = waiting(0, 10);
	struct waiter second = waiting(0, 10);
	bool is_new = false;

	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_expect_eq(flights_join(flights, &second, print_a, id_2, 0, &is_new), TALLY_SATURATED);
	cr_expect(flights_leave(flights, &first));
	flights_close(flights);
	cr_expect_eq(flights_join(flights, &second, print_a, id_2, 0, &is_new), TALLY_CLOSED);
	flights_free(flights);
}

Test(flights, forget_a_flight_when_its_last_waiter_leaves)
{
	struct flights *flights = flights_new(10);
	struct waiter first = waiting(0, 10);
	struct waiter second = waiting(0, 10);
	struct flight_taken taken;
	bool is_new = false;

	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_assert_eq(flights_join(flights, &second, print_a, id_2, 0, &is_new), TALLY_OK);
	cr_expect(flights_leave(flights, &first));
	cr_expect_not(flights_leave(flights, &first), "it has left already");
	cr_assert(flights_leave(flights, &second));
	cr_expect_not(flights_take(flights, id_1, &taken));
	cr_assert_eq(flights_join(flights, &first, print_a, id_2, 0, &is_new), TALLY_OK);
	cr_expect(is_new, "nothing was left to join");
	cr_expect(flights_take(flights, id_2, &taken));
	flights_free(flights);
}

Test(flights, expire_each_waiter_at_its_own_deadline)
{
	struct flights *flights = flights_new(10);
	struct waiter brief = waiting(0, 1);
	struct waiter patient = waiting(0, 30);
	struct waiter_list expired = TAILQ_HEAD_INITIALIZER(expired);
	struct flight_taken taken;
	bool is_new = false;

	cr_expect_eq(flights_next_deadline(flights), INT64_MAX);
	cr_assert_eq(flights_join(flights, &patient, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_assert_eq(flights_join(flights, &brief, print_a, id_2, 0, &is_new), TALLY_OK);
	cr_expect_eq(flights_next_deadline(flights), 1000);
	flights_expire(flights, 999, &expired);
	cr_expect_eq(length(&expired), 0);
	flights_expire(flights, 1000, &expired);
	cr_expect_eq(TAILQ_FIRST(&expired), &brief);
	cr_expect_not(flights_leave(flights, &brief), "whoever expired it answers it");
	cr_assert(flights_take(flights, id_1, &taken));
	cr_expect_eq(taken.n_waiters, 1);
	flights_free(flights);
}

Test(flights, fly_a_second_time_for_those_who_joined)
{
	struct flights *flights = flights_new(10);
	struct waiter first = waiting(0, 2);
	struct waiter second = waiting(500, 2);
	struct waiter newcomer = waiting(600, 2);
	struct waiter_list expired = TAILQ_HEAD_INITIALIZER(expired);
	struct flight_taken taken;
	bool is_new = false;

	cr_assert_eq(flights_join(flights, &first, print_a, id_1, 0, &is_new), TALLY_OK);
	cr_assert_eq(flights_join(flights, &second, print_a, id_2, 500, &is_new), TALLY_OK);
	cr_assert(flights_take(flights, id_1, &taken));
	TAILQ_REMOVE(&taken.waiters, &first, in_flight);
	cr_assert_eq(flights_join(flights, &newcomer, NULL, id_1, 600, &is_new), TALLY_OK);
	cr_assert_eq(flights_again(flights, &taken, print_a, id_2), TALLY_OK);
	cr_expect_eq(flights_count(flights), 2);
	flights_expire(flights, 2500, &expired);
	cr_expect_eq(length(&expired), 1, "by deadline, although it was attached last");
	cr_expect_eq(TAILQ_FIRST(&expired), &second);
	cr_expect_not(flights_take(flights, id_2, &taken));
	cr_expect(flights_leave(flights, &newcomer));
	flights_free(flights);
}
