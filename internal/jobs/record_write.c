#include "jobs/record_inner.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/pg_array.h"

#define DAY_MS INT64_C(86400000)

/* ---- statements -------------------------------------------------------------- */

/* Begins the arrays of a statement, for n rows. */
static struct pg_array *
begin(struct record *record, enum record_statement statement, size_t n)
{
	const uint32_t *elements = record_sql[statement].elements;

	for (size_t i = 0; elements[i]; i++)
		pg_array_begin(&record->columns[i], elements[i], n);
	return record->columns;
}

/* Runs a statement with the arrays that were filled. */
static tally_status
run(struct record *record, enum record_statement statement, PGresult **out_result,
    struct tally_error *err)
{
	const struct record_sql *sql = &record_sql[statement];
	struct job_pg_param params[RECORD_COLUMNS];
	size_t n = 0;

	for (; sql->elements[n]; n++) {
		if (record->columns[n].status != TALLY_OK)
			return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
		params[n] = job_pg_array(sql->elements[n], &record->columns[n]);
	}
	return record_ask(record, sql->text, params, n, out_result, err);
}

static void
put_id(struct pg_array *array, const struct tally_job_id *id)
{
	pg_array_put(array, id->text, TALLY_JOB_ID_CHARS);
}

static int32_t
day_of(const struct projection_change *change)
{
	return projection_day(change->created_ms);
}

/* ---- foreign jobs of another day --------------------------------------------- */

/* Forgets the result half: it is none. */
static void
forget_result(struct projection_change *change)
{
	change->state = JOB_QUEUED;
	change->attempt = 0;
	change->started_ms = 0;
	change->finished_ms = 0;
	change->run = 0;
	change->n_rows = 0;
	change->n_bytes = 0;
	change->n_parts = 0;
	change->has_sha256 = false;
	change->as_of.is_set = false;
	change->error.is_set = false;
}

static tally_status
move(struct record *record, const struct projection_change *change, int32_t old_day,
     struct tally_error *err)
{
	struct pg_array *columns = begin(record, RECORD_MOVE_JOBS, 1);
	tally_status status;

	put_id(&columns[0], &change->id);
	pg_array_put_date(&columns[1], old_day);
	pg_array_put_date(&columns[2], day_of(change));
	pg_array_put_int8(&columns[3], change->created_ms);
	status = run(record, RECORD_MOVE_JOBS, NULL, err);
	if (status != TALLY_OK)
		return status;
	columns = begin(record, RECORD_MOVE_RESULTS, 1);
	put_id(&columns[0], &change->id);
	pg_array_put_date(&columns[1], old_day);
	pg_array_put_date(&columns[2], day_of(change));
	return run(record, RECORD_MOVE_RESULTS, NULL, err);
}

/* A job has one row, on the day of its first request: what is of a later day goes there, and the
 * row goes to an earlier one. */
static tally_status
settle(struct record *record, struct projection_change *change, int32_t row_day, bool is_final,
       struct tally_error *err)
{
	bool is_void = is_final && !change->has_request;

	if (day_of(change) == row_day)
		return TALLY_OK;
	if (day_of(change) < row_day && !is_void)
		return move(record, change, row_day, err);
	/* Not before anything that is of that day. */
	change->created_ms = (row_day + 1) * DAY_MS - 1;
	return TALLY_OK;
}

