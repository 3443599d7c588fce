/* request.c - one request from its request line to its answer.
 *
 * libmicrohttpd calls with the headers, with parts of the body, at the end, and again after a
 * resume.  A refused request goes to the handler, too: at once when nobody can tell where it ends,
 * or when its body is too long to wait for; else when it is whole, because a socket that is closed
 * with unread bytes is reset, and then the client never sees why. */
#include "http/inner.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <syslog.h>

#include "base/clock.h"

#define FIRST_BODY_BYTES   4096
#define STREAM_BLOCK_BYTES 32768

struct stream {
	struct conn *conn;
	http_read_fn *read;
	http_free_fn *free_body;
	void *ctx;
};

/* ---- what came in ------------------------------------------------------------ */

struct http_request *
http_request_new(struct conn *conn, struct MHD_Connection *mhd, const char *raw)
{
	struct http_request *request = calloc(1, sizeof *request);

	if (!request)
		return NULL;
	request->server = conn->server;
	request->conn = conn;
	request->mhd = mhd;
	request->raw_at = raw;
	request->raw_len = strlen(raw);
	if (request->raw_len <= conn->server->options.max_target_bytes) {
		request->raw = strdup(raw);
		if (!request->raw) {
			free(request);
			return NULL;
		}
	}
	http_conn_reading(conn, request);
	return request;
}

void
http_request_free(struct http_request *request)
{
	if (!request)
		return;
	http_conn_idle(request->conn);
	if (request->answer)
		MHD_destroy_response(request->answer);
	http_target_fini(&request->target);
	free(request->raw);
	free(request->headers);
	free(request->header_text);
	free(request->body);
	free(request);
}

static void
refuse(struct http_request *request, tally_status status, const char *text)
{
	request->is_refused = true;
	(void)tally_fail(&request->refusal, status, "%s", text);
	free(request->body);
	request->body = NULL;
	request->body_len = request->body_cap = 0;
}

static void
refuse_body(struct http_request *request)
{
	char text[96];

	(void)snprintf(text, sizeof text, "the request's body is longer than %zu bytes",
		       request->server->options.max_body_bytes);
	refuse(request, TALLY_BODY_TOO_LARGE, text);
}

static void
read_target(struct http_request *request)
{
	char text[96];

	if (request->raw) {
		request->is_refused =
		    http_target_parse(request->raw, &request->target, &request->refusal)
		    != TALLY_OK;
		return;
	}
	(void)snprintf(text, sizeof text, "the URL is longer than %zu bytes",
		       request->server->options.max_target_bytes);
	refuse(request, TALLY_URI_TOO_LONG, text);
}

/* Reads the head of a request; false: it must be answered now, refused. */
static bool
read_head(struct http_request *request, const struct http_line *line)
{
	size_t most = request->server->options.max_body_bytes;

	request->has_headers = true;
	if (http_framing_read(request, line, &request->refusal) != TALLY_OK) {
		request->is_refused = true;
		return false;
	}
	read_target(request);
	if (!request->is_refused && request->declared_bytes > most)
		refuse_body(request);
	/* Nobody has sent a body yet who asks first. */
	return !request->is_refused
	       || (!request->expects_continue
		   && (request->declared_bytes <= most
		       || request->declared_bytes - most <= HTTP_DRAIN_BYTES));
}

static bool
grow_body(struct http_request *request, size_t len)
{
	size_t most = request->server->options.max_body_bytes;
	size_t cap = request->body_cap ? request->body_cap : FIRST_BODY_BYTES;
	char *body;

	while (cap < len)
		cap = cap > most / 2 ? most : cap * 2;
	if (cap == request->body_cap)
		return true;
	body = realloc(request->body, cap);
	if (!body)
		return false;
	request->body = body;
	request->body_cap = cap;
	return true;
}

/* Keeps a part of the body, or drops it; false: cut the connection. */
static bool
take_body(struct http_request *request, const char *data, size_t len)
{
	size_t most = request->server->options.max_body_bytes;

	if (!request->is_refused && len > most - request->body_len) {
		request->dropped_bytes = 0;
		refuse_body(request);
	}
	if (request->is_refused) {
		request->dropped_bytes += len;
		return request->dropped_bytes <= most + HTTP_DRAIN_BYTES;
	}
	if (!grow_body(request, request->body_len + len))
		return false;
	memcpy(request->body + request->body_len, data, len);
	request->body_len += len;
	return true;
}

/* ---- to the handler and back ------------------------------------------------- */

static bool
send_answer(struct http_request *request)
{
	struct MHD_Response *answer = request->answer;
	enum MHD_Result result;

	if (!answer)
		return false;
	request->answer = NULL;
	http_conn_sending(request->conn);
	result = MHD_queue_response(request->mhd, request->status, answer);
	MHD_destroy_response(answer);
	return result == MHD_YES;
}

