#include "support/canned.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define COLUMNS_MAX 32

/* A query on its way. */
struct pending {
	TAILQ_ENTRY(pending) link;
	struct canned *canned;
	struct canned_statement *statement;
	struct source_query *query;
	struct loop_timer timer;
	bool is_late;
};

struct canned {
	struct source source;
	struct loop *loop;
	struct canned_statement *statements;
	size_t n_statements;
	TAILQ_HEAD(, pending) pending;
};

static struct canned_statement *
find_statement(struct canned *canned, const char *sql)
{
	for (size_t i = 0; i < canned->n_statements; i++) {
		if (strstr(sql, canned->statements[i].tag))
			return &canned->statements[i];
	}
	return NULL;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static size_t
find_column(const struct source_shape *shape, const char *name)
{
	for (size_t i = 0; i < shape->n_columns; i++) {
		if (strcmp(shape->columns[i].name, name) == 0)
			return i;
	}
	return SIZE_MAX;
}

/* The column that a bind is compared with: a step may not return a parameter that is bound as a
 * scalar under its own name. */
static size_t
bound_column(const struct source_shape *shape, const struct source_bind *bind)
{
	char name[72];

	snprintf(name, sizeof name, "%s%s", bind->name, bind->is_array ? "" : "_");
	return find_column(shape, name);
}

/* Whether the row has the values of the tuple; binds without a column fit any. */
static bool
is_tuple(const struct source_query *query, const struct value *cells, size_t tuple)
{
	for (size_t i = 0; i < query->statement->n_binds; i++) {
		const struct source_bind *bind = &query->statement->binds[i];
		size_t column = bound_column(query->statement->shape, bind);
		const struct value *values = query->arguments[i].values;

		assert(bind->is_array || query->arguments[i].n == 1);
		if (column != SIZE_MAX
		    && !value_equal(&cells[column], &values[bind->is_array ? tuple : 0]))
			return false;
	}
	return true;
}

static size_t
count_tuples(const struct source_query *query)
{
	for (size_t i = 0; i < query->statement->n_binds; i++) {
		if (query->statement->binds[i].is_array)
			return query->arguments[i].n;
	}
	return 1;
}

static bool
is_wanted(const struct source_query *query, const struct value *cells)
{
	size_t n = count_tuples(query);

	for (size_t i = 0; i < n; i++) {
		if (is_tuple(query, cells, i))
			return true;
	}
	return false;
}

static tally_status
read_cell(enum tally_type type, const char *text, size_t len, struct value *out_cell)
{
	*out_cell = (struct value){ .type = (uint8_t)type };
	if (len == 1 && text[0] == '~')
		return TALLY_OK;
	if (len == 1 && text[0] == '!') {
		out_cell->state = VALUE_BAD;
		return TALLY_OK;
	}
	return value_parse(type, text, len, out_cell, NULL);
}

static void
read_row(const struct source_shape *shape, const char *row, struct value *cells)
{
	for (size_t i = 0; i < shape->n_columns; i++) {
		size_t len = strcspn(row, "|");
		tally_status status = read_cell(shape->columns[i].type, row, len, &cells[i]);

		if (status != TALLY_OK) {
			fprintf(stderr, "canned: cell %zu of %s\n", i, row);
			abort();
		}
		row += len + (row[len] == '|');
	}
}

static bool
has_text(const struct value *cell)
{
	return cell->state == VALUE_SET
	       && (cell->type == TALLY_TEXT || cell->type == TALLY_DECIMAL);
}

/* Adds a row as a database's driver does: it keeps nothing of the table's memory. */
static tally_status
add_row(struct rows *rows, const struct value *cells)
{
	struct value *to;
	tally_status status = rows_add(rows, &to);

	for (size_t i = 0; status == TALLY_OK && i < rows->n_columns; i++) {
		to[i] = cells[i];
		if (has_text(&cells[i]))
			status = rows_copy_text(rows, cells[i].text, cells[i].len, &to[i].text);
	}
	return status;
}

static size_t
count_rows(const char *const *rows)
{
	size_t n = 0;

	while (rows && rows[n])
		n++;
	return n;
}

/* The number of a row in another order: i times an odd number, modulo a power of two past n. */
static size_t
shuffled(uint64_t seed, size_t i, size_t n)
{
	size_t size = 1;

	if (seed == 0)
		return i;
	while (size < n)
		size *= 2;
	return (i * (size_t)(seed | 1) + (size_t)(seed >> 7)) & (size - 1);
}

static tally_status
add_table(const struct canned_statement *statement, const struct source_query *query,
	  struct rows *rows)
{
	size_t n = count_rows(statement->rows);
	size_t turns = n;
	tally_status status = TALLY_OK;

	while (statement->shuffle && (turns & (turns - 1)) != 0)
		turns++;
	for (size_t i = 0; status == TALLY_OK && i < turns; i++) {
		size_t row = shuffled(statement->shuffle, i, n);
		struct value cells[COLUMNS_MAX];

		if (row >= n)
			continue;
		read_row(query->statement->shape, statement->rows[row], cells);
		if (is_wanted(query, cells))
			status = add_row(rows, cells);
	}
	return status;
}

/* ---- queries -------------------------------------------------------------------------------- */

static void
end_query(struct source_query *query, tally_status status, struct tally_error *err)
{
	if (err->status == TALLY_OK)
		(void)tally_fail(err, status, "canned: %s", tally_status_title(status));
	snprintf(err->source, sizeof err->source, "canned");
	query->done(query->ctx, query, status, NULL, err);
}

static void
answer(struct canned_statement *statement, struct source_query *query)
{
	struct tally_error err = { .status = TALLY_OK };
	tally_status status =
	    statement->check ? statement->check(statement->ctx, query, &err) : TALLY_OK;
	struct rows *rows = NULL;

	if (status == TALLY_OK) {
		rows = rows_new(query->statement->shape->n_columns, query->budget_bytes);
		status = !rows               ? TALLY_NO_MEMORY
			 : statement->answer ? statement->answer(statement->ctx, query, rows)
					     : add_table(statement, query, rows);
	}
	if (status != TALLY_OK) {
		rows_free(rows);
		end_query(query, status, &err);
		return;
	}
	rows->as_of_ms = statement->as_of_ms;
	query->done(query->ctx, query, TALLY_OK, rows, NULL);
}

static void
forget(struct pending *pending)
{
	TAILQ_REMOVE(&pending->canned->pending, pending, link);
	loop_timer_clear(pending->canned->loop, &pending->timer);
	free(pending);
}

static void
on_time(void *ctx)
{
	struct pending *pending = ctx;
	struct canned_statement *statement = pending->statement;
	struct source_query *query = pending->query;
	bool is_late = pending->is_late;
	struct tally_error err = { .status = TALLY_OK };

	forget(pending);
	if (is_late)
		end_query(query, TALLY_DEADLINE_EXCEEDED, &err);
	else
		answer(statement, query);
}

static void
put_off(struct canned *canned, struct canned_statement *statement, struct source_query *query)
{
	struct pending *pending = calloc(1, sizeof *pending);
	int64_t at_ms = clock_mono_ms() + statement->delay_ms;

	if (!pending)
		abort();
	pending->canned = canned;
	pending->statement = statement;
	pending->query = query;
	pending->is_late = at_ms > query->deadline_ms;
	pending->timer.on_time = on_time;
	pending->timer.ctx = pending;
	TAILQ_INSERT_TAIL(&canned->pending, pending, link);
	if (loop_timer_set(canned->loop, &pending->timer,
			   pending->is_late ? query->deadline_ms : at_ms)
	    != TALLY_OK)
		abort();
}

static void
canned_query(struct source *source, struct source_query *query)
{
	struct canned *canned = (struct canned *)source;
	struct canned_statement *statement = find_statement(canned, query->statement->sql);

	assert(statement && query->statement->shape);
	statement->n_calls++;
	statement->n_keys = count_tuples(query);
	if (statement->delay_ms == CANNED_AT_ONCE)
		answer(statement, query);
	else
		put_off(canned, statement, query);
}

static void
cancel(struct pending *pending)
{
	struct source_query *query = pending->query;
	struct tally_error err = { .status = TALLY_OK };

	pending->statement->n_cancelled++;
	forget(pending);
	end_query(query, TALLY_CANCELLED, &err);
}

static void
canned_cancel(struct source *source, struct source_query *query)
{
	struct canned *canned = (struct canned *)source;
	struct pending *pending;

	TAILQ_FOREACH (pending, &canned->pending, link) {
		if (pending->query != query)
			continue;
		cancel(pending);
		return;
	}
	assert(!"a query that is in flight");
}

/* ---- descriptions --------------------------------------------------------------------------- */

/* "login text" into a column. */
static void
read_column(const char *text, size_t len, struct source_column *column)
{
	size_t name_len = strcspn(text, " ");

	column->name = strndup(text, name_len);
	if (!column->name
	    || !tally_type_parse(text + name_len + 1, len - name_len - 1, &column->type)) {
		fprintf(stderr, "canned: column %s\n", text);
		abort();
	}
}

static struct source_shape *
read_shape(const char *columns)
{
	struct source_shape *shape = calloc(1, sizeof *shape);

	if (!shape || !(shape->columns = calloc(COLUMNS_MAX, sizeof *shape->columns)))
		abort();
	while (*columns) {
		size_t len = strcspn(columns, ",");

		assert(shape->n_columns < COLUMNS_MAX);
		read_column(columns, len, &shape->columns[shape->n_columns++]);
		columns += len;
		columns += strspn(columns, ", ");
	}
	return shape;
}

static void
canned_describe(struct source *source, const struct source_statement *statement,
		int64_t deadline_ms, source_described_fn *done, void *ctx)
{
	struct canned_statement *found = find_statement((struct canned *)source, statement->sql);
	struct tally_error err = { .status = TALLY_OK };

	(void)deadline_ms;
	if (found && found->described == TALLY_OK) {
		done(ctx, TALLY_OK, read_shape(found->columns), NULL);
		return;
	}
	tally_status status = found ? found->described : TALLY_WRONG_DEFINITION;
	(void)tally_fail(&err, status, "%s: canned", statement->where);
	done(ctx, status, NULL, &err);
}

static void
canned_free(struct source *source)
{
	struct canned *canned = (struct canned *)source;

	while (!TAILQ_EMPTY(&canned->pending))
		cancel(TAILQ_FIRST(&canned->pending));
	free(canned);
}

struct source *
canned_new(const char *name, struct loop *loop, struct canned_statement *statements, size_t n)
{
	static const struct source_ops ops = {
		.kind = "canned",
		.query = canned_query,
		.cancel = canned_cancel,
		.describe = canned_describe,
		.free = canned_free,
	};
	struct canned *canned = calloc(1, sizeof *canned);

	if (!canned)
		return NULL;
	canned->source.ops = &ops;
	canned->source.name = name;
	canned->loop = loop;
	canned->statements = statements;
	canned->n_statements = n;
	TAILQ_INIT(&canned->pending);
	return &canned->source;
}
