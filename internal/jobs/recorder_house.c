#include "jobs/recorder_inner.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define TURN_MS     1000
#define CLEAN_MS    60000
#define KEYS_TURNS  20 /* of 1,000 keys each, at one cleaning */
#define DROP_BEHIND "55P03"

enum { WARNING = 4, INFO = 6 };

tally_status
recorder_house_ask(struct recorder *recorder, const struct job_pg_query *query,
		   PGresult **out_result, struct tally_error *err)
{
	struct job_pg_query timed = *query;

	timed.deadline_ms = clock_mono_ms() + recorder->options.timeout_ms;
	return job_pg_ask(recorder->house.pg, &timed, out_result, err);
}

/* Asks for one number; 0 without a row, or when it is null. */
static tally_status
ask_number(struct recorder *recorder, const char *sql, const struct job_pg_param *params, size_t n,
	   int64_t *out_number, struct tally_error *err)
{
	const struct job_pg_query query = { .sql = sql, .params = params, .n_params = n };
	PGresult *result = NULL;
	tally_status status = recorder_house_ask(recorder, &query, &result, err);

	if (status == TALLY_OK)
		*out_number =
		    PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
	PQclear(result);
	return status;
}

/* ---- how far the topics are recorded ----------------------------------------- */

/* Puts the partitions' arrays together: which they are, where they begin and end. */
static tally_status
put_ranges(const struct kafka_range *all, size_t n, struct pg_array arrays[3])
{
	pg_array_begin(&arrays[0], PG_INT4, n);
	pg_array_begin(&arrays[1], PG_INT8, n);
	pg_array_begin(&arrays[2], PG_INT8, n);
	for (size_t i = 0; i < n; i++) {
		pg_array_put_int4(&arrays[0], all[i].partition);
		pg_array_put_int8(&arrays[1], all[i].begin);
		pg_array_put_int8(&arrays[2], all[i].end);
	}
	for (size_t i = 0; i < 3; i++) {
		if (arrays[i].status != TALLY_OK)
			return arrays[i].status;
	}
	return TALLY_OK;
}

/* A partition that is recorded to its end is recorded up to the moment before that was asked.  A
 * partition that nobody has recorded yet gets its row here.  The watermark never goes back, so one
 * gateway whose clock is ahead must not move it on alone: the database's clock must agree. */
static tally_status
advance(struct recorder *recorder, const char *topic, struct tally_error *err)
{
	static const char sql[] =
	    "WITH d AS (SELECT * FROM unnest($1, $2, $3) AS d(partition, first, last)), made AS ("
	    "  INSERT INTO progress (topic, partition, next_offset, stamp_ms)"
	    "  SELECT $4, d.partition, 0, 0 FROM d ON CONFLICT DO NOTHING)"
	    " UPDATE progress p SET stamp_ms = least($5, " RECORDER_DB_NOW ") FROM d"
	    "  WHERE p.topic = $4 AND p.partition = d.partition"
	    "  AND p.stamp_ms < least($5, " RECORDER_DB_NOW ")"
	    "  AND greatest(p.next_offset, d.first) >= d.last";
	int64_t before_ms = clock_unix_ms();
	struct pg_array arrays[3] = { 0 };
	const struct kafka_range *all;
	size_t n = 0;
	tally_status status =
	    kafka_ranges_ask(recorder->house.ranges, topic, RECORDER_ASK_MS, &all, &n, err);

	if (status != TALLY_OK)
		return TALLY_OK; /* the broker is away: nothing moves on, and others say so */
	status = put_ranges(all, n, arrays);
	if (status == TALLY_OK) {
		const struct job_pg_param params[] = {
			job_pg_array(PG_INT4, &arrays[0]),
			job_pg_array(PG_INT8, &arrays[1]),
			job_pg_array(PG_INT8, &arrays[2]),
			job_pg_text(topic),
			job_pg_int8(before_ms),
		};
		const struct job_pg_query query = { .sql = sql, .params = params, .n_params = 5 };

		status = recorder_house_ask(recorder, &query, NULL, err);
	}
	for (size_t i = 0; i < 3; i++)
		pg_array_fini(&arrays[i]);
	return status;
}

static tally_status
read_watermark(struct recorder *recorder, struct tally_error *err)
{
	const struct job_pg_param params[] = { job_pg_text(TALLY_TOPIC_REQUESTS_JOBS) };
	int64_t watermark_ms = 0;
	tally_status status =
	    ask_number(recorder, "SELECT min(stamp_ms) FROM progress WHERE topic = $1", params, 1,
		       &watermark_ms, err);

	if (status == TALLY_OK)
		atomic_store(&recorder->watermark_ms, watermark_ms);
	return status;
}