static bool
hand_over(struct http_request *request)
{
	struct http_server *server = request->server;

	request->arrived_us = clock_mono_us();
	atomic_fetch_add(&server->n_waiting, 1);
	http_conn_handled(request->conn);
	server->options.handler(server->options.ctx, request);
	if (http_conn_is_answered(request->conn))
		return send_answer(request);
	MHD_suspend_connection(request->mhd);
	if (!http_conn_waiting(request->conn))
		http_turn_resume(request->conn->turn, request->mhd);
	return true;
}

bool
http_request_call(struct http_request *request, const struct http_line *line, const char *data,
		  size_t *len)
{
	/* Once it is with the handler, libmicrohttpd calls only after a resume. */
	if (request->stage != REQUEST_READING)
		return send_answer(request);
	if (!request->has_headers)
		return read_head(request, line) || hand_over(request);
	if (*len > 0) {
		bool is_taken = take_body(request, data, *len);

		*len = 0;
		return is_taken;
	}
	return hand_over(request);
}

/* ---- the answer -------------------------------------------------------------- */

ssize_t
http_read_cut(char *out)
{
	out[0] = '\n';
	return 1;
}

static ssize_t
read_stream(void *ctx, uint64_t offset, char *out, size_t max)
{
	const struct stream *stream = ctx;
	ssize_t n = stream->read(stream->ctx, out, max);

	(void)offset;
	if (n > 0)
		return n;
	if (n == 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	http_conn_cut(stream->conn);
	return http_read_cut(out);
}

static void
free_stream(void *ctx)
{
	struct stream *stream = ctx;

	if (stream->free_body)
		stream->free_body(stream->ctx);
	free(stream);
}

/* Takes the body when it succeeds. */
static struct MHD_Response *
build_stream(struct conn *conn, const struct http_response *response)
{
	struct stream *stream = malloc(sizeof *stream);
	struct MHD_Response *answer;

	if (!stream)
		return NULL;
	*stream = (struct stream){ conn, response->read, response->free_body, response->ctx };
	answer = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
						   read_stream, stream, free_stream);
	if (!answer)
		free(stream);
	return answer;
}

static struct MHD_Response *
build_body(struct conn *conn, const struct http_response *response)
{
	if (response->kind == HTTP_BODY_STREAM)
		return build_stream(conn, response);
	if (response->kind == HTTP_BODY_PUSH)
		return http_push_build(response->ctx, conn);
	/* libmicrohttpd only reads it. */
	return MHD_create_response_from_buffer_with_free_callback_cls(
	    response->len, (void *)(uintptr_t)response->data, response->free_body, response->ctx);
}

static void
add_header(const struct http_server *server, struct MHD_Response *answer, const char *name,
	   const char *value)
{
	if (MHD_add_response_header(answer, name, value) != MHD_YES)
		http_log(server, LOG_WARNING, "a response header was left out: %s", name);
}

/* The answer for libmicrohttpd; the response is empty afterwards.  NULL without memory, and when
 * there is nobody to read it. */
static struct MHD_Response *
build(const struct http_request *request, struct http_response *response, bool is_gone)
{
	const struct http_server *server = request->server;
	struct MHD_Response *answer = is_gone ? NULL : build_body(request->conn, response);

	if (!answer) {
		http_response_drop(response);
		return NULL;
	}
	for (size_t i = 0; i < response->n_headers; i++)
		add_header(server, answer, response->names[i], response->values[i]);
	if (request->is_refused || request->is_chunked || atomic_load(&server->is_quiescing))
		add_header(server, answer, "Connection", "close");
	http_response_static(response, "", 0);
	return answer;
}

void
http_reply(struct http_request *request, struct http_response *response)
{
	struct http_server *server = request->server;
	struct MHD_Connection *mhd = request->mhd;
	struct http_turn *turn = request->conn->turn;
	bool is_gone = http_conn_settle(request->conn);

	request->status = response->status;
	if (http_conn_answered(request->conn, build(request, response, is_gone)))
		http_turn_resume(turn, mhd);
	/* The last touch: with no request waiting the server may be stopped. */
	atomic_fetch_sub(&server->n_waiting, 1);
}

/* ---- for the handler --------------------------------------------------------- */

const struct tally_error *
http_request_refusal(const struct http_request *request)
{
	return request->is_refused ? &request->refusal : NULL;
}

const char *
http_request_method(const struct http_request *request)
{
	return request->method;
}

const struct http_target *
http_request_target(const struct http_request *request)
{
	return &request->target;
}

const char *
http_request_header(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->n_headers; i++)
		if (strcasecmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	return NULL;
}

void
http_request_each_header(const struct http_request *request, const char *name,
			 void (*each)(const char *value, void *ctx), void *ctx)
{
	for (size_t i = 0; i < request->n_headers; i++)
		if (strcasecmp(request->headers[i].name, name) == 0)
			each(request->headers[i].value, ctx);
}

const char *
http_request_body(const struct http_request *request, size_t *out_len)
{
	*out_len = request->body_len;
	return request->body_len > 0 ? request->body : NULL;
}

int64_t
http_request_arrived_us(const struct http_request *request)
{
	return request->arrived_us;
}

void
http_request_on_gone(struct http_request *request, http_gone_fn *on_gone, void *ctx)
{
	request->on_gone = on_gone;
	request->gone_ctx = ctx;
}
