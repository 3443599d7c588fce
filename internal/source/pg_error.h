/* pg_error.h - what an error of PostgreSQL means for a query, and what may be said of it.
 *
 * The server's own words go into the error of a description, which the writer of a dataset reads.
 * Into that of a query, which a caller reads, they go only when they cannot quote a value of the
 * query; no address, user or password of the database does in either.  Any thread. */
#ifndef SOURCE_PG_ERROR_H
#define SOURCE_PG_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#include <tally/status.h>

/* The status of an error by its SQLSTATE (may be NULL): TALLY_SOURCE_UNAVAILABLE when it is
 * transient, TALLY_DEADLINE_EXCEEDED when the server's time limit ended the query, otherwise
 * TALLY_SOURCE_ERROR. */
tally_status pg_error_status(const char *sqlstate);

/* Whether a statement must be prepared again: its result type has changed, or it is gone. */
bool pg_error_is_stale(const PGresult *result);

/* Fills err from a failed result of a query: "comments.sql:14: division by zero (22012)". */
tally_status pg_error_of_query(const PGresult *result, const char *where, struct tally_error *err);

/* Fills err from a failed result of a description: permanent errors are TALLY_WRONG_DEFINITION. */
tally_status
pg_error_of_describe(const PGresult *result, const char *where, struct tally_error *err);

/* Why a connection failed, in libpq's words without address and hints; "" when it says nothing. */
void pg_error_reason(const PGconn *pg, char *out, size_t cap);

#endif
