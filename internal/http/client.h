/* client.h - HTTP calls over libcurl, for the command line and for tests; they block.
 *
 * No redirects, no proxies but those of curl's own environment, http and https only.  A body is
 * kept up to a ceiling, or goes piece by piece to whoever takes it. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stddef.h>

#include <tally/status.h>

#include "base/buf.h"

#define HTTP_CALL_MAX_HEADERS 8

/* A connection that is kept between calls; one thread at a time. */
struct http_client;

/* Takes the next piece of a body.  What it returns, unless TALLY_OK, ends the call and is its
 * status; the detail is the callee's business. */
typedef tally_status http_take_fn(void *ctx, const char *data, size_t len);

/* What to ask.  Everything is borrowed for the call. */
struct http_call {
	const char *method; /* NULL: GET, or POST with a body */
	const char *url;
	const char *authorization;                  /* "Bearer ..."; NULL: none */
	const char *headers[HTTP_CALL_MAX_HEADERS]; /* "Name: value"; NULL ends them */
	const char *json;                           /* the request's body; NULL: none */
	size_t json_len;
	int connect_ms;
	int timeout_ms;        /* for the whole exchange; 0: none, but ... */
	int stall_ms;          /* ... without a byte for as long; 0: none */
	size_t max_body_bytes; /* of a body that is kept */
	http_take_fn *take;    /* the body of a 200 goes here instead; may be NULL */
	void *ctx;
};

struct http_answer {
	int status; /* 200 ... */
	char *body; /* owned, terminated; never NULL after TALLY_OK */
	size_t body_len;
	char content_type[128]; /* "" without one, the others likewise */
	char location[512];
	char link[1024];
	int retry_after_s; /* -1: none */
};

/* A client without a connection yet; NULL when out of memory. */
struct http_client *http_client_new(void);

/* Closes its connections and frees it.  Accepts NULL. */
void http_client_free(struct http_client *client);

/* Makes a call; any HTTP status is TALLY_OK.  TALLY_BAD_REQUEST (not an http URL),
 * TALLY_DEADLINE_EXCEEDED, TALLY_TOO_LARGE, TALLY_SOURCE_UNAVAILABLE (nobody answers, or not
 * HTTP, or the body broke off), TALLY_NO_MEMORY.  Release with http_answer_fini, also after a
 * failure. */
TALLY_MUST_CHECK tally_status http_call(struct http_client *client, const struct http_call *call,
					struct http_answer *out_answer, struct tally_error *err);

/* Releases the body.  Accepts a zeroed answer. */
void http_answer_fini(struct http_answer *answer);

/* Appends text percent-encoded as a name or value of a query, or as a segment of a path.
 * TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status http_put_encoded(struct buf *url, const char *text);

#endif