static tally_status
settle_all(struct record *record, struct projection *projection, const PGresult *rows,
	   struct tally_error *err)
{
	for (int i = 0; i < PQntuples(rows); i++) {
		struct projection_change *change;
		int32_t day = (int32_t)strtol(PQgetvalue(rows, i, 1), NULL, 10);
		tally_status status;

		HASH_FIND(hh, projection->by_id, PQgetvalue(rows, i, 0), TALLY_JOB_ID_CHARS,
			  change);
		if (!change)
			continue;
		status = settle(record, change, day, PQgetvalue(rows, i, 2)[0] == 't', err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

static tally_status
settle_foreign(struct record *record, struct projection *projection, struct tally_error *err)
{
	struct pg_array *columns;
	PGresult *rows = NULL;
	tally_status status;
	size_t n = 0;

	for (size_t i = 0; i < record->n_changes; i++)
		n += record->changes[i]->is_foreign;
	if (n == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_FIND_FOREIGN, n);
	for (size_t i = 0; i < record->n_changes; i++) {
		if (record->changes[i]->is_foreign)
			put_id(&columns[0], &record->changes[i]->id);
	}
	status = run(record, RECORD_FIND_FOREIGN, &rows, err);
	if (status == TALLY_OK)
		status = settle_all(record, projection, rows, err);
	PQclear(rows);
	return status;
}

/* ---- bodies ------------------------------------------------------------------ */

static tally_status
write_bodies(struct record *record, const struct projection *projection, struct tally_error *err)
{
	struct pg_array *columns;

	if (projection->n_bodies == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_BODIES, projection->n_bodies);
	for (size_t i = 0; i < projection->n_bodies; i++) {
		const struct projection_body *body = &projection->bodies[i];

		put_id(&columns[0], &body->change->id);
		pg_array_put_date(&columns[1], day_of(body->change));
		pg_array_put_int8(&columns[2], (int64_t)body->run);
		pg_array_put_int4(&columns[3], (int32_t)body->part);
		pg_array_put(&columns[4], body->data, body->len);
	}
	return run(record, RECORD_BODIES, NULL, err);
}

/* Of the results in parts those remain of which all parts are there. */
static void
keep_complete(struct record *record, struct projection *projection, const PGresult *rows)
{
	for (int i = 0; i < PQntuples(rows); i++) {
		struct projection_change *change;

		HASH_FIND(hh, projection->by_id, PQgetvalue(rows, i, 0), TALLY_JOB_ID_CHARS,
			  change);
		if (change && strtoul(PQgetvalue(rows, i, 1), NULL, 10) == change->n_parts)
			change->n_bytes = strtoull(PQgetvalue(rows, i, 2), NULL, 10);
	}
	for (size_t i = 0; i < record->n_changes; i++) {
		if (record->changes[i]->n_parts > 1 && record->changes[i]->n_bytes == 0)
			forget_result(record->changes[i]);
	}
}

static tally_status
check_parts(struct record *record, struct projection *projection, struct tally_error *err)
{
	struct pg_array *columns;
	PGresult *rows = NULL;
	tally_status status;
	size_t n = 0;

	for (size_t i = 0; i < record->n_changes; i++)
		n += record->changes[i]->n_parts > 1;
	if (n == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_COUNT_PARTS, n);
	for (size_t i = 0; i < record->n_changes; i++) {
		const struct projection_change *change = record->changes[i];

		if (change->n_parts <= 1)
			continue;
		put_id(&columns[0], &change->id);
		pg_array_put_date(&columns[1], day_of(change));
		pg_array_put_int8(&columns[2], (int64_t)change->run);
		pg_array_put_int4(&columns[3], (int32_t)change->n_parts);
	}
	status = run(record, RECORD_COUNT_PARTS, &rows, err);
	if (status == TALLY_OK)
		keep_complete(record, projection, rows);
	PQclear(rows);
	return status;
}

static tally_status
drop_others(struct record *record, struct tally_error *err)
{
	struct pg_array *columns;
	size_t n = 0;

	for (size_t i = 0; i < record->n_changes; i++)
		n += record->changes[i]->has_results;
	if (n == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_DROP_OTHERS, n);
	for (size_t i = 0; i < record->n_changes; i++) {
		if (!record->changes[i]->has_results)
			continue;
		put_id(&columns[0], &record->changes[i]->id);
		pg_array_put_date(&columns[1], day_of(record->changes[i]));
	}
	return run(record, RECORD_DROP_OTHERS, NULL, err);
}

/* ---- jobs -------------------------------------------------------------------- */

static void
put_text(struct pg_array *array, const struct projection *projection,
	 const struct projection_text *text)
{
	pg_array_put(array, projection_text(projection, text), text->len);
}

static void
put_or_null(struct pg_array *array, bool is_known, int64_t number)
{
	if (is_known)
		pg_array_put_int8(array, number);
	else
		pg_array_put(array, NULL, 0);
}

static void
put_result(struct pg_array *columns, const struct projection *projection,
	   const struct projection_change *change)
{
	pg_array_put_time(&columns[14], change->finished_ms);
	pg_array_put_int8(&columns[15], (int64_t)change->run);
	pg_array_put_int8(&columns[16], (int64_t)change->n_rows);
	pg_array_put_int8(&columns[17], (int64_t)change->n_bytes);
	pg_array_put_int4(&columns[18], (int32_t)change->n_parts);
	pg_array_put(&columns[19], change->has_sha256 ? change->sha256 : NULL,
		     sizeof change->sha256);
	put_or_null(&columns[20], job_state_is_final(change->state), change->offset);
	put_text(&columns[21], projection, &change->as_of);
	put_text(&columns[22], projection, &change->error);
}

static void
put_change(struct pg_array *columns, const struct projection *projection,
	   const struct projection_change *change)
{
	put_id(&columns[0], &change->id);
	pg_array_put_date(&columns[1], day_of(change));
	pg_array_put_text(&columns[2], change->tenant);
	pg_array_put_int8(&columns[3], change->created_ms);
	pg_array_put_text(&columns[4], job_state_name(change->state));
	pg_array_put_time(&columns[5], change->deadline_ms);
	if (change->partition < 0)
		pg_array_put(&columns[6], NULL, 0);
	else
		pg_array_put_int4(&columns[6], change->partition);
	pg_array_put_bool(&columns[7], change->has_request);
	put_text(&columns[8], projection, &change->dataset);
	put_text(&columns[9], projection, &change->params);
	put_text(&columns[10], projection, &change->format);
	put_text(&columns[11], projection, &change->labels);
	pg_array_put_int4(&columns[12], (int32_t)change->attempt);
	pg_array_put_time(&columns[13], change->started_ms);
	put_result(columns, projection, change);
}

static tally_status
write_jobs(struct record *record, const struct projection *projection, struct tally_error *err)
{
	struct pg_array *columns;

	if (record->n_changes == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_JOBS, record->n_changes);
	for (size_t i = 0; i < record->n_changes; i++)
		put_change(columns, projection, record->changes[i]);
	return run(record, RECORD_JOBS, NULL, err);
}

/* ---- keys and progress ------------------------------------------------------- */

static tally_status
write_keys(struct record *record, const struct projection *projection, struct tally_error *err)
{
	struct pg_array *columns;

	if (projection->n_keys == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_KEYS, projection->n_keys);
	for (size_t i = 0; i < projection->n_keys; i++) {
		const struct projection_key *key = &projection->keys[i];

		pg_array_put_text(&columns[0], key->name.tenant);
		pg_array_put_text(&columns[1], key->name.key);
		pg_array_put(&columns[2], key->body_hash, sizeof key->body_hash);
		put_id(&columns[3], &key->change->id);
		pg_array_put_int8(&columns[4], key->change->created_ms);
		pg_array_put_int8(&columns[5], key->deadline_ms);
		pg_array_put(&columns[6], key->fingerprint, key->fingerprint_len);
		pg_array_put(&columns[7], key->trace.text, strlen(key->trace.text));
		pg_array_put_bool(&columns[8], key->no_cache);
		pg_array_put(&columns[9], key->request, key->request_len);
	}
	return run(record, RECORD_KEYS, NULL, err);
}

static tally_status
write_progress(struct record *record, const struct projection *projection, struct tally_error *err)
{
	static const char *const topics[] = {
		[PROJECTION_REQUESTS] = TALLY_TOPIC_REQUESTS_JOBS,
		[PROJECTION_RESULTS] = TALLY_TOPIC_RESULTS,
	};
	struct pg_array *columns;

	if (projection->n_progress == 0)
		return TALLY_OK;
	columns = begin(record, RECORD_PROGRESS, projection->n_progress);
	for (size_t i = 0; i < projection->n_progress; i++) {
		const struct projection_progress *progress = &projection->progress[i];

		pg_array_put_text(&columns[0], topics[progress->topic]);
		pg_array_put_int4(&columns[1], progress->partition);
		pg_array_put_int8(&columns[2], progress->next_offset);
		pg_array_put_int8(&columns[3], progress->stamp_ms);
	}
	return run(record, RECORD_PROGRESS, NULL, err);
}

/* ---- the transaction --------------------------------------------------------- */

static int
compare_ids(const void *a, const void *b)
{
	const struct projection_change *const *left = a;
	const struct projection_change *const *right = b;

	return strcmp((*left)->id.text, (*right)->id.text);
}

/* Rows are locked in the same order by all who write. */
static void
order_changes(struct record *record, struct projection *projection)
{
	record->n_changes = projection->n_changes;
	for (size_t i = 0; i < projection->n_changes; i++)
		record->changes[i] = &projection->changes[i];
	qsort(record->changes, record->n_changes, sizeof *record->changes, compare_ids);
}

static tally_status
write_all(struct record *record, struct projection *projection, struct tally_error *err)
{
	tally_status status = record_ask(record, "BEGIN", NULL, 0, NULL, err);

	if (status == TALLY_OK)
		status = settle_foreign(record, projection, err);
	if (status == TALLY_OK)
		status = write_bodies(record, projection, err);
	if (status == TALLY_OK)
		status = check_parts(record, projection, err);
	if (status == TALLY_OK)
		status = write_jobs(record, projection, err);
	if (status == TALLY_OK)
		status = drop_others(record, err);
	if (status == TALLY_OK)
		status = write_keys(record, projection, err);
	if (status == TALLY_OK)
		status = write_progress(record, projection, err);
	if (status == TALLY_OK)
		status = record_ask(record, "COMMIT", NULL, 0, NULL, err);
	return status;
}

/* Whether the values are to blame: SQLSTATE classes 22 (data exception), 23 (constraint), 54 (a
 * limit of the server). */
static bool
is_of_data(const struct tally_error *err)
{
	const char *state = err->sqlstate;

	return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0
	       || strncmp(state, "54", 2) == 0;
}

tally_status
record_write(struct record *record, struct projection *projection, struct tally_error *err)
{
	struct tally_error why = { 0 };
	tally_status status = record_connect(record, &why);

	order_changes(record, projection);
	if (status == TALLY_OK)
		status = write_all(record, projection, &why);
	if (status == TALLY_INTERNAL_ERROR && is_of_data(&why))
		status = TALLY_BAD_REQUEST;
	if (status == TALLY_OK)
		return TALLY_OK;
	/* Ends the transaction, whatever has become of it. */
	if (job_pg_is_up(record->pg)
	    && record_ask(record, "ROLLBACK", NULL, 0, NULL, NULL) != TALLY_OK)
		job_pg_close(record->pg);
	if (err)
		*err = why;
	return status;
}
