/* The table and its rows are those of golang-migrate's driver for ClickHouse: a row for each move,
 * and the one with the highest sequence counts. */
#include "source/ch_migrate.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "source/ch_session.h"
#include "source/ch_sql.h"
#include "source/migrate_files.h"

#define TABLE       MIGRATE_TABLE
#define COMMAND_MAX 512
#define MAX_PATH    1024

static const char last_version[] =
    "SELECT version, dirty FROM " TABLE " ORDER BY sequence DESC LIMIT 1";

/* Where the database is. */
struct migrator {
	const struct migrate_job *job;
	struct ch_session session;
	struct migrate_files files;
	int64_t version; /* -1: nothing is applied */
};

static tally_status
run(struct migrator *migrator, const char *sql, struct tally_error *err)
{
	return ch_session_run(&migrator->session, migrator->job->name, sql, NULL, err);
}

/* One number of a question that has a row or none. */
static tally_status
ask_numbers(struct migrator *migrator, const char *sql, int64_t *out, size_t n,
	    struct tally_error *err)
{
	struct rows *rows = NULL;
	tally_status status =
	    ch_session_ask(&migrator->session, migrator->job->name, sql, &rows, err);

	if (status != TALLY_OK)
		return status;
	for (size_t i = 0; rows->n_rows > 0 && i < n && i < rows->n_columns; i++)
		out[i] = rows_cell(rows, 0, i)->i;
	rows_free(rows);
	return TALLY_OK;
}

static tally_status
look_up_version(struct migrator *migrator, struct tally_error *err)
{
	int64_t is_there = 0;
	int64_t row[2] = { -1, 0 };
	tally_status status = ask_numbers(migrator, "EXISTS TABLE " TABLE, &is_there, 1, err);

	if (status == TALLY_OK && is_there)
		status = ask_numbers(migrator, last_version, row, 2, err);
	migrator->version = row[0];
	if (status != TALLY_OK || row[1] == 0)
		return status;
	return tally_fail(
	    err, TALLY_WRONG_DEFINITION,
	    "%s: version %" PRId64
	    " is dirty: a migration failed half-way. Finish by hand what it did, or take"
	    " it back; then INSERT INTO " TABLE " (version, dirty, sequence) SELECT"
	    " V, 0, toUnixTimestamp64Nano(now64(9)), V being the version that the schema"
	    " has (-1: none)",
	    migrator->job->name, migrator->version);
}

static tally_status
check_version(const struct migrator *migrator, struct tally_error *err)
{
	if (migrator->version < 0)
		return TALLY_OK;
	for (size_t i = 0; i < migrator->files.n; i++) {
		if (migrator->files.items[i].version == (uint64_t)migrator->version)
			return TALLY_OK;
	}
	return tally_fail(err, TALLY_WRONG_DEFINITION,
			  "%s is at version %" PRId64 ", of which %s has no file: is this an older"
			  " release?",
			  migrator->job->name, migrator->version, migrator->job->folder);
}

static tally_status
begin(struct migrator *migrator, struct tally_error *err)
{
	const struct migrate_job *job = migrator->job;
	tally_status status = migrate_files_read(job->folder, &migrator->files, err);

	if (status == TALLY_OK)
		status = ch_session_open(&migrator->session, job->name, job->url, err);
	if (status == TALLY_OK)
		status = look_up_version(migrator, err);
	return status == TALLY_OK ? check_version(migrator, err) : status;
}

static void
end(struct migrator *migrator)
{
	ch_session_close(&migrator->session);
	migrate_files_fini(&migrator->files);
}

static tally_status
write_version(struct migrator *migrator, int64_t version, bool is_dirty, struct tally_error *err)
{
	char sql[COMMAND_MAX];

	(void)snprintf(sql, sizeof sql,
		       "INSERT INTO " TABLE " (version, dirty, sequence) SELECT %" PRId64
		       ", %d, toUnixTimestamp64Nano(now64(9))",
		       version, is_dirty);
	return run(migrator, sql, err);
}

/* ---- files ------------------------------------------------------------------- */

/* The end of the statement at text: its ';' or the end.  Empty: only comments and blanks. */
static const char *
statement_end(const char *text, bool *out_is_empty)
{
	const char *at = text;

	*out_is_empty = true;
	while (*at && *at != ';') {
		size_t opaque = ch_sql_opaque(at);
		bool is_comment = opaque > 0 && (*at == '-' || *at == '/');

		*out_is_empty &= is_comment || isspace((unsigned char)*at);
		at += opaque > 0 ? opaque : 1;
	}
	return at;
}

/* Past blanks and comments, counting lines. */
static const char *
skip_blanks(const char *at, int *line)
{
	for (;;) {
		size_t len = *at == '-' || *at == '/' ? ch_sql_opaque(at) : 0;

		if (len == 0 && !isspace((unsigned char)*at))
			return at;
		for (len = len > 0 ? len : 1; len > 0; len--)
			*line += *at++ == '\n';
	}
}

