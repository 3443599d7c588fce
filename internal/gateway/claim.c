/* Idempotency keys: who came first with one, at any gateway.
 *
 * The row in the store comes before the message, and holds all of it; so when the first gateway
 * died in between, the next one that is asked with the same key publishes the same bytes.  Twice
 * does no harm: both have one id, and of its results the first counts. */
/* An allocation that fails must not end the process: uthash then leaves the element out. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/gateway_inner.h"
#include "gateway/jobs_inner.h"
#include "gateway/submission.h"

#define CONFIRM_MS 5000 /* whoever came first is told by the broker within that, or is not */
#define PUBLISH_MS (JOBS_SEND_TIMEOUT_MS + 1000) /* and whoever publishes again */
#define OLD_MS     (JOB_SURE_MS / 2) /* an id that may soon be taken for nobody's without its row */
#define RECORD_MS  5000 /* of a job whose id is that old already when it is published */

static void
fail_with(struct submission *submission, tally_status status)
{
	struct tally_error err = { 0 };

	if (status == TALLY_FULL || status == TALLY_SATURATED) {
		(void)tally_fail(&err, TALLY_SATURATED, "the job store is at its limit");
	} else if (status == TALLY_CLOSED) {
		(void)tally_fail(&err, TALLY_SATURATED, "this gateway is stopping");
	} else if (status == TALLY_NO_MEMORY) {
		(void)tally_fail(&err, status, "out of memory");
	} else {
		(void)tally_fail(&err, TALLY_JOB_STORE_UNAVAILABLE,
				 "the job store does not answer, and without it an Idempotency-Key "
				 "cannot be honoured");
		snprintf(err.source, sizeof err.source, "jobs");
	}
	submission_fail(submission, &err);
}

static void
look_later(struct submission *submission)
{
	if (!jobs_look_later(submission->jobs, submission))
		fail_with(submission, TALLY_CLOSED);
}

/* The job is the one of whoever came first. */
static tally_status
adopt(struct submission *submission, const struct job_claim *claim)
{
	struct tally_job_request *head = &submission->head;
	struct tally_job_id_parts parts;
	char *value = malloc(claim->request_len > 0 ? claim->request_len : 1);

	if (!value)
		return TALLY_NO_MEMORY;
	if (tally_job_id_parse(claim->id.text, strlen(claim->id.text), &head->id, &parts)
	    != TALLY_OK) {
		free(value);
		return TALLY_JOB_STORE_UNAVAILABLE;
	}
	if (claim->request_len > 0)
		memcpy(value, claim->request, claim->request_len);
	free(submission->value);
	submission->value = value;
	submission->len = claim->request_len;
	memcpy(submission->key, claim->fingerprint, sizeof submission->key);
	head->created_ms = claim->created_ms;
	head->reply_partition = parts.partition;
	head->deadline_ms = claim->deadline_ms;
	head->budget_ms = (uint32_t)(claim->deadline_ms - claim->created_ms);
	head->no_cache = claim->no_cache;
	memcpy(head->trace.text, claim->trace, sizeof head->trace.text);
	submission->is_known = true;
	return TALLY_OK;
}

/* ---- one publishes at a time ----------------------------------------------------- */

/* Whether the submission is the one of its job to publish; then it is kept until end_publishing. */
static bool
begin_publishing(struct submission *submission)
{
	struct gateway_jobs *jobs = submission->jobs;
	const char *id = submission->head.id.text;
	unsigned len = (unsigned)strlen(id);
	struct submission *other;

	pthread_mutex_lock(&jobs->lock);
	HASH_FIND(hh, jobs->publishing, id, len, other);
	if (!other) {
		HASH_ADD_KEYPTR(hh, jobs->publishing, id, len, submission);
		/* Without memory for the table others may publish too, which does no harm. */
		if (submission->hh.tbl)
			atomic_fetch_add(&submission->n_references, 1);
	}
	pthread_mutex_unlock(&jobs->lock);
	return !other;
}

