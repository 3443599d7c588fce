/* ch_request.h - one query as an HTTP request: the URL, and the body.
 *
 * The statement is the body, its parameters are param_... in the URL; when they are too long for
 * that, all of it is a form (multipart/form-data).  With rows to insert, these are the body.  Any
 * thread. */
#ifndef SOURCE_CH_REQUEST_H
#define SOURCE_CH_REQUEST_H

#include "base/buf.h"
#include "source/ch_settings.h"
#include "source/source.h"

/* What a request asks for. */
struct ch_asking {
	const struct ch_settings *settings;
	const struct source_statement *statement;
	const struct source_argument *arguments;
	bool is_describe;       /* its columns, not its rows; arguments are not used */
	bool is_command;        /* nothing comes back */
	bool tells_all;         /* errors have the server's own words: no caller reads them */
	const struct buf *data; /* the rows of an INSERT, borrowed until the end; NULL: none */
	const char *query_id;
	int64_t timeout_ms; /* of the server's own; 0: none */
	bool is_compressed; /* the answer may be */
};

struct ch_request {
	struct buf url;           /* terminated */
	struct buf body;          /* of a POST */
	const char *content_type; /* a header line; static */
};

/* Makes a request.  The caller calls ch_request_fini, also on failure.  TALLY_TOO_LARGE: the
 * parameters; TALLY_SOURCE_ERROR: a value that cannot be sent; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status ch_request_init(struct ch_request *request,
					      const struct ch_asking *asking);

/* Frees what it holds.  Accepts a zeroed one. */
void ch_request_fini(struct ch_request *request);

#endif
