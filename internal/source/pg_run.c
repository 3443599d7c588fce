#include "source/pg_run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/own.h"
#include "source/pg_shape.h"
#include "source/pg_types.h"

#define NAME_CHARS       24
#define LOOKUP_ARGUMENTS ((size_t)1 << 16)

static const char *
where(const struct pg_run *run)
{
	return run->query->statement->where;
}

static void
name_of(const struct pg_run *run, char out[NAME_CHARS])
{
	(void)snprintf(out, NAME_CHARS, "t%" PRIu64, run->query->statement->id);
}

/* ---- endings ----------------------------------------------------------------- */

static void
drop_result(struct pg_run *run)
{
	rows_free(TAKE(run->outcome.rows));
	source_shape_free(TAKE(run->outcome.shape));
}

/* Keeps the first failure. */
static void
fail(struct pg_run *run, const struct tally_error *err)
{
	drop_result(run);
	if (run->outcome.status != TALLY_OK)
		return;
	run->outcome.status = err->status;
	run->outcome.err = *err;
}

static enum pg_next
fail_over(struct pg_run *run, tally_status status, const char *what)
{
	struct tally_error err;

	(void)tally_fail(&err, status, "%s: %s", where(run), what);
	fail(run, &err);
	return PG_OVER;
}

static enum pg_next
fail_broken(struct pg_run *run, tally_status status, const char *what)
{
	(void)fail_over(run, status, what);
	return PG_BROKEN;
}

void
pg_run_take(struct pg_run *run, struct source_outcome *out_outcome)
{
	free(run->oids);
	*out_outcome = run->outcome;
	*run = (struct pg_run){ 0 };
}

/* ---- steps ------------------------------------------------------------------- */

static enum pg_next
sent(struct pg_run *run, enum pg_step step, int ok)
{
	if (!ok)
		return fail_broken(run, TALLY_SOURCE_UNAVAILABLE, "the connection was lost");
	run->step = step;
	return PG_SENT;
}

static enum pg_next
send_deallocate(struct pg_run *run)
{
	char command[NAME_CHARS + 16];

	(void)snprintf(command, sizeof command, "DEALLOCATE t%" PRIu64, run->query->statement->id);
	pg_connection_forget(run->connection, run->query->statement->id);
	return sent(run, PG_STEP_DEALLOCATE, PQsendQuery(run->connection->pg, command));
}

static enum pg_next
send_prepare(struct pg_run *run)
{
	const struct source_statement *statement = run->query->statement;
	struct pg_params params;
	char name[NAME_CHARS];
	enum pg_next next;

	name_of(run, name);
	/* Noted before it is true, as there may be no memory for it later. */
	if (pg_params_declare(statement, &params) != TALLY_OK
	    || !pg_connection_note(run->connection, statement->id))
		next = fail_over(run, TALLY_NO_MEMORY, "out of memory");
	else
		next = sent(run, PG_STEP_PREPARE,
			    PQsendPrepare(run->connection->pg, name, statement->sql, params.n,
					  params.oids));
	pg_params_fini(&params);
	return next;
}

static enum pg_next
send_describe(struct pg_run *run)
{
	char name[NAME_CHARS];

	name_of(run, name);
	return sent(run, PG_STEP_DESCRIBE, PQsendDescribePrepared(run->connection->pg, name));
}

static enum pg_next
send_lookup(struct pg_run *run)
{
	struct buf buf = BUF_INIT(LOOKUP_ARGUMENTS);
	enum pg_next next;

	if (pg_shape_unknown(run->outcome.shape, run->oids, &buf) != TALLY_OK) {
		next = fail_over(run, TALLY_NO_MEMORY, "out of memory");
	} else {
		const char *value = buf.data;

		next = sent(run, PG_STEP_LOOKUP,
			    PQsendQueryParams(run->connection->pg, PG_LOOKUP_SQL, 1, NULL, &value,
					      NULL, NULL, 0));
	}
	buf_fini(&buf);
	return next;
}

static enum pg_next
send_params(struct pg_run *run, const struct pg_params *params)
{
	PGconn *pg = run->connection->pg;
	char name[NAME_CHARS];

	name_of(run, name);
	run->sent_us = clock_mono_us();
	run->sent_at_ms = clock_unix_ms();
	return sent(run, PG_STEP_EXECUTE,
		    PQsendQueryPrepared(pg, name, params->n, params->values, params->lengths,
					params->formats, 1)
			&& PQsetSingleRowMode(pg));
}

static enum pg_next
send_execute(struct pg_run *run)
{
	struct pg_params params;
	enum pg_next next;

	switch (pg_params_encode(run->query, &params)) {
	case TALLY_OK:
		next = send_params(run, &params);
		break;
	case TALLY_TOO_LARGE:
		next = fail_over(run, TALLY_TOO_LARGE, "the keys take too many bytes");
		break;
	case TALLY_SOURCE_ERROR:
		next = fail_over(run, TALLY_SOURCE_ERROR, "a key cannot be represented");
		break;
	default:
		next = fail_over(run, TALLY_NO_MEMORY, "out of memory");
		break;
	}
	pg_params_fini(&params);
	return next;
}

static enum pg_next
send_prepared(struct pg_run *run)
{
	return run->is_describe ? send_describe(run) : send_execute(run);
}

enum pg_next
pg_run_start(struct pg_run *run, struct pg_connection *connection, struct source_query *query,
	     bool is_describe)
{
	*run =
	    (struct pg_run){ .query = query, .connection = connection, .is_describe = is_describe };
	if (!pg_connection_has(connection, query->statement->id))
		return send_prepare(run);
	return send_prepared(run);
}

/* ---- results ----------------------------------------------------------------- */

