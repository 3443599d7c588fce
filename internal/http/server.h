/* server.h - HTTP/1.1 on libmicrohttpd, strict at the edge; knows nothing of datasets or Kafka.
 *
 * One request:
 *   received -> handler (a server thread) -> http_reply before the handler returns, or
 *                                         -> waiting -> http_reply from any thread
 * The handler is called once, with a whole request or a refused one, and exactly one http_reply
 * ends it; after that the request is gone.  While a request waits, on_gone tells that its client
 * has left (a FIN counts: RFC 9112, section 9.6, lets a client that closes early not expect an
 * answer); http_reply is due all the same, and its response is dropped.  No on_gone comes after
 * http_reply has returned: it waits for one that is running, so hold no lock then that on_gone
 * takes.
 *
 * What is limited: connections, target, headers, body, the time to send a whole request, the time
 * to take the answer.  libmicrohttpd has only a limit on inactivity, and none while it waits. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/response.h"
#include "http/target.h"

struct http_request;
struct http_server;
struct watchdog; /* base/watchdog.h */

typedef void http_handler_fn(void *ctx, struct http_request *request);
typedef void http_gone_fn(void *ctx);

/* A line for the log; level as in syslog(3).  Any thread. */
typedef void http_log_fn(void *ctx, int level, const char *text);

struct http_server_options {
	const char *listen; /* "127.0.0.1:8080", "[::1]:0", ":8080" (all addresses) */
	unsigned n_threads;
	unsigned max_connections;
	size_t max_body_bytes;
	size_t max_target_bytes;
	int request_timeout_ms; /* from the request line to the last byte of the body */
	int idle_timeout_ms;    /* of a connection without a request */
	int stall_timeout_ms;   /* without progress of an answer; and 16 KiB/s at least */
	http_handler_fn *handler;
	void *ctx;
	http_log_fn *on_log;       /* may be NULL */
	struct watchdog *watchdog; /* of the threads that serve; NULL: nobody watches them */
};

/* Counters; read at any time. */
struct http_server_stats {
	uint64_t connections; /* open now */
	uint64_t waiting;     /* requests without an answer yet */
	uint64_t gone;        /* clients that left while they waited */
	uint64_t reaped;      /* connections closed because they were too slow */
	uint64_t streams;     /* pushed bodies (push.h) on their way */
};

/* Begins to listen.  TALLY_WRONG_SETTING: the address cannot be used (taken, not ours, malformed),
 * with what to do.  TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status http_server_start(const struct http_server_options *options,
						struct http_server **out_server,
						struct tally_error *err);

/* The port that is listened on. */
unsigned http_server_port(const struct http_server *server);

/* Takes no more connections; answers from now on close theirs. */
void http_server_quiesce(struct http_server *server);

/* Waits until no answer is on its way to its client, at most timeout_ms: a stop would cut it.  A
 * pushed body that was not ended is not waited for while it has nothing to send. */
void http_server_drain(struct http_server *server, int timeout_ms);

/* Stops and frees the server; no request may be waiting, and every pushed body must be freed by its
 * writer.  Accepts NULL. */
void http_server_stop(struct http_server *server);

/* A snapshot of the counters. */
struct http_server_stats http_server_stats(struct http_server *server);

/* ---- of a request: valid until http_reply; strings are borrowed --------------------------- */

/* Why the request must be refused (TALLY_BAD_REQUEST, TALLY_URI_TOO_LONG, TALLY_BODY_TOO_LARGE), or
 * NULL.  Of a refused request only this and http_reply may be used; its connection is closed. */
const struct tally_error *http_request_refusal(const struct http_request *request);

/* "GET" ... */
const char *http_request_method(const struct http_request *request);

/* Path and query, decoded. */
const struct http_target *http_request_target(const struct http_request *request);

/* The value of the first header of a name (any case), or NULL. */
const char *http_request_header(const struct http_request *request, const char *name);

/* Calls each for every header line of a name. */
void http_request_each_header(const struct http_request *request, const char *name,
			      void (*each)(const char *value, void *ctx), void *ctx);

/* The body; NULL with length 0 without one. */
const char *http_request_body(const struct http_request *request, size_t *out_len);

/* When the request was there, clock_mono_us(). */
int64_t http_request_arrived_us(const struct http_request *request);

/* To be called by the handler before it hands the request to others: on_gone(ctx) is called once,
 * on a thread of the server's, if the client leaves while the request waits. */
void http_request_on_gone(struct http_request *request, http_gone_fn *on_gone, void *ctx);

/* Answers the request: the response's body is taken, the request is gone.  Any thread, once; also
 * from within on_gone. */
void http_reply(struct http_request *request, struct http_response *response);

#endif
