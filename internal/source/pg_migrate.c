/* The lock is polled, never waited for: a session that waits inside pg_advisory_lock holds a
 * snapshot, and CREATE INDEX CONCURRENTLY of the session that has the lock would wait for that in
 * turn. */
#include "source/pg_migrate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "source/migrate_files.h"
#include "source/pg_error.h"
#include "source/pg_settings.h"

#define TABLE        MIGRATE_TABLE
#define LOCK_POLL_MS 50
#define NAME_BYTES   64 /* of PostgreSQL, the end included */
#define COMMAND_MAX  512

/* A session that holds the lock, and where the database is. */
struct session {
	const struct migrate_job *job;
	PGconn *pg;
	struct migrate_files files;
	/* Quoted, with its schema: files may change the search path. */
	char table[2 * NAME_BYTES + sizeof "\"\"." TABLE];
	uint32_t lock;
	int64_t version; /* -1: nothing is applied */
};

static void
drop_notice(void *ctx, const PGresult *result)
{
	(void)ctx;
	(void)result; /* "relation exists already, skipping": not for the person */
}

static tally_status
refuse_connection(const struct session *session, struct tally_error *err)
{
	char reason[256];

	pg_error_reason(session->pg, reason, sizeof reason);
	return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s cannot be reached: %s",
			  session->job->name, reason);
}

/* Not pg_settings' own session: that one is read only and ends long statements. */
static tally_status
connect_to(struct session *session, struct tally_error *err)
{
	struct pg_settings settings = { 0 };
	tally_status status =
	    pg_settings_init(&settings, session->job->name, session->job->url, 0, err);
	/* What stands before dbname may be said otherwise in the URL. */
	const char *const keywords[] = { "connect_timeout",
					 "tcp_user_timeout",
					 "keepalives_idle",
					 "fallback_application_name",
					 "dbname",
					 "client_encoding",
					 NULL };
	const char *const values[] = { "10",         "30000", "10", "tally-migrate",
				       settings.url, "UTF8",  NULL };

	if (status == TALLY_OK) {
		session->pg = PQconnectdbParams(keywords, values, 1);
		if (!session->pg)
			status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
		else if (PQstatus(session->pg) != CONNECTION_OK)
			status = refuse_connection(session, err);
		else
			(void)PQsetNoticeReceiver(session->pg, drop_notice, NULL);
	}
	pg_settings_fini(&settings);
	return status;
}

/* The line of a character position (from 1) in text; 0 when it is not known. */
static int
line_of(const char *text, const char *position)
{
	long at = position ? strtol(position, NULL, 10) : 0;
	int line = 1;

	if (at < 1)
		return 0;
	for (; *text && at > 1; text++) {
		line += *text == '\n';
		at -= ((unsigned char)text[1] & 0xc0) != 0x80; /* characters, not bytes */
	}
	return line;
}

/* Fills err from a failed result; file is NULL for statements of ours. */
static tally_status
fail_result(const struct session *session, const PGresult *result, const char *file,
	    const char *sql, struct tally_error *err)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	int line = line_of(sql, PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION));
	tally_status status = pg_error_status(code);

	if (!text || PQstatus(session->pg) != CONNECTION_OK)
		return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s: the connection was lost",
				  session->job->name);
	if (!file)
		return tally_fail(err, status, "%s: %s", session->job->name, text);
	if (status == TALLY_SOURCE_ERROR)
		status = TALLY_WRONG_DEFINITION;
	if (line > 0)
		return tally_fail(err, status, "%s:%d: %s (%s)", file, line, text,
				  code ? code : "");
	return tally_fail(err, status, "%s: %s (%s)", file, text, code ? code : "");
}

/* Runs statements whose rows do not matter. */
static tally_status
run(const struct session *session, const char *sql, const char *file, struct tally_error *err)
{
	PGresult *result = PQexec(session->pg, sql);
	ExecStatusType state = PQresultStatus(result);
	tally_status status = TALLY_OK;

	if (state != PGRES_COMMAND_OK && state != PGRES_TUPLES_OK && state != PGRES_EMPTY_QUERY)
		status = fail_result(session, result, file, sql, err);
	PQclear(result);
	return status;
}

/* The table's full name and the number of the lock. */
static tally_status
find_names(struct session *session, struct tally_error *err)
{
	PGresult *result = PQexec(session->pg, "SELECT current_schema(), current_database(),"
					       " format('%I." TABLE "', current_schema())");
	tally_status status = TALLY_OK;

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		status = fail_result(session, result, NULL, "", err);
	} else if (PQgetisnull(result, 0, 0)) {
		status = tally_fail(err, TALLY_WRONG_SETTING,
				    "%s: no schema of its search_path exists", session->job->name);
	} else {
		session->lock =
		    migrate_lock_number(PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
		(void)snprintf(session->table, sizeof session->table, "%s",
			       PQgetvalue(result, 0, 2));
	}
	PQclear(result);
	return status;
}

