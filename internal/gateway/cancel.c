/* The cancellation of a job: a result like any other.  The first one in its partition counts, so a
 * job that is done stays done; and only when the cancellation is stored are the workers told, or a
 * worker might drop a job that then has no result at all. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/jobs_inner.h"

#define ERROR_BYTES 1024

/* A cancellation on its way. */
struct cancellation {
	struct gateway_jobs *jobs;
	gateway_cancelled_fn *on_done;
	void *ctx;
	struct tally_control control;
};

/* Tells the workers.  Without that word one runs for nothing. */
static void
tell_workers(struct cancellation *cancellation)
{
	const struct tally_control *control = &cancellation->control;
	struct tally_headers headers;
	struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_CONTROL,
		.partition = -1,
		.key = control->id.text,
		.key_len = TALLY_JOB_ID_CHARS,
		.value = "{}",
		.value_len = 2,
		.headers = headers.items,
	};
	tally_status status = tally_control_write(control, &headers);

	message.n_headers = headers.n;
	if (status == TALLY_OK)
		status = jobs_publish(cancellation->jobs, &message);
	if (status != TALLY_OK)
		log_warn("workers are not told of a cancelled job",
			 LOG_STR("job", control->id.text),
			 LOG_STR("code", tally_status_code(status)));
}

static void
on_delivered(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct cancellation *cancellation = ctx;

	(void)partition;
	(void)offset;
	if (status == TALLY_OK)
		tell_workers(cancellation);
	cancellation->on_done(cancellation->ctx, status);
	free(cancellation);
}

/* The headers of the result; *out_partition is where it belongs. */
static tally_status
write_result(const struct job *job, int64_t now_ms, struct tally_headers *out_headers,
	     int32_t *out_partition, struct tally_error *err)
{
	struct tally_job_result result = {
		.id = job->id,
		.state = TALLY_STATE_CANCELLED,
		.error_code = TALLY_CANCELLED,
		.attempt = job->attempt,
		.created_ms = job->created_ms,
		.started_ms = job->started_ms,
		.deadline_ms = job->deadline_ms,
	};
	struct tally_job_id_parts parts;
	struct tally_job_id id;

	if (tally_job_id_parse(job->id.text, strlen(job->id.text), &id, &parts) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "not a job's id");
	*out_partition = parts.is_foreign ? job->partition : parts.partition;
	if (result.deadline_ms <= 0) /* not recorded yet: the latest there is */
		result.deadline_ms = job->created_ms + TALLY_JOB_DEADLINE_MAX_MS;
	memcpy(result.tenant, job->tenant, sizeof result.tenant);
	snprintf(result.dataset, sizeof result.dataset, "%s", job->dataset ? job->dataset : "");
	if (tally_trace_make(&result.trace) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness");
	if (tally_job_result_write(&result, now_ms, out_headers) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "the headers do not fit");
	return TALLY_OK;
}

static tally_status
send_result(struct cancellation *cancellation, const struct tally_headers *headers,
	    int32_t partition, struct tally_error *err)
{
	struct tally_error reason = { 0 };
	char value[ERROR_BYTES];
	size_t len;
	struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = partition,
		.key = cancellation->control.id.text,
		.key_len = TALLY_JOB_ID_CHARS,
		.value = value,
		.headers = headers->items,
		.n_headers = headers->n,
		.on_delivered = on_delivered,
		.ctx = cancellation,
	};

	(void)tally_fail(&reason, TALLY_CANCELLED, "its caller cancelled the job");
	tally_status status = tally_error_encode(&reason, value, sizeof value, &len);
	message.value_len = len;
	if (status == TALLY_OK)
		status = jobs_publish(cancellation->jobs, &message);
	return status == TALLY_OK ? TALLY_OK : jobs_explain(status, err);
}

tally_status
gateway_jobs_cancel(struct gateway_jobs *jobs, const struct job *job, gateway_cancelled_fn *on_done,
		    void *ctx, struct tally_error *err)
{
	struct cancellation *cancellation = calloc(1, sizeof *cancellation);
	int64_t now_ms = clock_unix_ms();
	struct tally_headers headers;
	int32_t partition = -1;

	if (!cancellation)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	cancellation->jobs = jobs;
	cancellation->on_done = on_done;
	cancellation->ctx = ctx;
	cancellation->control = (struct tally_control){
		.kind = TALLY_CONTROL_CANCEL,
		.id = job->id,
		.created_ms = job->created_ms,
		.deadline_ms = job->deadline_ms > 0 ? job->deadline_ms
						    : job->created_ms + TALLY_JOB_DEADLINE_MAX_MS,
		.at_ms = now_ms,
	};
	memcpy(cancellation->control.tenant, job->tenant, sizeof job->tenant);
	tally_status status = write_result(job, now_ms, &headers, &partition, err);
	if (status == TALLY_OK)
		status = send_result(cancellation, &headers, partition, err);
	if (status != TALLY_OK)
		free(cancellation);
	return status;
}
