/* target.h - the request target (RFC 9112, section 3.2): path and query, decoded strictly.
 *
 * Percent-escapes must be whole, '+' is a space in the query, the result must be UTF-8 (RFC 3629:
 * no overlong forms, no surrogates) and hold no NUL: a C string must not be cut off behind our
 * back. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include <tally/status.h>

#define TARGET_MAX_ARGUMENTS 64

/* One name=value of the query, decoded and terminated; len counts the value's bytes. */
struct http_argument {
	const char *name;
	const char *value;
	size_t len;
};

/* A decoded target; everything points into text. */
struct http_target {
	char *text; /* owned */
	const char *path;
	struct http_argument arguments[TARGET_MAX_ARGUMENTS];
	size_t n_arguments;
};

/* Decodes an origin-form target ("/path?query").  TALLY_BAD_REQUEST with what is wrong;
 * TALLY_NO_MEMORY.  Release with http_target_fini, also after a failure. */
TALLY_MUST_CHECK tally_status http_target_parse(const char *raw, struct http_target *out_target,
						struct tally_error *err);

/* Releases what parse allocated.  Accepts a zeroed target. */
void http_target_fini(struct http_target *target);

/* Whether len bytes are valid UTF-8. */
bool http_is_utf8(const char *text, size_t len);

#endif
