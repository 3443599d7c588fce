/* POST /v1/jobs, and rows that are asked for with Prefer: respond-async: from HTTP to a checked
 * request. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include <tally/request.h>

#include "base/own.h"
#include "gateway/gateway_inner.h"
#include "gateway/problem.h"
#include "gateway/query.h"
#include "gateway/submission.h"

OWN_DEFINE(params);
OWN_DEFINE(tally_request);

#define TIMEOUT_MIN_MS 1000

/* ---- headers ----------------------------------------------------------------- */

/* application/json, perhaps with parameters. */
static tally_status
check_media_type(const struct http_request *request, struct tally_error *err)
{
	static const char json[] = "application/json";
	const char *value = http_request_header(request, "Content-Type");
	size_t len = sizeof json - 1;

	if (value && strncasecmp(value, json, len) == 0) {
		const char *rest = value + len + strspn(value + len, " \t");
		if (*rest == '\0' || *rest == ';')
			return TALLY_OK;
	}
	return tally_fail(err, TALLY_UNSUPPORTED_MEDIA_TYPE,
			  "the body must be %s, and "
			  "Content-Type say so",
			  json);
}

static void
count_header(const char *value, void *ctx)
{
	int *n = ctx;

	(void)value;
	(*n)++;
}

static tally_status
read_key(struct submission *submission, struct tally_error *err)
{
	const struct http_request *request = submission->exchange.request;
	const char *key = http_request_header(request, "Idempotency-Key");
	size_t len = key ? strlen(key) : 0;
	bool is_right = len >= 1 && len <= TALLY_IDEMPOTENCY_KEY_MAX;
	int n = 0;

	if (!key)
		return TALLY_OK;
	http_request_each_header(request, "Idempotency-Key", count_header, &n);
	for (size_t i = 0; is_right && i < len; i++)
		is_right = key[i] > ' ' && key[i] <= '~';
	if (!is_right || n > 1)
		return tally_fail(err, TALLY_BAD_REQUEST,
				  "Idempotency-Key is 1 to %d printable ASCII characters, once",
				  TALLY_IDEMPOTENCY_KEY_MAX);
	memcpy(submission->head.idempotency_key, key, len + 1);
	return TALLY_OK;
}

static tally_status
read_headers(struct submission *submission, struct tally_error *err)
{
	const struct http_request *request = submission->exchange.request;

	query_read_prefer(request, &submission->prefer);
	submission->head.no_cache = query_has_no_cache(request);
	if (submission->exchange.trace.text[0] == '\0')
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness");
	return read_key(submission, err);
}

static tally_status
check_ready(const struct exchange *exchange, struct tally_error *err)
{
	if (gateway_is_ready(exchange->gateway))
		return TALLY_OK;
	(void)tally_fail(err, TALLY_KAFKA_UNAVAILABLE,
			 "this gateway has not met its Kafka broker yet");
	snprintf(err->source, sizeof err->source, "kafka");
	return TALLY_KAFKA_UNAVAILABLE;
}

/* ---- POST /v1/jobs ----------------------------------------------------------- */

/* A request as its body tells it. */
struct body {
	struct tally_request *request;
	int64_t timeout_ms; /* 0: none */
};

static tally_status
read_body(const struct exchange *exchange, struct body *body, struct tally_error *err)
{
	size_t len;
	const char *text = http_request_body(exchange->request, &len);
	int64_t timeout_ms = INT64_MIN;
	tally_status status = check_media_type(exchange->request, err);

	if (status == TALLY_OK)
		status = tally_request_decode_http(text ? text : "", len, &body->request,
						   &timeout_ms, err);
	/* Below zero like zero: out of range. */
	body->timeout_ms = timeout_ms == INT64_MIN ? 0 : timeout_ms <= 0 ? -1 : timeout_ms;
	return status;
}

/* What is wrong besides the parameters is told with them. */
static void
check_own(const struct body *body, struct params_faults *faults)
{
	const char *format = tally_request_view(body->request)->format;
	enum transcode_format any;

	if (format && !transcode_format_parse(format, strlen(format), &any))
		problem_add_fault(faults, "format", "must be json, csv or ndjson");
	if (body->timeout_ms != 0
	    && (body->timeout_ms < TIMEOUT_MIN_MS || body->timeout_ms > TALLY_JOB_DEADLINE_MAX_MS))
		problem_add_fault(faults, "timeout_ms",
				  "must be 1000 (a second) to 43200000 (12 h)");
}

