/* Admission by predicted wait, on a clock of its own: workers that take so many requests a second,
 * in batches, and replies as they would come from them. */
#include <criterion/criterion.h>

#include "gateway/admission.h"

#define MS INT64_C(1000)
#define S  (1000 * MS)

/* Workers with a queue in front, first come, first served: requests by the time they came. */
struct queue {
	struct admission admission;
	int64_t now_us;
	int64_t came_us[20000];
	size_t head, tail;
	size_t n_refused;
	unsigned retry_s; /* of the last refusal */
};

static struct queue *
queue_new(int64_t max_queue_ms)
{
	struct queue *queue = calloc(1, sizeof *queue);

	cr_assert_not_null(queue);
	queue->admission.max_queue_ms = max_queue_ms;
	queue->now_us = 5 * S;
	return queue;
}

static size_t
in_air(const struct queue *queue)
{
	return queue->tail - queue->head;
}

static void
come(struct queue *queue, size_t n, int64_t wait_ms)
{
	for (size_t i = 0; i < n; i++) {
		if (admission_takes(&queue->admission, queue->now_us, in_air(queue), wait_ms,
				    &queue->retry_s))
			queue->came_us[queue->tail++ % 20000] = queue->now_us;
		else
			queue->n_refused++;
	}
}

/* A batch of up to max is taken, and answered after work_us. */
static void
serve(struct queue *queue, size_t max, int64_t work_us)
{
	int64_t taken_us = queue->now_us;

	queue->now_us += work_us;
	for (size_t i = 0; i < max && in_air(queue) > 0; i++) {
		int64_t came_us = queue->came_us[queue->head++ % 20000];

		admission_on_reply(&queue->admission, queue->now_us, taken_us - came_us,
				   queue->now_us - came_us);
	}
}

/* seconds of per_s requests a second at workers that do one batch of 50 in 100 ms: 500 a second. */
static void
run(struct queue *queue, int seconds, size_t per_s, int64_t wait_ms)
{
	for (int i = 0; i < seconds * 10; i++) {
		come(queue, per_s / 10, wait_ms);
		serve(queue, 50, 100 * MS);
	}
}

Test(admission, takes_all_at_first_and_below_what_the_workers_can_do)
{
	struct queue *queue = queue_new(1000);

	come(queue, 2000, 10000); /* a burst: nothing is known of the workers yet */
	cr_expect_eq(queue->n_refused, 0);
	free(queue);
	queue = queue_new(1000);
	run(queue, 60, 490, 10000);
	cr_expect_eq(queue->n_refused, 0);
	cr_expect_eq(admission_queue_ms(&queue->admission, queue->now_us, in_air(queue)), 0);
	free(queue);
}

Test(admission, keeps_the_queue_short_and_the_workers_busy)
{
	struct queue *queue = queue_new(1000);
	size_t served;

	run(queue, 10, 1500, 10000);
	served = queue->head;
	for (int i = 0; i < 200; i++) {
		run(queue, 1, 1500, 10000);
		/* Of 500 a second, a second in the queue and what is being worked at. */
		cr_expect_leq(in_air(queue), 700);
		cr_expect_geq(in_air(queue), 400);
		cr_expect_eq(queue->retry_s, 1);
	}
	cr_expect_eq(queue->head - served, 200 * 500, "no worker was idle");
	cr_expect_gt(queue->n_refused, 200000 * 9 / 10);
	free(queue);
}

Test(admission, a_newcomer_with_less_patience_is_refused_earlier)
{
	struct queue *queue = queue_new(1000);

	run(queue, 20, 1500, 500);
	cr_expect_leq(in_air(queue), 350);
	cr_expect_geq(in_air(queue), 150);
	free(queue);
}

Test(admission, takes_all_again_when_the_queue_has_gone)
{
	struct queue *queue = queue_new(1000);
	size_t n_refused;

	run(queue, 20, 1500, 10000);
	run(queue, 5, 250, 10000);
	n_refused = queue->n_refused;
	run(queue, 60, 250, 10000);
	cr_expect_eq(queue->n_refused, n_refused);
	free(queue);
}

Test(admission, slow_work_is_no_queue)
{
	struct queue *queue = queue_new(1000);

	/* 100 requests that take 5 s each, all at once, one round after the other. */
	for (int i = 0; i < 10; i++) {
		come(queue, 100, 10000);
		serve(queue, 100, 5 * S);
	}
	cr_expect_eq(queue->n_refused, 0);
	free(queue);
}

Test(admission, a_machine_that_stood_still_for_a_moment_is_no_queue)
{
	struct admission admission = { .max_queue_ms = 1000 };
	unsigned retry_s;

	for (int64_t at = S; at < 5 * S; at += MS)
		admission_on_reply(&admission, at, MS, 2 * MS);
	/* 20 s later come those that were on their way, and then others. */
	for (int64_t at = 25 * S; at < 25 * S + 40 * MS; at += MS)
		admission_on_reply(&admission, at, 20 * S, 20 * S);
	admission_on_reply(&admission, 25 * S + 200 * MS, MS, 2 * MS);
	cr_expect(admission_takes(&admission, 25 * S + 200 * MS, 1500, 10000, &retry_s));
}

Test(admission, one_partition_that_lags_is_no_queue)
{
	struct admission admission = { .max_queue_ms = 1000 };
	unsigned retry_s;

	/* Half of the replies waited for 3 s, the other half not at all. */
	for (int64_t at = S; at < 10 * S; at += MS)
		admission_on_reply(&admission, at, at / MS % 2 ? 3 * S : MS, 3 * S + MS);
	cr_expect(admission_takes(&admission, 10 * S, 1500, 10000, &retry_s));
}

Test(admission, says_when_to_come_again)
{
	struct admission admission = { .max_queue_ms = 1000 };
	unsigned retry_s = 0;

	/* 10 replies a second, each 2 s in the queue and at once ready: 100 ms each. */
	for (int64_t at = S; at < 10 * S; at += 100 * MS)
		admission_on_reply(&admission, at, 2 * S, 2 * S);
	cr_expect_float_eq(admission_queue_ms(&admission, 10 * S, 40), 4000, 1);
	cr_expect_not(admission_takes(&admission, 10 * S, 40, 10000, &retry_s));
	cr_expect_eq(retry_s, 4, "%u", retry_s); /* 3 s until 1 s of queue is left */
	cr_expect_not(admission_takes(&admission, 10 * S, 4000, 10000, &retry_s));
	cr_expect_eq(retry_s, 30, "%u", retry_s);
	/* Someone always may, else nobody would learn that the workers are back. */
	cr_expect(admission_takes(&admission, 10 * S, 15, 10000, &retry_s));
	/* And what was so long ago says nothing. */
	cr_expect(admission_takes(&admission, 21 * S, 4000, 10000, &retry_s));
}
