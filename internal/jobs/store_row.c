#include <inttypes.h>

#include "jobs/store_inner.h"

/* In the order of the enum below. */
const char store_columns[] =
    " j.id, j.tenant, j.created_ms, j.state, j.deadline_ms, j.partition, j.has_request, j.dataset,"
    " j.params, j.format, j.labels, j.attempt, j.started_ms, j.finished_ms, j.run, j.n_rows,"
    " j.n_bytes, j.n_parts, encode(j.sha256, 'hex'), j.result_offset, j.as_of, j.error ";

enum column {
	ID,
	TENANT,
	CREATED_MS,
	STATE,
	DEADLINE_MS,
	PARTITION,
	HAS_REQUEST,
	DATASET,
	PARAMS,
	FORMAT,
	LABELS,
	ATTEMPT,
	STARTED_MS,
	FINISHED_MS,
	RUN,
	N_ROWS,
	N_BYTES,
	N_PARTS,
	SHA256,
	OFFSET,
	AS_OF,
	ERROR
};

int64_t
store_row_number(const PGresult *result, int row, int at)
{
	return strtoll(PQgetvalue(result, row, at), NULL, 10); /* "" of a null is 0 */
}

/* A text of the result; NULL for null. */
static char *
text_of(const PGresult *result, int row, int at)
{
	return PQgetisnull(result, row, at) ? NULL : PQgetvalue(result, row, at);
}

/* 64 hex digits; false for null. */
static bool
read_sha256(const char *hex, unsigned char out[TALLY_SHA256_BYTES])
{
	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i] ? hex[2 * i + 1] : 0, 0 };

		if (!digits[1])
			return false;
		out[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return true;
}

static void
read_request(const PGresult *result, int row, int at, struct job *job)
{
	job->has_request = PQgetvalue(result, row, at + HAS_REQUEST)[0] == 't';
	job->dataset = text_of(result, row, at + DATASET);
	job->params = text_of(result, row, at + PARAMS);
	job->format = text_of(result, row, at + FORMAT);
	job->labels = text_of(result, row, at + LABELS);
}

static void
read_result(const PGresult *result, int row, int at, struct job *job)
{
	job->finished_ms = store_row_number(result, row, at + FINISHED_MS);
	job->run = (uint64_t)store_row_number(result, row, at + RUN);
	job->n_rows = (uint64_t)store_row_number(result, row, at + N_ROWS);
	job->n_bytes = (uint64_t)store_row_number(result, row, at + N_BYTES);
	job->n_parts = (uint32_t)store_row_number(result, row, at + N_PARTS);
	job->has_sha256 = read_sha256(PQgetvalue(result, row, at + SHA256), job->sha256);
	job->offset = store_row_number(result, row, at + OFFSET);
	job->as_of = text_of(result, row, at + AS_OF);
	job->error = text_of(result, row, at + ERROR);
}

void
store_row_read(const PGresult *result, int row, int at, struct job *out_job)
{
	struct job job = { .state = JOB_QUEUED, .partition = -1 };
	const char *state = PQgetvalue(result, row, at + STATE);

	(void)snprintf(job.id.text, sizeof job.id.text, "%s", PQgetvalue(result, row, at + ID));
	(void)snprintf(job.tenant, sizeof job.tenant, "%s", PQgetvalue(result, row, at + TENANT));
	job.created_ms = store_row_number(result, row, at + CREATED_MS);
	/* The type has no other names. */
	(void)job_state_parse(state, strlen(state), &job.state);
	job.deadline_ms = store_row_number(result, row, at + DEADLINE_MS);
	if (!PQgetisnull(result, row, at + PARTITION))
		job.partition = (int32_t)store_row_number(result, row, at + PARTITION);
	read_request(result, row, at, &job);
	job.attempt = (uint32_t)store_row_number(result, row, at + ATTEMPT);
	job.started_ms = store_row_number(result, row, at + STARTED_MS);
	read_result(result, row, at, &job);
	*out_job = job;
}
