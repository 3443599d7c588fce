/* push.h - a body that is written while it is sent: server-sent events.
 *
 * The writer has one reference, the response another; both ends may go first.  What is not sent yet
 * is bounded.  A client that leaves before the body was ended is told to the writer by on_gone,
 * once, on a thread of the server's, also while nothing is being sent; or from within http_reply,
 * when it had left before.  The stall limit of the server counts only while there is something to
 * send. */
#ifndef HTTP_PUSH_H
#define HTTP_PUSH_H

#include <stddef.h>

#include <tally/status.h>

#include "http/response.h"
#include "http/server.h"

struct http_push;

/* A body with room for max_bytes that are not sent yet.  NULL when out of memory. */
struct http_push *http_push_new(size_t max_bytes, http_gone_fn *on_gone, void *ctx);

/* Makes it the response's body; the response takes a reference of its own. */
void http_response_push(struct http_response *response, struct http_push *push);

/* Appends bytes; any thread.  TALLY_FULL: the client is too slow, nothing was written.
 * TALLY_CLOSED: the client has left, or the body was ended.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status http_push_write(struct http_push *push, const char *data, size_t len);

/* The body is complete: the client gets its end after what was written.  Any thread, once. */
void http_push_end(struct http_push *push);

/* Lets go of the writer's reference; ends the body if that was not done.  No on_gone comes after
 * this has returned, and it waits for one that is running, unless it is called from it.  Accepts
 * NULL. */
void http_push_free(struct http_push *push);

#endif
