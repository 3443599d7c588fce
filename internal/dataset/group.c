/* Aggregation of a request's lines, after the joins: SQL's meaning of nulls, exact sums, and
 * results that do not depend on the order in which a database returned its rows. */
#include "dataset/result.h"

#include <math.h>

#include "dataset/sum.h"
#include "dataset/table.h"

__extension__ typedef __int128 wide;

struct grouping {
	struct result *result;
	const struct plan *plan;
	uint32_t *group_of; /* by line: the number of its group */
	uint32_t *first_of; /* by group: its first line */
	size_t n_groups;
	struct rows *rows; /* being made: one for each group */
	struct tally_error *err;
};

/* A line of the request by its number among them. */
static const uint32_t *
line_at(const struct result *result, size_t line)
{
	return working_line(result->working, result->first_line + line);
}

/* ---- which line belongs to which group ------------------------------------------------------ */

struct group_wanted {
	const struct grouping *grouping;
	size_t line;
};

static bool
group_is_wanted(const void *ctx, uint32_t group)
{
	const struct group_wanted *wanted = ctx;
	const struct grouping *grouping = wanted->grouping;
	const struct working *working = grouping->result->working;
	const uint32_t *a = line_at(grouping->result, wanted->line);
	const uint32_t *b = line_at(grouping->result, grouping->first_of[group]);

	for (size_t i = 0; i < grouping->plan->definition->n_group; i++) {
		struct plan_ref ref = grouping->plan->group[i];

		if (!value_equal(working_value(working, a, ref), working_value(working, b, ref)))
			return false;
	}
	return true;
}

/* TALLY_UNSUPPORTED_VALUE when the line has a value that nothing can be compared with. */
static tally_status
hash_line(const struct grouping *grouping, size_t line, uint64_t *hash)
{
	*hash = 0;
	for (size_t i = 0; i < grouping->plan->definition->n_group; i++) {
		const struct value *value =
		    working_value(grouping->result->working, line_at(grouping->result, line),
				  grouping->plan->group[i]);

		if (value->state == VALUE_BAD)
			return result_fail_bad(grouping->plan->definition->group[i], grouping->err);
		*hash = value_hash(value, *hash);
	}
	return TALLY_OK;
}

static tally_status
find_groups(struct grouping *grouping, struct table *table)
{
	for (size_t i = 0; i < grouping->result->n_lines; i++) {
		struct group_wanted wanted = { grouping, i };
		uint64_t hash;

		tally_status status = hash_line(grouping, i, &hash);
		if (status != TALLY_OK)
			return status;
		uint32_t group = table_find(table, hash, group_is_wanted, &wanted);
		if (group == TABLE_NONE) {
			group = (uint32_t)grouping->n_groups++;
			grouping->first_of[group] = (uint32_t)i;
			table_add(table, hash, group);
		}
		grouping->group_of[i] = group;
	}
	return TALLY_OK;
}

static tally_status
make_groups(struct grouping *grouping)
{
	size_t n_lines = grouping->result->n_lines;
	struct table table = { 0 };

	grouping->group_of = calloc(n_lines + 1, sizeof *grouping->group_of);
	grouping->first_of = calloc(n_lines + 1, sizeof *grouping->first_of);
	if (!grouping->group_of || !grouping->first_of || table_init(&table, n_lines) != TALLY_OK) {
		return TALLY_NO_MEMORY; /* nothing is in the table: the last to be made */
	}
	tally_status status = find_groups(grouping, &table);
	table_fini(&table);
	/* An aggregate without a group is one row, of nothing too. */
	if (grouping->plan->definition->n_group == 0)
		grouping->n_groups = 1;
	return status;
}

/* ---- functions ------------------------------------------------------------------------------ */

/* One column of the answer while it is aggregated. */
struct column {
	struct grouping *grouping;
	const struct plan_output *output;
	size_t index;
};

static struct value *
cell_of(const struct column *column, size_t group)
{
	struct rows *rows = column->grouping->rows;

	return &rows->cells[group * rows->n_columns + column->index];
}

/* The function's argument in a line. */
static const struct value *
argument(const struct column *column, size_t line)
{
	const struct result *result = column->grouping->result;

	if (column->output->argument_type == TALLY_ABSENT)
		return &working_null;
	return working_value(result->working, line_at(result, line), column->output->ref);
}

