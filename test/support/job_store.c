#include "support/job_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "source/migrate.h"

#define PATIENCE_MS 20000

#define SERVER "TEST_JOB_STORE_PORT" /* how the tests' processes find the runner's server */

static struct cluster *cluster; /* in the process that has started it */
static char url[160];           /* of the test's database */

static void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "job_store: %s: %s\n", what, why);
	abort();
}

static void
ignore(void *ctx, const struct migration *migration)
{
	(void)ctx;
	(void)migration;
}

/* Asks on a new connection: the server may have been killed since. */
static const char *
ask(const char *at, const char *sql)
{
	static char text[STORE_TEXT_MAX];
	PGconn *pg = PQconnectdb(at);
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		die(sql, PQerrorMessage(pg));
	(void)snprintf(text, sizeof text, "%s",
		       PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(pg);
	return text;
}

static void
migrate(void)
{
	const struct migrate_job job = { .name = "jobs",
					 .url = url,
					 .folder = "migrations/jobs",
					 .lock_ms = PATIENCE_MS,
					 .on_migration = ignore };
	struct tally_error err = { 0 };

	if (migrate_up(&job, &err) != TALLY_OK)
		die("migrations/jobs", err.detail);
}

static void
name_url(const char *port, const char *database)
{
	(void)snprintf(url, sizeof url, "postgresql://tally@127.0.0.1:%s/%s", port, database);
}

struct cluster *
store_start_own(void)
{
	char port[16];

	cluster = cluster_start();
	(void)ask(cluster->url, "CREATE DATABASE jobs");
	(void)snprintf(port, sizeof port, "%d", cluster->port);
	name_url(port, "jobs");
	migrate();
	return cluster;
}

void
store_before_all(void)
{
	char port[16];

	(void)snprintf(port, sizeof port, "%d", store_start_own()->port);
	(void)setenv(SERVER, port, 1);
}

void
store_after_all(void)
{
	cluster_stop(cluster);
}

void
store_begin(void)
{
	const char *port = getenv(SERVER);
	char name[32], sql[96];

	(void)snprintf(name, sizeof name, "test_%d", (int)getpid());
	(void)snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE jobs", name);
	name_url(port, "postgres");
	(void)ask(url, sql);
	name_url(port, name);
}

const char *
store_url(void)
{
	return url;
}

void
store_execute(const char *sql)
{
	(void)ask(url, sql);
}

const char *
store_text(const char *sql)
{
	return ask(url, sql);
}

int64_t
store_number(const char *sql)
{
	return strtoll(ask(url, sql), NULL, 10);
}

void
store_clear(void)
{
	store_execute("TRUNCATE jobs, results, keys, progress");
}

const char *
store_digest(void)
{
	return store_text(
	    "SELECT coalesce((SELECT md5(string_agg(j::text, ',' ORDER BY id, day)) FROM jobs j), '-')"
	    " || coalesce((SELECT md5(string_agg(r::text, ',' ORDER BY id, day, run, part))"
	    "  FROM results r), '-')"
	    " || coalesce((SELECT md5(string_agg(k::text, ',' ORDER BY tenant, key)) FROM keys k), '-')");
}
