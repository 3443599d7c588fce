/* ch_session.h - a ClickHouse asked by blocking calls: for the command line, not for a loop.
 *
 * Errors have the server's own words.  One thread. */
#ifndef SOURCE_CH_SESSION_H
#define SOURCE_CH_SESSION_H

#include "source/ch_exchange.h"

#define CH_SESSION_ROW_BYTES ((size_t)256 << 20) /* of one answer */

struct ch_session {
	struct ch_settings settings;
	struct ch_exchange exchange;
	uint64_t n_sent;
	uint64_t instance;
};

/* Makes ready to ask; connects with the first query.  name is that of the database for errors.
 * TALLY_WRONG_SETTING, TALLY_NO_MEMORY.  Close also on failure. */
TALLY_MUST_CHECK tally_status ch_session_open(struct ch_session *session, const char *name,
					      const char *url, struct tally_error *err);

/* Closes the connection.  Accepts a zeroed one. */
void ch_session_close(struct ch_session *session);

/* Runs a statement from which nothing comes back; data are the rows of an INSERT ... FORMAT ..., or
 * NULL.  where stands before an error.  TALLY_WRONG_DEFINITION (refused), TALLY_SOURCE_UNAVAILABLE,
 * TALLY_DEADLINE_EXCEEDED, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status ch_session_run(struct ch_session *session, const char *where,
					     const char *sql, const struct buf *data,
					     struct tally_error *err);

/* Asks for rows; the caller frees them.  Statuses as ch_session_run, and TALLY_TOO_LARGE. */
TALLY_MUST_CHECK tally_status ch_session_ask(struct ch_session *session, const char *where,
					     const char *sql, struct rows **out_rows,
					     struct tally_error *err);

#endif
