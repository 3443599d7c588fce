#include "jobs/record_sql.h"

#include "jobs/pg_array.h"

/* A foreign request may come twice, at two times: the earlier one is the job's.  Its time may be
 * the row's already, as a result has told it. */
#define TAKES_REQUEST                                                                              \
	"(excluded.has_request AND (NOT j.has_request"                                             \
	" OR left(j.id, 1) = 'x' AND excluded.created_ms <= j.created_ms))"
#define TAKES_STATE  "(excluded.state > j.state AND j.state < 'succeeded')"
#define TAKES_RESULT "(excluded.state >= 'succeeded' AND j.state < 'succeeded')"

#define SET_IF(condition, column)                                                                  \
	#column " = CASE WHEN " condition " THEN excluded." #column " ELSE j." #column " END,"

/* Of both halves: the request's word counts, and before it came, the result's. */
#define SET_SHARED(column)                                                                         \
	#column " = CASE WHEN " TAKES_REQUEST " OR NOT j.has_request AND " TAKES_RESULT            \
		" THEN excluded." #column " ELSE j." #column " END,"

static const char upsert_jobs[] =
    "INSERT INTO jobs AS j (id, day, tenant, created_ms, state, deadline_ms, partition,"
    "  has_request, dataset, params, format, labels, attempt, started_ms, finished_ms, run,"
    "  n_rows, n_bytes, n_parts, sha256, result_offset, as_of, error)"
    " SELECT d.id, d.day, d.tenant, d.created_ms, d.state::job_state, d.deadline_ms, d.partition,"
    "  d.has_request, d.dataset, d.params, d.format, d.labels, d.attempt, d.started_ms,"
    "  d.finished_ms, d.run, d.n_rows, d.n_bytes, d.n_parts, d.sha256, d.result_offset, d.as_of,"
    "  d.error"
    " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
    "   $18, $19, $20, $21, $22, $23)"
    "  AS d(id, day, tenant, created_ms, state, deadline_ms, partition, has_request, dataset,"
    "   params, format, labels, attempt, started_ms, finished_ms, run, n_rows, n_bytes, n_parts,"
    "   sha256, result_offset, as_of, error)"
    " ON CONFLICT (id, day) DO UPDATE SET "
    /* clang-format off */
    SET_IF(TAKES_REQUEST, tenant)
    SET_IF(TAKES_REQUEST, params)
    SET_IF(TAKES_REQUEST, format)
    SET_IF(TAKES_REQUEST, labels)
    SET_SHARED(deadline_ms)
    SET_SHARED(dataset)
    SET_IF(TAKES_STATE, state)
    SET_IF(TAKES_STATE, attempt)
    SET_IF(TAKES_STATE, started_ms)
    SET_IF(TAKES_RESULT, finished_ms)
    SET_IF(TAKES_RESULT, run)
    SET_IF(TAKES_RESULT, n_rows)
    SET_IF(TAKES_RESULT, n_bytes)
    SET_IF(TAKES_RESULT, n_parts)
    SET_IF(TAKES_RESULT, sha256)
    SET_IF(TAKES_RESULT, result_offset)
    SET_IF(TAKES_RESULT, as_of)
    SET_IF(TAKES_RESULT, error)
    /* clang-format on */
    /* where the result is, and before that, where it is to be */
    "partition = CASE WHEN " TAKES_RESULT " OR j.state < 'succeeded' AND " TAKES_REQUEST
    "  THEN coalesce(excluded.partition, j.partition)"
    "  ELSE coalesce(j.partition, excluded.partition) END,"
    "has_request = j.has_request OR excluded.has_request,"
    "created_ms = least(j.created_ms, excluded.created_ms)"
    " WHERE " TAKES_REQUEST " OR " TAKES_STATE;

static const char upsert_keys[] =
    "INSERT INTO keys AS k (tenant, key, body_hash, id, created_ms, deadline_ms, fingerprint,"
    "  trace, no_cache, request, confirmed)"
    " SELECT d.*, true FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS d"
    " ON CONFLICT (tenant, key) DO UPDATE SET body_hash = excluded.body_hash, id = excluded.id,"
    "  created_ms = excluded.created_ms, deadline_ms = excluded.deadline_ms,"
    "  fingerprint = excluded.fingerprint, trace = excluded.trace,"
    "  no_cache = excluded.no_cache, request = excluded.request, confirmed = true"
    " WHERE CASE WHEN k.id = excluded.id THEN NOT k.confirmed"
    /* a key that is a day old is free again; of two that are not, the elder came first */
    "  WHEN excluded.created_ms >= k.created_ms + 86400000 THEN true"
    "  WHEN k.created_ms >= excluded.created_ms + 86400000 THEN false"
    "  ELSE (excluded.created_ms, excluded.id) < (k.created_ms, k.id) END";

