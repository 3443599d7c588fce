/* What comes back for those who wait here: results of this gateway's partition.
 *
 * Only jobs that somebody waits for are looked at, and only who published a job first waits for it
 * here, so the first result that is complete is the one with the lowest offset.  A result that
 * there is no memory for is left to the store: its caller gets the job's address. */
#include <stdlib.h>
#include <string.h>

#include <tally/request.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "gateway/gateway_inner.h"
#include "gateway/jobs_inner.h"
#include "gateway/submission.h"

OWN_DEFINE(tally_request);

#define ERROR_BYTES 2048
#define AS_OF_BYTES (TALLY_SOURCES_MAX * (TALLY_SOURCE_NAME_MAX + 32))

/* A result as it came: its headers, and where the body is. */
struct arrival {
	struct gateway_jobs *jobs;
	struct tally_job_result result;
	struct kafka_message *message; /* owned; of the last part */
	struct tally_body body;        /* put together; bytes NULL: it is the message's value */
};

/* ---- bodies ------------------------------------------------------------------ */

/* What a body holds on to. */
struct hold {
	struct gateway_jobs *jobs;
	size_t n_taken;
	char *text;
	struct kafka_message *message;
};

static void
release(void *ctx)
{
	struct hold *hold = ctx;

	free(hold->text);
	kafka_message_free(hold->message);
	gateway_jobs_give_bytes(hold->jobs, hold->n_taken);
	free(hold);
}

/* A body over data, which is hold's; takes what hold holds, also on failure. */
static struct shared_body *
make_body(const struct hold *hold, const char *data, size_t len)
{
	struct hold *own = malloc(sizeof *own);
	struct shared_body *body = NULL;

	if (own) {
		*own = *hold;
		body = shared_body_make(data, len, release, own);
		if (!body)
			release(own);
		return body;
	}
	free(hold->text);
	kafka_message_free(hold->message);
	gateway_jobs_give_bytes(hold->jobs, hold->n_taken);
	return NULL;
}

struct shared_body *
jobs_body_of_text(struct gateway_jobs *jobs, char *text, size_t len, size_t n_taken)
{
	const struct hold hold = { jobs, n_taken, text, NULL };

	return make_body(&hold, text, len);
}

/* The body of an arrival; what the arrival owns is taken.  NULL: there is no memory. */
static struct shared_body *
take_body(struct arrival *arrival)
{
	struct hold hold = { .jobs = arrival->jobs };
	size_t len = arrival->body.len;
	const char *data = arrival->body.bytes;

	if (data) {
		/* Its bytes were taken with its parts. */
		hold.n_taken = len;
		hold.text = TAKE(arrival->body.bytes);
		return make_body(&hold, data, len);
	}
	data = kafka_message_value(arrival->message, &len);
	if (!gateway_jobs_take_bytes(arrival->jobs, len))
		return NULL;
	hold.n_taken = len;
	hold.message = TAKE(arrival->message);
	return make_body(&hold, data ? data : "", len);
}

/* ---- the job of a result ----------------------------------------------------- */

/* The member of a request as JSON, as tally_request_encode writes it after before; NULL when out of
 * memory. */
static char *
encode_member(const struct tally_request_view *view, const char *before)
{
	size_t skipped = strlen(before);
	char *text;
	size_t len;

	if (tally_request_encode(view, NULL, 0, &len) != TALLY_TOO_LARGE)
		return NULL;
	text = malloc(len);
	if (!text || tally_request_encode(view, text, len, &len) != TALLY_OK) {
		free(text);
		return NULL;
	}
	/* Without the brace that ends the request. */
	memmove(text, text + skipped, len - skipped - 1);
	text[len - skipped - 1] = '\0';
	return text;
}

static char *
encode_params(const struct tally_request_view *view)
{
	struct tally_request_view bare = *view;

	bare.dataset = "";
	bare.format = NULL;
	bare.n_labels = 0;
	return encode_member(&bare, "{\"dataset\":\"\",\"params\":");
}

static char *
encode_labels(const struct tally_request_view *view)
{
	struct tally_request_view bare = *view;

	bare.dataset = "";
	bare.format = NULL;
	bare.n_params = 0;
	return encode_member(&bare, "{\"dataset\":\"\",\"params\":{},\"labels\":");
}

tally_status
submission_job_init(const struct submission *submission, struct job *out_job)
{
	const struct tally_job_request *head = &submission->head;
	struct job job = { .id = head->id, .created_ms = head->created_ms, .has_request = true };
	OWN(tally_request) request = NULL;
	tally_status status =
	    tally_request_decode(submission->value, submission->len, &request, NULL);

	if (status != TALLY_OK)
		return status;
	const struct tally_request_view *view = tally_request_view(request);
	memcpy(job.tenant, head->tenant, sizeof job.tenant);
	job.deadline_ms = head->deadline_ms;
	job.partition = head->reply_partition;
	job.dataset = strdup(view->dataset);
	job.params = encode_params(view);
	job.format = view->format ? strdup(view->format) : NULL;
	job.labels = view->n_labels > 0 ? encode_labels(view) : NULL;
	if (!job.dataset || !job.params || (view->format && !job.format)
	    || (view->n_labels > 0 && !job.labels)) {
		submission_job_fini(&job);
		return TALLY_NO_MEMORY;
	}
	*out_job = job;
	return TALLY_OK;
}

