#include "gateway/submission.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/jobs_inner.h"

#define STACK_BYTES 2048

/* ---- making ------------------------------------------------------------------ */

struct submission *
submission_new(struct gateway_jobs *jobs, const struct exchange *exchange)
{
	struct submission *submission = calloc(1, sizeof *submission);

	if (!submission)
		return NULL;
	submission->jobs = jobs;
	submission->exchange = *exchange;
	atomic_init(&submission->n_references, 1);
	snprintf(submission->head.tenant, sizeof submission->head.tenant, "%s",
		 exchange_tenant(exchange));
	return submission;
}

void
submission_drop(struct submission *submission)
{
	if (atomic_fetch_sub(&submission->n_references, 1) > 1)
		return;
	free(submission->value);
	free(submission);
}

static tally_status
encode(struct submission *submission, const struct params *params,
       const struct tally_request_view *more, struct tally_error *err)
{
	char text[STACK_BYTES];
	size_t len;
	tally_status status = params_encode_job(params, more, text, sizeof text, &len, err);

	if (status != TALLY_OK && status != TALLY_TOO_LARGE)
		return status;
	submission->value = malloc(len);
	if (!submission->value)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	submission->len = len;
	if (status == TALLY_OK) {
		memcpy(submission->value, text, len);
		return TALLY_OK;
	}
	return params_encode_job(params, more, submission->value, len, &submission->len, err);
}

/* What makes two requests with one key the same: all that was asked for, whoever asked. */
static tally_status
hash_request(struct submission *submission, int64_t timeout_ms, struct tally_error *err)
{
	char tail[32];
	int tail_len = snprintf(tail, sizeof tail, "\n%lld", (long long)timeout_ms);
	size_t len = submission->len + (size_t)tail_len;
	char *text = malloc(len);
	tally_status status = TALLY_NO_MEMORY;

	if (text) {
		memcpy(text, submission->value, submission->len);
		memcpy(text + submission->len, tail, (size_t)tail_len);
		status = tally_sha256(text, len, submission->head.body_hash);
		free(text);
	}
	return status == TALLY_OK ? TALLY_OK : tally_fail(err, status, "the request has no hash");
}

static tally_status
make_head(struct submission *submission, int64_t timeout_ms, struct tally_error *err)
{
	struct gateway_jobs *jobs = submission->jobs;
	struct tally_job_request *head = &submission->head;
	int64_t budget_ms = timeout_ms > 0 ? timeout_ms : jobs->options.config->job_deadline_ms;

	head->created_ms = clock_unix_ms();
	head->reply_partition = atomic_load(&jobs->partition);
	head->budget_ms = (uint32_t)budget_ms;
	head->deadline_ms = head->created_ms + budget_ms;
	head->trace = submission->exchange.trace;
	tally_status status = tally_job_id_make(&jobs->secrets, head->tenant, head->created_ms,
						head->reply_partition, &head->id, err);
	submission->wait.id = head->id;
	return status;
}

tally_status
submission_make(struct submission *submission, const struct params *params,
		const struct tally_request_view *more, int64_t timeout_ms, struct tally_error *err)
{
	tally_status status =
	    params_fingerprint(params, submission->head.tenant, submission->key, err);

	if (status == TALLY_OK)
		status = encode(submission, params, more, err);
	if (status == TALLY_OK)
		status = hash_request(submission, timeout_ms, err);
	return status == TALLY_OK ? make_head(submission, timeout_ms, err) : status;
}

/* ---- waiting ----------------------------------------------------------------- */

/* Ends the wait, if it is there still. */
static void
leave_wait(struct submission *submission)
{
	if (!waits_leave(submission->jobs->waits, &submission->wait))
		return;
	jobs_forget_parts(submission->jobs, &submission->head.id);
	submission_drop(submission);
}

/* The client has left: the job goes on.  The reference is for those who see that it is answered and
 * drop theirs; until then somebody has one. */
static void
on_gone(void *ctx)
{
	struct submission *submission = ctx;
	struct tally_error err = { 0 };

	atomic_fetch_add(&submission->n_references, 1);
	leave_wait(submission);
	if (job_store_unwatch(submission->jobs->store, &submission->watch))
		submission_drop(submission);
	(void)tally_fail(&err, TALLY_CANCELLED, "the client has left");
	submission_answer_error(submission, &err);
	submission_drop(submission);
}

/* Begins to wait for the result, before the message is on its way: none is missed. */
static tally_status
enter_wait(struct submission *submission, struct tally_error *err)
{
	atomic_fetch_add(&submission->n_references, 1);
	tally_status status = waits_add(submission->jobs->waits, &submission->wait);
	if (status == TALLY_OK)
		return TALLY_OK;
	submission_drop(submission);
	if (status == TALLY_CLOSED)
		return tally_fail(err, TALLY_SATURATED, "this gateway is stopping");
	return tally_fail(err, status, "too many callers wait here already");
}

