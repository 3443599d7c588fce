/* Migrations against a real PostgreSQL; each test has a database and a folder of its own. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "source/migrate.h"
#include "source/migrate_files.h"
#include "support/cluster.h"

static struct cluster *shared; /* in the runner's process */
static char base_url[512];     /* a URI or "key=value" pairs */
static char database[64];
static char url[640]; /* of the test's own database */
static char folder[64];
static struct tally_error err;
static char moved[256]; /* "+1 +2 -2": what the callback was told */

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	if (!getenv("TEST_POSTGRES_URL_DB1")) {
		shared = cluster_start();
		(void)setenv("TEST_POSTGRES_URL_DB1", shared->url, 1);
	}
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	cluster_stop(shared);
}

/* ---- helpers ----------------------------------------------------------------- */

/* Runs a command; returns the first column of the first row, or "". */
static const char *
ask_at(const char *where, const char *sql)
{
	static char answer[2048];
	PGconn *pg = PQconnectdb(where);
	PGresult *result = PQexec(pg, sql);

	cr_assert(PQresultStatus(result) == PGRES_COMMAND_OK
		      || PQresultStatus(result) == PGRES_TUPLES_OK,
		  "%s: %s", sql, PQerrorMessage(pg));
	(void)snprintf(answer, sizeof answer, "%s",
		       PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(pg);
	return answer;
}

static const char *
ask(const char *sql)
{
	return ask_at(url, sql);
}

/* The URL with another database in its path: postgresql://host:port/NAME?... */
static void
make_url(void)
{
	const char *host = strstr(base_url, "://");
	const char *path = strchr(host ? host + 3 : base_url, '/');
	const char *query = strchr(base_url, '?');

	cr_assert_not_null(host, "TEST_POSTGRES_URL_DB1 must be a URL");
	(void)snprintf(url, sizeof url, "%.*s/%s%s",
		       path ? (int)(path - base_url) : (int)strcspn(base_url, "?"), base_url,
		       database, query ? query : "");
}

static void
begin(void)
{
	char sql[128];

	(void)snprintf(base_url, sizeof base_url, "%s", getenv("TEST_POSTGRES_URL_DB1"));
	(void)snprintf(database, sizeof database, "tally_migrate_%d", (int)getpid());
	make_url();
	(void)snprintf(sql, sizeof sql, "CREATE DATABASE %s", database);
	(void)ask_at(base_url, sql);
	(void)snprintf(folder, sizeof folder, "/tmp/tally-migrate-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static int
remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
	(void)about;
	(void)kind;
	(void)walk;
	return remove(path);
}

static void
end(void)
{
	char sql[128];

	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	(void)snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", database);
	(void)ask_at(base_url, sql);
}

TestSuite(migrate, .init = begin, .fini = end, .timeout = 60);

static void
add_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static void
note(void *ctx, const struct migration *migration)
{
	size_t len = strlen(moved);

	(void)ctx;
	(void)snprintf(moved + len, sizeof moved - len, "%s%s%" PRIu64, len ? " " : "",
		       migration->is_applied ? "+" : "-", migration->version);
}

static struct migrate_job
job(void)
{
	moved[0] = '\0';
	return (struct migrate_job){
		.name = "db1", .url = url, .folder = folder, .lock_ms = 5000, .on_migration = note
	};
}

static tally_status
up(void)
{
	struct migrate_job todo = job();

	return migrate_up(&todo, &err);
}

static tally_status
down(size_t n)
{
	struct migrate_job todo = job();

	return migrate_down(&todo, n, &err);
}

static const char *
look(void)
{
	struct migrate_job todo = job();
	tally_status status = migrate_look(&todo, &err);

	return status == TALLY_OK ? moved : tally_status_code(status);
}

static const char *
version(void)
{
	return ask("SELECT coalesce(string_agg(version || ' ' || dirty, ','), 'none')"
		   " FROM schema_migrations");
}

static void
expect_detail(const char *part)
{
	cr_expect_not_null(strstr(err.detail, part), "no \"%s\" in: %s", part, err.detail);
}

static void
add_two(void)
{
	add_file("000001_a.up.sql", "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1), (2);");
	add_file("000001_a.down.sql", "DROP TABLE a;");
	add_file("000002_b.up.sql", "CREATE TABLE b (n int);");
	add_file("000002_b.down.sql", "DROP TABLE b;");
	add_file("README.md", "none of ours");
}

/* ---- up and down ------------------------------------------------------------- */

Test(migrate, goes_up_and_down_and_up_again)
{
	add_two();
	cr_expect_str_eq(look(), "-1 -2");
	cr_expect_str_eq(ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0",
			 "looking creates nothing");
	cr_assert_eq(up(), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(moved, "+1 +2");
	cr_expect_str_eq(version(), "2 false");
	cr_expect_str_eq(ask("SELECT count(*) FROM a"), "2");
	cr_assert_eq(up(), TALLY_OK);
	cr_expect_str_eq(moved, "");
	cr_assert_eq(down(1), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(moved, "-2");
	cr_expect_str_eq(version(), "1 false");
	cr_expect_str_eq(look(), "+1 -2");
	cr_assert_eq(up(), TALLY_OK);
	cr_assert_eq(down(SIZE_MAX), TALLY_OK);
	cr_expect_str_eq(moved, "-2 -1");
	cr_expect_str_eq(version(), "none");
	cr_assert_eq(down(1), TALLY_OK);
	cr_expect_str_eq(moved, "");
}

Test(migrate, a_failed_file_leaves_nothing_behind_and_says_where_it_failed)
{
	add_two();
	add_file("000003_bad.up.sql", "-- Ж\nCREATE TABLE c (n int);\nSELECT nothing FROM c;\n");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("000003_bad.up.sql:3: column \"nothing\" does not exist");
	cr_expect_str_eq(version(), "2 false");
	cr_expect_str_eq(ask("SELECT count(*) FROM pg_tables WHERE tablename = 'c'"), "0");
	add_file("000003_bad.up.sql", "CREATE TABLE c (n int);");
	cr_expect_eq(up(), TALLY_OK);
	cr_expect_str_eq(version(), "3 false");
}

Test(migrate, a_file_may_change_the_search_path)
{
	add_file("000001_a.up.sql", "SELECT pg_catalog.set_config('search_path', '', false);"
				    "CREATE TABLE public.a (n int);");
	add_file("000002_b.up.sql", "CREATE TABLE public.b (n int);");
	cr_expect_eq(up(), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(version(), "2 false");
}

Test(migrate, refuses_a_file_that_ends_its_transaction)
{
	add_file("000001_a.up.sql", "CREATE TABLE a (n int); COMMIT;");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("ends a transaction");
}

/* ---- files with transactions of their own ------------------------------------ */

Test(migrate, runs_a_file_with_its_own_transactions_as_it_is)
{
	add_file("1_a.up.sql", "CREATE TABLE a (n int);");
	add_file("2_index.up.sql", "-- alone in its file\nCREATE INDEX CONCURRENTLY i ON a (n);");
	add_file("3_two.up.sql", "BEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT;\nBEGIN;\n"
				 "INSERT INTO a VALUES (2);\nCOMMIT;");
	cr_assert_eq(up(), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(version(), "3 false");
	cr_expect_str_eq(ask("SELECT count(*) FROM a"), "2");
	cr_expect_str_eq(ask("SELECT count(*) FROM pg_indexes WHERE indexname = 'i'"), "1");
}

Test(migrate, a_half_done_file_leaves_the_database_dirty_and_says_what_to_do)
{
	add_file("000001_a.up.sql", "CREATE TABLE a (n int);");
	add_file("000002_b.up.sql",
		 "BEGIN; INSERT INTO a VALUES (1); COMMIT;\nBEGIN; INSERT INTO a VALUES ('x');");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("000002_b.up.sql:2: invalid input syntax");
	expect_detail("db1 is dirty now");
	cr_expect_str_eq(version(), "2 true");
	cr_expect_str_eq(ask("SELECT count(*) FROM a"), "1");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION, "not before somebody has looked at it");
	expect_detail("dirty");
	expect_detail("schema_migrations");
	cr_expect_eq(down(1), TALLY_WRONG_DEFINITION);
	(void)ask("UPDATE schema_migrations SET dirty = false, version = 1");
	add_file("000002_b.up.sql", "CREATE TABLE b (n int);");
	cr_expect_eq(up(), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(version(), "2 false");
}

Test(migrate, refuses_a_file_that_leaves_its_transaction_open)
{
	add_file("000001_a.up.sql", "BEGIN; CREATE TABLE a (n int);");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("leaves its transaction open");
	cr_expect_str_eq(version(), "1 true");
	cr_expect_str_eq(ask("SELECT count(*) FROM pg_tables WHERE tablename = 'a'"), "0");
}

Test(migrate, knows_words_from_quotes_comments_and_bodies)
{
	add_file(
	    "000001_a.up.sql",
	    "-- BEGIN; VACUUM\n/* BEGIN; /* nested */ CONCURRENTLY */ CREATE TABLE a (t text);\n"
	    "INSERT INTO a VALUES ('; BEGIN'), (E'\\'; VACUUM '), ('it''s; begin');\n"
	    "CREATE TABLE \"begin; concurrently\" (start int);\n"
	    "DO $x$ BEGIN PERFORM 1; BEGIN PERFORM 2; END; END $x$;\n"
	    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;\n"
	    "SELECT 1/0;\n");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("division by zero");
	cr_expect_str_eq(version(), "none", "it was in a transaction: clean");
}

/* ---- the lock ---------------------------------------------------------------- */

Test(migrate, takes_the_lock_of_golang_migrate)
{
	/* crc32(b"public\0schema_migrations\0tally") * 1486364155 % 2**32, as Python has it. */
	cr_expect_eq(migrate_lock_number("public", "tally"), UINT32_C(2776650603));
}

Test(migrate, waits_for_another_migration_no_longer_than_told)
{
	struct migrate_job todo = job();
	PGconn *other = PQconnectdb(url);
	char sql[128];

	add_two();
	(void)snprintf(sql, sizeof sql, "SELECT pg_advisory_lock(%" PRIu32 ")",
		       migrate_lock_number("public", database));
	PQclear(PQexec(other, sql));
	todo.lock_ms = 200;
	cr_expect_eq(migrate_up(&todo, &err), TALLY_DEADLINE_EXCEEDED);
	expect_detail("another migration");
	cr_expect_str_eq(look(), "-1 -2", "looking needs no lock");
	PQfinish(other);
	cr_expect_eq(up(), TALLY_OK, "%s", err.detail);
}

Test(migrate, waits_for_the_lock_of_a_table_no_longer_than_told)
{
	struct migrate_job todo = job();
	PGconn *other = PQconnectdb(url);

	add_two();
	cr_assert_eq(up(), TALLY_OK);
	add_file("000003_c.up.sql", "ALTER TABLE a ADD m int;");
	PQclear(PQexec(other, "BEGIN; SELECT * FROM a"));
	todo.lock_ms = 200;
	cr_expect_neq(migrate_up(&todo, &err), TALLY_OK);
	expect_detail("lock timeout");
	PQfinish(other);
	cr_expect_eq(up(), TALLY_OK, "%s", err.detail);
}

static void *
go_up(void *arg)
{
	struct tally_error mine = { 0 };
	struct migrate_job todo = {
		.name = "db1", .url = url, .folder = folder, .lock_ms = 30000, .on_migration = note
	};

	*(tally_status *)arg = migrate_up(&todo, &mine);
	return NULL;
}

Test(migrate, two_at_once_apply_each_file_once)
{
	tally_status statuses[4];
	pthread_t threads[4];

	add_file("1_a.up.sql", "CREATE TABLE a (n int);");
	/* Would deadlock with sessions that wait inside pg_advisory_lock. */
	add_file("2_i.up.sql", "CREATE INDEX CONCURRENTLY i ON a (n);");
	add_file("3_b.up.sql", "CREATE TABLE b (n int);");
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, go_up, &statuses[i]), 0);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_expect_eq(statuses[i], TALLY_OK);
	}
	cr_expect_str_eq(moved, "+1 +2 +3");
	cr_expect_str_eq(version(), "3 false");
}

/* ---- what is refused --------------------------------------------------------- */

Test(migrate, refuses_folders_and_versions_that_are_wrong)
{
	struct migrate_job todo = job();

	todo.folder = "/nonexistent";
	cr_expect_eq(migrate_look(&todo, &err), TALLY_WRONG_SETTING);
	cr_expect_eq(up(), TALLY_WRONG_SETTING, "an empty folder");
	add_two();
	cr_assert_eq(up(), TALLY_OK);
	(void)ask("UPDATE schema_migrations SET version = 7");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("version 7");
	(void)ask("UPDATE schema_migrations SET version = 2");
	add_file("000002_same.up.sql", "SELECT 1;");
	cr_expect_eq(up(), TALLY_WRONG_DEFINITION);
	expect_detail("same version");
}

Test(migrate, refuses_to_go_down_without_a_file)
{
	add_file("000001_a.up.sql", "CREATE TABLE a (n int);");
	cr_assert_eq(up(), TALLY_OK);
	cr_expect_eq(down(1), TALLY_WRONG_DEFINITION);
	expect_detail(".down.sql");
	cr_expect_str_eq(version(), "1 false");
}

Test(migrate, says_when_the_database_cannot_be_reached)
{
	struct migrate_job todo = job();

	add_two();
	todo.url = "postgresql://nobody:secret@127.0.0.1:1/none";
	cr_expect_eq(migrate_up(&todo, &err), TALLY_SOURCE_UNAVAILABLE);
	cr_expect_null(strstr(err.detail, "secret"));
}

/* ---- the schemas and demo data that come with Tally -------------------------- */

static void
bring(const char *name)
{
	static char path[64], script[64];
	struct migrate_job todo = job();

	(void)snprintf(path, sizeof path, "migrations/%s", name);
	(void)snprintf(script, sizeof script, "deploy/dev/demo/%s.sql", name);
	todo.folder = path;
	cr_assert_eq(migrate_up(&todo, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(migrate_down(&todo, SIZE_MAX, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(migrate_up(&todo, &err), TALLY_OK, "%s", err.detail);
	for (int i = 0; i < 2; i++) /* may be run again */
		cr_assert_eq(migrate_script(&todo, script, &err), TALLY_OK, "%s", err.detail);
	(void)ask("VACUUM ANALYZE");
}

Test(migrate, demo_data_leave_the_next_ids_free)
{
	bring("db1");
	cr_expect_str_eq(ask("SELECT count(*) FROM post"), "3", "though it ran twice");
	cr_expect_str_eq(ask("INSERT INTO users (login, email) VALUES ('a', 'a@b') RETURNING id"),
			 "4");
}

/* Both schemas fit into one database: names do not clash. */
Test(migrate, demo_data_give_the_documents_of_the_contract)
{
	bring("db1");
	(void)ask("DROP TABLE schema_migrations");
	bring("db2");
	cr_expect_str_eq(
	    ask("SELECT json_agg(r) FROM (SELECT u.login AS user_login, p.header AS post_header,"
		" a.login AS post_author_login, count(*) AS total_comments"
		" FROM users u JOIN logs l ON l.user_id = u.id AND l.event_type_id = 2"
		" JOIN post p ON p.id = l.object_id JOIN users a ON a.id = p.author_id"
		" WHERE u.login = 'vladimir' GROUP BY 1, 2, 3) r"),
	    "[{\"user_login\":\"vladimir\",\"post_header\":\"ЖК Эдельвейс\","
	    "\"post_author_login\":\"vladimir\",\"total_comments\":1}]");
	cr_expect_str_eq(
	    ask("SELECT json_agg(r) FROM (SELECT l.datetime::date AS date,"
		" count(*) FILTER (WHERE e.name = 'login') AS logins,"
		" count(*) FILTER (WHERE e.name = 'logout') AS logouts,"
		" count(*) FILTER (WHERE s.name = 'blog') AS blog_actions"
		" FROM users u JOIN logs l ON l.user_id = u.id"
		" JOIN event_type e ON e.id = l.event_type_id"
		" JOIN space_type s ON s.id = l.space_type_id"
		" WHERE u.login = 'vladimir' GROUP BY 1) r"),
	    "[{\"date\":\"2025-06-29\",\"logins\":1,\"logouts\":1,\"blog_actions\":0}]");
}

/* Steps of the datasets, and the index that must answer each without its table. */
static const struct {
	const char *sql, *index;
} steps[] = {
	{ "SELECT q.login, u.login, u.id FROM unnest(ARRAY['u7', 'u8']) AS q(login)"
	  " JOIN users u ON u.login = q.login",						"Index Only Scan using users_login_key"           },
	{ "SELECT p.id, p.header, a.login FROM post p JOIN users a ON a.id = p.author_id"
	  " WHERE p.id = ANY (ARRAY[1, 7]::bigint[])",					 "Index Only Scan using post_pkey"                 },
	{ "SELECT p.id, p.header, a.login FROM post p JOIN users a ON a.id = p.author_id"
	  " WHERE p.id = ANY (ARRAY[1, 7]::bigint[])",					 "Index Only Scan using users_pkey"                },
	{ "SELECT q.user_id, l.object_id, count(*) FROM unnest(ARRAY[5]::bigint[],"
	  " ARRAY[NULL]::date[], ARRAY[NULL]::date[]) AS q(user_id, since, until)"
	  " JOIN logs l ON l.user_id = q.user_id"
	  " AND (q.since IS NULL OR l.datetime >= q.since)"
	  " AND (q.until IS NULL OR l.datetime < q.until + 1)"
	  " JOIN event_type e ON e.id = l.event_type_id AND e.name = 'comment' GROUP BY 1, 2", "Index Only Scan using logs_user_id_datetime_idx" },
	{ "SELECT q.*, l.datetime::date AS date, count(*) FILTER (WHERE e.name = 'login'),"
	  " count(*) FILTER (WHERE s.name = 'blog') FROM unnest(ARRAY[5]::bigint[],"
	  " ARRAY[NULL]::date[], ARRAY[NULL]::date[]) AS q(user_id, since, until)"
	  " JOIN logs l ON l.user_id = q.user_id"
	  " AND (q.since IS NULL OR l.datetime >= q.since)"
	  " AND (q.until IS NULL OR l.datetime < q.until + 1)"
	  " JOIN event_type e ON e.id = l.event_type_id"
	  " JOIN space_type s ON s.id = l.space_type_id GROUP BY 1, 2, 3, 4",		  "Index Only Scan using logs_user_id_datetime_idx" },
	{ "SELECT q.login, b.id, b.name FROM unnest(ARRAY['u7']) AS q(login)"
	  " JOIN users u ON u.login = q.login JOIN blog b ON b.owner_id = u.id",	       "Index Only Scan using blog_owner_id_idx"         },
	{ "SELECT blog_id, id FROM post WHERE blog_id = ANY (ARRAY[3, 4]::bigint[])",
         "Index Only Scan using post_blog_id_idx"													 },
	{ "SELECT object_id, count(*) FROM logs WHERE event_type_id = 2"
	  " AND object_id = ANY (ARRAY[3, 4]::bigint[]) GROUP BY 1",			   "Index Only Scan using logs_comments_idx"         },
};

Test(migrate, steps_of_the_datasets_are_answered_from_indexes_alone)
{
	bring("db1");
	(void)ask("DROP TABLE schema_migrations");
	bring("db2");
	(void)ask(
	    "INSERT INTO users (login, email) SELECT 'u' || n, 'u' || n || '@example.com'"
	    " FROM generate_series(1, 20000) n;"
	    "INSERT INTO blog (owner_id, name) SELECT n, 'b' FROM generate_series(4, 20000) n;"
	    "INSERT INTO post (header, text, author_id, blog_id) SELECT 'h' || n, 't', n, n"
	    " FROM generate_series(4, 20000) n;"
	    "INSERT INTO logs (datetime, user_id, space_type_id, event_type_id, object_id)"
	    " SELECT timestamp '2025-01-01' + n * interval '1 minute', n % 20000, 3,"
	    " 1 + n % 5, 1 + n % 20000 FROM generate_series(1, 200000) n");
	(void)ask("VACUUM ANALYZE");
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		char sql[1500];
		PGconn *pg = PQconnectdb(url);
		PGresult *result;
		bool is_found = false;

		(void)snprintf(sql, sizeof sql, "EXPLAIN (COSTS off) %s", steps[i].sql);
		/* Whether the index can answer alone, not what the planner thinks of it while an
		 * autovacuum keeps pages from being all-visible. */
		PQclear(PQexec(pg, "SET enable_bitmapscan = off; SET enable_seqscan = off"));
		result = PQexec(pg, sql);
		cr_expect_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s", PQerrorMessage(pg));
		for (int row = 0; row < PQntuples(result); row++)
			is_found |= strstr(PQgetvalue(result, row, 0), steps[i].index) != NULL;
		cr_expect(is_found, "step %zu does not use %s", i, steps[i].index);
		for (int row = 0; row < PQntuples(result) && !is_found; row++)
			(void)fprintf(stderr, "%s\n", PQgetvalue(result, row, 0));
		PQclear(result);
		PQfinish(pg);
	}
}
