/* postgres_source.h - a PostgreSQL source under test: its database, its loop, what to wait for.
 *
 * The database is that of TEST_POSTGRES_URL_DB1, or a private one, which the runner's process
 * starts before the tests.  Helpers end the test's process when the database fails them. */
#ifndef SUPPORT_POSTGRES_SOURCE_H
#define SUPPORT_POSTGRES_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "support/asking.h"
#include "support/cluster.h"

/* Of the test that runs. */
extern struct loop *loop;
extern struct source *source;
extern struct cluster *own; /* stopped at its end, if it has started one */

/* In the runner's process, before and after all tests: the database, and schema tally_source. */
void postgres_before_all(void);
void postgres_after_all(void);

/* Before and after each test: a loop, and no source yet. */
void postgres_begin(void);
void postgres_end(void);

/* The database's URL. */
const char *postgres_url(void);

/* Runs a command on a connection of its own. */
void postgres_execute(const char *sql);

/* Opens the source; _as at postgres_url() with that application name, to be found in
 * pg_stat_activity. */
void open_at(const char *url, size_t connections, size_t queue_max, int query_timeout_ms);
void open_as(const char *name, size_t connections);

/* Run the loop until the server counts n (asked on another connection), or the source has n
 * connections up, or has opened n again; false when that takes too long. */
bool await_count(const char *sql, int n, int within_ms);
bool await_connected(uint64_t n);
bool await_reconnects(uint64_t n);

#endif
