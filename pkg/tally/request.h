/* request.h - the value of a request message: {"dataset":"comments","params":{"login":"ann"}}.
 *
 * UTF-8 JSON, at most 64 KiB, no name twice, no NUL; jobs may carry format and labels.  A parameter
 * is a string, a number or a boolean; null is absent.  What a parameter means is its dataset's
 * affair. */
#ifndef TALLY_REQUEST_H
#define TALLY_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_REQUEST_MAX_PARAMS 64
#define TALLY_REQUEST_MAX_LABELS 16
#define TALLY_REQUEST_MAX_DEPTH  8

enum tally_json_kind {
	TALLY_JSON_NULL,
	TALLY_JSON_STRING, /* text: its characters */
	TALLY_JSON_INT,    /* text: decimal, fits int64 */
	TALLY_JSON_REAL,   /* text: finite */
	TALLY_JSON_BOOL,   /* text: true or false */
};

/* One member of "params"; borrowed strings. */
struct tally_request_param {
	const char *name; /* terminated */
	enum tally_json_kind kind;
	const char *text; /* terminated too */
	size_t len;
};

struct tally_request_label {
	const char *name;  /* 1 to 64 bytes */
	const char *value; /* at most 256 bytes */
};

/* A request as plain borrowed strings. */
struct tally_request_view {
	const char *dataset;
	const struct tally_request_param *params;
	size_t n_params;
	const char *format; /* NULL: none */
	const struct tally_request_label *labels;
	size_t n_labels;
};

struct tally_request;

/* Decodes len bytes.  The caller frees the result.  TALLY_BAD_REQUEST with what is wrong and where,
 * without quoting a value; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_request_decode(const void *data, size_t len,
						   struct tally_request **out_request,
						   struct tally_error *err);

/* The same of a body of the HTTP API, where timeout_ms may stand beside the others: the deadline,
 * which is no part of the message.  *out_timeout_ms is untouched without one; any whole number is
 * taken. */
TALLY_MUST_CHECK tally_status tally_request_decode_http(const void *data, size_t len,
							struct tally_request **out_request,
							int64_t *out_timeout_ms,
							struct tally_error *err);

/* Frees the request.  Accepts NULL. */
void tally_request_free(struct tally_request *request);

/* The decoded request; lives as long as it. */
const struct tally_request_view *tally_request_view(const struct tally_request *request);

/* Writes the message into buf and its length to *out_len; also when cap is less than needed, with
 * TALLY_TOO_LARGE.  Texts are valid UTF-8 (not checked).  TALLY_BAD_REQUEST past 64 KiB. */
TALLY_MUST_CHECK tally_status tally_request_encode(const struct tally_request_view *view, char *buf,
						   size_t cap, size_t *out_len);

#ifdef __cplusplus
}
#endif

#endif
