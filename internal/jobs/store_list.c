/* Lists of a tenant's jobs. */
#include "base/clock.h"
#include "jobs/store_inner.h"

#define SQL_MAX 2048

struct list {
	struct question question; /* first */
	struct job_list_query query;
	job_list_fn *listed;
	void *ctx;
};

static void
fail_list(struct question *question, tally_status status)
{
	struct list *list = (struct list *)question;

	list->listed(list->ctx, status, NULL, 0);
	free(list);
}

/* The state stands in the text, because only so is the index of rare states taken. */
static void
write_sql(const struct job_list_query *query, char *out, size_t cap)
{
	const char *state = query->has_state ? job_state_name(query->state) : NULL;

	(void)snprintf(out, cap,
		       "SELECT %s FROM jobs AS j"
		       " WHERE tenant = $1 AND day >= job_day($2) AND created_ms > $2"
		       "%s%s%s%s"
		       " AND (created_ms, id) < ($3, $4) AND " STORE_IS_TOLD(
			   STORE_WATERMARK) " ORDER BY created_ms DESC, id DESC LIMIT $5",
		       store_columns, state ? " AND state = '" : "", state ? state : "",
		       state ? "'" : "", query->dataset[0] ? " AND dataset = $6" : "");
}

static tally_status
ask_rows(struct asker *asker, const struct job_list_query *query, int64_t deadline_ms,
	 PGresult **out_result)
{
	bool is_first = query->before_created_ms == 0;
	const struct job_pg_param params[] = {
		job_pg_text(query->tenant),
		job_pg_int8(clock_unix_ms() - JOB_RETENTION_MS),
		job_pg_int8(is_first ? INT64_MAX : query->before_created_ms),
		job_pg_text(is_first ? "" : query->before_id.text),
		job_pg_int8((int64_t)query->limit),
		job_pg_text(query->dataset),
	};
	char sql[SQL_MAX];
	const struct job_pg_query pg_query = { .sql = sql,
					       .params = params,
					       .n_params = query->dataset[0] ? 6 : 5,
					       .deadline_ms = deadline_ms };

	write_sql(query, sql, sizeof sql);
	return store_ask(asker, &pg_query, out_result);
}

static void
ask_list(struct asker *asker, struct question **questions, size_t n, int64_t deadline_ms)
{
	struct list *list = (struct list *)questions[0]; /* n is 1 */
	PGresult *result = NULL;
	struct job *jobs = NULL;
	tally_status status = ask_rows(asker, &list->query, deadline_ms, &result);
	size_t n_jobs = status == TALLY_OK ? (size_t)PQntuples(result) : 0;

	(void)n;
	if (n_jobs > 0) {
		jobs = calloc(n_jobs, sizeof *jobs);
		if (!jobs)
			status = TALLY_NO_MEMORY;
	}
	for (size_t i = 0; jobs && i < n_jobs; i++)
		store_row_read(result, (int)i, 0, &jobs[i]);
	list->listed(list->ctx, status, jobs, jobs ? n_jobs : 0);
	free(jobs);
	PQclear(result);
	free(list);
}

static const struct question_kind kind_list = { 1, false, ask_list, fail_list };

tally_status
job_store_list(struct job_store *store, const struct job_list_query *query, job_list_fn *listed,
	       void *ctx)
{
	struct list *list = calloc(1, sizeof *list);
	tally_status status;

	if (!list)
		return TALLY_NO_MEMORY;
	list->query = *query;
	if (list->query.limit > JOB_LIST_MAX)
		list->query.limit = JOB_LIST_MAX;
	list->listed = listed;
	list->ctx = ctx;
	status = store_put(store, &list->question, &kind_list);
	if (status != TALLY_OK)
		free(list);
	return status;
}
