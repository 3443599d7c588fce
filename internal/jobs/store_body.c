/* Bodies of results: part after part into one buffer of the known size. */
#include "base/clock.h"
#include "jobs/store_inner.h"

#define BODY_MAX ((uint64_t)2 << 30) /* beyond any setting of TALLY_JOB_RESULT_MAX_BYTES */

struct body {
	struct question question; /* first */
	struct tally_job_id id;
	int64_t created_ms;
	uint64_t run;
	uint32_t n_parts;
	bool has_sha256;
	unsigned char sha256[TALLY_SHA256_BYTES];
	job_body_fn *got;
	void *ctx;
	size_t size;
	char *data; /* of size */
	size_t len; /* so far */
	uint32_t n_read;
};

static void
end(struct body *body, tally_status status)
{
	char *data = body->data;

	if (status != TALLY_OK) {
		free(data);
		data = NULL;
	}
	body->got(body->ctx, status, data, data ? body->len : 0);
	free(body);
}

static void
fail_body(struct question *question, tally_status status)
{
	end((struct body *)question, status);
}

static tally_status
on_part(void *ctx, const PGresult *row)
{
	struct body *body = ctx;
	size_t len = (size_t)PQgetlength(row, 0, 0);

	if (body->n_read == body->n_parts || len > body->size - body->len)
		return TALLY_INTERNAL_ERROR;
	memcpy(body->data + body->len, PQgetvalue(row, 0, 0), len);
	body->len += len;
	body->n_read++;
	return TALLY_OK;
}

/* Whether it is the body that the job's row tells of. */
static tally_status
check(const struct body *body)
{
	unsigned char sha256[TALLY_SHA256_BYTES];
	tally_status status;

	if (body->n_read == 0)
		return TALLY_EXPIRED;
	if (body->n_read != body->n_parts || body->len != body->size)
		return TALLY_INTERNAL_ERROR;
	if (!body->has_sha256)
		return TALLY_OK;
	status = tally_sha256(body->data, body->len, sha256);
	if (status == TALLY_OK && memcmp(sha256, body->sha256, sizeof sha256) != 0)
		status = TALLY_INTERNAL_ERROR;
	return status;
}

static tally_status
read_parts(struct asker *asker, struct body *body, int64_t deadline_ms)
{
	const struct job_pg_param params[] = { job_pg_text(body->id.text),
					       job_pg_int8(body->created_ms),
					       job_pg_int8((int64_t)body->run) };
	const struct job_pg_query query = {
		.sql = "SELECT body FROM results"
		       " WHERE id = $1 AND day = job_day($2) AND run = $3 ORDER BY part",
		.name = "body",
		.params = params,
		.n_params = 3,
		.is_binary = true,
		.deadline_ms = deadline_ms,
	};

	body->len = 0;
	body->n_read = 0;
	return job_pg_each(asker->pg, &query, on_part, body, NULL);
}

static void
ask_body(struct asker *asker, struct question **questions, size_t n, int64_t deadline_ms)
{
	struct body *body = (struct body *)questions[0]; /* n is 1 */
	bool was_up = job_pg_is_up(asker->pg);
	tally_status status = TALLY_NO_MEMORY;

	(void)n;
	/* Not before its turn: what waits holds no memory. */
	body->data = malloc(body->size + 1);
	if (body->data)
		status = read_parts(asker, body, deadline_ms);
	/* As in store_ask. */
	if (status == TALLY_JOB_STORE_UNAVAILABLE && was_up && !job_pg_is_up(asker->pg)
	    && clock_mono_ms() < deadline_ms)
		status = read_parts(asker, body, deadline_ms);
	if (status == TALLY_OK)
		status = store_note(asker->store, status);
	if (status == TALLY_OK)
		status = check(body);
	else if (status != TALLY_NO_MEMORY && status != TALLY_INTERNAL_ERROR)
		status = store_note(asker->store, status);
	end(body, status);
}

static const struct question_kind kind_body = { 1, true, ask_body, fail_body };

tally_status
job_store_read_body(struct job_store *store, const struct job *job, job_body_fn *got, void *ctx)
{
	struct body *body = calloc(1, sizeof *body);
	tally_status status;

	if (!body || job->n_bytes > BODY_MAX) {
		free(body);
		return TALLY_NO_MEMORY;
	}
	body->id = job->id;
	body->created_ms = job->created_ms;
	body->run = job->run;
	body->n_parts = job->n_parts;
	body->size = (size_t)job->n_bytes;
	body->has_sha256 = job->has_sha256;
	memcpy(body->sha256, job->sha256, sizeof body->sha256);
	body->got = got;
	body->ctx = ctx;
	status = store_put(store, &body->question, &kind_body);
	if (status != TALLY_OK)
		free(body);
	return status;
}