static enum pg_next
take_error(struct pg_run *run, const PGresult *result)
{
	struct tally_error err;

	if (run->step == PG_STEP_DEALLOCATE) /* it was gone already */
		return PG_RUNNING;
	if (run->step == PG_STEP_PREPARE)
		pg_connection_forget(run->connection, run->query->statement->id);
	else if (!run->is_retried && pg_error_is_stale(result)) {
		run->is_stale = true;
		return PG_RUNNING;
	}
	if (run->is_describe)
		(void)pg_error_of_describe(result, where(run), &err);
	else
		(void)pg_error_of_query(result, where(run), &err);
	fail(run, &err);
	return PG_RUNNING;
}

static tally_status
note_columns(struct pg_run *run, const PGresult *result)
{
	run->n_columns = (size_t)PQnfields(result);
	run->oids = calloc(run->n_columns + 1, sizeof *run->oids);
	if (!run->oids)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < run->n_columns; i++)
		run->oids[i] = PQftype(result, (int)i);
	return TALLY_OK;
}

static tally_status
take_description(struct pg_run *run, const PGresult *result, struct tally_error *err)
{
	if (note_columns(run, result) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	return pg_shape_new(result, where(run), &run->outcome.shape, err);
}

static tally_status
begin_rows(struct pg_run *run, const PGresult *result, struct tally_error *err)
{
	tally_status status = pg_shape_check(run->query->statement->shape, result, where(run), err);

	if (status != TALLY_OK)
		return status;
	if (note_columns(run, result) == TALLY_OK)
		run->outcome.rows = rows_new(run->n_columns, run->query->budget_bytes);
	if (!run->outcome.rows)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	run->outcome.rows->as_of_ms = run->sent_at_ms;
	return TALLY_OK;
}

static tally_status
take_cell(struct pg_run *run, const PGresult *result, int column, struct value *cell)
{
	if (PQgetisnull(result, 0, column)) {
		enum tally_type type = pg_type_of(run->oids[column]);

		cell->type = (uint8_t)(type == TALLY_ABSENT ? TALLY_TEXT : type);
		return TALLY_OK;
	}
	return pg_decode(run->oids[column], PQgetvalue(result, 0, column),
			 (size_t)PQgetlength(result, 0, column), run->outcome.rows, cell);
}

static tally_status
take_row(struct pg_run *run, const PGresult *result, struct tally_error *err)
{
	struct value *cells;
	tally_status status = rows_add(run->outcome.rows, &cells);

	for (size_t i = 0; i < run->n_columns && status == TALLY_OK; i++)
		status = take_cell(run, result, (int)i, &cells[i]);
	switch (status) {
	case TALLY_OK:
		return TALLY_OK;
	case TALLY_TOO_LARGE:
		return tally_fail(err, status, "%s: the rows take more than %zu bytes", where(run),
				  run->query->budget_bytes);
	case TALLY_SOURCE_ERROR:
		return tally_fail(err, status, "%s: a value is not of its type's form", where(run));
	default:
		return tally_fail(err, status, "out of memory");
	}
}

/* A row, or the end of the rows. */
static tally_status
take_rows(struct pg_run *run, const PGresult *result, struct tally_error *err)
{
	tally_status status = TALLY_OK;

	if (!run->outcome.rows)
		status = begin_rows(run, result, err);
	if (status == TALLY_OK && PQresultStatus(result) == PGRES_SINGLE_TUPLE)
		return take_row(run, result, err);
	if (status == TALLY_OK)
		run->outcome.rows->took_us = clock_mono_us() - run->sent_us;
	return status;
}

static tally_status
take_answer(struct pg_run *run, const PGresult *result, struct tally_error *err)
{
	switch (run->step) {
	case PG_STEP_DESCRIBE:
		return take_description(run, result, err);
	case PG_STEP_LOOKUP:
		return pg_shape_complete(run->outcome.shape, run->oids, result, where(run), err);
	case PG_STEP_EXECUTE:
		return take_rows(run, result, err);
	default:
		return TALLY_OK;
	}
}

enum pg_next
pg_run_result(struct pg_run *run, PGresult *result)
{
	struct tally_error err = { 0 };
	tally_status status;

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_SINGLE_TUPLE:
	case PGRES_EMPTY_QUERY:
		break;
	case PGRES_FATAL_ERROR:
	case PGRES_BAD_RESPONSE:
		return take_error(run, result);
	default: /* COPY, which would want to be read in its own way */
		return fail_broken(run, TALLY_SOURCE_ERROR, "not a statement that returns rows");
	}
	status = take_answer(run, result, &err);
	if (status == TALLY_OK)
		return PG_RUNNING;
	fail(run, &err);
	/* More rows may come than anybody wants to read. */
	return run->step == PG_STEP_EXECUTE ? PG_BROKEN : PG_RUNNING;
}

enum pg_next
pg_run_ready(struct pg_run *run)
{
	if (run->outcome.status != TALLY_OK)
		return PG_OVER;
	if (run->is_stale) {
		run->is_stale = false;
		run->is_retried = true;
		return send_deallocate(run);
	}
	switch (run->step) {
	case PG_STEP_DEALLOCATE:
		return send_prepare(run);
	case PG_STEP_PREPARE:
		return send_prepared(run);
	case PG_STEP_DESCRIBE:
		return pg_shape_is_partial(run->outcome.shape) ? send_lookup(run) : PG_OVER;
	case PG_STEP_EXECUTE:
		if (run->outcome.rows)
			return PG_OVER;
		return fail_over(run, TALLY_SOURCE_ERROR, "the statement returned nothing");
	default:
		return PG_OVER;
	}
}
