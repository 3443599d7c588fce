#include "dataset/join.h"

#include "base/own.h"

OWN_DEFINE(join_index);

/* In place of a line's first row: no rows, and the line goes.  Row numbers are below it. */
#define LINE_DROPPED (WORKING_NO_ROW - 1)

static uint64_t
hash_tuple(const struct value *const *tuple, size_t n)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < n; i++)
		hash = value_hash(tuple[i], hash);
	return hash;
}

static bool
tuples_equal(const struct value *const *a, const struct value *const *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!value_equal(a[i], b[i]))
			return false;
	}
	return true;
}

static void
row_tuple(const struct plan_step *step, const struct rows *rows, size_t row,
	  const struct value **tuple)
{
	for (size_t i = 0; i < step->sql->n_keys; i++)
		tuple[i] = rows_cell(rows, row, step->keys[i].column);
}

/* ---- rows by key -------------------------------------------------------------------------- */

struct row_wanted {
	const struct join_index *index;
	const struct value *const *tuple;
};

static bool
row_is_wanted(const void *ctx, uint32_t row)
{
	const struct row_wanted *wanted = ctx;
	const struct value *found[DEFINITION_MAX_KEYS];

	row_tuple(wanted->index->step, wanted->index->rows, row, found);
	return tuples_equal(found, wanted->tuple, wanted->index->step->sql->n_keys);
}

uint32_t
join_index_find(const struct join_index *index, const struct value *const *tuple)
{
	struct row_wanted wanted = { index, tuple };
	uint64_t hash = hash_tuple(tuple, index->step->sql->n_keys);

	return table_find(&index->table, hash, row_is_wanted, &wanted);
}

/* A newcomer goes second in the chain of its key: order does not matter, an answer has its own. */
static void
index_row(struct join_index *index, uint32_t row)
{
	const struct value *tuple[DEFINITION_MAX_KEYS];

	row_tuple(index->step, index->rows, row, tuple);
	uint32_t first = join_index_find(index, tuple);
	if (first == TABLE_NONE) {
		table_add(&index->table, hash_tuple(tuple, index->step->sql->n_keys), row);
		index->next[row] = TABLE_NONE;
		index->count[row] = 1;
		return;
	}
	index->next[row] = index->next[first];
	index->next[first] = row;
	index->count[first]++;
}

struct join_index *
join_index_new(const struct plan_step *step, const struct rows *rows)
{
	OWN(join_index) index = calloc(1, sizeof *index);

	if (!index)
		return NULL;
	index->step = step;
	index->rows = rows;
	index->next = calloc(rows->n_rows + 1, sizeof *index->next);
	index->count = calloc(rows->n_rows + 1, sizeof *index->count);
	if (!index->next || !index->count || table_init(&index->table, rows->n_rows) != TALLY_OK)
		return NULL;
	for (size_t i = 0; i < rows->n_rows; i++)
		index_row(index, (uint32_t)i);
	return TAKE(index);
}

void
join_index_free(struct join_index *index)
{
	if (!index)
		return;
	table_fini(&index->table);
	free(index->next);
	free(index->count);
	free(index);
}

/* ---- keys to ask for ---------------------------------------------------------------------- */

enum line_part { TAKES_PART, TAKES_NO_PART, IS_FAULTY };

/* The key values of a line, and whether there is anything to look for. */
static enum line_part
line_tuple(const struct working *working, const struct plan_step *step, const uint32_t *line,
	   const struct value **tuple)
{
	enum line_part part = TAKES_PART;

	for (size_t i = 0; i < step->sql->n_keys; i++) {
		struct plan_ref ref = step->keys[i].ref;

		tuple[i] = working_value(working, line, ref);
		if (tuple[i]->state == VALUE_BAD)
			return IS_FAULTY;
		if (tuple[i]->state == VALUE_NULL && ref.step > 0)
			part = TAKES_NO_PART;
	}
	return part;
}

static const char *
bad_key(const struct working *working, const struct plan_step *step, const uint32_t *line)
{
	size_t i = 0;

	while (working_value(working, line, step->keys[i].ref)->state != VALUE_BAD)
		i++;
	return step->sql->keys[i];
}

struct line_wanted {
	const struct working *working;
	const struct plan_step *step;
	const struct value *const *tuple;
	const uint32_t *lines; /* by tuple: the line that has it */
};

