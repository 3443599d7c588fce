/* result.h - the rows of one request: grouped, in order, written as JSON.
 *
 * Without groups they are lines of the working set, values looked up where they are; with groups
 * they are rows of their own.  Only row numbers are sorted. */
#ifndef DATASET_RESULT_H
#define DATASET_RESULT_H

#include "base/buf.h"
#include "dataset/working.h"

struct result {
	const struct working *working;
	const struct plan *plan;
	size_t first_line;
	size_t n_lines;
	struct rows *grouped; /* owned; NULL: a row is a line */
	size_t n_rows;
	uint32_t *order; /* n_rows row numbers, owned; NULL: not sorted yet */
};

/* The result of a request whose n_lines lines begin at first_line; everything is borrowed. */
struct result result_of(const struct working *working, size_t first_line, size_t n_lines);

/* Releases what the result owns. */
void result_fini(struct result *result);

/* The value of a row and a column of the answer; in place of null what the file says; borrowed. */
static inline const struct value *
result_value(const struct result *result, size_t row, size_t output)
{
	const struct plan_output *column = &result->plan->outputs[output];
	const struct value *value;

	if (result->grouped)
		value = rows_cell(result->grouped, row, output);
	else
		value = working_value(result->working,
				      working_line(result->working, result->first_line + row),
				      column->ref);
	if (value->state == VALUE_NULL && column->column->fallback.state == VALUE_SET)
		return &column->column->fallback;
	return value;
}

/* Order of output, nulls last; values that are equal but written differently (1.1 and 1.10) follow
 * each other in a fixed order too.  < 0, 0, > 0. */
int result_compare_values(const struct value *a, const struct value *b);

/* Aggregates the lines into rows, at most limit_bytes of them.  TALLY_UNSUPPORTED_VALUE (a value
 * that cannot be represented, a sum past its type), TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status result_group(struct result *result, size_t limit_bytes,
					   struct tally_error *err);

/* Sorts the rows by the plan's total order and cuts them at the definition's limit.
 * TALLY_UNSUPPORTED_VALUE (in a row that is cut), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status result_sort(struct result *result, struct tally_error *err);

/* Writes {"status":"ok","data":[...]}.  TALLY_UNSUPPORTED_VALUE (a null in a column that is not
 * declared null, text that is not UTF-8), TALLY_RESULT_TOO_LARGE (past the ceiling of buf),
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status result_encode(const struct result *result, struct buf *buf,
					    struct tally_error *err);

/* Fills err: the value of a column cannot be represented. */
tally_status result_fail_bad(const char *column, struct tally_error *err);

#endif
