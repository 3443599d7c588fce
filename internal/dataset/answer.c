/* The answer of one request of a batch: its lines grouped, sorted and written. */
#include "dataset/batch.h"
#include "dataset/result.h"

static tally_status
write_answer(struct result *result, const struct engine_limits *limits, struct buf *buf,
	     struct tally_error *err)
{
	tally_status status = TALLY_OK;

	if (result->plan->definition->is_grouped)
		status = result_group(result, limits->batch_bytes, err);
	if (status == TALLY_TOO_LARGE)
		return tally_fail(err, TALLY_RESULT_TOO_LARGE,
				  "the groups are past %zu bytes: narrow the request",
				  limits->batch_bytes);
	if (status == TALLY_NO_MEMORY)
		return tally_fail(err, status, "out of memory");
	if (status == TALLY_OK)
		status = result_sort(result, err);
	if (status == TALLY_OK)
		status = result_encode(result, buf, err);
	return status;
}

void
batch_answer(const struct batch *batch, size_t request, size_t first_line, size_t n_lines,
	     struct engine_answer *out_answer)
{
	struct engine_answer answer = { .status = TALLY_OK };
	const char *fault = batch->working.faults[request];
	struct result result = result_of(&batch->working, first_line, n_lines);
	struct buf buf = BUF_INIT(batch->limits->result_bytes);

	if (fault)
		answer.status = result_fail_bad(fault, &answer.error);
	else
		answer.status = write_answer(&result, batch->limits, &buf, &answer.error);
	if (answer.status == TALLY_OK) {
		answer.n_rows = result.n_rows;
		answer.body = buf_take(&buf, &answer.body_len);
	}
	buf_fini(&buf);
	result_fini(&result);
	*out_answer = answer;
}