static tally_status
check_body(const struct submission *submission, const struct body *body, struct params **out_params,
	   struct params_faults *faults, struct tally_error *err)
{
	struct params_faults own = { .n = 0 };
	tally_status status = params_from_request(
	    submission->definition, tally_request_view(body->request), out_params, faults, err);

	check_own(body, &own);
	for (size_t i = 0; i < own.n; i++)
		problem_add_fault(faults, own.items[i].name, own.items[i].detail);
	if (status == TALLY_OK && own.n > 0)
		return tally_fail(err, TALLY_INVALID_PARAMETER, "%s %s", own.items[0].name,
				  own.items[0].detail);
	return status;
}

/* Makes the submission of a body whose dataset there is. */
static tally_status
make_from_body(struct submission *submission, const struct body *body, struct params_faults *faults,
	       struct tally_error *err)
{
	const struct tally_request_view *view = tally_request_view(body->request);
	OWN(params) params = NULL;
	tally_status status = check_body(submission, body, &params, faults, err);

	if (status == TALLY_OK)
		status = read_headers(submission, err);
	if (status == TALLY_OK)
		status = check_ready(&submission->exchange, err);
	if (status == TALLY_OK)
		status = submission_make(submission, params, view, body->timeout_ms, err);
	return status;
}

static void
submit_body(struct gateway_jobs *jobs, const struct exchange *exchange, const struct body *body,
	    const struct definition *definition)
{
	struct params_faults faults = { .in = "body" };
	struct tally_error err = { 0 };
	struct submission *submission = submission_new(jobs, exchange);

	if (!submission) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		exchange_problem(exchange, &err, NULL);
		return;
	}
	submission->definition = definition;
	if (make_from_body(submission, body, &faults, &err) == TALLY_OK) {
		submission_start(submission);
		return;
	}
	exchange_problem(exchange, &err, faults.n > 0 ? &faults : NULL);
	submission_drop(submission);
}

void
gateway_post_job(const struct exchange *exchange)
{
	struct gateway_jobs *jobs = gateway_jobs_begin(exchange);
	struct body body = { .request = NULL };
	struct tally_error err = { 0 };

	if (!jobs)
		return;
	if (read_body(exchange, &body, &err) == TALLY_OK) {
		const char *name = tally_request_view(body.request)->dataset;
		const struct definition *definition =
		    catalog_find(exchange->gateway->options.catalog, name, strlen(name));
		if (definition)
			submit_body(jobs, exchange, &body, definition);
		else
			gateway_answer_unknown(exchange);
	} else {
		exchange_problem(exchange, &err, NULL);
	}
	tally_request_free(body.request);
	gateway_jobs_end(jobs);
}

/* ---- rows, as a job ---------------------------------------------------------- */

static const char *const format_names[] = {
	[TRANSCODE_JSON] = "json", [TRANSCODE_CSV] = "csv", [TRANSCODE_NDJSON] = "ndjson"
};

static tally_status
make_from_query(struct submission *submission, struct params_faults *faults,
		struct tally_error *err)
{
	struct tally_request_view more = { .n_labels = 0 };
	OWN(params) params = NULL;
	struct form *form = &submission->form;
	tally_status status = query_read(submission->definition, submission->exchange.request,
					 &params, form, faults, err);

	if (status == TALLY_OK)
		status = read_headers(submission, err);
	if (status == TALLY_OK)
		status = check_ready(&submission->exchange, err);
	if (status != TALLY_OK)
		return status;
	submission->is_rows = true;
	/* So that the result's address gives the same form. */
	if (form->has_format || form->format != TRANSCODE_JSON)
		more.format = format_names[form->format];
	return submission_make(submission, params, &more, 0, err);
}

bool
gateway_respond_async(const struct exchange *exchange, const struct definition *definition)
{
	struct params_faults faults = { .n = 0 };
	struct tally_error err = { 0 };
	struct submission *submission;
	struct gateway_jobs *jobs;
	struct prefer prefer;

	query_read_prefer(exchange->request, &prefer);
	if (!prefer.is_async || !exchange->gateway->jobs)
		return false; /* a preference may be ignored: RFC 7240, section 2 */
	jobs = gateway_jobs_begin(exchange);
	if (!jobs)
		return true;
	submission = submission_new(jobs, exchange);
	if (!submission) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		exchange_problem(exchange, &err, NULL);
	} else {
		submission->definition = definition;
		if (make_from_query(submission, &faults, &err) == TALLY_OK) {
			submission_start(submission);
		} else {
			exchange_problem(exchange, &err, faults.n > 0 ? &faults : NULL);
			submission_drop(submission);
		}
	}
	gateway_jobs_end(jobs);
	return true;
}
