#include "gateway/jobs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/jobs_inner.h"
#include "gateway/submission.h"
#include "jobs/secrets.h"

#define LOOK_MS         5
#define STORE_QUEUE_MAX 10000
#define RUNS_MAX        1024 /* results in parts at once */

/* ---- for handlers ------------------------------------------------------------ */

struct gateway_jobs *
gateway_jobs_begin(const struct exchange *exchange)
{
	struct gateway_jobs *jobs = exchange->gateway->jobs;
	struct tally_error err = { 0 };

	if (!jobs) {
		(void)tally_fail(&err, TALLY_NOT_FOUND,
				 "this gateway has no jobs: that takes the settings TALLY_JOBS and "
				 "TALLY_JOB_SECRET");
		exchange_problem(exchange, &err, NULL);
		return NULL;
	}
	atomic_fetch_add(&jobs->n_inside, 1);
	if (!atomic_load(&jobs->is_closed))
		return jobs;
	gateway_jobs_end(jobs);
	(void)tally_fail(&err, TALLY_SATURATED, "this gateway is stopping");
	exchange_problem(exchange, &err, NULL);
	return NULL;
}

void
gateway_jobs_end(struct gateway_jobs *jobs)
{
	atomic_fetch_sub(&jobs->n_inside, 1);
}

struct job_store *
gateway_jobs_store(struct gateway_jobs *jobs)
{
	return jobs->store;
}

const struct tally_secrets *
gateway_jobs_secrets(const struct gateway_jobs *jobs)
{
	return &jobs->secrets;
}

tally_status
gateway_jobs_check_id(const struct gateway_jobs *jobs, const char *tenant, const char *text,
		      size_t len, struct tally_job_id *out_id, struct tally_job_id_parts *out_parts)
{
	struct tally_job_id_parts parts;
	struct tally_job_id id;

	if (tally_job_id_parse(text, len, &id, &parts) != TALLY_OK)
		return TALLY_NOT_FOUND;
	if (!parts.is_foreign) {
		if (!tally_job_id_is_genuine(&id, &jobs->secrets, tenant))
			return TALLY_NOT_FOUND;
		if (clock_unix_ms() - parts.created_ms > JOB_RETENTION_MS)
			return TALLY_EXPIRED;
	}
	*out_id = id;
	*out_parts = parts;
	return TALLY_OK;
}

bool
gateway_jobs_take_bytes(struct gateway_jobs *jobs, size_t len)
{
	size_t limit = (size_t)jobs->options.config->results_bytes;
	size_t used = atomic_load(&jobs->n_bytes);

	do {
		if (len > limit || used > limit - len)
			return false;
	} while (!atomic_compare_exchange_weak(&jobs->n_bytes, &used, used + len));
	return true;
}

void
gateway_jobs_give_bytes(struct gateway_jobs *jobs, size_t len)
{
	atomic_fetch_sub(&jobs->n_bytes, len);
}

/* ---- sending ----------------------------------------------------------------- */

tally_status
jobs_publish(struct gateway_jobs *jobs, const struct kafka_outgoing *message)
{
	tally_status status = TALLY_CLOSED;

	atomic_fetch_add(&jobs->n_sending, 1);
	if (!atomic_load(&jobs->is_ending))
		status = kafka_producer_send(jobs->producer, message);
	atomic_fetch_sub(&jobs->n_sending, 1);
	return status;
}

tally_status
jobs_explain(tally_status status, struct tally_error *err)
{
	switch (status) {
	case TALLY_CLOSED:
		return tally_fail(err, TALLY_SATURATED, "this gateway is stopping");
	case TALLY_NO_MEMORY:
		return tally_fail(err, status, "out of memory");
	case TALLY_FULL:
		(void)tally_fail(err, TALLY_SATURATED,
				 "too many requests are on their way to Kafka");
		break;
	case TALLY_OUTCOME_UNKNOWN:
		(void)tally_fail(err, status,
				 "Kafka has not said whether it took the request: it may run");
		break;
	default:
		(void)tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "Kafka did not take the request");
	}
	if (err)
		snprintf(err->source, sizeof err->source, "kafka");
	return status == TALLY_OUTCOME_UNKNOWN ? status
	       : status == TALLY_FULL          ? TALLY_SATURATED
					       : TALLY_KAFKA_UNAVAILABLE;
}

