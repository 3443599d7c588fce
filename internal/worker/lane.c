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
#define REPLY_TIMEOUT_MS  5000
#define LETTER_TIMEOUT_MS 30000
#define WARM_MS           5000
#define LEAVE_MS          3000

static void
add_metrics(struct lane *lane)
{
	struct lane_metrics *metrics = &lane->metrics;

	metrics->requests = metrics_counter(
	    "tally_requests_total", "Requests answered by this worker", "dataset", "outcome");
	metrics->step_seconds =
	    metrics_histogram("tally_step_seconds", "Time of one step of a batch", "dataset",
			      "step", &metrics_seconds);
	metrics->source_errors =
	    metrics_counter("tally_source_errors_total", "Requests that failed because of a source",
			    "source", "sqlstate");
	metrics->batch_requests = metric_series(metrics_histogram("tally_batch_requests",
								  "Requests that ran as one batch",
								  NULL, NULL, &metrics_counts),
						NULL, NULL);
	metrics->queue_age = metric_series(metrics_histogram("tally_queue_age_seconds",
							     "Age of requests when they were taken",
							     NULL, NULL, &metrics_seconds),
					   NULL, NULL);
	metrics->running = metric_series(
	    metrics_gauge("tally_batches_running", "Batches under way", NULL, NULL), NULL, NULL);
	metrics->dead_letters =
	    metric_series(metrics_counter("tally_dead_letters_total",
					  "Requests that could not be parsed", NULL, NULL),
			  NULL, NULL);
}

/* ---- values that others keep ---- */

static double
read_open(void *ctx)
{
	struct lane *lane = ctx;

	return (double)atomic_load(&lane->n_open);
}

static double
read_lag(void *ctx)
{
	struct lane *lane = ctx;

	return lane->group ? (double)kafka_group_lag(lane->group) : -1.0;
}

static double
read_pending(void *ctx)
{
	struct lane *lane = ctx;

	return (double)kafka_producer_pending(lane->replies);
}

static double
read_errors(void *ctx)
{
	struct source *source = ctx;

	return (double)atomic_load(&source->stats.errors);
}

static double
read_reconnects(void *ctx)
{
	struct source *source = ctx;

	return (double)atomic_load(&source->stats.reconnects);
}

static double
read_connected(void *ctx)
{
	struct source *source = ctx;

	return (double)atomic_load(&source->stats.connected);
}

static void
add_callbacks(struct lane *lane)
{
	struct metric *errors = metrics_counter("tally_source_query_errors_total",
						"Queries of a source that failed", "source", NULL);
	struct metric *reconnects = metrics_counter("tally_source_reconnects_total",
						    "Connections opened again", "source", NULL);
	struct metric *connected =
	    metrics_gauge("tally_source_connections", "Connections that are up", "source", NULL);

	metrics_callback(
	    metrics_gauge("tally_requests_open", "Requests taken and not answered", NULL, NULL),
	    NULL, NULL, read_open, lane);
	metrics_callback(
	    metrics_gauge("tally_kafka_lag",
			  "Messages of the assigned partitions not committed; -1 unknown", "topic",
			  NULL),
	    lane->options.topic, NULL, read_lag, lane);
	metrics_callback(metrics_gauge("tally_kafka_queue_messages",
				       "Messages on their way to the broker", "topic", NULL),
			 TALLY_TOPIC_REPLIES, NULL, read_pending, lane);
	for (size_t i = 0; i < lane->plan_sources.n; i++) {
		struct source *source = lane->sources[i];
		metrics_callback(errors, source->name, NULL, read_errors, source);
		metrics_callback(reconnects, source->name, NULL, read_reconnects, source);
		metrics_callback(connected, source->name, NULL, read_connected, source);
	}
}

static void
forget_callbacks(struct lane *lane)
{
	metrics_forget(lane);
	for (size_t i = 0; i < lane->plan_sources.n; i++)
		metrics_forget(lane->sources[i]);
}

/* ---- plans ---- */