/* Runs the statements of a file one by one; errors say "file:line: what". */
static tally_status
run_statements(struct migrator *migrator, const char *path, char *text, struct tally_error *err)
{
	tally_status status = TALLY_OK;
	char where[MAX_PATH + 16];
	int line = 1;

	while (status == TALLY_OK && *text) {
		bool is_empty;
		const char *begin = skip_blanks(text, &line);
		char *end_of_it = text + (statement_end(text, &is_empty) - text);
		bool is_last = *end_of_it == '\0';

		*end_of_it = '\0';
		(void)snprintf(where, sizeof where, "%s:%d", path, line);
		if (!is_empty)
			status = ch_session_run(&migrator->session, where, begin, NULL, err);
		for (; *begin; begin++)
			line += *begin == '\n';
		text = end_of_it + !is_last;
	}
	return status;
}

static tally_status
run_file(struct migrator *migrator, const char *path, struct tally_error *err)
{
	struct buf sql = BUF_INIT(MIGRATE_MAX_BYTES);
	tally_status status = migrate_file_load(path, &sql, err);

	if (status == TALLY_OK)
		status = run_statements(migrator, path, sql.data, err);
	buf_fini(&sql);
	return status;
}

/* Dirty before, clean after; a failure leaves it dirty: a part of the file may have stayed. */
static tally_status
move(struct migrator *migrator, const char *file, int64_t dirty_as, int64_t version,
     struct tally_error *err)
{
	char path[MAX_PATH];
	tally_status status = write_version(migrator, dirty_as, true, err);

	(void)snprintf(path, sizeof path, "%s/%s", migrator->job->folder, file);
	if (status == TALLY_OK)
		status = run_file(migrator, path, err);
	if (status == TALLY_OK)
		status = write_version(migrator, version, false, err);
	if (status == TALLY_OK)
		migrator->version = version;
	return status;
}

/* ---- moves ------------------------------------------------------------------- */

static void
report(const struct migrator *migrator, const struct migrate_file *file, bool was_moved)
{
	struct migration migration = {
		.version = file->version,
		.name = file->name,
		.is_applied =
		    migrator->version >= 0 && file->version <= (uint64_t)migrator->version,
		.was_moved = was_moved,
	};

	migrator->job->on_migration(migrator->job->ctx, &migration);
}

static tally_status
apply_pending(struct migrator *migrator, struct tally_error *err)
{
	tally_status status =
	    run(migrator,
		"CREATE TABLE IF NOT EXISTS " TABLE " (version Int64, dirty UInt8,"
		" sequence UInt64) ENGINE = TinyLog",
		err);

	for (size_t i = 0; status == TALLY_OK && i < migrator->files.n; i++) {
		const struct migrate_file *file = &migrator->files.items[i];
		int64_t version = (int64_t)file->version;

		if (version <= migrator->version)
			continue;
		status = move(migrator, file->up, version, version, err);
		if (status == TALLY_OK)
			report(migrator, file, true);
	}
	return status;
}

static tally_status
revert(struct migrator *migrator, size_t n, struct tally_error *err)
{
	tally_status status = TALLY_OK;

	for (size_t i = migrator->files.n; status == TALLY_OK && n > 0 && i-- > 0;) {
		const struct migrate_file *file = &migrator->files.items[i];
		int64_t before = i > 0 ? (int64_t)migrator->files.items[i - 1].version : -1;

		if ((int64_t)file->version > migrator->version)
			continue;
		if (!file->down[0])
			return tally_fail(err, TALLY_WRONG_DEFINITION, "%s has no .down.sql",
					  file->up);
		status = move(migrator, file->down, (int64_t)file->version, before, err);
		if (status == TALLY_OK)
			report(migrator, file, true);
		n--;
	}
	return status;
}

tally_status
ch_migrate_up(const struct migrate_job *job, struct tally_error *err)
{
	struct migrator migrator = { .job = job };
	tally_status status = begin(&migrator, err);

	if (status == TALLY_OK)
		status = apply_pending(&migrator, err);
	end(&migrator);
	return status;
}

tally_status
ch_migrate_down(const struct migrate_job *job, size_t n, struct tally_error *err)
{
	struct migrator migrator = { .job = job };
	tally_status status = begin(&migrator, err);

	if (status == TALLY_OK)
		status = revert(&migrator, n, err);
	end(&migrator);
	return status;
}

tally_status
ch_migrate_look(const struct migrate_job *job, struct tally_error *err)
{
	struct migrator migrator = { .job = job };
	tally_status status = begin(&migrator, err);

	for (size_t i = 0; status == TALLY_OK && i < migrator.files.n; i++)
		report(&migrator, &migrator.files.items[i], false);
	end(&migrator);
	return status;
}

tally_status
ch_migrate_script(const struct migrate_job *job, const char *file, struct tally_error *err)
{
	struct migrator migrator = { .job = job };
	tally_status status = ch_session_open(&migrator.session, job->name, job->url, err);

	if (status == TALLY_OK)
		status = run_file(&migrator, file, err);
	end(&migrator);
	return status;
}
