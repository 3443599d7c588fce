/* working.h - the working set of a batch: which rows belong together so far.
 *
 * A matrix of row numbers.  A line is one joined row: the index of its request, then for each step
 * the number of the row it took from that step's rows.  Values are looked up through it, so joins
 * and sorts move numbers and never values.  Lines of a request stay together, in the order of the
 * requests. */
#ifndef DATASET_WORKING_H
#define DATASET_WORKING_H

#include "dataset/params.h"
#include "dataset/plan_inner.h"

#define WORKING_NO_ROW UINT32_MAX /* "keep" found nothing, or the step is not joined yet */

struct working {
	const struct plan *plan;
	struct value *params; /* n_requests * n_params */
	size_t n_params;
	size_t n_requests;
	uint32_t *lines; /* n_lines * width */
	size_t n_lines;
	size_t width;        /* 1 + the number of steps */
	struct rows **rows;  /* of each step by 1 + index, owned; NULL until joined */
	const char **faults; /* for each request: the column that cannot be represented, or NULL */
};

/* A working set of one line for each request; their texts are borrowed.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status working_init(struct working *working, const struct plan *plan,
					   const struct params *const *requests, size_t n);

/* Releases the lines and the rows.  Accepts one that is all zeros. */
void working_fini(struct working *working);

/* What the lines and the joined rows take. */
size_t working_bytes(const struct working *working);

/* The line at index. */
static inline const uint32_t *
working_line(const struct working *working, size_t index)
{
	return working->lines + index * working->width;
}

extern const struct value working_null;

/* The value of a parameter of a line's request; borrowed. */
static inline const struct value *
working_param(const struct working *working, const uint32_t *line, size_t param)
{
	return &working->params[line[0] * working->n_params + param];
}

/* The value of a column in a line; borrowed. */
static inline const struct value *
working_value(const struct working *working, const uint32_t *line, struct plan_ref ref)
{
	if (ref.step == 0)
		return working_param(working, line, ref.column);
	if (line[ref.step] == WORKING_NO_ROW)
		return &working_null;
	return rows_cell(working->rows[ref.step], line[ref.step], ref.column);
}

#endif
