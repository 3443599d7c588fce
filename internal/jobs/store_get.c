/* Looking jobs up, for questions and for watches. */
#include "base/clock.h"
#include "jobs/store_inner.h"

/* One snapshot for the rows and the watermark: read later, it might already be past a request that
 * was recorded in between, whose row this query has not seen.
 *
 * The inner SELECT is asked for each id, by the primary key alone: a join might be planned as a
 * scan of the whole day, and a condition on the tenant as one of all jobs of that tenant, when
 * nothing is known yet of how a day's rows are distributed.  Of a foreign job that came on two days
 * the earlier row counts.
 *
 * What has no request half yet is not told, as in lists (STORE_IS_TOLD). */
static const char look_begin[] = "SELECT w.stamp_ms, q.n,";
static const char look_end[] =
    " FROM (SELECT " STORE_WATERMARK " AS stamp_ms) AS w"
    " LEFT JOIN (unnest($1, $2, $3, $4) WITH ORDINALITY AS q(id, tenant, seen, is_due, n)"
    "            CROSS JOIN LATERAL (SELECT * FROM jobs AS k"
    "                                 WHERE k.id = q.id ORDER BY k.day LIMIT 1) AS j)"
    "   ON j.tenant = q.tenant"
    "  AND " STORE_IS_TOLD(
	"w.stamp_ms") "  AND (q.is_due OR j.state >= 'succeeded' OR j.state::text <> q.seen)";

#define FIRST_COLUMN 2 /* of the job */

enum { IDS, TENANTS, SEEN, DUE, ARRAYS };

/* The parameters. */
struct arrays {
	struct pg_array items[ARRAYS];
};

static const uint32_t types[ARRAYS] = { PG_TEXT, PG_TEXT, PG_TEXT, PG_BOOL };

static tally_status
fill_arrays(struct arrays *arrays, const struct look *looks, size_t n)
{
	for (size_t i = 0; i < ARRAYS; i++)
		pg_array_begin(&arrays->items[i], types[i], n);
	for (size_t i = 0; i < n; i++) {
		pg_array_put_text(&arrays->items[IDS], looks[i].id->text);
		pg_array_put_text(&arrays->items[TENANTS], looks[i].tenant);
		pg_array_put_text(&arrays->items[SEEN],
				  looks[i].seen < JOB_STATES ? job_state_name(looks[i].seen) : "");
		pg_array_put_bool(&arrays->items[DUE], looks[i].is_due);
	}
	for (size_t i = 0; i < ARRAYS; i++) {
		if (arrays->items[i].status != TALLY_OK)
			return TALLY_NO_MEMORY;
	}
	return TALLY_OK;
}

static tally_status
ask_arrays(struct asker *asker, const struct arrays *arrays, int64_t deadline_ms,
	   PGresult **out_result)
{
	struct job_pg_param params[ARRAYS];
	char sql[sizeof look_begin + sizeof look_end + 512];
	const struct job_pg_query query = { .sql = sql,
					    .name = "look",
					    .params = params,
					    .n_params = ARRAYS,
					    .deadline_ms = deadline_ms };

	(void)snprintf(sql, sizeof sql, "%s%s%s", look_begin, store_columns, look_end);
	for (size_t i = 0; i < ARRAYS; i++)
		params[i] = job_pg_array(types[i], &arrays->items[i]);
	return store_ask(asker, &query, out_result);
}

tally_status
store_look(struct asker *asker, struct look *looks, size_t n, int64_t deadline_ms,
	   struct looked *out_looked)
{
	struct arrays arrays = { 0 };
	PGresult *result = NULL;
	tally_status status = fill_arrays(&arrays, looks, n);

	if (status == TALLY_OK)
		status = ask_arrays(asker, &arrays, deadline_ms, &result);
	for (size_t i = 0; i < ARRAYS; i++)
		pg_array_fini(&arrays.items[i]);
	if (status != TALLY_OK)
		return status;
	for (size_t i = 0; i < n; i++)
		looks[i].row = -1;
	for (int row = 0; row < PQntuples(result); row++) {
		int64_t ordinal = store_row_number(result, row, 1); /* 0: null, there is no job */

		if (ordinal >= 1 && (size_t)ordinal <= n)
			looks[ordinal - 1].row = row;
	}
	*out_looked = (struct looked){ result, store_row_number(result, 0, 0) };
	return TALLY_OK;
}

void
store_tell(const struct looked *looked, const struct look *look, job_found_fn *found, void *ctx)
{
	struct job job;

	if (look->row < 0) {
		found(ctx, TALLY_NOT_FOUND, NULL, looked->watermark_ms);
		return;
	}
	store_row_read(looked->result, look->row, FIRST_COLUMN, &job);
	found(ctx, TALLY_OK, &job, looked->watermark_ms);
}

/* ---- questions --------------------------------------------------------------- */

struct get {
	struct question question; /* first */
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	job_found_fn *found;
	void *ctx;
};

static void
fail_get(struct question *question, tally_status status)
{
	struct get *get = (struct get *)question;

	get->found(get->ctx, status, NULL, 0);
	free(get);
}

static void
ask_gets(struct asker *asker, struct question **questions, size_t n, int64_t deadline_ms)
{
	struct look looks[QUESTIONS_MAX];
	struct looked looked;
	tally_status status;

	for (size_t i = 0; i < n; i++) {
		const struct get *get = (const struct get *)questions[i];

		looks[i] = (struct look){ .id = &get->id, .tenant = get->tenant, .is_due = true };
	}
	status = store_look(asker, looks, n, deadline_ms, &looked);
	if (status != TALLY_OK) {
		for (size_t i = 0; i < n; i++)
			fail_get(questions[i], status);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct get *get = (struct get *)questions[i];

		store_tell(&looked, &looks[i], get->found, get->ctx);
		free(get);
	}
	PQclear(looked.result);
}

static const struct question_kind kind_get = { QUESTIONS_MAX, false, ask_gets, fail_get };

tally_status
job_store_get(struct job_store *store, const char *tenant, const struct tally_job_id *id,
	      job_found_fn *found, void *ctx)
{
	struct get *get = calloc(1, sizeof *get);
	tally_status status;

	if (!get)
		return TALLY_NO_MEMORY;
	get->id = *id;
	(void)snprintf(get->tenant, sizeof get->tenant, "%s", tenant);
	get->found = found;
	get->ctx = ctx;
	status = store_put(store, &get->question, &kind_get);
	if (status != TALLY_OK)
		free(get);
	return status;
}