static tally_status
check_arguments(const struct column *column)
{
	for (size_t i = 0; i < column->grouping->result->n_lines; i++) {
		if (argument(column, i)->state == VALUE_BAD)
			return result_fail_bad(column->output->column->name, column->grouping->err);
	}
	return TALLY_OK;
}

static void
set_int(struct value *cell, int64_t number)
{
	*cell = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = number };
}

static tally_status
count(const struct column *column)
{
	const struct grouping *grouping = column->grouping;
	bool is_of_rows = column->output->argument_type == TALLY_ABSENT;

	for (size_t i = 0; i < grouping->n_groups; i++)
		set_int(cell_of(column, i), 0);
	for (size_t i = 0; i < grouping->result->n_lines; i++) {
		if (is_of_rows || argument(column, i)->state == VALUE_SET)
			cell_of(column, grouping->group_of[i])->i++;
	}
	return TALLY_OK;
}

struct distinct_wanted {
	const struct column *column;
	size_t line;
};

static bool
distinct_is_wanted(const void *ctx, uint32_t line)
{
	const struct distinct_wanted *wanted = ctx;
	const uint32_t *group_of = wanted->column->grouping->group_of;

	return group_of[line] == group_of[wanted->line]
	       && value_equal(argument(wanted->column, line),
			      argument(wanted->column, wanted->line));
}

static tally_status
count_distinct(const struct column *column)
{
	const struct grouping *grouping = column->grouping;
	struct table table;

	for (size_t i = 0; i < grouping->n_groups; i++)
		set_int(cell_of(column, i), 0);
	if (table_init(&table, grouping->result->n_lines) != TALLY_OK)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < grouping->result->n_lines; i++) {
		const struct value *value = argument(column, i);
		struct distinct_wanted wanted = { column, i };

		if (value->state != VALUE_SET)
			continue;
		uint64_t hash = value_hash(value, grouping->group_of[i]);
		if (table_find(&table, hash, distinct_is_wanted, &wanted) != TABLE_NONE)
			continue;
		table_add(&table, hash, (uint32_t)i);
		cell_of(column, grouping->group_of[i])->i++;
	}
	table_fini(&table);
	return TALLY_OK;
}

/* min, max, and a plain column: of equal values written differently, the first spelling. */
static tally_status
pick(const struct column *column)
{
	bool is_max = column->output->column->function == DEFINITION_MAX;

	for (size_t i = 0; i < column->grouping->result->n_lines; i++) {
		struct value *cell = cell_of(column, column->grouping->group_of[i]);
		const struct value *value = argument(column, i);

		if (value->state != VALUE_SET)
			continue;
		int order = cell->state == VALUE_SET ? result_compare_values(value, cell) : 0;
		if (cell->state != VALUE_SET || (is_max ? order > 0 : order < 0))
			*cell = *value;
	}
	return TALLY_OK;
}

static tally_status
fail_sum(const struct column *column, const char *limit)
{
	return tally_fail(column->grouping->err, TALLY_UNSUPPORTED_VALUE, "%s: the sum is past %s",
			  column->output->column->name, limit);
}

static tally_status
sum_ints(const struct column *column)
{
	const struct grouping *grouping = column->grouping;
	wide *sums = calloc(grouping->n_groups + 1, sizeof *sums);
	tally_status status = TALLY_OK;

	if (!sums)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < grouping->result->n_lines; i++) {
		const struct value *value = argument(column, i);

		if (value->state != VALUE_SET)
			continue;
		sums[grouping->group_of[i]] += value->i;
		cell_of(column, grouping->group_of[i])->state = VALUE_SET;
	}
	for (size_t i = 0; i < grouping->n_groups; i++) {
		if (cell_of(column, i)->state != VALUE_SET)
			continue;
		if (sums[i] > INT64_MAX || sums[i] < INT64_MIN)
			status = fail_sum(column, "int64");
		else
			set_int(cell_of(column, i), (int64_t)sums[i]);
	}
	free(sums);
	return status;
}

struct addend {
	uint32_t group;
	double number;
};

