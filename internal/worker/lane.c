#include "worker/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "source/open.h"
#include "worker/lane_inner.h"

#define QUEUE_MAX         1024 /* queries that wait for a connection of one source */
#define LETTER_TIMEOUT_MS 30000
#define LEAVE_MS          3000

/* ---- plans ---- */

void
lane_fail(struct lane *lane, const struct tally_error *err)
{
	if (!lane->is_failed)
		lane->options.events.on_fatal(lane->options.events.ctx, err);
	lane->is_failed = true;
}

void
lane_join(struct lane *lane)
{
	const struct kafka_group_options options = {
		.group = lane->kind->group,
		.topic = lane->kind->topic,
		.on_message = lane_on_message,
		.ctx = lane,
		.max_uncommitted = lane->limits.max_uncommitted,
		.on_suspect = lane_on_suspect,
		.on_news = lane_on_news,
		.is_stuck = lane_is_stuck,
	};
	struct tally_error err = { 0 };

	if (lane->group || lane->is_failed || !lane->may_join)
		return;
	if (!lane->is_prepared)
		lane->is_prepared = lane->kind->prepare(lane);
	if (!lane->is_prepared)
		return; /* lane_retry comes back */
	struct kafka_group *group;
	if (kafka_group_start(lane->options.kafka, &options, &group, &err) == TALLY_OK)
		lane->group = group;
	else
		lane_fail(lane, &err);
}

static void
on_wrong(void *ctx, const struct tally_error *err)
{
	lane_fail(ctx, err);
}

static void
on_ready(void *ctx)
{
	struct lane *lane = ctx;

	lane->may_join = true;
	lane_join(lane);
	atomic_store(&lane->is_ready, true);
	lane->options.events.on_ready(lane->options.events.ctx);
}

static void
on_away(void *ctx, const struct definition *definition, const struct tally_error *err)
{
	struct lane *lane = ctx;

	log_warn("dataset is not ready", LOG_STR("dataset", definition->name), LOG_ERROR(err));
	lane->may_join = true;
	lane_join(lane);
}

/* ---- making ---- */

static tally_status
open_sources(struct lane *lane, struct tally_error *err)
{
	const struct config *config = lane->options.config;

	for (size_t i = 0; i < config->n_sources; i++) {
		const struct source_options options = {
			.name = config->sources[i].name,
			.url = config->sources[i].value,
			.loop = lane->loop,
			.connections = (size_t)config->source_connections,
			.queue_max = QUEUE_MAX,
			.query_timeout_ms = lane->limits.query_timeout_ms,
			.seed = lane->run_seed + i,
		};
		tally_status status = source_open(&options, &lane->sources[i], err);
		if (status != TALLY_OK)
			return status;
		lane->plan_sources.n++;
	}
	return TALLY_OK;
}

static tally_status
make_plans(struct lane *lane, struct tally_error *err)
{
	const struct plans_events events = { on_wrong, on_ready, on_away, lane };

	return plans_new(lane->options.catalog, &lane->plan_sources, lane->loop, &events,
			 &lane->plans, err);
}

static tally_status
make_producers(struct lane *lane, struct tally_error *err)
{
	const struct lane_kind *kind = lane->kind;
	tally_status status = kafka_producer_start(lane->options.kafka, kind->durability,
						   kind->answer_timeout_ms, &lane->answers, err);
	if (status != TALLY_OK)
		return status;
	return kafka_producer_start(lane->options.kafka, KAFKA_ALL, LETTER_TIMEOUT_MS,
				    &lane->dead_letters, err);
}

static void *
run_thread(void *ctx)
{
	struct lane *lane = ctx;

	lane->is_prepared = lane->kind->prepare(lane);
	plans_describe(lane->plans);
	lane_retry(lane);
	loop_run(lane->loop);
	return NULL;
}

static tally_status
start_thread(struct lane *lane, struct tally_error *err)
{
	lane->watched =
	    (struct watched){ .pulse = loop_pulse(lane->loop), .name = lane->kind->name };
	watchdog_add(lane->options.watchdog, &lane->watched);
	solo_join(lane->options.solo, lane->options.seat, lane_on_floor, lane);
	int error = pthread_create(&lane->thread, NULL, run_thread, lane);

	if (error != 0) {
		watchdog_remove(lane->options.watchdog, &lane->watched);
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no thread: %s", strerror(error));
	}
	lane->has_thread = true;
	return TALLY_OK;
}

static tally_status
make(struct lane *lane, struct tally_error *err)
{
	tally_status status = loop_new(lane_on_wake, lane, &lane->loop, err);

	lane->intake = queue_new((size_t)lane->options.config->intake_max + 1);
	if (status == TALLY_OK && !lane->intake)
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK)
		status = open_sources(lane, err);
	if (status == TALLY_OK)
		status = make_plans(lane, err);
	if (status == TALLY_OK)
		status = make_producers(lane, err);
	if (status == TALLY_OK) {
		lane_metrics_callbacks(lane);
		status = start_thread(lane, err);
	}
	return status;
}

static void
on_again(void *ctx)
{
	lane_unpark(ctx);
	lane_work(ctx);
}

