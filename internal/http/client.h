/* client.h - one GET over libcurl, for the command line and for tests; it blocks.
 *
 * No redirects, no proxies' environment but curl's own, http and https only; the body has a
 * ceiling. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <stddef.h>

#include <tally/status.h>

#include "base/buf.h"

/* What to get.  Everything is borrowed for the call. */
struct http_get {
	const char *url;
	const char *authorization; /* a header's value, "Bearer ..."; NULL: none */
	int connect_ms;
	int timeout_ms; /* for the whole exchange */
	size_t max_body_bytes;
};

struct http_answer {
	int status; /* 200 ... */
	char *body; /* owned, terminated; never NULL after TALLY_OK */
	size_t body_len;
	char content_type[128]; /* "" without one */
};

/* Gets a URL; any HTTP status is TALLY_OK.  TALLY_BAD_REQUEST (not an http URL),
 * TALLY_DEADLINE_EXCEEDED, TALLY_TOO_LARGE, TALLY_SOURCE_UNAVAILABLE (nobody answers, or not
 * HTTP), TALLY_NO_MEMORY.  Release with http_answer_fini, also after a failure. */
TALLY_MUST_CHECK tally_status http_get(const struct http_get *get, struct http_answer *out_answer,
				       struct tally_error *err);

/* Releases the body.  Accepts a zeroed answer. */
void http_answer_fini(struct http_answer *answer);

/* Appends text percent-encoded as a name or value of a query, or as a segment of a path.
 * TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status http_put_encoded(struct buf *url, const char *text);

#endif