/* ---- what is old ------------------------------------------------------------- */

static tally_status
delete_keys(struct recorder *recorder, int64_t now_ms, struct tally_error *err)
{
	static const char sql[] =
	    "WITH gone AS (DELETE FROM keys WHERE ctid = ANY (ARRAY("
	    "   SELECT ctid FROM keys WHERE created_ms < $1 ORDER BY created_ms LIMIT 1000))"
	    "  RETURNING 1) SELECT count(*) FROM gone";
	const struct job_pg_param params[] = { job_pg_int8(now_ms - JOB_RETENTION_MS) };
	int64_t n = 1000;
	tally_status status = TALLY_OK;

	for (int i = 0; i < KEYS_TURNS && n == 1000 && status == TALLY_OK; i++)
		status = ask_number(recorder, sql, params, 1, &n, err);
	return status;
}

static tally_status
drop_days(struct recorder *recorder, int64_t now_ms, struct tally_error *err)
{
	const struct job_pg_param params[] = { job_pg_int8(now_ms) };
	struct tally_error why = { 0 };
	int64_t n = 0;
	tally_status status = ask_number(recorder, "SELECT drop_job_days($1)", params, 1, &n, &why);

	if (status == TALLY_OK && n > 0)
		recorder_log(recorder, INFO, "old jobs dropped tables=%" PRId64, n);
	/* Somebody reads them: at the next cleaning. */
	if (status != TALLY_OK && strcmp(why.sqlstate, DROP_BEHIND) == 0)
		return TALLY_OK;
	if (status != TALLY_OK && err)
		*err = why;
	return status;
}

static tally_status
clean(struct recorder *recorder, struct tally_error *err)
{
	struct recorder_house *house = &recorder->house;
	int64_t now_ms = clock_unix_ms();
	const struct job_pg_param params[] = { job_pg_int8(now_ms) };
	const struct job_pg_query make = {
		.sql = "SELECT make_job_days(job_day($1 - 3600000) - 1, job_day($1) + 1)",
		.params = params,
		.n_params = 1,
	};
	tally_status status;

	if (house->cleaned_at_ms > 0 && clock_mono_ms() - house->cleaned_at_ms < CLEAN_MS)
		return TALLY_OK;
	status = recorder_house_ask(recorder, &make, NULL, err);
	if (status == TALLY_OK)
		status = drop_days(recorder, now_ms, err);
	if (status == TALLY_OK)
		status = delete_keys(recorder, now_ms, err);
	if (status == TALLY_OK)
		house->cleaned_at_ms = clock_mono_ms();
	return status;
}

/* ---- turns ------------------------------------------------------------------- */

/* The lock lives as long as the connection. */
static tally_status
take_lock(struct recorder *recorder, struct tally_error *err)
{
	struct recorder_house *house = &recorder->house;
	int64_t has_lock = 0;
	tally_status status;

	if (house->has_lock && job_pg_is_up(house->pg))
		return TALLY_OK;
	house->has_lock = false;
	status = ask_number(recorder,
			    "SELECT pg_try_advisory_lock(hashtext('tally recorder house'))::int",
			    NULL, 0, &has_lock, err);
	house->has_lock = status == TALLY_OK && has_lock == 1;
	return status;
}

static tally_status
turn(struct recorder *recorder, struct tally_error *err)
{
	tally_status status = take_lock(recorder, err);

	if (status == TALLY_OK && recorder->house.has_lock) {
		status = advance(recorder, TALLY_TOPIC_REQUESTS_JOBS, err);
		if (status == TALLY_OK)
			status = advance(recorder, TALLY_TOPIC_RESULTS, err);
		if (status == TALLY_OK)
			status = clean(recorder, err);
		if (status == TALLY_OK)
			status = recorder_end_overdue(recorder, err);
	}
	return status == TALLY_OK ? read_watermark(recorder, err) : status;
}

void *
recorder_run_house(void *arg)
{
	struct recorder *recorder = arg;
	struct pollfd stop = { .fd = recorder->stop_house_fd, .events = POLLIN };
	bool was_down = false;

	while (poll(&stop, 1, TURN_MS) <= 0) {
		struct tally_error err = { 0 };
		tally_status status = turn(recorder, &err);

		/* That the store is away, the writer says. */
		if (status != TALLY_OK && status != TALLY_CLOSED
		    && status != TALLY_JOB_STORE_UNAVAILABLE && !was_down)
			recorder_log(recorder, WARNING, "the job store is not kept code=%s: %s",
				     tally_status_code(status), err.detail);
		was_down = status != TALLY_OK;
		atomic_store(&recorder->is_up, status == TALLY_OK);
	}
	return NULL;
}