/* ---- making ------------------------------------------------------------------ */

/* Both settings, or none: TALLY_OK, and *out_has says which. */
static tally_status
check_settings(const struct config *config, bool *out_has, struct tally_error *err)
{
	bool has_store = config->jobs[0], has_secret = config->job_secret[0];

	if (has_store != has_secret)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "jobs take both TALLY_JOBS and TALLY_JOB_SECRET: %s is not set",
				  has_store ? "TALLY_JOB_SECRET" : "TALLY_JOBS");
	*out_has = has_store;
	if (config->results_partition >= config->results_partitions)
		return tally_fail(
		    err, TALLY_WRONG_SETTING,
		    "TALLY_RESULTS_PARTITION is %d, but of TALLY_RESULTS_PARTITIONS=%d "
		    "there are 0 to %d",
		    (int)config->results_partition, (int)config->results_partitions,
		    (int)config->results_partitions - 1);
	return TALLY_OK;
}

static void
on_recorder_log(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= 3)
		log_error("recorder", LOG_STR("text", text));
	else if (level <= 5)
		log_warn("recorder", LOG_STR("text", text));
	else if (level == 6)
		log_info("recorder", LOG_STR("text", text));
	else
		log_debug("recorder", LOG_STR("text", text));
}

static tally_status
start_recorder(struct gateway_jobs *jobs, struct tally_error *err)
{
	const struct config *config = jobs->options.config;
	const struct recorder_options options = {
		.kafka = jobs->options.kafka,
		.url = config->jobs,
		.secrets = jobs->secrets,
		.results_partitions = (int)config->results_partitions,
		.timeout_ms = (int)config->jobs_timeout_ms,
		.on_log = on_recorder_log,
	};

	return recorder_start(&options, &jobs->recorder, err);
}

static tally_status
start_parts(struct gateway_jobs *jobs, struct tally_error *err)
{
	const struct config *config = jobs->options.config;
	const struct job_store_options store = {
		.url = config->jobs,
		.connections = (unsigned)config->jobs_connections,
		.queue_max = STORE_QUEUE_MAX,
		.timeout_ms = (int)config->jobs_timeout_ms,
	};
	tally_status status = job_secrets_parse(config->job_secret, &jobs->secrets, err);

	jobs->waits = waits_new((size_t)config->waiters_max);
	jobs->parts = tally_parts_new((size_t)config->results_bytes, RUNS_MAX);
	if (status == TALLY_OK && (!jobs->waits || !jobs->parts))
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK)
		status = job_store_start(&store, &jobs->store, err);
	if (status == TALLY_OK)
		status = kafka_producer_start(jobs->options.kafka, KAFKA_ALL, JOBS_SEND_TIMEOUT_MS,
					      &jobs->producer, err);
	if (status == TALLY_OK)
		status = start_recorder(jobs, err);
	if (status != TALLY_OK)
		return status;
	jobs->has_keeper = pthread_create(&jobs->keeper, NULL, jobs_keep, jobs) == 0;
	return jobs->has_keeper ? TALLY_OK
				: tally_fail(err, TALLY_INTERNAL_ERROR, "no thread can be started");
}

tally_status
gateway_jobs_new(const struct gateway_options *options, struct gateway_jobs **out_jobs,
		 struct tally_error *err)
{
	pthread_condattr_t attributes;
	struct gateway_jobs *jobs;
	bool has_jobs = false;
	tally_status status = check_settings(options->config, &has_jobs, err);

