/* Answers of the gateway: rows in three formats, and problem documents. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/problem.h"
#include "kafka/message.h"

struct shared_body {
	atomic_uint n_references;
	struct kafka_message *message;
};

/* CSV or NDJSON on its way: it reads the shared body. */
struct stream {
	struct transcode *transcode;
	struct shared_body *body;
};

struct shared_body *
shared_body_new(struct kafka_message *message)
{
	struct shared_body *body = malloc(sizeof *body);

	if (!body) {
		kafka_message_free(message);
		return NULL;
	}
	atomic_init(&body->n_references, 1);
	body->message = message;
	return body;
}

void
shared_body_drop(struct shared_body *body)
{
	if (atomic_fetch_sub(&body->n_references, 1) > 1)
		return;
	kafka_message_free(body->message);
	free(body);
}

static void
drop_body(void *ctx)
{
	shared_body_drop(ctx);
}

static void
drop_stream(void *ctx)
{
	struct stream *stream = ctx;

	transcode_free(stream->transcode);
	shared_body_drop(stream->body);
	free(stream);
}

static ssize_t
read_stream(void *ctx, char *out, size_t max)
{
	struct stream *stream = ctx;
	size_t len;

	if (transcode_read(stream->transcode, out, max, &len) != TALLY_OK) {
		log_error("a result cannot be written as CSV or NDJSON");
		return -1;
	}
	return (ssize_t)len;
}

static void
caller_free(struct caller *caller)
{
	params_free(caller->params);
	free(caller);
}

static void
count(struct gateway *gateway, struct http_request *request, const char *dataset,
      tally_status outcome)
{
	metric_add(metric_series(gateway->metrics.requests, dataset, tally_status_code(outcome)),
		   1);
	metric_observe(gateway->metrics.seconds,
		       (double)(clock_mono_us() - http_request_arrived_us(request)) / 1e6);
}

static void
add_common_headers(struct http_response *response, const struct caller *caller)
{
	char applied[32];

	http_response_header(response, "traceparent", caller->trace.text);
	http_response_header(response, "Cache-Control", "no-store");
	if (!caller->has_preference)
		return;
	snprintf(applied, sizeof applied, "wait=%u", caller->waiter.wait_s);
	http_response_header(response, "Preference-Applied", applied);
}

static void
add_file_name(struct http_response *response, const struct caller *caller)
{
	char value[128];

	if (caller->format != TRANSCODE_CSV)
		return;
	snprintf(value, sizeof value, "attachment; filename=%s.csv", caller->definition->name);
	http_response_header(response, "Content-Disposition", value);
}

/* Sets the body in the caller's format; it holds a reference of its own. */
static bool
set_body(struct http_response *response, const struct caller *caller, struct shared_body *body)
{
	size_t len;
	const char *data = kafka_message_value(body->message, &len);

	if (caller->format == TRANSCODE_JSON) {
		atomic_fetch_add(&body->n_references, 1);
		http_response_foreign(response, data, len, drop_body, body);
		return true;
	}
	struct stream *stream = malloc(sizeof *stream);
	if (!stream)
		return false;
	stream->transcode =
	    transcode_new(caller->definition, caller->format, caller->csv_safe, data, len);
	if (!stream->transcode) {
		free(stream);
		return false;
	}
	stream->body = body;
	atomic_fetch_add(&body->n_references, 1);
	http_response_stream(response, read_stream, drop_stream, stream);
	return true;
}

void
answer_rows(struct caller *caller, struct shared_body *body, const char *timing)
{
	struct http_response response;

	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", transcode_media_type(caller->format));
	add_file_name(&response, caller);
	add_common_headers(&response, caller);
	if (timing[0] != '\0')
		http_response_header(&response, "Server-Timing", timing);
	if (!set_body(&response, caller, body)) {
		struct tally_error err = { 0 };
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		answer_error(caller, &err);
		return;
	}
	count(caller->gateway, caller->request, caller->definition->name, TALLY_OK);
	http_reply(caller->request, &response);
	caller_free(caller);
}

static void
set_problem(struct http_response *response, const struct tally_error *error,
	    const struct params_faults *faults)
{
	size_t len = 0;
	char seconds[16];
	char *body = problem_body(error, faults, &len);
	unsigned retry_s = problem_retry_after_s(error->status);

	http_response_init(response, problem_http_status(error->status));
	http_response_header(response, "Content-Type", PROBLEM_MEDIA_TYPE);
	if (retry_s > 0) {
		snprintf(seconds, sizeof seconds, "%u", retry_s);
		http_response_header(response, "Retry-After", seconds);
	}
	if (error->status == TALLY_METHOD_NOT_ALLOWED)
		http_response_header(response, "Allow", "GET, HEAD");
	if (body)
		http_response_owned(response, body, len);
}

void
answer_error(struct caller *caller, const struct tally_error *error)
{
	struct http_response response;

	set_problem(&response, error, NULL);
	add_common_headers(&response, caller);
	count(caller->gateway, caller->request, caller->definition->name,
	      problem_public_status(error->status));
	if (problem_http_status(error->status) >= 500)
		log_warn("request failed", LOG_STR("dataset", caller->definition->name),
			 LOG_STR("trace", caller->trace.text), LOG_ERROR(error));
	http_reply(caller->request, &response);
	caller_free(caller);
}

void
answer_problem(struct gateway *gateway, struct http_request *request,
	       const struct tally_error *error, const struct params_faults *faults)
{
	struct http_response response;
	struct tally_trace trace;

	set_problem(&response, error, faults);
	if (gateway_read_trace(request, &trace) == TALLY_OK)
		http_response_header(&response, "traceparent", trace.text);
	count(gateway, request, "", problem_public_status(error->status));
	http_reply(request, &response);
}

void
answer_all(struct waiter_list *waiters, const struct tally_error *error)
{
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(waiters)) != NULL) {
		TAILQ_REMOVE(waiters, waiter, in_flight);
		answer_error((struct caller *)waiter, error);
	}
}
