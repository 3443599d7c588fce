/* accept.h - which of our three formats a caller takes (RFC 9110, section 12.5.1).  Pure functions;
 * any thread. */
#ifndef GATEWAY_ACCEPT_H
#define GATEWAY_ACCEPT_H

#include <stdbool.h>

#include "dataset/transcode.h"
#include "http/server.h"

#define ACCEPT_FORMATS 3

/* What is known of a caller's Accept; zeroed before the first value is read. */
struct accept {
	bool is_given;
	struct {
		unsigned quality; /* thousandths */
		unsigned
		    precise; /* 1: by an asterisk for all types, 2: by TYPE/ and one, 3: named */
	} formats[ACCEPT_FORMATS]; /* by enum transcode_format */
};

/* Reads the value of one header line.  The most precise range counts for a format, whatever its
 * quality; parameters other than q are ignored. */
void accept_read(const char *value, struct accept *accept);

/* Reads the Accept of a request. */
void accept_read_request(const struct http_request *request, struct accept *out_accept);

/* The format of the highest quality; among equals the preferred one, then JSON.  False: there is
 * none, the answer is TALLY_NOT_ACCEPTABLE. */
bool accept_choose(const struct accept *accept, enum transcode_format preferred,
		   enum transcode_format *out_format);

#endif
