#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "source/copy_inner.h"
#include "source/date.h"
#include "source/pg_error.h"
#include "source/pg_settings.h"
#include "source/pg_wire.h"

#define EPOCH_US  (10957 * DATE_US_OF_DAY) /* from 1970-01-01 to 2000-01-01 */
#define PRIME     INT64_C(1000000007)
#define ROW_BYTES 34
#define SQL_BYTES 1024
#define N_COLUMNS 6

/* What Date32 and DateTime64 of every server have room for: 1900-01-01 to 2299-12-31. */
#define FIRST_US (-25567 * DATE_US_OF_DAY)
#define LAST_US  (120530 * DATE_US_OF_DAY - 1)

static tally_status
fail_result(const struct copy_from *from, const PGresult *result, struct tally_error *err)
{
	return pg_error_of_describe(result, from->name, err);
}

/* False, and why, when the server does not take us. */
static bool
connect_as(struct copy_from *from, const struct pg_settings *settings, char *reason, size_t cap)
{
	PQfinish(from->pg);
	from->pg = PQconnectdbParams(settings->keywords, settings->values, 1);
	if (PQstatus(from->pg) == CONNECTION_OK)
		return true;
	pg_error_reason(from->pg, reason, cap);
	return false;
}

tally_status
copy_from_open(struct copy_from *from, const char *name, const char *url, struct tally_error *err)
{
	struct pg_settings settings = { 0 };
	tally_status status = pg_settings_init(&settings, name, url, 0, err);
	char reason[256];

	*from = (struct copy_from){ .name = name };
	if (status == TALLY_OK && !connect_as(from, &settings, reason, sizeof reason)) {
		pg_settings_refused(&settings, reason);
		if (!settings.is_plain || !connect_as(from, &settings, reason, sizeof reason))
			status = tally_fail(err, TALLY_SOURCE_UNAVAILABLE,
					    "%s cannot be reached: %s", name, reason);
	}
	pg_settings_fini(&settings);
	return status;
}

void
copy_from_close(struct copy_from *from)
{
	PQfinish(from->pg);
	from->pg = NULL;
}

/* Asks for rows of texts; the caller clears the result. */
static tally_status
ask(struct copy_from *from, const char *sql, PGresult **out_result, struct tally_error *err)
{
	PGresult *result = PQexec(from->pg, sql);
	tally_status status;

	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		*out_result = result;
		return TALLY_OK;
	}
	status = fail_result(from, result, err);
	PQclear(result);
	return status;
}

static int64_t
number_at(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

tally_status
copy_from_extent(struct copy_from *from, struct copy_range *out_range, int64_t *out_count,
		 struct tally_error *err)
{
	PGresult *result;
	tally_status status = ask(from,
				  "SELECT coalesce(min(id), 1), coalesce(max(id), 0), count(*)"
				  " FROM logs",
				  &result, err);

	if (status != TALLY_OK)
		return status;
	*out_range = (struct copy_range){ number_at(result, 0, 0), number_at(result, 0, 1) };
	*out_count = number_at(result, 0, 2);
	PQclear(result);
	return TALLY_OK;
}

/* ---- rows -------------------------------------------------------------------- */

static void
put_little(unsigned char *out, int64_t number)
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)((uint64_t)number >> 8 * i);
}

static void
digest(struct copy_digest *digest, const int64_t row[N_COLUMNS])
{
	digest->count++;
	digest->ids += row[0] % PRIME;
	digest->times += row[1] % PRIME;
	digest->users += row[2] % PRIME;
	digest->kinds += row[4] * 256 + row[3];
	digest->objects += row[5] % PRIME;
}

static bool
is_fit(const int64_t row[N_COLUMNS])
{
	return row[1] >= FIRST_US && row[1] <= LAST_US && row[3] >= 0 && row[3] <= UINT8_MAX
	       && row[4] >= 0 && row[4] <= UINT8_MAX;
}

/* id, datetime, user_id: 8 bytes each; space and event type: 1; object_id: 8. */
static tally_status
add_row(const struct copy_from *from, const PGresult *result, struct buf *rows,
	struct copy_digest *out_digest, struct tally_error *err)
{
	unsigned char bytes[ROW_BYTES];
	int64_t row[N_COLUMNS];

	for (int i = 0; i < N_COLUMNS; i++) {
		if (PQgetisnull(result, 0, i) || PQgetlength(result, 0, i) != 8)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: column %s of logs is not what it should be",
					  from->name, PQfname(result, i));
		row[i] = (int64_t)pg_get64((const unsigned char *)PQgetvalue(result, 0, i));
	}
	if (__builtin_add_overflow(row[1], EPOCH_US, &row[1]) || !is_fit(row))
		return tally_fail(err, TALLY_SOURCE_ERROR,
				  "%s: the row of logs with id %" PRId64
				  " has no place in ClickHouse: years 1900 to 2299, types 0 to 255",
				  from->name, row[0]);
	put_little(bytes, row[0]);
	put_little(bytes + 8, row[1]);
	put_little(bytes + 16, row[2]);
	bytes[24] = (unsigned char)row[3];
	bytes[25] = (unsigned char)row[4];
	put_little(bytes + 26, row[5]);
	digest(out_digest, row);
	if (buf_append(rows, bytes, sizeof bytes) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	return TALLY_OK;
}

