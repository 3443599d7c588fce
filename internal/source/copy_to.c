#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "source/copy_inner.h"

#define SQL_BYTES 1024

/* The sums of a digest, in its order. */
#define SUMS                                                                                       \
	"toInt64(count()), sum(id % " COPY_PRIME "), sum(user_id % " COPY_PRIME                    \
	"), sum(object_id % " COPY_PRIME "), toInt64(sum(event_type_id * 256 + space_type_id)),"   \
	" sum(toUnixTimestamp64Micro(datetime) % " COPY_PRIME ")"

/* A question whose rows are an index and a digest. */
static tally_status
ask_digests(struct ch_session *to, const char *name, const char *sql, struct copy_digest *digests,
	    size_t n, struct tally_error *err)
{
	struct rows *rows = NULL;
	tally_status status = ch_session_ask(to, name, sql, &rows, err);

	if (status != TALLY_OK)
		return status;
	if (rows->n_columns != 1 + COPY_SUMS)
		status = tally_fail(err, TALLY_SOURCE_ERROR, "%s: not a digest", name);
	for (size_t i = 0; status == TALLY_OK && i < rows->n_rows; i++) {
		int64_t index = rows_cell(rows, i, 0)->i;

		if (index < 0 || (uint64_t)index >= n)
			continue;
		digests[index] = (struct copy_digest){
			rows_cell(rows, i, 1)->i, rows_cell(rows, i, 2)->i,
			rows_cell(rows, i, 3)->i, rows_cell(rows, i, 4)->i,
			rows_cell(rows, i, 5)->i, rows_cell(rows, i, 6)->i,
		};
	}
	rows_free(rows);
	return status;
}

tally_status
copy_to_names(struct ch_session *to, const char *name, const char *table, const char *names,
	      struct tally_error *err)
{
	char *sql;
	tally_status status;

	if (!*names)
		return TALLY_OK;
	if (asprintf(&sql,
		     "INSERT INTO %s (id, name) SELECT id, name"
		     " FROM values('id UInt8, name String', %s)"
		     " WHERE (id, name) NOT IN (SELECT id, toString(name) FROM %s)",
		     table, names, table)
	    < 0)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status = ch_session_run(to, name, sql, NULL, err);
	free(sql);
	return status;
}

tally_status
copy_to_ranges(struct ch_session *to, const char *name, const struct copy_ranges *ranges,
	       struct copy_digest **out_digests, struct tally_error *err)
{
	struct copy_digest *digests = calloc(ranges->n, sizeof *digests);
	char sql[SQL_BYTES];
	tally_status status;

	if (!digests)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	(void)snprintf(sql, sizeof sql,
		       "SELECT toInt64(intDiv(id - toInt64(%" PRId64 "), %" PRId64
		       ")) AS r, %s FROM logs WHERE id BETWEEN %" PRId64 " AND %" PRId64
		       " GROUP BY r",
		       ranges->all.first, ranges->width, SUMS, ranges->all.first, ranges->all.last);
	status = ask_digests(to, name, sql, digests, ranges->n, err);
	if (status == TALLY_OK)
		*out_digests = digests;
	else
		free(digests);
	return status;
}

tally_status
copy_to_rows(struct ch_session *to, const char *name, const struct copy_range *range, bool has_some,
	     const struct buf *rows, struct tally_error *err)
{
	char sql[SQL_BYTES];
	tally_status status = TALLY_OK;

	if (has_some) {
		(void)snprintf(sql, sizeof sql,
			       "ALTER TABLE logs DELETE WHERE id BETWEEN %" PRId64 " AND %" PRId64,
			       range->first, range->last);
		status = ch_session_run(to, name, sql, NULL, err);
	}
	if (status != TALLY_OK || rows->len == 0)
		return status;
	return ch_session_run(to, name,
			      "INSERT INTO logs (id, datetime, user_id, space_type_id,"
			      " event_type_id, object_id) FORMAT RowBinary",
			      rows, err);
}

tally_status
copy_to_buckets(struct ch_session *to, const char *name, int64_t last,
		struct copy_digest digests[COPY_BUCKETS], struct tally_error *err)
{
	char sql[SQL_BYTES];

	(void)snprintf(sql, sizeof sql,
		       "SELECT toInt64(abs(user_id %% %d)) AS b, %s FROM logs WHERE id <= %" PRId64
		       " GROUP BY b",
		       COPY_BUCKETS, SUMS, last);
	return ask_digests(to, name, sql, digests, COPY_BUCKETS, err);
}