static const char find_foreign[] =
    "SELECT id, day - DATE '1970-01-01', state >= 'succeeded' FROM jobs WHERE id = ANY ($1)"
    " ORDER BY day DESC";

static const char move_jobs[] =
    "UPDATE jobs AS j SET day = d.new_day, created_ms = d.created_ms"
    " FROM unnest($1, $2, $3, $4) AS d(id, old_day, new_day, created_ms)"
    " WHERE j.id = d.id AND j.day = d.old_day";

static const char move_results[] = "UPDATE results AS r SET day = d.new_day"
				   " FROM unnest($1, $2, $3) AS d(id, old_day, new_day)"
				   " WHERE r.id = d.id AND r.day = d.old_day";

static const char insert_bodies[] =
    "INSERT INTO results (id, day, run, part, body)"
    " SELECT d.* FROM unnest($1, $2, $3, $4, $5) AS d(id, day, run, part, body)"
    " WHERE NOT EXISTS (SELECT FROM jobs j"
    "   WHERE j.id = d.id AND j.day = d.day AND j.state >= 'succeeded')"
    " ON CONFLICT DO NOTHING";

static const char count_parts[] =
    "SELECT d.id, count(*), sum(octet_length(r.body))::bigint"
    " FROM unnest($1, $2, $3, $4) AS d(id, day, run, n_parts)"
    " JOIN results r ON r.id = d.id AND r.day = d.day AND r.run = d.run AND r.part <= d.n_parts"
    " GROUP BY d.id";

static const char drop_others[] =
    "DELETE FROM results AS r USING unnest($1, $2) AS d(id, day), jobs j"
    " WHERE j.id = d.id AND j.day = d.day AND j.state >= 'succeeded'"
    "  AND r.id = d.id AND r.day = d.day AND (r.run <> j.run OR j.state <> 'succeeded')";

static const char upsert_progress[] =
    "INSERT INTO progress AS p (topic, partition, next_offset, stamp_ms)"
    " SELECT d.* FROM unnest($1, $2, $3, $4) AS d"
    " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset,"
    "  stamp_ms = greatest(p.stamp_ms, excluded.stamp_ms)";

/* clang-format off */
const struct record_sql record_sql[RECORD_STATEMENTS] = {
	[RECORD_FIND_FOREIGN] = { find_foreign, { PG_TEXT } },
	[RECORD_MOVE_JOBS] = { move_jobs, { PG_TEXT, PG_DATE, PG_DATE, PG_INT8 } },
	[RECORD_MOVE_RESULTS] = { move_results, { PG_TEXT, PG_DATE, PG_DATE } },
	[RECORD_BODIES] = { insert_bodies, { PG_TEXT, PG_DATE, PG_INT8, PG_INT4, PG_BYTEA } },
	[RECORD_COUNT_PARTS] = { count_parts, { PG_TEXT, PG_DATE, PG_INT8, PG_INT4 } },
	[RECORD_JOBS] = { upsert_jobs,
		{ PG_TEXT, PG_DATE, PG_TEXT, PG_INT8, PG_TEXT, PG_INT8, PG_INT4, PG_BOOL, PG_TEXT,
		  PG_TEXT, PG_TEXT, PG_TEXT, PG_INT4, PG_INT8, PG_INT8, PG_INT8, PG_INT8, PG_INT8,
		  PG_INT4, PG_BYTEA, PG_INT8, PG_TEXT, PG_TEXT } },
	[RECORD_DROP_OTHERS] = { drop_others, { PG_TEXT, PG_DATE } },
	[RECORD_KEYS] = { upsert_keys,
		{ PG_TEXT, PG_TEXT, PG_BYTEA, PG_TEXT, PG_INT8, PG_INT8, PG_TEXT, PG_TEXT, PG_BOOL,
		  PG_BYTEA } },
	[RECORD_PROGRESS] = { upsert_progress, { PG_TEXT, PG_INT4, PG_INT8, PG_INT8 } },
};
/* clang-format on */
