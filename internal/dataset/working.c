#include "dataset/working.h"

const struct value working_null = { .type = TALLY_ABSENT, .state = VALUE_NULL };

static void
copy_params(struct working *working, const struct params *const *requests)
{
	struct value *to = working->params;

	for (size_t i = 0; i < working->n_requests; i++) {
		for (size_t k = 0; k < working->n_params; k++)
			*to++ = *params_value(requests[i], k);
	}
}

tally_status
working_init(struct working *working, const struct plan *plan, const struct params *const *requests,
	     size_t n)
{
	size_t n_steps = plan->definition->n_steps;

	*working = (struct working){
		.plan = plan,
		.n_params = plan->definition->n_params,
		.n_requests = n,
		.n_lines = n,
		.width = 1 + n_steps,
	};
	working->params = calloc(n * working->n_params + 1, sizeof *working->params);
	working->lines = calloc(n + 1, working->width * sizeof *working->lines);
	working->rows = calloc(working->width, sizeof(struct rows *));
	working->faults = calloc(n + 1, sizeof *working->faults);
	if (!working->params || !working->lines || !working->rows || !working->faults) {
		working_fini(working);
		return TALLY_NO_MEMORY;
	}
	copy_params(working, requests);
	for (size_t i = 0; i < n; i++) {
		uint32_t *line = working->lines + i * working->width;

		line[0] = (uint32_t)i;
		for (size_t k = 1; k < working->width; k++)
			line[k] = WORKING_NO_ROW;
	}
	return TALLY_OK;
}

void
working_fini(struct working *working)
{
	for (size_t i = 0; working->rows && i < working->width; i++)
		rows_free(working->rows[i]);
	free(working->params);
	free(working->lines);
	free(working->rows);
	free(working->faults);
	*working = (struct working){ 0 };
}

size_t
working_bytes(const struct working *working)
{
	size_t bytes = working->n_lines * working->width * sizeof *working->lines;

	for (size_t i = 1; i < working->width; i++) {
		if (working->rows[i])
			bytes += working->rows[i]->used_bytes;
	}
	return bytes;
}
