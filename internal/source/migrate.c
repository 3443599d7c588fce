#include "source/migrate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "source/migrate_files.h"
#include "source/pg_error.h"
#include "source/pg_settings.h"

/* "tally" in hexadecimal: one lock for one database. */
#define LOCK_KEY "'x74616c6c79'::bit(40)::bigint"

/* A session that holds the lock, and where the database is. */
struct session {
	const struct migrate_job *job;
	PGconn *pg;
	struct migrate_files files;
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
	const char *const keywords[] = { "connect_timeout", "fallback_application_name", "dbname",
					 "client_encoding", NULL };
	const char *const values[] = { "10", "tally-migrate", settings.url, "UTF8", NULL };

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

static tally_status
lock(const struct session *session, struct tally_error *err)
{
	char sql[64];
	tally_status status;
	PGresult *result;

	(void)snprintf(sql, sizeof sql, "SET lock_timeout = %d", session->job->lock_ms);
	status = run(session, sql, NULL, err);
	if (status != TALLY_OK)
		return status;
	result = PQexec(session->pg, "SELECT pg_advisory_lock(" LOCK_KEY ")");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		status = tally_fail(err, TALLY_DEADLINE_EXCEEDED,
				    "%s: another migration is running (waited %d ms for its lock)",
				    session->job->name, session->job->lock_ms);
	PQclear(result);
	return status == TALLY_OK ? run(session, "RESET lock_timeout", NULL, err) : status;
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
				  " is dirty: a migration failed half-way; put"
				  " the schema right, then set dirty = false in schema_migrations",
				  session->job->name, session->version);
	return TALLY_OK;
}

/* A database without the table is at no version: looking at it creates nothing. */
static tally_status
look_up_version(struct session *session, struct tally_error *err)
{
	tally_status status = TALLY_OK;
	PGresult *result =
	    PQexec(session->pg, "SELECT 1 WHERE to_regclass('schema_migrations') IS NOT NULL");
	bool is_there = PQntuples(result) == 1;

	session->version = -1;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		status = fail_result(session, result, NULL, "", err);
	PQclear(result);
	if (status != TALLY_OK || !is_there)
		return status;
	result = PQexec(session->pg, "SELECT version, dirty FROM schema_migrations"
				     " ORDER BY version DESC LIMIT 1");
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

/* Runs a file inside the open transaction. */
static tally_status
run_file(const struct session *session, const char *path, struct tally_error *err)
{
	struct buf sql = BUF_INIT(MIGRATE_MAX_BYTES);
	tally_status status = migrate_file_load(path, &sql, err);

	if (status == TALLY_OK)
		status = run(session, sql.data, path, err);
	if (status == TALLY_OK && PQtransactionStatus(session->pg) != PQTRANS_INTRANS)
		status = tally_fail(err, TALLY_WRONG_DEFINITION,
				    "%s: ends its transaction; leave BEGIN and COMMIT out", path);
	buf_fini(&sql);
	return status;
}

/* Runs a file and sets the version that the database is at then (-1: none), both or neither. */
static tally_status
move(struct session *session, const char *file, int64_t version, struct tally_error *err)
{
	char path[1024], sql[160];
	tally_status status = run(session, "BEGIN", NULL, err);

	(void)snprintf(path, sizeof path, "%s/%s", session->job->folder, file);
	if (status == TALLY_OK)
		status = run_file(session, path, err);
	if (status == TALLY_OK)
		status = run(session, "TRUNCATE schema_migrations", NULL, err);
	(void)snprintf(sql, sizeof sql, "INSERT INTO schema_migrations VALUES (%" PRId64 ", false)",
		       version);
	if (status == TALLY_OK && version >= 0)
		status = run(session, sql, NULL, err);
	if (status == TALLY_OK)
		status = run(session, "COMMIT", path, err); /* deferred constraints speak here */
	if (status == TALLY_OK)
		session->version = version;
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
	tally_status status = run(session,
				  "CREATE TABLE IF NOT EXISTS schema_migrations"
				  " (version bigint PRIMARY KEY, dirty boolean NOT NULL)",
				  NULL, err);

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
migrate_up(const struct migrate_job *job, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = begin(&session, true, err);

	if (status == TALLY_OK)
		status = apply_pending(&session, err);
	end(&session);
	return status;
}

tally_status
migrate_down(const struct migrate_job *job, size_t n, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = begin(&session, true, err);

	if (status == TALLY_OK)
		status = revert(&session, n, err);
	end(&session);
	return status;
}

tally_status
migrate_look(const struct migrate_job *job, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = begin(&session, false, err);

	for (size_t i = 0; status == TALLY_OK && i < session.files.n; i++)
		report(&session, &session.files.items[i], false);
	end(&session);
	return status;
}

tally_status
migrate_script(const struct migrate_job *job, const char *file, struct tally_error *err)
{
	struct session session = { .job = job };
	tally_status status = connect_to(&session, err);

	if (status == TALLY_OK)
		status = run(&session, "BEGIN", NULL, err);
	if (status == TALLY_OK)
		status = run_file(&session, file, err);
	if (status == TALLY_OK)
		status = run(&session, "COMMIT", file, err);
	end(&session);
	return status;
}
