#include <criterion/criterion.h>

#include <pthread.h>

#include "base/clock.h"
#include "base/queue.h"

static int items[8];

Test(queue, is_first_in_first_out_over_its_end)
{
	struct queue *queue = queue_new(3);

	for (int round = 0; round < 5; round++) {
		cr_expect_eq(queue_push(queue, &items[0]), TALLY_OK);
		cr_expect_eq(queue_push(queue, &items[1]), TALLY_OK);
		cr_expect_eq(queue_count(queue), 2);
		cr_expect_eq(queue_pop(queue, 0), &items[0]);
		cr_expect_eq(queue_pop(queue, 0), &items[1]);
		cr_expect_null(queue_pop(queue, 0));
	}
	queue_free(queue);
	queue_free(NULL);
}

Test(queue, refuses_more_than_its_capacity)
{
	struct queue *queue = queue_new(2);

	cr_expect_eq(queue_push(queue, &items[0]), TALLY_OK);
	cr_expect_eq(queue_push(queue, &items[1]), TALLY_OK);
	cr_expect_eq(queue_push(queue, &items[2]), TALLY_FULL);
	cr_expect_eq(queue_pop(queue, 0), &items[0]);
	cr_expect_eq(queue_push(queue, &items[2]), TALLY_OK);
	cr_expect_eq(queue_count(queue), 2);
	queue_free(queue);
}

Test(queue, gives_what_is_left_after_it_was_closed)
{
	struct queue *queue = queue_new(2);

	cr_expect_eq(queue_push(queue, &items[0]), TALLY_OK);
	queue_close(queue);
	cr_expect_eq(queue_push(queue, &items[1]), TALLY_CLOSED);
	cr_expect_eq(queue_pop(queue, 60000), &items[0]);
	cr_expect_null(queue_pop(queue, 60000), "and does not wait for more");
	queue_free(queue);
}

Test(queue, waits_no_longer_than_asked)
{
	struct queue *queue = queue_new(1);
	int64_t start_ms = clock_mono_ms();

	cr_expect_null(queue_pop(queue, 30));
	cr_expect_geq(clock_mono_ms() - start_ms, 29);
	queue_free(queue);
}

static void *
pop_one(void *queue)
{
	return queue_pop(queue, 60000);
}

Test(queue, wakes_those_who_wait_for_an_item_or_the_end, .timeout = 20)
{
	struct queue *queue = queue_new(1);
	pthread_t waiters[2];
	void *got[2];

	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&waiters[i], NULL, pop_one, queue), 0);
	cr_expect_eq(queue_push(queue, &items[5]), TALLY_OK);
	queue_close(queue);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_join(waiters[i], &got[i]), 0);
	cr_expect((got[0] == &items[5] && !got[1]) || (got[1] == &items[5] && !got[0]));
	queue_free(queue);
}
