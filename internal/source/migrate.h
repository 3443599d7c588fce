/* migrate.h - the schema of a database, moved forward and back by files of SQL.
 *
 * Files, table and advisory lock are those of golang-migrate: NNNNNN_name.up.sql,
 * NNNNNN_name.down.sql and schema_migrations(version, dirty), which has one row, the version that
 * the database is at.  Either may continue what the other began.
 *
 * In PostgreSQL a file runs in one transaction together with its version, so a failed one leaves
 * nothing behind.  A file that begins transactions itself, or has a statement that cannot run in
 * one (VACUUM; CREATE INDEX CONCURRENTLY, then as the only statement of its file), runs as it is:
 * the version is marked dirty before and clean after it, so that a failure is seen.  A dirty
 * database is refused until somebody has put it right.  An advisory lock keeps others from doing
 * the same at the same time.
 *
 * ClickHouse (a clickhouse:// URL) has neither transactions nor locks: a file is marked dirty
 * before and clean after its statements, and who migrates sees to it that nobody else does.
 *
 * These calls block: they are for the command line, not for a loop. */
#ifndef SOURCE_MIGRATE_H
#define SOURCE_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#define MIGRATE_LOCK_MS 30000 /* how long to wait for another migration to end */

/* One migration of a folder; borrowed while the callback runs. */
struct migration {
	uint64_t version;
	const char *name;
	bool is_applied; /* as the database is after the call */
	bool was_moved;  /* this call applied or reverted it */
};

typedef void migrate_fn(void *ctx, const struct migration *migration);

/* What to migrate.  Everything is borrowed for the call. */
struct migrate_job {
	const char *name;   /* of the database, for error texts: "db1" */
	const char *url;    /* postgresql://... or clickhouse://... */
	const char *folder; /* migrations/db1 */
	int lock_ms; /* the longest wait for another migration, and for the lock of a table */
	migrate_fn *on_migration; /* after each that was moved */
	void *ctx;
};

/* Applies what is pending, oldest first.  TALLY_WRONG_SETTING (URL, folder, a login that the
 * server refuses), TALLY_WRONG_DEFINITION (file names; a file that the database refused, as
 * "file:line: what"; a dirty database, or one ahead of the files), TALLY_SOURCE_UNAVAILABLE,
 * TALLY_DEADLINE_EXCEEDED (the lock), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status migrate_up(const struct migrate_job *job, struct tally_error *err);

/* Reverts the newest n migrations that are applied.  Statuses as migrate_up, and
 * TALLY_WRONG_DEFINITION when one has no .down.sql. */
TALLY_MUST_CHECK tally_status migrate_down(const struct migrate_job *job, size_t n,
					   struct tally_error *err);

/* Calls on_migration for every migration of the folder, changing nothing.  Statuses as
 * migrate_up. */
TALLY_MUST_CHECK tally_status migrate_look(const struct migrate_job *job, struct tally_error *err);

/* Runs one file of SQL in one transaction; job's folder is not used.  Statuses as migrate_up. */
TALLY_MUST_CHECK tally_status migrate_script(const struct migrate_job *job, const char *file,
					     struct tally_error *err);

#endif
