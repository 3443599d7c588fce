/* What a submission is answered with. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_document.h"
#include "gateway/problem.h"
#include "gateway/submission.h"

bool
submission_take_answer(struct submission *submission)
{
	return !atomic_exchange(&submission->is_answered, true);
}

/* ---- headers ----------------------------------------------------------------- */

static void
add_location(struct http_response *response, const struct submission *submission)
{
	char path[64];

	snprintf(path, sizeof path, "/v1/jobs/%s", submission->head.id.text);
	http_response_header(response, "Location", path);
}

/* What of Prefer was heard. */
static void
add_preference(struct http_response *response, const struct submission *submission)
{
	const struct prefer *prefer = &submission->prefer;
	char wait[32] = "", applied[64];

	if (!prefer->is_async && !prefer->has_wait)
		return;
	if (prefer->has_wait)
		snprintf(wait, sizeof wait, "wait=%u", submission->wait.wait_s);
	snprintf(applied, sizeof applied, "%s%s%s", prefer->is_async ? "respond-async" : "",
		 prefer->is_async && prefer->has_wait ? ", " : "", wait);
	http_response_header(response, "Preference-Applied", applied);
}

static void
add_retry_after(struct http_response *response, int64_t created_ms)
{
	int64_t poll_ms = job_document_poll_after_ms(created_ms, clock_unix_ms());
	char seconds[16];

	snprintf(seconds, sizeof seconds, "%d", (int)((poll_ms + 999) / 1000));
	http_response_header(response, "Retry-After", seconds);
}

/* ---- answers ----------------------------------------------------------------- */

static void
reply(struct submission *submission, struct http_response *response, tally_status outcome)
{
	const struct definition *definition = submission->definition;

	gateway_count(&submission->exchange, definition ? definition->name : "", outcome);
	exchange_reply(&submission->exchange, response);
}

/* The answer is the caller's to give. */
static void
reply_error(struct submission *submission, const struct tally_error *err)
{
	struct http_response response;

	exchange_set_problem(&response, err, NULL, 0);
	if (err->status == TALLY_OUTCOME_UNKNOWN)
		add_location(&response, submission);
	add_preference(&response, submission);
	if (problem_http_status(err->status) >= 500)
		log_warn("submission failed", LOG_STR("dataset", submission->definition->name),
			 LOG_STR("job", submission->head.id.text),
			 LOG_STR("trace", submission->exchange.trace.text), LOG_ERROR(err));
	reply(submission, &response, problem_public_status(err->status));
}

/* A job's document is the body; the answer is the caller's to give. */
static void
reply_document(struct submission *submission, unsigned http_status, const struct job *job)
{
	const struct tally_job_request *head = &submission->head;
	int64_t now_ms = clock_unix_ms();
	struct job_document document;
	struct http_response response;
	struct tally_error err = { 0 };
	tally_status status = job ? job_document_make(job, now_ms, &document)
				  : job_document_make_early(&head->id, head->created_ms, JOB_QUEUED,
							    now_ms, &document);

	if (status != TALLY_OK) {
		(void)tally_fail(&err, status, "the job goes on, but it cannot be shown");
		reply_error(submission, &err);
		return;
	}
	http_response_init(&response, http_status);
	http_response_header(&response, "Content-Type", "application/json");
	http_response_header(&response, "Cache-Control", "no-store");
	add_location(&response, submission);
	add_preference(&response, submission);
	if (http_status == 202)
		add_retry_after(&response, head->created_ms);
	http_response_owned(&response, document.text, document.len);
	reply(submission, &response, TALLY_OK);
}

void
submission_answer_accepted(struct submission *submission, const struct job *job)
{
	if (submission_take_answer(submission))
		reply_document(submission, 202, job);
}

void
submission_answer_final(struct submission *submission, const struct job *job)
{
	tally_status status = job->state == JOB_CANCELLED ? TALLY_CANCELLED : TALLY_INTERNAL_ERROR;
	struct tally_error err = { 0 };

	if (!submission_take_answer(submission))
		return;
	if (!submission->is_rows) {
		reply_document(submission, 200, job);
		return;
	}
	if (!job->error || tally_error_decode(job->error, strlen(job->error), &err) != TALLY_OK)
		(void)tally_fail(&err, status, "the job is %s", job_state_name(job->state));
	reply_error(submission, &err);
}

void
submission_answer_rows(struct submission *submission, struct shared_body *body)
{
	struct http_response response;
	struct tally_error err = { 0 };

	if (submission_take_answer(submission)) {
		http_response_init(&response, 200);
		http_response_header(&response, "Cache-Control", "no-store");
		add_location(&response, submission);
		add_preference(&response, submission);
		if (shared_body_set(&response, body, submission->definition, &submission->form)) {
			reply(submission, &response, TALLY_OK);
		} else {
			(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
			reply_error(submission, &err);
		}
	}
	shared_body_drop(body);
}

void
submission_answer_error(struct submission *submission, const struct tally_error *err)
{
	if (submission_take_answer(submission))
		reply_error(submission, err);
}
