/* GET /v1/jobs/{id}: the job, now or when it is final; and DELETE, which ends it. */
#include <stdlib.h>

#include "base/clock.h"
#include "gateway/etag.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_document.h"
#include "gateway/job_look.h"
#include "gateway/prefer.h"

/* A cancellation is usually recorded well within a second. */
#define CANCEL_WAIT_MS 3000

/* ---- documents as answers ------------------------------------------------------ */

static tally_status
make_document(const struct job_look *look, const struct job *job, struct job_document *out)
{
	int64_t now_ms = clock_unix_ms();

	if (job)
		return job_document_make(job, now_ms, out);
	return job_document_make_early(&look->id, look->parts.created_ms, JOB_QUEUED, now_ms, out);
}

/* Makes the job's document the response; 304 when the caller has it, unless http is another status
 * than 200. */
static tally_status
set_document(struct http_response *response, const struct job_look *look, const struct job *job,
	     unsigned http)
{
	struct job_document document;
	tally_status status = make_document(look, job, &document);

	if (status != TALLY_OK)
		return status;
	bool is_held = http == 200 && etag_is_held(look->exchange.request, document.tag);
	http_response_init(response, is_held ? 304 : http);
	if (document.tag[0] != '\0')
		http_response_header(response, "ETag", document.tag);
	http_response_header(response, "Cache-Control", "private, no-cache");
	if (is_held) {
		free(document.text);
		return TALLY_OK;
	}
	http_response_header(response, "Content-Type", "application/json");
	http_response_owned(response, document.text, document.len);
	return TALLY_OK;
}

/* The same, or a problem. */
static void
begin_answer(struct http_response *response, const struct job_look *look, const struct job *job,
	     const struct tally_error *error, unsigned http)
{
	struct tally_error err = { 0 };

	if (error) {
		exchange_set_problem(response, error, NULL, 0);
		return;
	}
	tally_status status = set_document(response, look, job, http);
	if (status != TALLY_OK) {
		(void)tally_fail(&err, status, "the job cannot be written");
		exchange_set_problem(response, &err, NULL, 0);
	}
}

/* ---- GET ----------------------------------------------------------------------- */

struct get {
	struct job_look look; /* first */
	struct prefer prefer;
};

static void
answer_job(struct job_look *look, const struct job *job, const struct tally_error *error)
{
	const struct get *get = (const struct get *)look;
	struct http_response response;
	char applied[32];

	begin_answer(&response, look, job, error, 200);
	if (get->prefer.has_wait) {
		snprintf(applied, sizeof applied, "wait=%u", get->prefer.wait_s);
		http_response_header(&response, "Preference-Applied", applied);
	}
	exchange_reply(&look->exchange, &response);
	job_look_free(look);
}

static void
read_prefer(const char *value, void *ctx)
{
	prefer_read(value, ctx);
}

void
gateway_get_job(const struct exchange *exchange)
{
	const struct config *config = exchange->gateway->options.config;
	uint32_t max_s = (uint32_t)(config->wait_max_ms / 1000);
	struct get *get = job_look_begin(exchange, sizeof *get, answer_job);

	if (!get)
		return;
	struct gateway_jobs *jobs = get->look.jobs;
	http_request_each_header(exchange->request, "Prefer", read_prefer, &get->prefer);
	if (get->prefer.wait_s > max_s)
		get->prefer.wait_s = max_s;
	if (get->prefer.wait_s > 0 && !exchange_wait(&get->look.exchange)) {
		job_look_free(&get->look);
		gateway_jobs_end(jobs);
		return;
	}
	if (get->prefer.wait_s > 0) {
		get->look.wait_until_ms = clock_mono_ms() + (int64_t)get->prefer.wait_s * 1000;
		job_look_on_gone(&get->look);
	}
	job_look_ask(&get->look);
	gateway_jobs_end(jobs);
}

/* ---- DELETE -------------------------------------------------------------------- */

static void
answer_cancel(struct job_look *look, const struct job *job, const struct tally_error *error,
	      unsigned http)
{
	struct http_response response;

	begin_answer(&response, look, job, error, http);
	exchange_reply(&look->exchange, &response);
	job_look_free(look);
}

/* The broker has the cancellation; what the job is then is the recorder's word, if it comes in
 * time.  A job store that went away meanwhile takes nothing back. */
static void
on_looked_again(struct job_look *look, const struct job *job, const struct tally_error *error)
{
	bool is_away = error && error->status == TALLY_JOB_STORE_UNAVAILABLE;

	answer_cancel(look, job, is_away ? NULL : error, 202);
}

static void
on_cancelled(void *ctx, tally_status status)
{
	struct job_look *look = ctx;
	struct tally_error err = { 0 };

	if (status != TALLY_OK) {
		(void)tally_fail(&err, status, "%s",
				 status == TALLY_OUTCOME_UNKNOWN
				     ? "Kafka has not acknowledged the cancellation"
				     : "Kafka did not take the cancellation");
		snprintf(err.source, sizeof err.source, "kafka");
		answer_cancel(look, NULL, &err, 0);
		return;
	}
	look->found = on_looked_again;
	look->wait_until_ms = clock_mono_ms() + CANCEL_WAIT_MS;
	job_look_ask(look);
}

/* What is known of a job that is not recorded; as long as any deadline may be. */
static void
make_early(const struct job_look *look, struct job *out_job)
{
	*out_job = (struct job){
		.id = look->id,
		.created_ms = look->parts.created_ms,
		.deadline_ms = look->parts.created_ms + TALLY_JOB_DEADLINE_MAX_MS,
		.partition = look->parts.partition,
	};
	snprintf(out_job->tenant, sizeof out_job->tenant, "%s", exchange_tenant(&look->exchange));
}

static void
on_found_to_cancel(struct job_look *look, const struct job *job, const struct tally_error *error)
{
	struct tally_error err = { 0 };
	struct job early;

	if (error || (job && job_state_is_final(job->state))) {
		answer_cancel(look, job, error, 200);
		return;
	}
	if (job)
		look->parts.created_ms = job->created_ms; /* a foreign id does not tell it */
	make_early(look, &early);
	if (gateway_jobs_cancel(look->jobs, job ? job : &early, on_cancelled, look, &err)
	    != TALLY_OK)
		answer_cancel(look, NULL, &err, 0);
}

void
gateway_cancel_job(const struct exchange *exchange)
{
	struct job_look *look = job_look_begin(exchange, sizeof *look, on_found_to_cancel);

	if (!look)
		return;
	struct gateway_jobs *jobs = look->jobs;
	job_look_ask(look);
	gateway_jobs_end(jobs);
}