void
submissions_expire(struct wait_list *list)
{
	struct wait *wait;

	while ((wait = TAILQ_FIRST(list)) != NULL) {
		struct submission *submission = (struct submission *)wait;

		TAILQ_REMOVE(list, wait, link);
		jobs_forget_parts(submission->jobs, &submission->head.id);
		/* Either this sees that the message is stored, or its report sees this. */
		atomic_store(&submission->is_over, true);
		if (atomic_load(&submission->is_stored))
			submission_answer_accepted(submission, NULL);
		submission_drop(submission);
	}
}

/* ---- publishing -------------------------------------------------------------- */

void
submission_fail(struct submission *submission, const struct tally_error *err)
{
	leave_wait(submission);
	submission_answer_error(submission, err);
	submission_drop(submission);
}

/* The broker has it. */
static void
on_stored(struct submission *submission)
{
	struct gateway_jobs *jobs = submission->jobs;

	metric_add(metric_series(jobs->submitted, submission->definition->name, NULL), 1);
	atomic_store(&submission->is_stored, true);
	submission_published(submission, true);
	if (submission->is_known) {
		submission_look(submission);
		return;
	}
	if (submission->wait.wait_s == 0 || atomic_load(&submission->is_over))
		submission_answer_accepted(submission, NULL);
	submission_drop(submission);
}

static void
explain(const struct submission *submission, tally_status status, struct tally_error *err)
{
	if (jobs_explain(status, err) != TALLY_OUTCOME_UNKNOWN)
		return;
	snprintf(err->detail, sizeof err->detail,
		 "Kafka has not said whether it took the job, so it may run; %s",
		 submission->head.idempotency_key[0]
		     ? "the same request with the same Idempotency-Key finds out"
		     : "Location is where it is then; a request with an Idempotency-Key can be "
		       "repeated until it is known");
}

static void
on_delivered(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct submission *submission = ctx;
	struct tally_error err = { 0 };

	(void)partition;
	(void)offset;
	if (status == TALLY_OK) {
		on_stored(submission);
		return;
	}
	submission_published(submission, false);
	explain(submission, status, &err);
	submission_fail(submission, &err);
}

static tally_status
send(struct submission *submission, struct tally_error *err)
{
	struct tally_headers headers;
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_REQUESTS_JOBS,
		.partition =
		    kafka_producer_turn(atomic_load(&submission->jobs->n_request_partitions),
					atomic_load(&submission->jobs->partition)),
		.key = submission->key,
		.key_len = sizeof submission->key - 1,
		.value = submission->value,
		.value_len = submission->len,
		.headers = headers.items,
		.on_delivered = on_delivered,
		.ctx = submission,
	};
	struct kafka_outgoing outgoing = message;

	if (tally_job_request_write(&submission->head, &headers) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "the headers do not fit");
	outgoing.n_headers = headers.n;
	tally_status status = jobs_publish(submission->jobs, &outgoing);
	return status == TALLY_OK ? TALLY_OK : jobs_explain(status, err);
}

void
submission_publish(struct submission *submission)
{
	struct tally_error err = { 0 };
	tally_status status = TALLY_OK;

	/* Of a message that somebody else may have published the result may have been missed. */
	if (submission->wait.wait_s > 0 && !submission->is_known)
		status = enter_wait(submission, &err);
	if (status == TALLY_OK)
		status = send(submission, &err);
	if (status == TALLY_OK)
		return;
	submission_published(submission, false);
	submission_fail(submission, &err);
}

/* ---- starting ---------------------------------------------------------------- */

/* How long the caller waits: Prefer: wait=N, at most the limit; 0: not at all. */
static void
set_wait(struct submission *submission)
{
	uint32_t max_s = (uint32_t)(submission->jobs->options.config->wait_max_ms / 1000);
	uint32_t wait_s = submission->prefer.has_wait ? submission->prefer.wait_s : 0;

	if (max_s > WAITS_MAX_WAIT_S)
		max_s = WAITS_MAX_WAIT_S;
	submission->wait.wait_s = wait_s < max_s ? wait_s : max_s;
	submission->wait.deadline_ms = clock_mono_ms() + (int64_t)submission->wait.wait_s * 1000;
}

void
submission_start(struct submission *submission)
{
	set_wait(submission);
	if (submission->wait.wait_s > 0 && !exchange_wait(&submission->exchange)) {
		submission_drop(submission);
		return;
	}
	if (submission->wait.wait_s > 0)
		http_request_on_gone(submission->exchange.request, on_gone, submission);
	if (submission->head.idempotency_key[0])
		submission_claim(submission);
	else
		submission_publish(submission);
}