static tally_status
try_lock(const struct session *session, bool *out_is_ours, struct tally_error *err)
{
	char sql[COMMAND_MAX];
	tally_status status = TALLY_OK;
	PGresult *result;

	(void)snprintf(sql, sizeof sql, "SELECT pg_try_advisory_lock(%" PRIu32 ")", session->lock);
	result = PQexec(session->pg, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		status = fail_result(session, result, NULL, "", err);
	else
		*out_is_ours = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return status;
}

static tally_status
lock(const struct session *session, struct tally_error *err)
{
	int64_t until_ms = clock_mono_ms() + session->job->lock_ms;
	struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000000L };
	char sql[COMMAND_MAX];
	bool is_ours = false;

	for (;;) {
		tally_status status = try_lock(session, &is_ours, err);

		if (status != TALLY_OK)
			return status;
		if (is_ours)
			break;
		if (clock_mono_ms() >= until_ms)
			return tally_fail(err, TALLY_DEADLINE_EXCEEDED,
					  "%s: another migration is running (waited %d ms for its"
					  " lock)",
					  session->job->name, session->job->lock_ms);
		(void)nanosleep(&pause, NULL);
	}
	/* Whoever queues for a table's lock stops all who come after: not for ever. */
	(void)snprintf(sql, sizeof sql, "SET lock_timeout = %d", session->job->lock_ms);
	return run(session, sql, NULL, err);
}

static tally_status
read_version(struct session *session, PGresult *result, struct tally_error *err)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return fail_result(session, result, NULL, "", err);
	session->version = -1;
	if (PQntuples(result) == 0)
		return TALLY_OK;
	session->version = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	if (PQgetvalue(result, 0, 1)[0] == 't')
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s: version %" PRId64
				  " is dirty: a migration failed half-way. Finish by hand what it"
				  " did, or take it back; then set in " TABLE " dirty = false"
				  " and the version that the schema has (no row: none)",
				  session->job->name, session->version);
	return TALLY_OK;
}

/* A database without the table is at no version: looking at it creates nothing. */
static tally_status
look_up_version(struct session *session, struct tally_error *err)
{
	tally_status status = TALLY_OK;
	char sql[COMMAND_MAX];
	PGresult *result = PQexec(session->pg, "SELECT 1 FROM pg_tables WHERE tablename = '" TABLE
					       "' AND schemaname = current_schema()");
	bool is_there = PQntuples(result) == 1;

	session->version = -1;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		status = fail_result(session, result, NULL, "", err);
	PQclear(result);
	if (status != TALLY_OK || !is_there)
		return status;
	(void)snprintf(sql, sizeof sql,
		       "SELECT version, dirty FROM %s ORDER BY version DESC LIMIT 1",
		       session->table);
	result = PQexec(session->pg, sql);
	status = read_version(session, result, err);
	PQclear(result);
	return status;
}

static tally_status
check_version(const struct session *session, struct tally_error *err)
{
	if (session->version < 0)
		return TALLY_OK;
	for (size_t i = 0; i < session->files.n; i++) {
		if (session->files.items[i].version == (uint64_t)session->version)
			return TALLY_OK;
	}
	return tally_fail(err, TALLY_WRONG_DEFINITION,
			  "%s is at version %" PRId64 ", of which %s has no file: is this an older"
			  " release?",
			  session->job->name, session->version, session->job->folder);
}

static tally_status
begin(struct session *session, bool is_locked, struct tally_error *err)
{
	tally_status status = migrate_files_read(session->job->folder, &session->files, err);

	if (status == TALLY_OK)
		status = connect_to(session, err);
	if (status == TALLY_OK)
		status = find_names(session, err);
	if (status == TALLY_OK && is_locked)
		status = lock(session, err);
	if (status == TALLY_OK)
		status = look_up_version(session, err);
	return status == TALLY_OK ? check_version(session, err) : status;
}

/* Closing the connection also gives up the lock and what is not committed. */
static void
end(struct session *session)
{
	PQfinish(session->pg);
	migrate_files_fini(&session->files);
}

/* In the transaction that is open, or in one of its own; -1 is no row, but for a dirty one. */
static tally_status
write_version(const struct session *session, int64_t version, bool is_dirty,
	      struct tally_error *err)
{
	char sql[COMMAND_MAX];
	int len = snprintf(sql, sizeof sql, "DELETE FROM %s;", session->table);

	if (version >= 0 || is_dirty)
		(void)snprintf(sql + len, sizeof sql - (size_t)len,
			       "INSERT INTO %s (version, dirty) VALUES (%" PRId64 ", %s)",
			       session->table, version, is_dirty ? "true" : "false");
	return run(session, sql, NULL, err);
}

/* Runs a file's text inside the open transaction. */
static tally_status
run_inside(const struct session *session, const char *path, const char *text,
	   struct tally_error *err)
{
	tally_status status = run(session, text, path, err);

	if (status == TALLY_OK && PQtransactionStatus(session->pg) != PQTRANS_INTRANS)
		status = tally_fail(err, TALLY_WRONG_DEFINITION,
				    "%s: ends a transaction that it did not begin", path);
	return status;
}

/* The file and the version, both or neither. */
static tally_status
move_whole(const struct session *session, const char *path, const char *text, int64_t version,
	   struct tally_error *err)
{
	tally_status status = run(session, "BEGIN", NULL, err);