/* A body was freed: there may be room to run again.  Any thread. */
static void
on_release(void *ctx)
{
	struct lane *lane = ctx;

	if (atomic_load(&lane->store.held_bytes) <= lane->limits.held_bytes
	    && atomic_exchange(&lane->is_held, false))
		loop_wake(lane->loop);
}

tally_status
lane_start(const struct lane_options *options, struct lane **out_lane, struct tally_error *err)
{
	struct lane *lane = calloc(1, sizeof *lane);
	pthread_condattr_t attributes;

	if (!lane)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	lane->kind = options->kind;
	lane->options = *options;
	lane->limits = lane->kind->limits(options->config);
	lane->store = (struct answer_store){ .on_release = on_release, .ctx = lane };
	lane->plan_sources.items = lane->sources;
	lane->retry = (struct loop_timer){ .on_time = lane_retry, .ctx = lane };
	lane->again = (struct loop_timer){ .on_time = on_again, .ctx = lane };
	lane->alone.news = LANE_NO_NEWS;
	TAILQ_INIT(&lane->fresh);
	TAILQ_INIT(&lane->suspects);
	TAILQ_INIT(&lane->waiting);
	TAILQ_INIT(&lane->unsent);
	TAILQ_INIT(&lane->parked);
	TAILQ_INIT(&lane->returned);
	TAILQ_INIT(&lane->running);
	pthread_mutex_init(&lane->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&lane->is_idle, &attributes);
	pthread_condattr_destroy(&attributes);
	if (getrandom(&lane->run_seed, sizeof lane->run_seed, 0) != sizeof lane->run_seed)
		lane->run_seed = (uint64_t)clock_mono_us();
	age_init(&lane->age, clock_mono_ms());
	lane_metrics_init(lane);
	tally_status status = make(lane, err);
	if (status != TALLY_OK) {
		lane_stop(lane, 0);
		return status;
	}
	*out_lane = lane;
	return TALLY_OK;
}

/* ---- ending ---- */

/* Waits until every request that was taken is answered and stored, at most drain_ms. */
static void
wait_until_idle(struct lane *lane, int drain_ms)
{
	int64_t at_ms = clock_mono_ms() + drain_ms;
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };
	int error = 0;

	pthread_mutex_lock(&lane->lock);
	while (atomic_load(&lane->n_open) > 0 && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&lane->is_idle, &lane->lock, &at);
	pthread_mutex_unlock(&lane->lock);
	if (error == ETIMEDOUT)
		log_warn("stopped before all was answered",
			 LOG_UINT("open", atomic_load(&lane->n_open)));
}

static void
drop_tasks(struct task_list *tasks)
{
	struct task *task;

	while ((task = TAILQ_FIRST(tasks)) != NULL) {
		TAILQ_REMOVE(tasks, task, link);
		lane_end(task, false);
	}
}

/* The thread has ended: all is ours. */
static void
end_work(struct lane *lane)
{
	struct task *task;

	lane_cancel_runs(lane);
	/* In this order: an answer that is stored may be followed by a dead letter. */
	kafka_producer_stop(lane->answers, 0);
	kafka_producer_stop(lane->dead_letters, 0);
	lane->answers = lane->dead_letters = NULL;
	while (lane->intake && (task = queue_pop(lane->intake, 0)) != NULL)
		lane_end(task, false);
	lane_alone_end(lane);
	drop_tasks(&lane->fresh);
	drop_tasks(&lane->waiting);
	drop_tasks(&lane->unsent);
	drop_tasks(&lane->parked);
	drop_tasks(&lane->returned);
	if (lane->loop) {
		loop_timer_clear(lane->loop, &lane->retry);
		loop_timer_clear(lane->loop, &lane->again);
	}
	if (lane->plans)
		plans_stop(lane->plans);
}

static void
stop_thread(struct lane *lane)
{
	if (!lane->has_thread)
		return;
	loop_stop(lane->loop);
	pthread_join(lane->thread, NULL);
	watchdog_remove(lane->options.watchdog, &lane->watched);
	lane->has_thread = false;
}

void
lane_quiesce(struct lane *lane)
{
	if (!lane)
		return;
	atomic_store(&lane->is_leaving, true);
	if (lane->loop)
		loop_wake(lane->loop);
	if (lane->group)
		kafka_group_quiesce(lane->group);
}

void
lane_stop(struct lane *lane, int drain_ms)
{
	if (!lane)
		return;
	lane_quiesce(lane);
	if (lane->has_thread && lane->group)
		wait_until_idle(lane, drain_ms);
	lane_metrics_forget(lane);
	stop_thread(lane);
	/* The group may have been joined after the look above: nothing may come from it either. */
	lane_quiesce(lane);
	end_work(lane);
	if (lane->kind->fini)
		lane->kind->fini(lane);
	for (size_t i = 0; i < lane->plan_sources.n; i++)
		source_free(lane->sources[i]);
	plans_free(lane->plans);
	kafka_group_stop(lane->group, LEAVE_MS);
	queue_free(lane->intake);
	loop_free(lane->loop);
	pthread_cond_destroy(&lane->is_idle);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}

bool
lane_is_ready(const struct lane *lane)
{
	struct kafka_group *group = lane->group; /* NULL when it could not be joined */

	return atomic_load(&lane->is_ready) && group && kafka_group_partitions(group) > 0;
}
