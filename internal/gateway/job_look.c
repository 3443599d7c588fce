#include "gateway/job_look.h"

#include <stdlib.h>

#include "base/clock.h"

static void
refuse(const struct exchange *exchange, tally_status status)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, status, "%s",
			 status == TALLY_EXPIRED     ? "jobs and results are kept for 24 hours"
			 : status == TALLY_NOT_FOUND ? "there is no such job"
						     : "out of memory");
	exchange_problem(exchange, &err, NULL);
}

void *
job_look_begin(const struct exchange *exchange, size_t size, job_look_fn *found)
{
	struct gateway_jobs *jobs = gateway_jobs_begin(exchange);
	struct job_look *look;
	tally_status status = TALLY_NO_MEMORY;

	if (!jobs)
		return NULL;
	look = calloc(1, size);
	if (look)
		status = gateway_jobs_check_id(jobs, exchange_tenant(exchange), exchange->variable,
					       exchange->variable_len, &look->id, &look->parts);
	if (status != TALLY_OK) {
		refuse(exchange, status);
		free(look);
		gateway_jobs_end(jobs);
		return NULL;
	}
	look->exchange = *exchange;
	look->jobs = jobs;
	look->found = found;
	pthread_mutex_init(&look->lock, NULL);
	return look;
}

/* What callers are told instead of the job. */
static tally_status
explain(const struct job_look *look, tally_status status, const struct job *job,
	int64_t watermark_ms, struct tally_error *err)
{
	bool is_early =
	    !look->parts.is_foreign && watermark_ms - JOB_SURE_MS <= look->parts.created_ms;

	if (status == TALLY_OK && job->created_ms + JOB_RETENTION_MS < clock_unix_ms())
		return tally_fail(err, TALLY_EXPIRED, "jobs and results are kept for 24 hours");
	if (status == TALLY_OK || (status == TALLY_NOT_FOUND && is_early))
		return TALLY_OK;
	if (status == TALLY_NOT_FOUND)
		return tally_fail(err, status, "there is no such job");
	(void)tally_fail(err, status == TALLY_FULL ? TALLY_SATURATED : status, "%s",
			 status == TALLY_JOB_STORE_UNAVAILABLE
			     ? "the job store does not answer; the job goes on meanwhile"
			     : "the job store is at its limit");
	snprintf(err->source, sizeof err->source, "jobs");
	return err->status;
}

static void on_answer(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms);

/* Gives the look to the store until the job is in another state. */
static tally_status
watch(struct job_look *look, enum job_state seen)
{
	tally_status status = TALLY_CANCELLED;

	look->watch = (struct job_watch){
		.id = look->id,
		.seen = seen,
		.deadline_ms = look->wait_until_ms,
		.found = on_answer,
		.ctx = look,
	};
	snprintf(look->watch.tenant, sizeof look->watch.tenant, "%s",
		 exchange_tenant(&look->exchange));
	pthread_mutex_lock(&look->lock);
	if (!look->is_gone)
		status = job_store_watch(gateway_jobs_store(look->jobs), &look->watch);
	look->is_watching = status == TALLY_OK;
	pthread_mutex_unlock(&look->lock);
	return status;
}

static void
take_back(struct job_look *look)
{
	pthread_mutex_lock(&look->lock);
	look->is_watching = false;
	pthread_mutex_unlock(&look->lock);
}

static bool
is_to_wait(const struct job_look *look, const struct job *job)
{
	return !(job && job_state_is_final(job->state)) && clock_mono_ms() < look->wait_until_ms;
}

static void
on_answer(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct job_look *look = ctx;
	struct tally_error err = { 0 };

	take_back(look);
	tally_status verdict = explain(look, status, job, watermark_ms, &err);
	const struct job *known = verdict == TALLY_OK && status == TALLY_OK ? job : NULL;
	if (verdict == TALLY_OK && is_to_wait(look, known)) {
		verdict = watch(look, known ? known->state : JOB_QUEUED);
		if (verdict == TALLY_OK)
			return;
		(void)tally_fail(&err, verdict, "the job cannot be waited for now");
	}
	look->found(look, known, verdict == TALLY_OK ? NULL : &err);
}

static void
on_gone(void *ctx)
{
	struct job_look *look = ctx;
	struct tally_error err = { 0 };
	bool is_mine;

	pthread_mutex_lock(&look->lock);
	look->is_gone = true;
	is_mine =
	    look->is_watching && job_store_unwatch(gateway_jobs_store(look->jobs), &look->watch);
	pthread_mutex_unlock(&look->lock);
	if (!is_mine)
		return; /* somebody else answers */
	(void)tally_fail(&err, TALLY_CANCELLED, "the client has left");
	look->found(look, NULL, &err);
}

void
job_look_on_gone(struct job_look *look)
{
	http_request_on_gone(look->exchange.request, on_gone, look);
}

void
job_look_ask(struct job_look *look)
{
	tally_status status =
	    job_store_get(gateway_jobs_store(look->jobs), exchange_tenant(&look->exchange),
			  &look->id, on_answer, look);

	if (status != TALLY_OK)
		on_answer(look, status, NULL, 0);
}

void
job_look_free(struct job_look *look)
{
	pthread_mutex_destroy(&look->lock);
	free(look);
}
