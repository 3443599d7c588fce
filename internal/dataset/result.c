#include "dataset/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* In rows that the limit cuts; in the others the encoder finds them. */
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

/* A row and the first of what it is sorted by, as a number: rows of different numbers need no
 * further look. */
struct sort_item {
	uint64_t key;
	uint32_t row;
};

/* Text by its first bytes; what has no such number is 0, and rows with equal ones are compared. */
static uint64_t
number_of(const struct value *value)
{
	unsigned char first[8] = { 0 };
	uint64_t number = 0;

	switch ((enum tally_type)value->type) {
	case TALLY_INT:
	case TALLY_DATE:
	case TALLY_TIMESTAMP:
	case TALLY_TIMESTAMPTZ:
		return (uint64_t)value->i ^ UINT64_C(1) << 63;
	case TALLY_TEXT:
		if (value->len > 0)
			memcpy(first, value->text,
			       value->len < sizeof first ? value->len : sizeof first);
		for (size_t i = 0; i < sizeof first; i++)
			number = number << 8 | first[i];
		return number;
	default:
		return 0;
	}
}

/* Nulls are last, whichever way the others are sorted. */
static uint64_t
sort_key(const struct result *result, size_t row)
{
	const struct plan_sort *sort = &result->plan->sort[0];
	const struct value *value = result_value(result, row, sort->output);

	if (value->state != VALUE_SET)
		return UINT64_MAX;
	uint64_t number = number_of(value);
	return sort->is_descending ? ~number : number;
}

static int
compare_items(const void *a, const void *b, void *ctx)
{
	const struct sort_item *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return compare_rows(&x->row, &y->row, ctx);
}

/* Fills in order. */
static tally_status
sort_rows(struct result *result)
{
	struct sort_item *items = malloc((result->n_rows + 1) * sizeof *items);
	bool is_sorted = true;

	if (!items)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < result->n_rows; i++) {
		items[i] = (struct sort_item){ sort_key(result, i), (uint32_t)i };
		is_sorted =
		    is_sorted && (i == 0 || compare_items(&items[i - 1], &items[i], result) <= 0);
	}
	if (!is_sorted)
		qsort_r(items, result->n_rows, sizeof *items, compare_items, result);
	for (size_t i = 0; i < result->n_rows; i++)
		result->order[i] = items[i].row;
	free(items);
	return TALLY_OK;
}

tally_status
result_sort(struct result *result, struct tally_error *err)
{
	uint64_t limit = result->plan->definition->limit;
	bool is_cut = limit > 0 && result->n_rows > limit;
	tally_status status = is_cut ? check_values(result, err) : TALLY_OK;

	if (status != TALLY_OK)
		return status;
	result->order = calloc(result->n_rows + 1, sizeof *result->order);
	if (!result->order || sort_rows(result) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (is_cut)
		result->n_rows = (size_t)limit;
	return TALLY_OK;
}