static bool
tuple_is_wanted(const void *ctx, uint32_t id)
{
	const struct line_wanted *wanted = ctx;
	const uint32_t *line = working_line(wanted->working, wanted->lines[id]);
	const struct value *found[DEFINITION_MAX_KEYS];

	(void)line_tuple(wanted->working, wanted->step, line, found); /* takes part: it was added */
	return tuples_equal(found, wanted->tuple, wanted->step->sql->n_keys);
}

/* Writes the number of a line for each distinct tuple; returns how many there are. */
static size_t
distinct_lines(struct working *working, const struct plan_step *step, struct table *table,
	       uint32_t *lines)
{
	size_t n = 0;

	for (size_t i = 0; i < working->n_lines; i++) {
		const uint32_t *line = working_line(working, i);
		const struct value *tuple[DEFINITION_MAX_KEYS];
		struct line_wanted wanted = { working, step, tuple, lines };

		if (working->faults[line[0]])
			continue;
		enum line_part part = line_tuple(working, step, line, tuple);
		if (part == IS_FAULTY)
			working->faults[line[0]] = bad_key(working, step, line);
		if (part != TAKES_PART)
			continue;
		uint64_t hash = hash_tuple(tuple, step->sql->n_keys);
		if (table_find(table, hash, tuple_is_wanted, &wanted) != TABLE_NONE)
			continue;
		lines[n] = (uint32_t)i;
		table_add(table, hash, (uint32_t)n++);
	}
	return n;
}

static tally_status
copy_tuples(const struct working *working, const struct plan_step *step, const uint32_t *lines,
	    struct join_keys *keys)
{
	size_t n_keys = step->sql->n_keys;

	keys->values = calloc(keys->n * n_keys + 1, sizeof *keys->values);
	if (!keys->values)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < keys->n; i++) {
		const uint32_t *line = working_line(working, lines[i]);

		for (size_t k = 0; k < n_keys; k++)
			keys->values[k * keys->n + i] =
			    *working_value(working, line, step->keys[k].ref);
	}
	return TALLY_OK;
}

static bool
begins_before(const struct value *a, const struct value *b)
{
	if (a->state == VALUE_NULL || b->state == VALUE_NULL)
		return b->state != VALUE_NULL; /* open: the first */
	return value_compare(a, b) < 0;
}

/* The period that has those of all lines in it; a null end is open, and so the widest. */
static void
gather_period(const struct working *working, const struct plan_step *step, struct join_keys *keys)
{
	const struct plan_period *period = &step->period;

	for (size_t i = 0; i < working->n_lines; i++) {
		const uint32_t *line = working_line(working, i);
		const struct value *from = working_param(working, line, period->from);
		const struct value *to = working_param(working, line, period->to);

		if (i == 0 || begins_before(from, &keys->from))
			keys->from = *from;
		if (i == 0 || value_compare(to, &keys->to) > 0) /* null is the last */
			keys->to = *to;
	}
}

tally_status
join_gather(struct working *working, const struct plan_step *step, struct join_keys *out_keys)
{
	struct table table = { 0 };
	struct join_keys keys = { 0 };
	uint32_t *lines = calloc(working->n_lines + 1, sizeof *lines);
	tally_status status = lines ? table_init(&table, working->n_lines) : TALLY_NO_MEMORY;

	if (status == TALLY_OK) {
		keys.n = distinct_lines(working, step, &table, lines);
		status = copy_tuples(working, step, lines, &keys);
	}
	if (status == TALLY_OK && step->sql->period.column)
		gather_period(working, step, &keys);
	if (status == TALLY_OK)
		*out_keys = keys;
	table_fini(&table);
	free(lines);
	return status;
}

void
join_keys_fini(struct join_keys *keys)
{
	free(keys->values);
	*keys = (struct join_keys){ 0 };
}

/* ---- joining ------------------------------------------------------------------------------ */

/* Whether a row lies in the period of a line.  One that has no value there lies in none but one
 * that is open at both ends. */
static bool
is_within(const struct working *working, const struct join_index *index, const uint32_t *line,
	  uint32_t row)
{
	const struct plan_period *period = &index->step->period;
	const struct value *at = rows_cell(index->rows, row, period->column);
	const struct value *from = working_param(working, line, period->from);
	const struct value *to = working_param(working, line, period->to);

	if (at->state == VALUE_NULL)
		return from->state == VALUE_NULL && to->state == VALUE_NULL;
	return (from->state == VALUE_NULL || value_compare(at, from) >= 0)
	       && value_compare(at, to) <= 0; /* null is the last */
}

