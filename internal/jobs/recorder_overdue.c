/* Jobs that are past their deadline, without a result.  "Without" is known only of what has been
 * recorded: a job is overdue when its partition of the results has been recorded up to 30 s past
 * the deadline.  Recorders that have been away thus end no job whose result they have not read. */
#include "jobs/recorder_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define GRACE    "30000" /* ms */
#define LIMIT    500     /* jobs of one turn */
#define AGAIN_MS 60000   /* a result that was published may be lost: then it is published again */

enum { WARNING = 4, INFO = 6 };

/* A row of the walk. */
enum { ID, TENANT, CREATED, DEADLINE, PARTITION, DATASET, ATTEMPT, STARTED };

static tally_status
find(struct recorder *recorder, PGresult **out_rows, struct tally_error *err)
{
	static const char sql[] =
	    "SELECT j.id, j.tenant, j.created_ms, j.deadline_ms, j.partition,"
	    "  coalesce(j.dataset, ''), j.attempt, coalesce(j.started_ms, 0)"
	    " FROM jobs j JOIN progress p ON p.topic = $1 AND p.partition = j.partition"
	    " WHERE j.state IN ('queued', 'running')"
	    "  AND j.deadline_ms < least($2, " RECORDER_DB_NOW ") - " GRACE
	    "  AND j.deadline_ms < p.stamp_ms - " GRACE
	    "  AND j.deadline_ms >= $3 AND (j.deadline_ms, j.id) > ($3, $4)"
	    " ORDER BY j.deadline_ms, j.id LIMIT $5";
	struct recorder_house *house = &recorder->house;
	const struct job_pg_param params[] = {
		job_pg_text(TALLY_TOPIC_RESULTS),
		job_pg_int8(clock_unix_ms()),
		job_pg_int8(house->walk_deadline_ms),
		job_pg_text(house->walk_id),
		job_pg_int8(LIMIT),
	};
	const struct job_pg_query query = { .sql = sql, .params = params, .n_params = 5 };

	return recorder_house_ask(recorder, &query, out_rows, err);
}

static int64_t
number(const PGresult *rows, int row, int column)
{
	return strtoll(PQgetvalue(rows, row, column), NULL, 10);
}

static tally_status
describe(const PGresult *rows, int row, struct tally_job_result *result)
{
	*result = (struct tally_job_result){
		.state = TALLY_FAILED,
		.error_code = TALLY_DEADLINE_EXCEEDED,
		.created_ms = number(rows, row, CREATED),
		.deadline_ms = number(rows, row, DEADLINE),
		.attempt = (uint32_t)number(rows, row, ATTEMPT),
		.started_ms = number(rows, row, STARTED),
	};
	(void)snprintf(result->id.text, sizeof result->id.text, "%s", PQgetvalue(rows, row, ID));
	(void)snprintf(result->tenant, sizeof result->tenant, "%s", PQgetvalue(rows, row, TENANT));
	(void)snprintf(result->dataset, sizeof result->dataset, "%s",
		       PQgetvalue(rows, row, DATASET));
	return tally_trace_make(&result->trace);
}

/* Publishes a result like any other; that which was there first counts. */
static tally_status
end_job(struct recorder *recorder, const PGresult *rows, int row)
{
	struct tally_headers *headers = &recorder->house.headers;
	struct tally_error error = { 0 };
	struct tally_job_result result;
	char document[1024];
	struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = (int32_t)number(rows, row, PARTITION),
		.key = result.id.text,
		.key_len = TALLY_JOB_ID_CHARS,
		.value = document,
	};
	tally_status status = describe(rows, row, &result);

	(void)tally_fail(&error, TALLY_DEADLINE_EXCEEDED,
			 "no result came within 30 s of the job's deadline");
	if (status == TALLY_OK)
		status = tally_error_encode(&error, document, sizeof document, &message.value_len);
	if (status == TALLY_OK)
		status = tally_job_result_write(&result, clock_unix_ms(), headers);
	if (status != TALLY_OK)
		return status;
	message.headers = headers->items;
	message.n_headers = headers->n;
	return kafka_producer_send(recorder->house.producer, &message);
}

/* Remembers where the walk stands. */
static void
step_to(struct recorder_house *house, const PGresult *rows, int row)
{
	house->walk_deadline_ms = number(rows, row, DEADLINE);
	(void)snprintf(house->walk_id, sizeof house->walk_id, "%s", PQgetvalue(rows, row, ID));
}

static void
end_jobs(struct recorder *recorder, const PGresult *rows)
{
	int n = 0;

	while (n < PQntuples(rows)) {
		tally_status status = end_job(recorder, rows, n);

		/* The broker takes no more now: at the next turn. */
		if (status == TALLY_FULL || status == TALLY_KAFKA_UNAVAILABLE)
			break;
		if (status != TALLY_OK)
			recorder_log(recorder, WARNING, "an overdue job cannot be ended code=%s",
				     tally_status_code(status));
		step_to(&recorder->house, rows, n++);
		atomic_fetch_add(&recorder->n_overdue, status == TALLY_OK);
	}
	if (n > 0)
		recorder_log(recorder, INFO, "overdue jobs ended jobs=%d", n);
}

tally_status
recorder_end_overdue(struct recorder *recorder, struct tally_error *err)
{
	struct recorder_house *house = &recorder->house;
	PGresult *rows = NULL;
	tally_status status;

	if (house->walk_at_ms == 0 || clock_mono_ms() - house->walk_at_ms >= AGAIN_MS) {
		house->walk_at_ms = clock_mono_ms();
		house->walk_deadline_ms = 0;
		house->walk_id[0] = '\0';
	}
	status = find(recorder, &rows, err);
	if (status == TALLY_OK)
		end_jobs(recorder, rows);
	PQclear(rows);
	return status;
}
