/* Requests in: from the group's thread to the loop's, decoded, aged, and put in line. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/own.h"
#include "worker/lane_inner.h"

bool
lane_take(struct lane *lane, struct kafka_message *message, uint64_t epoch, unsigned starts)
{
	struct task *task = task_new(lane, lane->kind->task_size, message, epoch);
	size_t max = (size_t)lane->options.config->intake_max;

	/* Going on would lose the request: its offset would pass with the next one. */
	if (!task)
		memory_exhausted("a request");
	task->starts = starts;
	if (queue_push(lane->intake, task) != TALLY_OK) {
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

bool
lane_on_message(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	return lane_take(ctx, message, epoch, 0);
}

/* Tells the group; of one that ran alone the lane, too. */
static void
tell_end(struct task *task, bool is_done)
{
	struct lane *lane = task->lane;
	bool was_alone = task->is_alone;

	if (!is_done) {
		lane_alone_back(task);
		return;
	}
	if (was_alone) /* before the group's news of it */
		atomic_store(&lane->alone.has_ended, true);
	kafka_group_done(lane->group, kafka_message_partition(task->message),
			 kafka_message_offset(task->message), task->epoch);
	if (was_alone)
		loop_wake(lane->loop);
}

void
lane_end(struct task *task, bool is_done)
{
	struct lane *lane = task->lane;
	size_t max = (size_t)lane->options.config->intake_max;

	tell_end(task, is_done);
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

void
lane_drop(struct task *task, const char *why)
{
	struct lane *lane = task->lane;

	metric_add(metric_series(lane->metrics.dropped, lane->kind->name, why), 1);
	lane_end(task, true);
}

bool
lane_is_unwanted(const struct task *task)
{
	const struct lane_kind *kind = task->lane->kind;

	return kind->is_unwanted && kind->is_unwanted(task);
}

/* Until when an answer counts, from the broker's stamp on. */
static void
set_deadline(struct lane *lane, struct task *task)
{
	int64_t now_ms = loop_now_ms(lane->loop);
	int64_t unix_ms = clock_unix_ms();
	int64_t stamp_ms = kafka_message_time_ms(task->message);
	int64_t age_ms = age_of(&lane->age, stamp_ms, now_ms);

	if (age_ms < unix_ms - stamp_ms - lane->kind->clock_slack_ms)
		age_ms = unix_ms - stamp_ms - lane->kind->clock_slack_ms;
	task->age_ms = age_ms;
	task->taken_us = clock_mono_us();
	metric_observe(lane->metrics.queue_age, (double)age_ms / 1000.0);
	task->deadline_ms = now_ms + (int64_t)task->budget_ms - age_ms;
}

/* Whether its readers have forgotten it: an answer would be a second life. */
static bool
is_forgotten(const struct lane *lane, const struct task *task)
{
	int64_t forget_ms = lane->kind->forget_ms;

	return forget_ms > 0 && task->deadline_ms + forget_ms <= loop_now_ms(lane->loop);
}

/* Reads whom to tell, and until when; false when that was its end. */
static bool
read_head(struct lane *lane, struct task *task)
{
	struct tally_error err = { 0 };

	tally_status status = lane->kind->read_head(task, &err);
	if (status == TALLY_BAD_REQUEST)
		lane_dead_letter(task, &err);
	else if (status != TALLY_OK)
		lane_give_back(task, status); /* it is we who cannot */
	if (status != TALLY_OK)
		return false;
	set_deadline(lane, task);
	task->has_head = true;
	if (!is_forgotten(lane, task))
		return true;
	lane_drop(task, "forgotten");
	return false;
}

/* Every worker that began it has ended with it. */
static void
condemn(struct task *task)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_POISONED,
			 "%u workers stopped while they worked on this request; it is not tried "
			 "again, and kept among the dead letters",
			 task->starts);
	lane_dead_letter(task, &err);
}

void
lane_receive(struct task *task)
{
	struct lane *lane = task->lane;

	if (!task->has_head && !read_head(lane, task))
		return;
	if (task->starts >= KAFKA_CONDEMNED)
		condemn(task);
	else if (task->starts > 0)
		lane_line_up(task);
	else
		lane_understand(task);
}

void
lane_understand(struct task *task)
{
	struct lane *lane = task->lane;
	struct tally_error err = { 0 };

	tally_status status = task_read_value(task, lane->plans, &err);
	if (status == TALLY_BAD_REQUEST)
		lane_dead_letter(task, &err);
	else if (status == TALLY_OK)
		lane_line_up(task);
	else if (!lane_park(task, &err))
		lane_answer_error(task, &err);
}

void
lane_give_back(struct task *task, tally_status delivery)
{
	struct lane *lane = task->lane;

	pthread_mutex_lock(&lane->lock);
	task->delivery = delivery;
	TAILQ_INSERT_TAIL(&lane->returned, task, link);
	pthread_mutex_unlock(&lane->lock);
}

/* Whether running it again may come to something else than the error it was told. */
static bool
may_run_again(const struct lane *lane, const struct task *task)
{
	return task->params && plan_is_ready(task->plan)
	       && task->deadline_ms > loop_now_ms(lane->loop);
}

/* An answer or dead letter that was not stored: its request runs again while somebody waits. */
static void
take_back_one(struct lane *lane, struct task *task)
{
	bool is_too_large = task->delivery == TALLY_TOO_LARGE;
	struct tally_error err = { 0 };

	if (task->is_dead) {
		lane_send_letter(task);
		return;
	}
	task->delivery = TALLY_OK;
	if (task->has_caller
	    && task->deadline_ms + lane->kind->forget_ms <= loop_now_ms(lane->loop)) {
		if (task->fault)
			lane_send_letter(task);
		else
			lane_end(task, true); /* nobody waits any more */
	} else if (is_too_large) {
		(void)tally_fail(&err, TALLY_RESULT_TOO_LARGE,
				 "the broker takes no message of the result's size");
		lane_answer_error(task, &err);
	} else if (task->answer && !may_run_again(lane, task)) {
		lane->kind->send(task);
	} else if (task->params) {
		answer_release(TAKE(task->answer));
		lane_line_up(task);
	} else if (task->is_alone) {
		lane_understand(task); /* memory was short */
	} else {
		TAILQ_INSERT_TAIL(&lane->fresh, task, link);
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
		TAILQ_INSERT_TAIL(&lane->fresh, task, link);
	lane_work(lane);
}

/* A producer that librdkafka has given up comes back only with the process. */
static void
look_at_producers(struct lane *lane)
{
	struct tally_error err = { 0 };

	if (!kafka_producer_is_dead(lane->answers) && !kafka_producer_is_dead(lane->dead_letters))
		return;
	(void)tally_fail(&err, TALLY_KAFKA_UNAVAILABLE,
			 "the Kafka producer of lane %s cannot go on: start this program again",
			 lane->kind->name);
	lane_fail(lane, &err);
}

void
lane_retry(void *ctx)
{
	struct lane *lane = ctx;

	look_at_producers(lane);
	lane_join(lane);
	take_back(lane);
	lane_unpark(lane);
	if (lane->kind->on_tick)
		lane->kind->on_tick(lane);
	lane_watch_runs(lane);
	lane_sweep(lane);
	lane_work(lane);
	/* Soon enough, and nothing that a busy loop would feel. */
	(void)!loop_timer_set(lane->loop, &lane->retry, loop_now_ms(lane->loop) + 250);
}
