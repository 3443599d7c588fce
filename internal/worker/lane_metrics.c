/* What a lane tells Prometheus.  Both lanes are in one registry: what each keeps for itself has the
 * label lane, what is counted by dataset or source is counted for both. */
#include "worker/lane_inner.h"

static struct metric_series *
of_lane(const struct lane *lane, struct metric *metric)
{
	return metric_series(metric, lane->kind->name, NULL);
}

void
lane_metrics_init(struct lane *lane)
{
	struct lane_metrics *metrics = &lane->metrics;

	metrics->answers =
	    metrics_counter(lane->kind->counter, lane->kind->counter_help, "dataset", "outcome");
	metrics->step_seconds =
	    metrics_histogram("tally_step_seconds", "Time of one step of a batch", "dataset",
			      "step", &metrics_seconds);
	metrics->source_errors =
	    metrics_counter("tally_source_errors_total", "Requests that failed because of a source",
			    "source", "sqlstate");
	metrics->dropped = metrics_counter("tally_requests_dropped_total",
					   "Requests that ended without an answer", "lane", "why");
	metrics->batch_requests = of_lane(lane, metrics_histogram("tally_batch_requests",
								  "Requests that ran as one batch",
								  "lane", NULL, &metrics_counts));
	metrics->queue_age = of_lane(lane, metrics_histogram("tally_queue_age_seconds",
							     "Age of requests when they were taken",
							     "lane", NULL, &metrics_seconds));
	metrics->running = of_lane(
	    lane, metrics_gauge("tally_batches_running", "Batches under way", "lane", NULL));
	metrics->parked =
	    of_lane(lane, metrics_gauge("tally_requests_parked",
					"Requests that wait for a database", "lane", NULL));
	metrics->dead_letters =
	    of_lane(lane, metrics_counter("tally_dead_letters_total",
					  "Requests that no worker could read, or none survived",
					  "lane", NULL));
}

/* ---- values that others keep ---- */

static double
read_open(void *ctx)
{
	struct lane *lane = ctx;

	return (double)atomic_load(&lane->n_open);
}

static double
read_held(void *ctx)
{
	struct lane *lane = ctx;

	return (double)atomic_load(&lane->store.held_bytes);
}

static double
read_lag(void *ctx)
{
	struct lane *lane = ctx;

	return lane->group ? (double)kafka_group_lag(lane->group) : -1.0;
}

static double
read_missed(void *ctx)
{
	struct lane *lane = ctx;

	return lane->group ? (double)kafka_group_missed(lane->group) : 0.0;
}

static double
read_stalls(void *ctx)
{
	struct lane *lane = ctx;

	return lane->group ? (double)kafka_group_stalls(lane->group) : 0.0;
}

static double
read_pending(void *ctx)
{
	struct lane *lane = ctx;

	return (double)kafka_producer_pending(lane->answers);
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
add_source_callbacks(struct source *source, const char *lane)
{
	struct metric *errors = metrics_counter(
	    "tally_source_query_errors_total", "Queries of a source that failed", "source", "lane");
	struct metric *reconnects = metrics_counter("tally_source_reconnects_total",
						    "Connections opened again", "source", "lane");
	struct metric *connected =
	    metrics_gauge("tally_source_connections", "Connections that are up", "source", "lane");

	metrics_callback(errors, source->name, lane, read_errors, source);
	metrics_callback(reconnects, source->name, lane, read_reconnects, source);
	metrics_callback(connected, source->name, lane, read_connected, source);
}

void
lane_metrics_callbacks(struct lane *lane)
{
	const char *name = lane->kind->name;

	metrics_callback(
	    metrics_gauge("tally_requests_open", "Requests taken and not answered", "lane", NULL),
	    name, NULL, read_open, lane);
	metrics_callback(metrics_gauge("tally_answers_bytes", "Answers on their way to the broker",
				       "lane", NULL),
			 name, NULL, read_held, lane);
	metrics_callback(
	    metrics_gauge("tally_kafka_lag",
			  "Messages of the assigned partitions not committed; -1 unknown", "topic",
			  NULL),
	    lane->kind->topic, NULL, read_lag, lane);
	metrics_callback(metrics_counter("tally_kafka_missed_total",
					 "Messages that were deleted before they were read",
					 "topic", NULL),
			 lane->kind->topic, NULL, read_missed, lane);
	metrics_callback(metrics_counter("tally_kafka_stalls_total",
					 "Times that a partition stood still and was read again",
					 "topic", NULL),
			 lane->kind->topic, NULL, read_stalls, lane);
	metrics_callback(metrics_gauge("tally_kafka_queue_messages",
				       "Messages on their way to the broker", "topic", NULL),
			 lane->kind->answers, NULL, read_pending, lane);
	for (size_t i = 0; i < lane->plan_sources.n; i++)
		add_source_callbacks(lane->sources[i], name);
}

void
lane_metrics_forget(struct lane *lane)
{
	metrics_forget(lane);
	for (size_t i = 0; i < lane->plan_sources.n; i++)
		metrics_forget(lane->sources[i]);
}
