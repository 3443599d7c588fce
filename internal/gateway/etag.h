/* etag.h - If-None-Match (RFC 9110, section 13.1.2).  Pure functions; any thread. */
#ifndef GATEWAY_ETAG_H
#define GATEWAY_ETAG_H

#include <stdbool.h>

#include "http/server.h"

/* Whether a list of entity tags, or "*", holds this one (with its quotes, and W/ when it is weak).
 * Compared weakly: W/"a" and "a" are the same (section 8.8.3.2).  What is no list matches nothing
 * from there on. */
bool etag_is_listed(const char *list, const char *tag);

/* Whether a request's If-None-Match holds the tag: then the answer is 304.  "" is never held. */
bool etag_is_held(const struct http_request *request, const char *tag);

#endif