/* Joins the group, once the definitions are known to fit, or to wait for a database. */
static void
join_group(struct lane *lane)
{
	const struct kafka_group_options options = {
		.group = lane->options.group,
		.topic = lane->options.topic,
		.on_message = lane_on_message,
		.ctx = lane,
		.max_uncommitted = (int)lane->options.config->intake_max,
	};
	struct tally_error err = { 0 };

	if (lane->group)
		return;
	struct kafka_group *group;
	if (kafka_group_start(lane->options.kafka, &options, &group, &err) == TALLY_OK)
		lane->group = group;
	else
		lane->options.events.on_fatal(lane->options.events.ctx, &err);
}

static void
on_wrong(void *ctx, const struct tally_error *err)
{
	struct lane *lane = ctx;

	lane->options.events.on_fatal(lane->options.events.ctx, err);
}

static void
on_ready(void *ctx)
{
	struct lane *lane = ctx;

	join_group(lane);
	atomic_store(&lane->is_ready, true);
	lane->options.events.on_ready(lane->options.events.ctx);
}

static void
on_away(void *ctx, const struct definition *definition, const struct tally_error *err)
{
	struct lane *lane = ctx;

	log_warn("dataset is not ready", LOG_STR("dataset", definition->name), LOG_ERROR(err));
	join_group(lane);
}

/* ---- making ---- */

static tally_status
open_sources(struct lane *lane, struct tally_error *err)
{
	const struct config *config = lane->options.config;

	for (size_t i = 0; i < config->n_sources; i++) {
		const struct postgres_options options = {
			.name = config->sources[i].name,
			.url = config->sources[i].value,
			.loop = lane->loop,
			.connections = (size_t)config->source_connections,
			.queue_max = QUEUE_MAX,
			.query_timeout_ms = (int)config->query_timeout_ms,
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
	tally_status status = kafka_producer_start(lane->options.kafka, KAFKA_LEADER,
						   REPLY_TIMEOUT_MS, &lane->replies, err);
	if (status != TALLY_OK)
		return status;
	return kafka_producer_start(lane->options.kafka, KAFKA_ALL, LETTER_TIMEOUT_MS,
				    &lane->dead_letters, err);
}

static void *
run_thread(void *ctx)
{
	struct lane *lane = ctx;
	struct tally_error err = { 0 };
	int n;

	/* Else the first replies would wait for the topic's metadata. */
	if (kafka_producer_warm(lane->replies, TALLY_TOPIC_REPLIES, WARM_MS, &n, &err) != TALLY_OK)
		log_warn("no metadata of the replies' topic yet", LOG_ERROR(&err));
	plans_describe(lane->plans);
	lane_retry(lane);
	loop_run(lane->loop);
	return NULL;
}

static tally_status
start_thread(struct lane *lane, struct tally_error *err)
{
	int error = pthread_create(&lane->thread, NULL, run_thread, lane);

	if (error != 0)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no thread: %s", strerror(error));
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
		add_callbacks(lane);
		status = start_thread(lane, err);
	}
	return status;
}

tally_status
lane_start(const struct lane_options *options, struct lane **out_lane, struct tally_error *err)
{
	struct lane *lane = calloc(1, sizeof *lane);
	pthread_condattr_t attributes;

	if (!lane)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	lane->options = *options;
	lane->plan_sources.items = lane->sources;
	lane->retry = (struct loop_timer){ .on_time = lane_retry, .ctx = lane };
	TAILQ_INIT(&lane->waiting);
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
	add_metrics(lane);
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
	kafka_producer_stop(lane->replies, 0);
	kafka_producer_stop(lane->dead_letters, 0);
	lane->replies = lane->dead_letters = NULL;
	while (lane->intake && (task = queue_pop(lane->intake, 0)) != NULL)
		lane_end(task, false);
	drop_tasks(&lane->waiting);
	drop_tasks(&lane->returned);
	if (lane->loop)
		loop_timer_clear(lane->loop, &lane->retry);
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
	lane->has_thread = false;
}

void
lane_stop(struct lane *lane, int drain_ms)
{
	if (!lane)
		return;
	if (lane->has_thread && lane->group) {
		kafka_group_quiesce(lane->group);
		wait_until_idle(lane, drain_ms);
	}
	forget_callbacks(lane);
	stop_thread(lane);
	/* The group may have been joined after the look above: nothing may come from it either. */
	if (lane->group)
		kafka_group_quiesce(lane->group);
	end_work(lane);
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
