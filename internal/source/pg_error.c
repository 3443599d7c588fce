#include "source/pg_error.h"

#include <stdio.h>
#include <string.h>

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

tally_status
pg_error_status(const char *sqlstate)
{
	/* Connection, rollback (deadlock, serialization), resources, lock, shutdown, system. */
	static const char *const transient[] = { "08", "40", "53", "55P03", "57P0", "58" };

	if (!sqlstate) /* libpq's own: the connection broke */
		return TALLY_SOURCE_UNAVAILABLE;
	if (starts_with(sqlstate, "57014"))
		return TALLY_DEADLINE_EXCEEDED;
	for (size_t i = 0; i < sizeof transient / sizeof *transient; i++) {
		if (starts_with(sqlstate, transient[i]))
			return TALLY_SOURCE_UNAVAILABLE;
	}
	return TALLY_SOURCE_ERROR;
}

bool
pg_error_is_stale(const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);

	if (!sqlstate)
		return false;
	if (strcmp(sqlstate, "26000") == 0) /* no such prepared statement: DISCARD, a pooler */
		return true;
	/* "cached plan must not change result type": the code is shared, the words translated. */
	return strcmp(sqlstate, "0A000") == 0 && function
	       && strcmp(function, "RevalidateCachedQuery") == 0;
}

/* Messages of these classes quote values: data, constraints, RAISE. */
static bool
may_quote_values(const char *sqlstate)
{
	return (starts_with(sqlstate, "22") && strcmp(sqlstate, "22012") != 0)
	       || starts_with(sqlstate, "23") || starts_with(sqlstate, "P0");
}

static tally_status
fail(const PGresult *result, tally_status status, const char *where, const char *message,
     struct tally_error *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (!sqlstate)
		return tally_fail(err, status, "%s: the connection was lost", where);
	(void)tally_fail(err, status, "%s: %s (%s)", where, message, sqlstate);
	(void)snprintf(err->sqlstate, sizeof err->sqlstate, "%s", sqlstate);
	return status;
}

tally_status
pg_error_of_query(const PGresult *result, const char *where, struct tally_error *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (!message || (sqlstate && may_quote_values(sqlstate)))
		message = "the database refused a value";
	return fail(result, pg_error_status(sqlstate), where, message, err);
}

tally_status
pg_error_of_describe(const PGresult *result, const char *where, struct tally_error *err)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	tally_status status = pg_error_status(PQresultErrorField(result, PG_DIAG_SQLSTATE));

	if (status == TALLY_SOURCE_ERROR)
		status = TALLY_WRONG_DEFINITION;
	return fail(result, status, where, message ? message : "refused", err);
}

void
pg_error_reason(const PGconn *pg, char *out, size_t cap)
{
	const char *message = pg ? PQerrorMessage(pg) : "out of memory";
	const char *failed = strstr(message, " failed: ");

	/* 'connection to server at "db", port 5432 failed: Connection refused\n\tIs the ...' */
	if (failed)
		message = failed + strlen(" failed: ");
	if (starts_with(message, "FATAL:"))
		message += strlen("FATAL:");
	message += strspn(message, " ");
	(void)snprintf(out, cap, "%.*s", (int)strcspn(message, "\n"), message);
}