static tally_status
take_result(const struct copy_from *from, const PGresult *result, struct buf *rows,
	    struct copy_digest *out_digest, struct tally_error *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
		return add_row(from, result, rows, out_digest, err);
	case PGRES_TUPLES_OK:
		return TALLY_OK;
	default:
		return fail_result(from, result, err);
	}
}

tally_status
copy_from_rows(struct copy_from *from, const struct copy_range *range, struct buf *rows,
	       struct copy_digest *out_digest, struct tally_error *err)
{
	tally_status status = TALLY_OK;
	PGresult *result;
	char sql[SQL_BYTES];

	(void)snprintf(sql, sizeof sql,
		       "SELECT id::int8, datetime::timestamp, user_id::int8, space_type_id::int8,"
		       " event_type_id::int8, object_id::int8 FROM logs"
		       " WHERE id BETWEEN %" PRId64 " AND %" PRId64,
		       range->first, range->last);
	*out_digest = (struct copy_digest){ 0 };
	if (!PQsendQueryParams(from->pg, sql, 0, NULL, NULL, NULL, NULL, 1)
	    || !PQsetSingleRowMode(from->pg))
		return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s: the connection was lost",
				  from->name);
	while ((result = PQgetResult(from->pg))) {
		if (status == TALLY_OK)
			status = take_result(from, result, rows, out_digest, err);
		PQclear(result);
	}
	return status;
}

/* ---- buckets and names ------------------------------------------------------- */

tally_status
copy_from_buckets(struct copy_from *from, int64_t last, struct copy_digest digests[COPY_BUCKETS],
		  struct tally_error *err)
{
	PGresult *result;
	char sql[SQL_BYTES];
	tally_status status;

	(void)snprintf(sql, sizeof sql,
		       "SELECT abs(user_id %% %d), count(*), sum(id %% " COPY_PRIME
		       "), sum(user_id %% " COPY_PRIME "), sum(object_id %% " COPY_PRIME
		       "), sum(event_type_id * 256 + space_type_id),"
		       " sum((extract(epoch FROM datetime) * 1000000)::int8 %% " COPY_PRIME
		       ") FROM logs WHERE id <= %" PRId64 " GROUP BY 1",
		       COPY_BUCKETS, last);
	status = ask(from, sql, &result, err);
	if (status != TALLY_OK)
		return status;
	for (int i = 0; i < PQntuples(result); i++) {
		struct copy_digest *digest = &digests[number_at(result, i, 0) % COPY_BUCKETS];

		*digest = (struct copy_digest){
			number_at(result, i, 1), number_at(result, i, 2), number_at(result, i, 3),
			number_at(result, i, 4), number_at(result, i, 5), number_at(result, i, 6),
		};
	}
	PQclear(result);
	return TALLY_OK;
}

/* Backslashes mean something in ClickHouse's quotes. */
static tally_status
put_quoted(struct buf *out, const char *text)
{
	tally_status status = buf_puts(out, "'");

	for (; *text && status == TALLY_OK; text++) {
		if (*text == '\'' || *text == '\\')
			status = buf_puts(out, "\\");
		if (status == TALLY_OK)
			status = buf_append(out, text, 1);
	}
	return status == TALLY_OK ? buf_puts(out, "'") : status;
}

static tally_status
put_names(struct buf *out, const PGresult *result)
{
	tally_status status = TALLY_OK;

	for (int i = 0; i < PQntuples(result) && status == TALLY_OK; i++) {
		status =
		    buf_printf(out, "%s(%" PRId64 ",", i > 0 ? "," : "", number_at(result, i, 0));
		if (status == TALLY_OK)
			status = put_quoted(out, PQgetvalue(result, i, 1));
		if (status == TALLY_OK)
			status = buf_puts(out, ")");
	}
	return status == TALLY_OK ? buf_append(out, "", 1) : status;
}

tally_status
copy_from_names(struct copy_from *from, const char *table, struct buf *out, struct tally_error *err)
{
	PGresult *result;
	char sql[SQL_BYTES];
	tally_status status;

	(void)snprintf(sql, sizeof sql, "SELECT id, name FROM %s ORDER BY id", table);
	status = ask(from, sql, &result, err);
	if (status != TALLY_OK)
		return status;
	if (put_names(out, result) != TALLY_OK)
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	PQclear(result);
	return status;
}
