/* Migrations against a private cluster: the folders of this tree, and folders that are wrong. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <libpq-fe.h>

#include "source/migrate.h"
#include "support/cluster.h"

static struct cluster *cluster;
static char folder[64];

struct seen {
	size_t n_applied;
	size_t n_pending;
};

static void
count(void *ctx, const struct migration *migration)
{
	struct seen *seen = ctx;

	seen->n_applied += migration->is_applied;
	seen->n_pending += !migration->is_applied;
}

static void
set_up(void)
{
	cluster = cluster_start();
	(void)snprintf(folder, sizeof folder, "/tmp/tally-migrations-XXXXXX");
	cr_assert(mkdtemp(folder));
}

static void
tear_down(void)
{
	static const char *const files[] = { "000001_a.up.sql", "000001_a.down.sql",
					     "000002_b.up.sql", "000002_b.down.sql",
					     "000001_again.up.sql" };
	char path[160];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
	cluster_stop(cluster);
}

TestSuite(migrate, .init = set_up, .fini = tear_down, .timeout = 60);

static void
write_file(const char *name, const char *text)
{
	char path[160];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "we");
	cr_assert(file);
	(void)fputs(text, file);
	cr_assert_eq(fclose(file), 0);
}

static struct migrate_job
job_of(const char *where, struct seen *seen)
{
	return (struct migrate_job){ "db1", cluster->url, where, 200, count, seen };
}

/* The first value of a query's first row, as text in a static buffer; "" without a row. */
static const char *
ask(const char *sql)
{
	static char text[128];
	PGconn *pg = PQconnectdb(cluster->url);
	PGresult *result = PQexec(pg, sql);

	text[0] = '\0';
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
		(void)snprintf(text, sizeof text, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(pg);
	return text;
}

Test(migrate, takes_the_folders_of_this_tree_up_and_down_and_up_again)
{
	static const char *const folders[] = { "migrations/db1", "migrations/db2" };

	for (size_t i = 0; i < 2; i++) {
		struct seen seen = { 0 };
		struct migrate_job job = job_of(folders[i], &seen);
		struct tally_error err = { 0 };

		cr_assert_eq(migrate_up(&job, &err), TALLY_OK, "%s", err.detail);
		cr_assert_eq(migrate_down(&job, SIZE_MAX, &err), TALLY_OK, "%s", err.detail);
		cr_assert_str_eq(ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
				 "1", "only schema_migrations is left");
		cr_assert_eq(migrate_up(&job, &err), TALLY_OK, "%s", err.detail);
		/* One database for both here: the other's turn begins with an empty table. */
		cr_assert_eq(migrate_down(&job, SIZE_MAX, &err), TALLY_OK, "%s", err.detail);
		cr_expect(seen.n_applied == 2 && seen.n_pending == 2);
	}
}

Test(migrate, fills_the_demo_data_twice_without_doubling_it)
{
	struct seen seen = { 0 };
	struct migrate_job job = job_of("migrations/db1", &seen);
	struct tally_error err = { 0 };

	cr_assert_eq(migrate_up(&job, &err), TALLY_OK, "%s", err.detail);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(migrate_script(&job, "deploy/dev/demo/db1.sql", &err), TALLY_OK, "%s",
			     err.detail);
	cr_expect_str_eq(ask("SELECT count(*) FROM post"), "3");
	cr_expect_str_eq(ask("INSERT INTO users (login, email) VALUES ('a', 'a@b') RETURNING id"),
			 "4");
}

Test(migrate, leaves_nothing_behind_when_a_file_fails_and_names_the_line)
{
	struct seen seen = { 0 };
	struct migrate_job job = job_of(folder, &seen);
	struct tally_error err = { 0 };

	write_file("000001_a.up.sql", "CREATE TABLE a (id int);");
	write_file("000002_b.up.sql", "CREATE TABLE b (id int);\n-- Ж\nSELEKT 1;\n");
	cr_assert_eq(migrate_up(&job, &err), TALLY_WRONG_DEFINITION);
	cr_expect(strstr(err.detail, "000002_b.up.sql:3: "), "%s", err.detail);
	cr_expect_str_eq(ask("SELECT version || dirty::text FROM schema_migrations"), "1false");
	cr_expect_str_eq(ask("SELECT to_regclass('b') IS NULL"), "t");
	seen = (struct seen){ 0 };
	cr_assert_eq(migrate_look(&job, &err), TALLY_OK, "%s", err.detail);
	cr_expect(seen.n_applied == 1 && seen.n_pending == 1);
	write_file("000002_b.up.sql", "CREATE TABLE b (id int); COMMIT;");
	cr_assert_eq(migrate_up(&job, &err), TALLY_WRONG_DEFINITION);
	cr_expect(strstr(err.detail, "ends its transaction"), "%s", err.detail);
}

Test(migrate, refuses_what_it_cannot_know)
{
	struct seen seen = { 0 };
	struct migrate_job job = job_of(folder, &seen);
	struct tally_error err = { 0 };

	write_file("000001_a.up.sql", "SELECT 1;");
	cr_assert_eq(migrate_up(&job, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(migrate_down(&job, 1, &err), TALLY_WRONG_DEFINITION, "no .down.sql");
	(void)ask("UPDATE schema_migrations SET dirty = true");
	cr_assert_eq(migrate_up(&job, &err), TALLY_WRONG_DEFINITION, "dirty");
	(void)ask("UPDATE schema_migrations SET dirty = false, version = 7");
	cr_assert_eq(migrate_up(&job, &err), TALLY_WRONG_DEFINITION, "ahead of the files");
	write_file("000001_again.up.sql", "SELECT 1;");
	cr_assert_eq(migrate_look(&job, &err), TALLY_WRONG_DEFINITION, "a version twice");
	job.folder = "/nonexistent";
	cr_assert_eq(migrate_look(&job, &err), TALLY_WRONG_SETTING);
}

Test(migrate, gives_up_when_another_one_holds_the_lock)
{
	struct seen seen = { 0 };
	struct migrate_job job = job_of("migrations/db1", &seen);
	struct tally_error err = { 0 };
	PGconn *pg = PQconnectdb(cluster->url);

	PQclear(PQexec(pg, "SELECT pg_advisory_lock('x74616c6c79'::bit(40)::bigint)"));
	cr_expect_eq(migrate_up(&job, &err), TALLY_DEADLINE_EXCEEDED, "%s", err.detail);
	PQfinish(pg);
	cr_expect_eq(migrate_up(&job, &err), TALLY_OK, "%s", err.detail);
}
