/* Answers to callers of rows: rows in three formats, or a problem. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/problem.h"
#include "gateway/server_timing.h"
#include "kafka/message.h"

struct shared_body {
	atomic_uint n_references;
	const char *data;
	size_t len;
	http_free_fn *release; /* of what holds the data */
	void *ctx;
};

/* CSV or NDJSON on its way: it reads the shared body. */
struct stream {
	struct transcode *transcode;
	struct shared_body *body;
};

struct shared_body *
shared_body_make(const char *data, size_t len, http_free_fn *release, void *ctx)
{
	struct shared_body *body = malloc(sizeof *body);

	if (!body)
		return NULL;
	atomic_init(&body->n_references, 1);
	body->data = data;
	body->len = len;
	body->release = release;
	body->ctx = ctx;
	return body;
}

static void
release_message(void *ctx)
{
	kafka_message_free(ctx);
}

struct shared_body *
shared_body_new(struct kafka_message *message)
{
	size_t len;
	const char *data = kafka_message_value(message, &len);
	struct shared_body *body = shared_body_make(data, len, release_message, message);

	if (!body)
		kafka_message_free(message);
	return body;
}

bool
shared_body_is_rows(const char *data, size_t len)
{
	static const char head[] = "{\"status\":\"ok\",\"data\":[";
	static const char end[] = "]}";
	const size_t n_head = sizeof head - 1, n_end = sizeof end - 1;

	return data && len >= n_head + n_end && memcmp(data, head, n_head) == 0
	       && memcmp(data + len - n_end, end, n_end) == 0;
}

void
shared_body_drop(struct shared_body *body)
{
	if (atomic_fetch_sub(&body->n_references, 1) > 1)
		return;
	body->release(body->ctx);
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

void
gateway_count(const struct exchange *exchange, const char *dataset, tally_status outcome)
{
	const struct gateway_metrics *metrics = &exchange->gateway->metrics;
	int64_t took_us = clock_mono_us() - http_request_arrived_us(exchange->request);

	metric_add(metric_series(metrics->requests, dataset, tally_status_code(outcome)), 1);
	metric_observe(metrics->seconds, (double)took_us / 1e6);
}

static void
add_preference(struct http_response *response, const struct caller *caller)
{
	char applied[32];

	if (!caller->has_preference)
		return;
	snprintf(applied, sizeof applied, "wait=%u", caller->waiter.wait_s);
	http_response_header(response, "Preference-Applied", applied);
}

static void
add_file_name(struct http_response *response, const struct definition *definition,
	      const struct form *form)
{
	char value[128];

	if (form->format != TRANSCODE_CSV)
		return;
	snprintf(value, sizeof value, "attachment; filename=%s.csv", definition->name);
	http_response_header(response, "Content-Disposition", value);
}

/* CSV or NDJSON; the stream holds a reference. */
static bool
set_stream(struct http_response *response, struct shared_body *body,
	   const struct definition *definition, const struct form *form)
{
	struct stream *stream = malloc(sizeof *stream);

	if (!stream)
		return false;
	stream->transcode =
	    transcode_new(definition, form->format, form->csv_safe, body->data, body->len);
	if (!stream->transcode) {
		free(stream);
		return false;
	}
	stream->body = body;
	atomic_fetch_add(&body->n_references, 1);
	http_response_stream(response, read_stream, drop_stream, stream);
	return true;
}

bool
shared_body_set(struct http_response *response, struct shared_body *body,
		const struct definition *definition, const struct form *form)
{
	if (form->format == TRANSCODE_JSON) {
		atomic_fetch_add(&body->n_references, 1);
		http_response_foreign(response, body->data, body->len, drop_body, body);
	} else if (!set_stream(response, body, definition, form)) {
		return false;
	}
	http_response_header(response, "Content-Type", transcode_media_type(form->format));
	add_file_name(response, definition, form);
	return true;
}

static void
add_timing(struct http_response *response, const struct caller *caller, const char *worker)
{
	const struct server_times times = {
		.arrived_us = http_request_arrived_us(caller->exchange.request),
		.published_us = caller->waiter.is_joiner ? 0 : caller->published_us,
		.replied_us = clock_mono_us(),
	};
	char value[SERVER_TIMING_BYTES];

	server_timing_write(&times, worker, value);
	http_response_header(response, "Server-Timing", value);
}

void
answer_rows(struct caller *caller, struct shared_body *body, const char *timing)
{
	struct http_response response;

	http_response_init(&response, 200);
	http_response_header(&response, "Cache-Control", "no-store");
	add_preference(&response, caller);
	add_timing(&response, caller, timing);
	if (!shared_body_set(&response, body, caller->definition, &caller->form)) {
		struct tally_error err = { 0 };
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		answer_error(caller, &err);
		return;
	}
	gateway_count(&caller->exchange, caller->definition->name, TALLY_OK);
	exchange_reply(&caller->exchange, &response);
	caller_free(caller);
}

void
answer_quietly(struct caller *caller, const struct tally_error *error, unsigned retry_s)
{
	struct http_response response;

	exchange_set_problem(&response, error, NULL, retry_s);
	add_preference(&response, caller);
	gateway_count(&caller->exchange, caller->definition->name,
		      problem_public_status(error->status));
	exchange_reply(&caller->exchange, &response);
	caller_free(caller);
}

void
answer_error(struct caller *caller, const struct tally_error *error)
{
	if (problem_http_status(error->status) >= 500)
		log_warn("request failed", LOG_STR("dataset", caller->definition->name),
			 LOG_STR("trace", caller->exchange.trace.text), LOG_ERROR(error));
	answer_quietly(caller, error, 0);
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