void
submission_job_fini(struct job *job)
{
	free(job->dataset);
	free(job->params);
	free(job->format);
	free(job->labels);
	free(job->as_of);
	free(job->error);
}

/* A source's name comes from a header's; in a dataset file it is a word. */
static bool
is_word(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";

	return text[0] && !text[strspn(text, allowed)];
}

/* As the recorder writes it. */
static char *
encode_as_of(const struct tally_job_result *result)
{
	struct buf buf = BUF_INIT(AS_OF_BYTES);
	tally_status status = buf_puts(&buf, "{");
	size_t len;

	for (size_t i = 0; i < result->n_as_of && status == TALLY_OK; i++) {
		const struct tally_as_of *as_of = &result->as_of[i];

		if (is_word(as_of->source))
			status = buf_printf(&buf, "%s\"%s\":%lld", buf.len > 1 ? "," : "",
					    as_of->source, (long long)as_of->at_ms);
	}
	if (status == TALLY_OK)
		status = buf_append(&buf, "}", 2);
	if (status == TALLY_OK)
		return buf_take(&buf, &len);
	buf_fini(&buf);
	return NULL;
}

/* The error document: the result's value, or one of our own making when that is none. */
static char *
encode_error(const struct arrival *arrival)
{
	struct tally_error error;
	char own[ERROR_BYTES];
	size_t len;
	const char *value = kafka_message_value(arrival->message, &len);

	if (value && len <= JOB_ERROR_BYTES && tally_error_decode(value, len, &error) == TALLY_OK)
		return strndup(value, len);
	error = (struct tally_error){ .status = arrival->result.error_code };
	return tally_error_encode(&error, own, sizeof own, &len) == TALLY_OK ? strndup(own, len)
									     : NULL;
}

/* Fills in the result half. */
static tally_status
add_result(struct job *job, const struct arrival *arrival)
{
	static const enum job_state states[] = {
		[TALLY_SUCCEEDED] = JOB_SUCCEEDED,
		[TALLY_FAILED] = JOB_FAILED,
		[TALLY_STATE_CANCELLED] = JOB_CANCELLED,
	};
	const struct tally_job_result *result = &arrival->result;
	size_t len = 0;

	job->state = states[result->state];
	job->attempt = result->attempt;
	job->started_ms = result->started_ms;
	job->finished_ms = kafka_message_time_ms(arrival->message);
	job->run = result->run;
	job->partition = kafka_message_partition(arrival->message);
	job->offset = kafka_message_offset(arrival->message);
	if (result->n_as_of > 0 && !(job->as_of = encode_as_of(result)))
		return TALLY_NO_MEMORY;
	if (job->state != JOB_SUCCEEDED) {
		job->error = encode_error(arrival);
		return job->error ? TALLY_OK : TALLY_NO_MEMORY;
	}
	(void)kafka_message_value(arrival->message, &len);
	job->n_rows = result->rows;
	job->n_bytes = arrival->body.bytes ? arrival->body.len : len;
	job->n_parts = result->n_parts > 0 ? result->n_parts : 1;
	job->has_sha256 = result->has_sha256;
	memcpy(job->sha256, result->sha256, sizeof job->sha256);
	return TALLY_OK;
}

/* ---- who waits --------------------------------------------------------------- */

static void
answer_document(struct submission *submission, const struct arrival *arrival)
{
	struct job job;
	tally_status status = submission_job_init(submission, &job);

	if (status == TALLY_OK) {
		status = add_result(&job, arrival);
		if (status == TALLY_OK)
			submission_answer_final(submission, &job);
		submission_job_fini(&job);
	}
	if (status != TALLY_OK)
		submission_answer_accepted(submission, NULL);
}

static void
complete(struct arrival *arrival)
{
	struct wait *wait = waits_take(arrival->jobs->waits, &arrival->result.id);
	struct submission *submission = (struct submission *)wait;
	struct shared_body *body;

	if (!wait)
		return; /* left in between */
	if (submission->is_rows && arrival->result.state == TALLY_SUCCEEDED) {
		body = take_body(arrival);
		if (body)
			submission_answer_rows(submission, body);
		else
			submission_answer_accepted(submission, NULL);
	} else {
		answer_document(submission, arrival);
	}
	submission_drop(submission);
}