/* The first row of a chain, from this one on, that belongs to the line. */
static uint32_t
next_row(const struct working *working, const struct join_index *index, const uint32_t *line,
	 uint32_t row)
{
	if (!index->step->sql->period.column)
		return row;
	while (row != TABLE_NONE && !is_within(working, index, line, row))
		row = index->next[row];
	return row;
}

/* How many rows of a chain belong to the line; one that cannot be placed is a fault. */
static size_t
count_rows(struct working *working, const struct join_index *index, const uint32_t *line,
	   uint32_t first)
{
	const struct plan_step *step = index->step;
	size_t n = 0;

	if (!step->sql->period.column)
		return index->count[first];
	for (uint32_t row = first; row != TABLE_NONE; row = index->next[row]) {
		if (rows_cell(index->rows, row, step->period.column)->state == VALUE_BAD)
			working->faults[line[0]] = step->sql->period.column;
		n += is_within(working, index, line, row);
	}
	return working->faults[line[0]] ? 0 : n;
}

/* The first row for a line (WORKING_NO_ROW: none) and how many lines it becomes. */
static uint32_t
match_line(struct working *working, const struct join_index *index, const uint32_t *line,
	   size_t *n_matches)
{
	const struct value *tuple[DEFINITION_MAX_KEYS];
	uint32_t row = TABLE_NONE;

	*n_matches = 0;
	if (working->faults[line[0]])
		return WORKING_NO_ROW;
	if (line_tuple(working, index->step, line, tuple) == TAKES_PART)
		row = join_index_find(index, tuple);
	if (row != TABLE_NONE)
		*n_matches = count_rows(working, index, line, row);
	if (*n_matches == 0) {
		*n_matches = !working->faults[line[0]] && index->step->definition->is_kept;
		return WORKING_NO_ROW;
	}
	return next_row(working, index, line, row);
}

/* For each line its first row; returns how many lines there will be. */
static size_t
match_lines(struct working *working, const struct join_index *index, uint32_t *first)
{
	size_t total = 0;

	for (size_t i = 0; i < working->n_lines; i++) {
		size_t n_matches;

		first[i] = match_line(working, index, working_line(working, i), &n_matches);
		if (n_matches == 0)
			first[i] = LINE_DROPPED;
		total += n_matches;
	}
	return total;
}

static void
extend_lines(struct working *working, const struct join_index *index, const uint32_t *first,
	     uint32_t *to)
{
	size_t column = (size_t)(index->step - working->plan->steps) + 1;
	size_t bytes = working->width * sizeof *to;

	for (size_t i = 0; i < working->n_lines; i++) {
		const uint32_t *line = working_line(working, i);
		uint32_t row = first[i];

		if (row == LINE_DROPPED)
			continue;
		do {
			memcpy(to, line, bytes);
			to[column] = row;
			to += working->width;
			row = row == WORKING_NO_ROW
				  ? TABLE_NONE
				  : next_row(working, index, line, index->next[row]);
		} while (row != TABLE_NONE);
	}
}

static tally_status
join_lines(struct working *working, const struct join_index *index, uint32_t *first,
	   size_t limit_bytes)
{
	size_t bytes = working->width * sizeof *working->lines;
	size_t total = match_lines(working, index, first);
	size_t others = working_bytes(working) - working->n_lines * bytes;

	if (others > limit_bytes || total > (limit_bytes - others) / bytes)
		return TALLY_TOO_LARGE;
	uint32_t *lines = calloc(total + 1, bytes);
	if (!lines)
		return TALLY_NO_MEMORY;
	extend_lines(working, index, first, lines);
	free(working->lines);
	working->lines = lines;
	working->n_lines = total;
	return TALLY_OK;
}

tally_status
join_rows(struct working *working, const struct plan_step *step, struct rows *rows,
	  size_t limit_bytes)
{
	working->rows[(step - working->plan->steps) + 1] = rows;
	if (rows->n_rows >= LINE_DROPPED || working->n_lines >= LINE_DROPPED)
		return TALLY_TOO_LARGE;
	OWN(join_index) index = join_index_new(step, rows);
	uint32_t *first = calloc(working->n_lines + 1, sizeof *first);
	tally_status status = TALLY_NO_MEMORY;

	if (index && first)
		status = join_lines(working, index, first, limit_bytes);
	free(first);
	return status;
}
