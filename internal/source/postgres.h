/* postgres.h - a PostgreSQL database as a source, over libpq without ever waiting.
 *
 * A pool of connections, each with one query in flight; further queries wait in order of arrival,
 * queue_max of them at most.  Statements are prepared where they first run, as t<id>; values travel
 * in binary, key arrays as one-dimensional arrays.  Built of: pg_settings (URL and session),
 * pg_connection (opens, opens again, reads), pg_run (the steps of a query), pg_shape and pg_types
 * (columns and values), pg_error (what a failure means).
 *
 * A query that is cancelled, late or too large costs its connection: the socket is closed, and the
 * server stops within a second (pg_settings.h).  While no connection is up a query waits for one
 * second and then fails with TALLY_SOURCE_UNAVAILABLE.  A value that Tally cannot represent is
 * VALUE_BAD in the rows, so that it fails only the requests that use it.
 *
 * NOTE: a host name in the URL is resolved by libpq on the loop's thread (pg_connection.h), and a
 * single row is in memory whole before its size is looked at. */
#ifndef SOURCE_POSTGRES_H
#define SOURCE_POSTGRES_H

#include "source/options.h"
#include "source/source.h"

/* Opens a source; returns at once, connections open in the background.  The source's done functions
 * may start, cancel and describe, but not free it.  TALLY_WRONG_SETTING: not a PostgreSQL URL, no
 * connections.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status source_postgres_open(const struct source_options *options,
						   struct source **out_source,
						   struct tally_error *err);

#endif