/* There is no memory for a result: its caller is told where to find it. */
static void
give_up(struct gateway_jobs *jobs, const struct tally_job_id *id)
{
	struct wait_list list = TAILQ_HEAD_INITIALIZER(list);
	struct wait *wait = waits_take(jobs->waits, id);

	log_warn("no memory for a result that is waited for", LOG_STR("job", id->text));
	if (!wait)
		return;
	TAILQ_INSERT_TAIL(&list, wait, link);
	submissions_expire(&list);
}

/* ---- parts ------------------------------------------------------------------- */

/* What the table holds now is what was taken for it; parts_lock is held. */
static void
settle(struct gateway_jobs *jobs)
{
	size_t n = tally_parts_bytes(jobs->parts);

	if (n < jobs->n_parts_bytes)
		gateway_jobs_give_bytes(jobs, jobs->n_parts_bytes - n);
	jobs->n_parts_bytes = n;
}

void
jobs_forget_parts(struct gateway_jobs *jobs, const struct tally_job_id *id)
{
	pthread_mutex_lock(&jobs->parts_lock);
	tally_parts_drop(jobs->parts, id);
	settle(jobs);
	pthread_mutex_unlock(&jobs->parts_lock);
}

void
jobs_age_parts(struct gateway_jobs *jobs)
{
	pthread_mutex_lock(&jobs->parts_lock);
	tally_parts_age(jobs->parts, clock_mono_ms());
	settle(jobs);
	pthread_mutex_unlock(&jobs->parts_lock);
}

/* Adds the part; of a body that is whole the bytes stay taken. */
static tally_status
add_part(struct arrival *arrival)
{
	struct gateway_jobs *jobs = arrival->jobs;
	size_t len;
	const void *data = kafka_message_value(arrival->message, &len);
	tally_status status = TALLY_TOO_LARGE;

	pthread_mutex_lock(&jobs->parts_lock);
	if (gateway_jobs_take_bytes(jobs, len)) {
		jobs->n_parts_bytes += len;
		status = tally_parts_add(jobs->parts, &arrival->result, data, len, clock_mono_ms(),
					 &arrival->body);
		if (status == TALLY_OK)
			jobs->n_parts_bytes -= arrival->body.len;
	}
	if (status == TALLY_TOO_LARGE || status == TALLY_NO_MEMORY)
		tally_parts_drop(jobs->parts, &arrival->result.id);
	settle(jobs);
	pthread_mutex_unlock(&jobs->parts_lock);
	return status;
}

static void
take_part(struct arrival *arrival)
{
	tally_status status = add_part(arrival);
	bool is_owned;

	switch (status) {
	case TALLY_OK:
		complete(arrival);
		is_owned = arrival->body.bytes != NULL;
		free(arrival->body.bytes);
		if (is_owned)
			gateway_jobs_give_bytes(arrival->jobs, arrival->body.len);
		break;
	case TALLY_RESULT_NOT_READY:
		break;
	case TALLY_BAD_REQUEST:
		/* Another run may come; if none does, the caller's wait ends. */
		log_warn("parts of a result that do not fit",
			 LOG_STR("job", arrival->result.id.text));
		break;
	default:
		give_up(arrival->jobs, &arrival->result.id);
	}
}

/* ---- messages ---------------------------------------------------------------- */

/* Reads a result of a job that was published here.  What the recorder would refuse must not end a
 * wait either: the id was made for one tenant. */
static tally_status
read_result(struct arrival *arrival, struct tally_error *err)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	struct tally_job_result *result = &arrival->result;
	size_t n = kafka_message_headers(arrival->message, headers, TALLY_HEADERS_MAX);
	size_t key_len, len;
	const void *key = kafka_message_key(arrival->message, &key_len);
	const char *value = kafka_message_value(arrival->message, &len);
	tally_status status = tally_job_result_read(key, key_len, headers, n, result, err);

	if (status != TALLY_OK)
		return status;
	if (!tally_job_id_is_genuine(&result->id, &arrival->jobs->secrets, result->tenant))
		return tally_fail(err, TALLY_BAD_REQUEST, "the job is not this tenant's");
	if (result->state == TALLY_SUCCEEDED && !tally_job_result_is_part(result)
	    && !shared_body_is_rows(value, len))
		return tally_fail(err, TALLY_BAD_REQUEST, "the value is no answer");
	return TALLY_OK;
}

void
jobs_on_result(void *ctx, struct kafka_message *message)
{
	struct arrival arrival = { .jobs = ctx, .message = message };
	struct tally_error err = { 0 };
	size_t key_len;
	const char *key = kafka_message_key(message, &key_len);

	if (key && key_len == TALLY_JOB_ID_CHARS && waits_has(arrival.jobs->waits, key)) {
		if (read_result(&arrival, &err) != TALLY_OK) {
			metric_add(arrival.jobs->refused, 1);
			log_warn("unreadable result",
				 LOG_INT("offset", kafka_message_offset(message)), LOG_ERROR(&err));
		} else if (tally_job_result_is_part(&arrival.result)) {
			take_part(&arrival);
		} else {
			complete(&arrival);
		}
	}
	kafka_message_free(arrival.message);
}