static int
compare_addends(const void *a, const void *b)
{
	const struct addend *x = a;
	const struct addend *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Floats are summed in ascending order: another order may give another last digit. */
static tally_status
sum_floats(const struct column *column)
{
	const struct grouping *grouping = column->grouping;
	struct addend *addends = calloc(grouping->result->n_lines + 1, sizeof *addends);
	tally_status status = TALLY_OK;
	size_t n = 0;

	if (!addends)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < grouping->result->n_lines; i++) {
		const struct value *value = argument(column, i);

		if (value->state == VALUE_SET)
			addends[n++] = (struct addend){ grouping->group_of[i], value->f };
	}
	qsort(addends, n, sizeof *addends, compare_addends);
	for (size_t i = 0; i < n; i++) {
		struct value *cell = cell_of(column, addends[i].group);
		double sum = (cell->state == VALUE_SET ? cell->f : 0.0) + addends[i].number;

		*cell = (struct value){ .type = TALLY_FLOAT, .state = VALUE_SET, .f = sum };
		if (!isfinite(sum))
			status = fail_sum(column, "the range of float");
	}
	free(addends);
	return status;
}

static tally_status
end_decimal(const struct column *column, size_t group, struct sum *sum)
{
	struct value *cell = cell_of(column, group);
	char text[SUM_TEXT_MAX];
	const char *copy;
	size_t len;

	if (sum_end(sum, text, &len) != TALLY_OK)
		return fail_sum(column, "38 digits");
	tally_status status = rows_copy_text(column->grouping->rows, text, len, &copy);
	if (status != TALLY_OK)
		return status;
	*cell = (struct value){
		.type = TALLY_DECIMAL,
		.state = VALUE_SET,
		.len = (uint32_t)len,
		.text = copy,
	};
	return TALLY_OK;
}

static tally_status
sum_decimals(const struct column *column)
{
	const struct grouping *grouping = column->grouping;
	struct sum *sums = calloc(grouping->n_groups + 1, sizeof *sums);
	tally_status status = sums ? TALLY_OK : TALLY_NO_MEMORY;

	for (size_t i = 0; status == TALLY_OK && i < grouping->result->n_lines; i++) {
		const struct value *value = argument(column, i);
		size_t group = grouping->group_of[i];

		if (value->state != VALUE_SET)
			continue;
		cell_of(column, group)->state = VALUE_SET;
		if (sum_add(&sums[group], value->text, value->len) != TALLY_OK)
			status = fail_sum(column, "38 digits");
	}
	for (size_t i = 0; status == TALLY_OK && i < grouping->n_groups; i++) {
		if (cell_of(column, i)->state == VALUE_SET)
			status = end_decimal(column, i, &sums[i]);
	}
	free(sums);
	return status;
}

static tally_status
sum(const struct column *column)
{
	switch (column->output->argument_type) {
	case TALLY_FLOAT:
		return sum_floats(column);
	case TALLY_DECIMAL:
		return sum_decimals(column);
	default:
		return sum_ints(column);
	}
}

static tally_status
aggregate(const struct column *column)
{
	static tally_status (*const functions[])(const struct column *) = {
		[DEFINITION_PLAIN] = pick,
		[DEFINITION_COUNT] = count,
		[DEFINITION_COUNT_DISTINCT] = count_distinct,
		[DEFINITION_SUM] = sum,
		[DEFINITION_MIN] = pick,
		[DEFINITION_MAX] = pick,
	};
	tally_status status = check_arguments(column);

	if (status == TALLY_OK)
		status = functions[column->output->column->function](column);
	return status;
}

static tally_status
make_rows(struct grouping *grouping, size_t limit_bytes)
{
	size_t n_columns = grouping->plan->definition->n_columns;
	tally_status status = TALLY_OK;
	struct value *cells;

	grouping->rows = rows_new(n_columns, limit_bytes);
	if (!grouping->rows)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; status == TALLY_OK && i < grouping->n_groups; i++)
		status = rows_add(grouping->rows, &cells);
	for (size_t i = 0; status == TALLY_OK && i < n_columns; i++) {
		struct column column = { grouping, &grouping->plan->outputs[i], i };

		status = aggregate(&column);
	}
	return status;
}

tally_status
result_group(struct result *result, size_t limit_bytes, struct tally_error *err)
{
	struct grouping grouping = { .result = result, .plan = result->plan, .err = err };
	tally_status status = make_groups(&grouping);

	if (status == TALLY_OK)
		status = make_rows(&grouping, limit_bytes);
	free(grouping.group_of);
	free(grouping.first_of);
	if (status != TALLY_OK) {
		rows_free(grouping.rows);
		return status;
	}
	result->grouped = grouping.rows;
	result->n_rows = grouping.n_groups;
	return TALLY_OK;
}
