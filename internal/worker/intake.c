/* Requests in: from the group's thread to the loop's, decoded, aged, and put in line. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane_inner.h"

bool
lane_on_message(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	struct lane *lane = ctx;
	struct task *task = task_new(lane, message, epoch);
	size_t max = (size_t)lane->options.config->intake_max;

	if (!task || queue_push(lane->intake, task) != TALLY_OK) {
		/* Going on would lose the request: its offset would pass with the next one. */
		log_error("no room for a request", LOG_UINT("open", atomic_load(&lane->n_open)));
		abort();
	}
	size_t n = atomic_fetch_add(&lane->n_open, 1) + 1;
	loop_wake(lane->loop);
	if (n < max)
		return true;
	atomic_store(&lane->is_full, true);
	/* Tasks may have ended meanwhile, and the last of them saw no is_full. */
	if (atomic_load(&lane->n_open) <= max / 2 && atomic_exchange(&lane->is_full, false))
		return true;
	return false;
}

void
lane_end(struct task *task, bool is_done)
{
	struct lane *lane = task->lane;
	size_t max = (size_t)lane->options.config->intake_max;

	if (is_done)
		kafka_group_done(lane->group, kafka_message_partition(task->message),
				 kafka_message_offset(task->message), task->epoch);
	task_free(task);
	size_t left = atomic_fetch_sub(&lane->n_open, 1) - 1;
	if (left <= max / 2 && atomic_exchange(&lane->is_full, false))
		kafka_group_resume(lane->group);
	if (left == 0) {
		pthread_mutex_lock(&lane->lock);
		pthread_cond_broadcast(&lane->is_idle);
		pthread_mutex_unlock(&lane->lock);
	}
}

/* How long its caller still waits, from the broker's stamp on. */
static void
set_deadline(struct lane *lane, struct task *task)
{
	int64_t now_ms = loop_now_ms(lane->loop);
	int64_t age_ms =
	    age_of(&lane->age, kafka_message_time_ms(task->message), clock_unix_ms(), now_ms);

	metric_observe(lane->metrics.queue_age, (double)age_ms / 1000.0);
	task->deadline_ms = now_ms + (int64_t)task->head.budget_ms - age_ms;
}

static void
take_in(struct lane *lane, struct task *task)
{
	struct tally_error err = { 0 };

	if (task_read_head(task, &err) != TALLY_OK) {
		lane_dead_letter(task, &err);
		return;
	}
	set_deadline(lane, task);
	tally_status status = task_read_value(task, lane->plans, &err);
	if (status == TALLY_BAD_REQUEST)
		lane_dead_letter(task, &err);
	else if (status != TALLY_OK)
		lane_reply_error(task, &err);
	else
		TAILQ_INSERT_TAIL(&lane->waiting, task, link);
}

/* A reply or dead letter that was not stored: its request runs again while somebody waits. */
static void
take_back_one(struct lane *lane, struct task *task)
{
	struct tally_error err = { 0 };

	if (task->is_dead) {
		(void)tally_fail(&err, TALLY_BAD_REQUEST, "a second attempt");
		lane_dead_letter(task, &err);
	} else if (task->delivery == TALLY_TOO_LARGE) {
		task->delivery = TALLY_OK;
		(void)tally_fail(&err, TALLY_RESULT_TOO_LARGE,
				 "the broker takes no message of the result's size");
		lane_reply_error(task, &err);
	} else if (!task->params || task->deadline_ms <= loop_now_ms(lane->loop)) {
		lane_end(task, true); /* nobody waits any more */
	} else if (!plan_is_ready(task->plan)) {
		/* Its reply was that the source is away, and it still is. */
		lane_reply_error(task, plans_error(lane->plans, task->plan));
	} else {
		TAILQ_INSERT_TAIL(&lane->waiting, task, link);
	}
}

static void
take_back(struct lane *lane)
{
	struct task_list returned = TAILQ_HEAD_INITIALIZER(returned);
	struct task *task;

	pthread_mutex_lock(&lane->lock);
	TAILQ_CONCAT(&returned, &lane->returned, link);
	pthread_mutex_unlock(&lane->lock);
	while ((task = TAILQ_FIRST(&returned)) != NULL) {
		TAILQ_REMOVE(&returned, task, link);
		take_back_one(lane, task);
	}
}

void
lane_on_wake(void *ctx)
{
	struct lane *lane = ctx;
	struct task *task;

	while ((task = queue_pop(lane->intake, 0)) != NULL)
		take_in(lane, task);
	lane_run(lane);
}

void
lane_retry(void *ctx)
{
	struct lane *lane = ctx;

	take_back(lane);
	lane_run(lane);
	/* Once a second is enough, and soon after a wake-up by the producer's thread. */
	(void)!loop_timer_set(lane->loop, &lane->retry, loop_now_ms(lane->loop) + 250);
}