	if (status != TALLY_OK || !has_jobs)
		return status;
	jobs = calloc(1, sizeof *jobs);
	if (!jobs)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	jobs->options = *options;
	atomic_store(&jobs->partition, -1);
	TAILQ_INIT(&jobs->seconds);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_mutex_init(&jobs->parts_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	status = start_parts(jobs, err);
	if (status != TALLY_OK) {
		gateway_jobs_close(jobs);
		gateway_jobs_quiesce(jobs, 0);
		gateway_jobs_free(jobs);
		return status;
	}
	jobs_add_metrics(jobs);
	*out_jobs = jobs;
	return TALLY_OK;
}

/* ---- meeting the broker ------------------------------------------------------ */

tally_status
gateway_jobs_look_at_topics(struct gateway_jobs *jobs, int timeout_ms, int *out_results,
			    const char **out_topic, struct tally_error *err)
{
	int n_requests, n_control;
	const struct {
		const char *name;
		int *n;
	} topics[] = {
		{ TALLY_TOPIC_REQUESTS_JOBS, &n_requests },
		{ TALLY_TOPIC_CONTROL,       &n_control  },
		{ TALLY_TOPIC_RESULTS,       out_results }
	};

	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
		tally_status status = kafka_producer_warm(jobs->producer, topics[i].name,
							  timeout_ms, topics[i].n, err);
		*out_topic = topics[i].name;
		if (status != TALLY_OK)
			return status;
	}
	atomic_store(&jobs->n_request_partitions, n_requests);
	return TALLY_OK;
}

tally_status
gateway_jobs_read_results(struct gateway_jobs *jobs, int n_results, struct tally_error *err)
{
	const struct config *config = jobs->options.config;
	int n_set = (int)config->results_partitions;
	int32_t partition = config->results_partition >= 0
				? (int32_t)config->results_partition
				: (int32_t)(gateway_hash_name(config->instance) % (uint32_t)n_set);
	const struct kafka_reader_options options = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = partition,
		.on_message = jobs_on_result,
		.ctx = jobs,
	};
	struct kafka_reader *reader;

	/* The partition stands in ids, and foreign jobs are spread over that many. */
	if (n_results != n_set)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "TALLY_RESULTS_PARTITIONS is %d, but %s has %d partitions", n_set,
				  TALLY_TOPIC_RESULTS, n_results);
	tally_status status = kafka_reader_start(jobs->options.kafka, &options, &reader, err);
	if (status != TALLY_OK)
		return status;
	atomic_store(&jobs->partition, partition);
	atomic_store(&jobs->reader, reader);
	return TALLY_OK;
}

bool
gateway_jobs_is_positioned(const struct gateway_jobs *jobs)
{
	const struct kafka_reader *reader = atomic_load(&jobs->reader);

	return reader && kafka_reader_is_positioned(reader);
}

/* ---- ending ------------------------------------------------------------------ */

static void
wait_for_none(atomic_int *count)
{
	const struct timespec look = { 0, LOOK_MS * 1000000 };

	while (atomic_load(count) > 0)
		nanosleep(&look, NULL);
}

static void
end_waits(struct gateway_jobs *jobs)
{
	struct wait_list list = TAILQ_HEAD_INITIALIZER(list);

	if (!jobs->waits)
		return;
	waits_close(jobs->waits);
	waits_expire(jobs->waits, INT64_MAX, &list);
	submissions_expire(&list);
}

void
gateway_jobs_close(struct gateway_jobs *jobs)
{
	if (!jobs)
		return;
	atomic_store(&jobs->is_closed, true);
	wait_for_none(&jobs->n_inside); /* they do not block */
	end_waits(jobs);
	jobs_drop_seconds(jobs);
}

static void
stop_keeper(struct gateway_jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	atomic_store(&jobs->is_stopping, true);
	pthread_cond_broadcast(&jobs->changed);
	pthread_mutex_unlock(&jobs->lock);
	if (jobs->has_keeper)
		pthread_join(jobs->keeper, NULL);
}

void
gateway_jobs_quiesce(struct gateway_jobs *jobs, int flush_ms)
{
	if (!jobs)
		return;
	metrics_forget(jobs);
	stop_keeper(jobs);
	kafka_reader_quiesce(atomic_load(&jobs->reader));
	recorder_stop(jobs->recorder, flush_ms);
	/* Reports of the producer ask the store, answers of the store send messages: the producer
	 * is shut first, then ended, and the store after it. */
	atomic_store(&jobs->is_ending, true);
	wait_for_none(&jobs->n_sending);
	kafka_producer_stop(jobs->producer, flush_ms);
	job_store_stop(jobs->store);
}

void
gateway_jobs_free(struct gateway_jobs *jobs)
{
	if (!jobs)
		return;
	kafka_reader_stop(atomic_load(&jobs->reader));
	tally_parts_free(jobs->parts);
	waits_free(jobs->waits);
	pthread_cond_destroy(&jobs->changed);
	pthread_mutex_destroy(&jobs->parts_lock);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}
