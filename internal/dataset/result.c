#include "dataset/result.h"

#include <math.h>

struct result
result_of(const struct working *working, size_t first_line, size_t n_lines)
{
	return (struct result){
		.working = working,
		.plan = working->plan,
		.first_line = first_line,
		.n_lines = n_lines,
		.n_rows = n_lines,
	};
}

void
result_fini(struct result *result)
{
	rows_free(result->grouped);
	free(result->order);
	*result = (struct result){ 0 };
}

tally_status
result_fail_bad(const char *column, struct tally_error *err)
{
	return tally_fail(err, TALLY_UNSUPPORTED_VALUE,
			  "%s has a value that cannot be represented (not a number, a year outside "
			  "0001-9999, or more than 38 digits)",
			  column);
}

static int
compare_spellings(const struct value *a, const struct value *b)
{
	if (a->type == TALLY_FLOAT)
		return !signbit(a->f) - !signbit(b->f);
	if (a->type != TALLY_DECIMAL)
		return 0;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return a->len > 0 ? memcmp(a->text, b->text, a->len) : 0;
}

int
result_compare_values(const struct value *a, const struct value *b)
{
	int order = value_compare(a, b);

	if (order != 0 || a->state != VALUE_SET)
		return order;
	return compare_spellings(a, b);
}

static int
compare_rows(const void *a, const void *b, void *ctx)
{
	const struct result *result = ctx;
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	for (size_t i = 0; i < result->plan->definition->n_columns; i++) {
		const struct plan_sort *sort = &result->plan->sort[i];
		const struct value *x = result_value(result, left, sort->output);
		const struct value *y = result_value(result, right, sort->output);
		int order = result_compare_values(x, y);

		if (order == 0)
			continue;
		bool is_flipped =
		    sort->is_descending && x->state == VALUE_SET && y->state == VALUE_SET;
		return is_flipped ? -order : order;
	}
	return 0;
}

static tally_status
check_values(const struct result *result, struct tally_error *err)
{
	for (size_t row = 0; row < result->n_rows; row++) {
		for (size_t i = 0; i < result->plan->definition->n_columns; i++) {
			if (result_value(result, row, i)->state == VALUE_BAD)
				return result_fail_bad(result->plan->outputs[i].column->name, err);
		}
	}
	return TALLY_OK;
}

tally_status
result_sort(struct result *result, struct tally_error *err)
{
	uint64_t limit = result->plan->definition->limit;
	tally_status status = check_values(result, err);

	if (status != TALLY_OK)
		return status;
	result->order = calloc(result->n_rows + 1, sizeof *result->order);
	if (!result->order)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < result->n_rows; i++)
		result->order[i] = (uint32_t)i;
	qsort_r(result->order, result->n_rows, sizeof *result->order, compare_rows, result);
	if (limit > 0 && result->n_rows > limit)
		result->n_rows = (size_t)limit;
	return TALLY_OK;
}
