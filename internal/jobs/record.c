#include "jobs/record_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/own.h"

#define HOUR_MS INT64_C(3600000)

/* Whoever records holds it shared, whoever rebuilds alone. */
#define LOCK_SHARED "SELECT pg_try_advisory_lock_shared(hashtext('tally recorder'))"
#define LOCK_ALONE  "SELECT pg_try_advisory_lock(hashtext('tally recorder'))"

OWN_DEFINE(record);

tally_status
record_new(const struct record_options *options, struct record **out_record,
	   struct tally_error *err)
{
	const struct job_pg_options pg = {
		.url = options->url,
		.application = "tally recorder",
		.timeout_ms = options->timeout_ms,
		.stop_fd = options->stop_fd,
	};
	OWN(record) record = calloc(1, sizeof *record);
	tally_status status;

	if (!record)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	record->timeout_ms = options->timeout_ms;
	record->is_rebuild = options->is_rebuild;
	record->changes = calloc(PROJECTION_MAX, sizeof(struct projection_change *));
	if (!record->changes)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status = job_pg_new(&pg, &record->pg, err);
	if (status == TALLY_OK)
		*out_record = TAKE(record);
	return status;
}

void
record_free(struct record *record)
{
	if (!record)
		return;
	job_pg_free(record->pg);
	for (size_t i = 0; i < RECORD_COLUMNS; i++)
		pg_array_fini(&record->columns[i]);
	free(record->changes);
	free(record);
}

tally_status
record_ask(struct record *record, const char *sql, const struct job_pg_param *params,
	   size_t n_params, PGresult **out_result, struct tally_error *err)
{
	const struct job_pg_query query = {
		.sql = sql,
		.params = params,
		.n_params = n_params,
		.deadline_ms = clock_mono_ms() + record->timeout_ms,
	};

	return job_pg_ask(record->pg, &query, out_result, err);
}

/* ---- the session ------------------------------------------------------------- */

/* Asks for one boolean. */
static tally_status
ask_whether(struct record *record, const char *sql, bool *out_yes, struct tally_error *err)
{
	PGresult *result = NULL;
	tally_status status = record_ask(record, sql, NULL, 0, &result, err);

	if (status == TALLY_OK)
		*out_yes = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	PQclear(result);
	return status;
}

/* Kafka's offsets are committed once the rows are: these must last.  Every table is found by its
 * key; without statistics, as those of a day that has just begun, the planner would read all of
 * it.  A recorder that was frozen must not keep its locks. */
static tally_status
set_up(struct record *record, struct tally_error *err)
{
	static const char sql[] = "SET synchronous_commit = on;"
				  "SET enable_seqscan = off;"
				  "SET enable_hashjoin = off;"
				  "SET enable_mergejoin = off;"
				  "SET idle_in_transaction_session_timeout = '60s'";
	bool has_lock = false;
	tally_status status = record_ask(record, sql, NULL, 0, NULL, err);

	if (status == TALLY_OK)
		status = ask_whether(record, record->is_rebuild ? LOCK_ALONE : LOCK_SHARED,
				     &has_lock, err);
	if (status != TALLY_OK || has_lock)
		return status;
	return tally_fail(err, TALLY_JOB_STORE_UNAVAILABLE,
			  record->is_rebuild ? "recorders write to the job store: stop the gateways"
					     : "the job store is being rebuilt");
}

tally_status
record_connect(struct record *record, struct tally_error *err)
{
	tally_status status;

	if (record->is_ready && job_pg_is_up(record->pg))
		return TALLY_OK;
	record->is_ready = false;
	job_pg_close(record->pg);
	status = set_up(record, err);
	record->is_ready = status == TALLY_OK;
	if (status != TALLY_OK)
		job_pg_close(record->pg);
	return status;
}

/* ---- the house --------------------------------------------------------------- */

static tally_status
read_days(struct record *record, int64_t now_ms, struct projection_days *out_days,
	  struct tally_error *err)
{
	static const char sql[] =
	    "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') - DATE '1970-01-01'"
	    " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
	    " WHERE i.inhparent = 'jobs'::regclass AND c.relname ~ '^jobs_[0-9]{8}$'";
	struct projection_days days = { .first = projection_day(now_ms) - 31,
					.last = projection_day(now_ms) + 1 };
	PGresult *result = NULL;
	tally_status status = record_ask(record, sql, NULL, 0, &result, err);

	for (int i = 0; status == TALLY_OK && i < PQntuples(result); i++) {
		long day = strtol(PQgetvalue(result, i, 0), NULL, 10) - days.first;

		if (day >= 0 && day < 64)
			days.mask |= UINT64_C(1) << day;
	}
	PQclear(result);
	if (status == TALLY_OK)
		*out_days = days;
	return status;
}

tally_status
record_days(struct record *record, int64_t now_ms, struct projection_days *out_days,
	    struct tally_error *err)
{
	/* From the first day that drop_job_days leaves, to tomorrow. */
	const struct job_pg_param params[] = { job_pg_int8(now_ms) };
	static const char sql[] =
	    "SELECT make_job_days(job_day($1 - 3600000) - 1, job_day($1) + 1)";
	tally_status status = record_connect(record, err);

	if (status == TALLY_OK)
		status = record_ask(record, sql, params, 1, NULL, err);
	return status == TALLY_OK ? read_days(record, now_ms, out_days, err) : status;
}

tally_status
record_begin_topic(struct record *record, const char *topic, size_t n_partitions,
		   struct tally_error *err)
{
	const struct job_pg_param params[] = { job_pg_text(topic),
					       job_pg_int4((int32_t)n_partitions - 1) };
	tally_status status = record_connect(record, err);

	if (status != TALLY_OK)
		return status;
	return record_ask(record,
			  "INSERT INTO progress (topic, partition, next_offset, stamp_ms)"
			  " SELECT $1, i, 0, 0 FROM generate_series(0, $2) AS i"
			  " ON CONFLICT DO NOTHING",
			  params, 2, NULL, err);
}

tally_status
record_is_empty(struct record *record, bool *out_is_empty, struct tally_error *err)
{
	tally_status status = record_connect(record, err);

	if (status != TALLY_OK)
		return status;
	return ask_whether(
	    record,
	    "SELECT NOT EXISTS (SELECT FROM jobs) AND NOT EXISTS (SELECT FROM results)"
	    " AND NOT EXISTS (SELECT FROM keys)",
	    out_is_empty, err);
}