	if (status == TALLY_OK)
		status = run_inside(session, path, text, err);
	if (status == TALLY_OK)
		status = write_version(session, version, false, err);
	if (status == TALLY_OK)
		status = run(session, "COMMIT", path, err); /* deferred constraints speak here */
	return status;
}

/* Dirty before, clean after; a failure leaves it dirty: a part of the file may have stayed. */
static tally_status
move_as_is(const struct session *session, const char *path, const char *text, int64_t version,
	   struct tally_error *err)
{
	tally_status status = write_version(session, version, true, err);
	size_t len;

	if (status != TALLY_OK)
		return status;
	status = run(session, text, path, err);
	if (status == TALLY_OK && PQtransactionStatus(session->pg) != PQTRANS_IDLE)
		status = tally_fail(err, TALLY_WRONG_DEFINITION, "%s: leaves its transaction open",
				    path);
	if (status == TALLY_OK)
		status = write_version(session, version, false, err);
	if (status == TALLY_OK || !err)
		return status;
	len = strlen(err->detail);
	(void)snprintf(err->detail + len, sizeof err->detail - len,
		       "; %s is dirty now: finish by hand what the file did, or take it back, then"
		       " correct " TABLE,
		       session->job->name);
	return status;
}

/* Runs a file and sets the version that the database is at then (-1: none). */
static tally_status
move(struct session *session, const char *file, int64_t version, struct tally_error *err)
{
	struct buf sql = BUF_INIT(MIGRATE_MAX_BYTES);
	char path[1024];
	tally_status status;

	(void)snprintf(path, sizeof path, "%s/%s", session->job->folder, file);
	status = migrate_file_load(path, &sql, err);
	if (status == TALLY_OK)
		status = migrate_is_own_transaction(sql.data)
			     ? move_as_is(session, path, sql.data, version, err)
			     : move_whole(session, path, sql.data, version, err);
	if (status == TALLY_OK)
		session->version = version;
	buf_fini(&sql);
	return status;
}

static void
report(const struct session *session, const struct migrate_file *file, bool was_moved)
{
	struct migration migration = {
		.version = file->version,
		.name = file->name,
		.is_applied = session->version >= 0 && file->version <= (uint64_t)session->version,
		.was_moved = was_moved,
	};

	session->job->on_migration(session->job->ctx, &migration);
}

static tally_status
apply_pending(struct session *session, struct tally_error *err)
{
	char sql[COMMAND_MAX];
	tally_status status;

	(void)snprintf(sql, sizeof sql,
		       "CREATE TABLE IF NOT EXISTS %s"
		       " (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)",
		       session->table);
	status = run(session, sql, NULL, err);
	for (size_t i = 0; status == TALLY_OK && i < session->files.n; i++) {
		const struct migrate_file *file = &session->files.items[i];

		if (session->version >= 0 && file->version <= (uint64_t)session->version)
			continue;
		status = move(session, file->up, (int64_t)file->version, err);
		if (status == TALLY_OK)
			report(session, file, true);
	}
	return status;
}

static tally_status
revert(struct session *session, size_t n, struct tally_error *err)
{
	tally_status status = TALLY_OK;

	for (size_t i = session->files.n; status == TALLY_OK && n > 0 && i-- > 0;) {
		const struct migrate_file *file = &session->files.items[i];

		if (session->version < 0 || file->version > (uint64_t)session->version)
			continue;
		if (!file->down[0])
			return tally_fail(err, TALLY_WRONG_DEFINITION, "%s has no .down.sql",
					  file->up);
		status = move(session, file->down,
			      i > 0 ? (int64_t)session->files.items[i - 1].version : -1, err);
		if (status == TALLY_OK)
			report(session, file, true);
		n--;
	}
	return status;
}

tally_status
pg_migrate_up(const struct migrate_job *job, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = begin(&session, true, err);

	if (status == TALLY_OK)
		status = apply_pending(&session, err);
	end(&session);
	return status;
}

tally_status
pg_migrate_down(const struct migrate_job *job, size_t n, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = begin(&session, true, err);

	if (status == TALLY_OK)
		status = revert(&session, n, err);
	end(&session);
	return status;
}

tally_status
pg_migrate_look(const struct migrate_job *job, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = begin(&session, false, err);

	for (size_t i = 0; status == TALLY_OK && i < session.files.n; i++)
		report(&session, &session.files.items[i], false);
	end(&session);
	return status;
}

tally_status
pg_migrate_script(const struct migrate_job *job, const char *file, struct tally_error *err)
{
	struct session session = { .job = job };
	struct buf sql = BUF_INIT(MIGRATE_MAX_BYTES);
	tally_status status = migrate_file_load(file, &sql, err);

	if (status == TALLY_OK)
		status = connect_to(&session, err);
	if (status == TALLY_OK)
		status = run(&session, "BEGIN", NULL, err);
	if (status == TALLY_OK)
		status = run_inside(&session, file, sql.data, err);
	if (status == TALLY_OK)
		status = run(&session, "COMMIT", file, err);
	buf_fini(&sql);
	end(&session);
	return status;
}
