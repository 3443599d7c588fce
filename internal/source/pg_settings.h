/* pg_settings.h - what a connection is opened with: the URL, and the settings of its session.
 *
 * Every session is read only, in UTC, without JIT (its compile time is that of our queries), sends
 * UTF-8, and limits itself: statement_timeout ends what runs too long, and
 * client_connection_check_interval=1s ends what runs for a client that has gone.  The latter is how
 * a query is stopped on the server: libpq 15 can only cancel with a blocking call, so we close the
 * socket, and the server sees it within a second.  A server that does not know the setting (before
 * 14, or not on Linux) gets it no more; statement_timeout is the limit there.
 *
 * Settings in the URL win over ours.  Immutable but for pg_settings_refused; the loop's thread. */
#ifndef SOURCE_PG_SETTINGS_H
#define SOURCE_PG_SETTINGS_H

#include <stdbool.h>

#include <tally/status.h>

#define PG_KEYWORDS 8

struct pg_settings {
	char *url;
	char *options;       /* as for postgres -c ... */
	char *plain_options; /* without client_connection_check_interval */
	char *application;
	bool is_plain;
	const char *keywords[PG_KEYWORDS]; /* for PQconnectStartParams, NULL at the end */
	const char *values[PG_KEYWORDS];
};

/* Parses a URL, postgresql:// or postgres://, a "+driver" after the scheme being ignored.
 * TALLY_WRONG_SETTING (without quoting the URL: it has a password), TALLY_NO_MEMORY.  The caller
 * calls pg_settings_fini, also on failure. */
TALLY_MUST_CHECK tally_status pg_settings_init(struct pg_settings *settings, const char *name,
					       const char *url, int query_timeout_ms,
					       struct tally_error *err);

/* Frees what the settings hold; accepts zeroed ones. */
void pg_settings_fini(struct pg_settings *settings);

/* Looks at why a connection failed, and gives up the setting that the server does not know. */
void pg_settings_refused(struct pg_settings *settings, const char *reason);

#endif
