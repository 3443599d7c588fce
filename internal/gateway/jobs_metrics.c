#include "gateway/gateway_inner.h"
#include "gateway/jobs_inner.h"

static double
read_waits(void *ctx)
{
	const struct gateway_jobs *jobs = ctx;

	return (double)waits_count(jobs->waits);
}

static double
read_bytes(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)atomic_load(&jobs->n_bytes);
}

static double
read_pending(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)kafka_producer_pending(jobs->producer);
}

static double
read_lag(void *ctx)
{
	struct gateway_jobs *jobs = ctx;
	const struct kafka_reader *reader = atomic_load(&jobs->reader);

	return reader ? (double)kafka_reader_lag(reader) : -1.0;
}

static double
read_store_up(void *ctx)
{
	const struct gateway_jobs *jobs = ctx;

	return job_store_is_up(jobs->store) ? 1.0 : 0.0;
}

static double
read_recorded(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)recorder_stats(jobs->recorder).recorded;
}

static double
read_refused(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)recorder_stats(jobs->recorder).refused;
}

static double
read_missed(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)recorder_stats(jobs->recorder).missed;
}

static double
read_stalls(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)recorder_stats(jobs->recorder).stalls;
}

static double
read_overdue(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)recorder_stats(jobs->recorder).overdue;
}

static double
read_recorder_lag(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return (double)recorder_stats(jobs->recorder).lag;
}

static double
read_recorder_up(void *ctx)
{
	struct gateway_jobs *jobs = ctx;

	return recorder_stats(jobs->recorder).is_up ? 1.0 : 0.0;
}

static void
add_gauge(struct gateway_jobs *jobs, const char *name, const char *help, metrics_read_fn *read)
{
	metrics_callback(metrics_gauge(name, help, NULL, NULL), NULL, NULL, read, jobs);
}

static void
add_counter(struct gateway_jobs *jobs, const char *name, const char *help, metrics_read_fn *read)
{
	metrics_callback(metrics_counter(name, help, NULL, NULL), NULL, NULL, read, jobs);
}

void
jobs_add_metrics(struct gateway_jobs *jobs)
{
	jobs->submitted = metrics_counter("tally_jobs_submitted_total",
					  "Jobs that the broker has acknowledged", "dataset", NULL);
	jobs->refused = gateway_refused_metric(TALLY_TOPIC_RESULTS);
	add_gauge(jobs, "tally_job_waits", "Callers that wait for a job they submitted here",
		  read_waits);
	add_gauge(jobs, "tally_results_bytes", "Results of jobs in memory, on their way to callers",
		  read_bytes);
	add_gauge(jobs, "tally_job_store_up", "1: the job store answers", read_store_up);
	add_counter(jobs, "tally_recorder_recorded_total",
		    "Messages that the recorder put into the job store", read_recorded);
	add_counter(jobs, "tally_recorder_refused_total",
		    "Messages that are no requests or results, or forged ones", read_refused);
	add_counter(jobs, "tally_recorder_missed_total",
		    "Messages that were deleted before the recorder read them", read_missed);
	add_counter(jobs, "tally_recorder_stalls_total",
		    "Times that a partition stood still and was read again", read_stalls);
	add_counter(jobs, "tally_recorder_overdue_total",
		    "Jobs that were ended because of their deadline", read_overdue);
	add_gauge(jobs, "tally_recorder_lag", "Messages not recorded yet; -1 unknown",
		  read_recorder_lag);
	add_gauge(jobs, "tally_recorder_up", "1: the recorder's database answers",
		  read_recorder_up);
	metrics_callback(metrics_gauge("tally_kafka_queue_messages",
				       "Messages on their way to the broker", "topic", NULL),
			 TALLY_TOPIC_REQUESTS_JOBS, NULL, read_pending, jobs);
	metrics_callback(
	    metrics_gauge("tally_kafka_lag", "Messages not read yet; -1 unknown", "topic", NULL),
	    TALLY_TOPIC_RESULTS, NULL, read_lag, jobs);
}