static void
end_publishing(struct submission *submission)
{
	struct gateway_jobs *jobs = submission->jobs;

	if (!submission->hh.tbl)
		return;
	pthread_mutex_lock(&jobs->lock);
	HASH_DELETE(hh, jobs->publishing, submission);
	pthread_mutex_unlock(&jobs->lock);
	submission->hh.tbl = NULL;
	submission_drop(submission);
}

static void
on_confirmed(void *ctx, tally_status status)
{
	/* Without the note a retry publishes a second time, which does no harm. */
	(void)status;
	end_publishing(ctx);
}

void
submission_published(struct submission *submission, bool is_stored)
{
	const struct tally_job_request *head = &submission->head;

	if (head->idempotency_key[0] == '\0')
		return;
	if (!is_stored
	    || job_store_confirm(submission->jobs->store, head->tenant, head->idempotency_key,
				 on_confirmed, submission)
		   != TALLY_OK)
		end_publishing(submission);
}

/* Publishes, unless another submission of the job is about to: then its end is waited for. */
static void
publish(struct submission *submission)
{
	struct tally_error err = { 0 };

	if (begin_publishing(submission)) {
		submission_publish(submission);
	} else if (clock_mono_ms() >= submission->until_ms + PUBLISH_MS) {
		(void)tally_fail(&err, TALLY_OUTCOME_UNKNOWN,
				 "another request with this Idempotency-Key does not learn from "
				 "Kafka whether it took the job; the same request finds out");
		submission_fail(submission, &err);
	} else {
		look_later(submission);
	}
}

/* ---- claiming ------------------------------------------------------------------ */

/* Nobody has said yet that the message is stored: whoever came first may be about to, or dead. */
static void
await_confirmation(struct submission *submission)
{
	int64_t now_ms = clock_mono_ms();

	if (submission->until_ms == 0) {
		int64_t age_ms = clock_unix_ms() - submission->head.created_ms;
		int64_t left_ms = age_ms < 0 ? CONFIRM_MS : CONFIRM_MS - age_ms;
		submission->until_ms = now_ms + (left_ms > 0 ? left_ms : 0);
	}
	if (now_ms >= submission->until_ms)
		publish(submission);
	else
		look_later(submission);
}

static void
on_claimed(void *ctx, tally_status status, bool is_new, const struct job_claim *claim)
{
	struct submission *submission = ctx;
	struct tally_error err = { 0 };

	if (status != TALLY_OK) {
		fail_with(submission, status);
		return;
	}
	/* At a second look the id is not its own, so a claim that has it is not its own either. */
	if (is_new && !submission->is_known) {
		publish(submission);
		return;
	}
	if (memcmp(claim->body_hash, submission->head.body_hash, sizeof claim->body_hash) != 0) {
		(void)tally_fail(&err, TALLY_IDEMPOTENCY_KEY_REUSED,
				 "this Idempotency-Key came with another request before; a new "
				 "request takes a new key");
		submission_fail(submission, &err);
		return;
	}
	status = submission->is_known ? TALLY_OK : adopt(submission, claim);
	if (status != TALLY_OK)
		fail_with(submission, status);
	else if (claim->is_confirmed)
		submission_look(submission);
	else
		await_confirmation(submission);
}

void
submission_claim(struct submission *submission)
{
	const struct tally_job_request *head = &submission->head;
	struct job_claim claim = {
		.id = head->id,
		.created_ms = head->created_ms,
		.deadline_ms = head->deadline_ms,
		.no_cache = head->no_cache,
		.request = submission->value,
		.request_len = submission->len,
	};

	memcpy(claim.tenant, head->tenant, sizeof claim.tenant);
	memcpy(claim.key, head->idempotency_key, sizeof claim.key);
	memcpy(claim.body_hash, head->body_hash, sizeof claim.body_hash);
	memcpy(claim.fingerprint, submission->key, sizeof claim.fingerprint);
	memcpy(claim.trace, head->trace.text, sizeof claim.trace);
	tally_status status =
	    job_store_claim(submission->jobs->store, &claim, on_claimed, submission);
	if (status != TALLY_OK)
		fail_with(submission, status);
}

