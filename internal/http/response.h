/* response.h - an answer on its way out: a status, a few headers, a body of one of four kinds. */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RESPONSE_MAX_HEADERS   12
#define RESPONSE_HEADERS_BYTES 1024

/* Writes the next bytes of a body to out, at most max (> 0).  Their number; 0: the end; -1: failed,
 * the connection is cut so that nobody takes a part for the whole. */
typedef ssize_t http_read_fn(void *ctx, char *out, size_t max);
typedef void http_free_fn(void *ctx);

enum http_body_kind {
	HTTP_BODY_STATIC,  /* lives for ever */
	HTTP_BODY_FOREIGN, /* free_body(ctx) when sent */
	HTTP_BODY_STREAM,  /* read(ctx, ...), then free_body(ctx) */
	HTTP_BODY_PUSH,    /* ctx is a struct http_push: push.h */
};

struct http_response {
	unsigned status;
	size_t n_headers;
	const char *names[RESPONSE_MAX_HEADERS];  /* borrowed: literals */
	const char *values[RESPONSE_MAX_HEADERS]; /* in storage */
	char storage[RESPONSE_HEADERS_BYTES];
	size_t used;
	enum http_body_kind kind;
	const char *data;
	size_t len;
	http_read_fn *read;
	http_free_fn *free_body;
	void *ctx;
};

/* Begins a response without headers and with an empty body. */
void http_response_init(struct http_response *response, unsigned status);

/* Adds a header: name is a literal, value is copied.  What does not fit, or would break the line
 * (CR, LF), is left out. */
void http_response_header(struct http_response *response, const char *name, const char *value);

/* Sets a body that lives for ever. */
void http_response_static(struct http_response *response, const char *data, size_t len);

/* Sets a malloc'ed body, which is taken. */
void http_response_owned(struct http_response *response, char *data, size_t len);

/* Sets a body that free_body(ctx) releases when it is sent or dropped; no copy is made. */
void http_response_foreign(struct http_response *response, const char *data, size_t len,
			   http_free_fn *free_body, void *ctx);

/* Sets a body that is read piece by piece (on a server thread), then released. */
void http_response_stream(struct http_response *response, http_read_fn *read,
			  http_free_fn *free_body, void *ctx);

/* Releases a body that was not handed to http_reply. */
void http_response_drop(struct http_response *response);

#endif
