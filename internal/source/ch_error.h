/* ch_error.h - what an error of ClickHouse means for a query, and what may be said of it.
 *
 * As for PostgreSQL (pg_error.h): the server's own words go into the error of a description, which
 * the writer of a dataset reads; into that of a query go only the code and its name, because the
 * words may quote a value.  Any thread. */
#ifndef SOURCE_CH_ERROR_H
#define SOURCE_CH_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include <tally/status.h>

/* What a server has said: "Code: 60. DB::Exception: Unknown table ... (UNKNOWN_TABLE)". */
struct ch_refusal {
	long http_status;
	int code;         /* of ClickHouse; 0: it was none that answered */
	const char *text; /* len bytes */
	size_t len;
};

/* The code at the beginning of a text; 0 without one. */
int ch_error_code(const char *text, size_t len);

/* Where an exception begins that the server has written behind rows: tail is the end of a body,
 * tag that of X-ClickHouse-Exception-Tag, or "".  NULL: there is none. */
const char *ch_error_in_body(const char *tail, size_t len, const char *tag);

/* The status of a refused query: TALLY_SOURCE_UNAVAILABLE when it is transient, or nobody would be
 * let in; TALLY_DEADLINE_EXCEEDED when the server's time limit ended the query; TALLY_SOURCE_ERROR.
 */
tally_status ch_error_status(const struct ch_refusal *refusal);

/* Fills err for a refused query; of one whose writer reads it (tells_all) a permanent error is
 * TALLY_WRONG_DEFINITION, in the server's own words. */
tally_status ch_error_of(const struct ch_refusal *refusal, const char *where, bool tells_all,
			 struct tally_error *err);

#endif