/* ---- what became of it --------------------------------------------------------- */

/* The body of a job that was done before its caller came. */
static void
on_body(void *ctx, tally_status status, char *text, size_t len)
{
	struct submission *submission = ctx;
	struct shared_body *body = NULL;

	if (status == TALLY_OK)
		body = jobs_body_of_text(submission->jobs, text, len, submission->n_taken);
	else
		gateway_jobs_give_bytes(submission->jobs, submission->n_taken);
	if (body)
		submission_answer_rows(submission, body);
	else
		submission_answer_accepted(submission, NULL);
	submission_drop(submission);
}

/* Rows of a job that is done.  True: they are being read, and answer. */
static bool
read_rows(struct submission *submission, const struct job *job)
{
	struct gateway_jobs *jobs = submission->jobs;

	if (!submission->is_rows || job->state != JOB_SUCCEEDED
	    || !gateway_jobs_take_bytes(jobs, job->n_bytes))
		return false;
	submission->n_taken = job->n_bytes;
	if (job_store_read_body(jobs->store, job, on_body, submission) == TALLY_OK)
		return true;
	gateway_jobs_give_bytes(jobs, submission->n_taken);
	return false;
}

static void on_looked(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms);

/* Has on_looked called when the job is in another state, or the wait is over. */
static bool
watch(struct submission *submission, enum job_state seen, int64_t deadline_ms)
{
	struct job_watch *watch = &submission->watch;

	if (clock_mono_ms() >= deadline_ms || atomic_load(&submission->is_answered))
		return false;
	watch->id = submission->head.id;
	memcpy(watch->tenant, submission->head.tenant, sizeof watch->tenant);
	watch->seen = seen;
	watch->deadline_ms = deadline_ms;
	watch->found = on_looked;
	watch->ctx = submission;
	return job_store_watch(submission->jobs->store, watch) == TALLY_OK;
}

/* Whoever is told of a job must find it, and one whose id is old is found only by its row: has
 * on_looked called once that is there. */
static bool
watch_for_row(struct submission *submission)
{
	if (submission->row_until_ms == 0)
		submission->row_until_ms = clock_mono_ms() + RECORD_MS;
	return watch(submission, JOB_STATES, submission->row_until_ms);
}

static void
fail_unrecorded(struct submission *submission)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_JOB_STORE_UNAVAILABLE,
			 "the job runs, but it is not recorded yet; the same request with the same "
			 "Idempotency-Key finds it");
	snprintf(err.source, sizeof err.source, "jobs");
	submission_fail(submission, &err);
}

/* The key is in the store, so the job is: whatever else cannot be told now, its caller gets 202. */
static void
on_looked(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct submission *submission = ctx;
	const struct job *known = status == TALLY_OK ? job : NULL;
	bool is_final = known && job_state_is_final(known->state);
	bool is_old = submission->head.created_ms + OLD_MS < clock_unix_ms();

	(void)watermark_ms;
	if (!is_final && submission->wait.wait_s > 0
	    && watch(submission, known ? known->state : JOB_QUEUED, submission->wait.deadline_ms))
		return;
	if (status == TALLY_NOT_FOUND && is_old) {
		if (!watch_for_row(submission))
			fail_unrecorded(submission);
		return;
	}
	if (is_final && submission->wait.wait_s > 0) {
		if (read_rows(submission, known))
			return;
		if (!submission->is_rows || known->state != JOB_SUCCEEDED)
			submission_answer_final(submission, known);
	}
	submission_answer_accepted(submission, known);
	submission_drop(submission);
}

void
submission_look(struct submission *submission)
{
	const struct tally_job_request *head = &submission->head;

	if (job_store_get(submission->jobs->store, head->tenant, &head->id, on_looked, submission)
	    != TALLY_OK)
		on_looked(submission, TALLY_JOB_STORE_UNAVAILABLE, NULL, 0);
}
