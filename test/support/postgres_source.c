#include "support/postgres_source.h"

#include <libpq-fe.h>

#include "base/clock.h"
#include "source/postgres.h"

/* Ends the process, without Criterion: race tests link this folder too. */
static void
check(tally_status status, const struct tally_error *err)
{
	if (status == TALLY_OK)
		return;
	(void)fprintf(stderr, "%s\n", err->detail);
	abort();
}

static struct cluster *shared; /* in the runner's process; the tests have its URL */

const char *
postgres_url(void)
{
	return getenv("TEST_POSTGRES_URL_DB1");
}

void
postgres_execute(const char *sql)
{
	PGconn *pg = PQconnectdb(postgres_url());
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK
	    && PQresultStatus(result) != PGRES_TUPLES_OK) {
		(void)fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(pg));
		abort();
	}
	PQclear(result);
	PQfinish(pg);
}

void
postgres_before_all(void)
{
	if (!postgres_url()) {
		shared = cluster_start();
		(void)setenv("TEST_POSTGRES_URL_DB1", shared->url, 1);
	}
	postgres_execute(
	    "SET client_min_messages = error; DROP SCHEMA IF EXISTS tally_source CASCADE;"
	    "CREATE SCHEMA tally_source;"
	    "CREATE EXTENSION IF NOT EXISTS citext SCHEMA tally_source;"
	    "CREATE TYPE tally_source.mood AS ENUM ('sad', 'glad');"
	    "CREATE DOMAIN tally_source.positive AS int CHECK (VALUE > 0);"
	    "CREATE DOMAIN tally_source.feeling AS tally_source.mood;"
	    "CREATE TABLE tally_source.changing (n int);"
	    "INSERT INTO tally_source.changing VALUES (7);");
}

void
postgres_after_all(void)
{
	if (!shared)
		postgres_execute(
		    "SET client_min_messages = error; DROP SCHEMA tally_source CASCADE");
	cluster_stop(shared);
}

/* ---- a source for each test ---------------------------------------------------------------- */

struct loop *loop;
struct source *source;
struct cluster *own;

void
open_at(const char *at, size_t connections, size_t queue_max, int query_timeout_ms)
{
	struct source_options options = {
		.name = "db1",
		.url = at,
		.loop = loop,
		.connections = connections,
		.queue_max = queue_max,
		.query_timeout_ms = query_timeout_ms,
		.seed = 1,
	};
	struct tally_error err;

	check(source_postgres_open(&options, &source, &err), &err);
}

/* Opens one with an application name of its own, to be found in pg_stat_activity. */
void
open_as(const char *name, size_t connections)
{
	char at[512];

	(void)snprintf(at, sizeof at, "%s%capplication_name=%s", postgres_url(),
		       strchr(postgres_url(), '?') ? '&' : '?', name);
	open_at(at, connections, 1000, 0);
}

void
postgres_begin(void)
{
	struct tally_error err;

	check(loop_new(NULL, NULL, &loop, &err), &err);
}

void
postgres_end(void)
{
	source_free(source);
	source = NULL;
	loop_free(loop);
	loop = NULL;
	cluster_stop(own);
	own = NULL;
}

/* Counts what a query finds, from a connection of its own. */
static int
count(const char *sql)
{
	PGconn *pg = PQconnectdb(postgres_url());
	PGresult *result = PQexec(pg, sql);
	int n = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);

	PQclear(result);
	PQfinish(pg);
	return n;
}

/* Runs the loop until the server has n of them; false after within_ms. */
bool
await_count(const char *sql, int n, int within_ms)
{
	int64_t until_ms = clock_mono_ms() + within_ms;

	while (count(sql) != n) {
		if (clock_mono_ms() > until_ms)
			return false;
		loop_step(loop, 20);
	}
	return true;
}

bool
await_connected(uint64_t n)
{
	int64_t until_ms = clock_mono_ms() + ASKING_PATIENCE_MS;

	while (source->stats.connected != n && clock_mono_ms() < until_ms)
		loop_step(loop, 20);
	return source->stats.connected == n;
}

bool
await_reconnects(uint64_t n)
{
	int64_t until_ms = clock_mono_ms() + ASKING_PATIENCE_MS;

	while (source->stats.reconnects < n && clock_mono_ms() < until_ms)
		loop_step(loop, 20);
	return source->stats.reconnects == n;
}
