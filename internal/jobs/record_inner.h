/* record_inner.h - the writer, for the files that make it up: record.c (connection, house),
 * record_write.c (a transaction). */
#ifndef JOBS_RECORD_INNER_H
#define JOBS_RECORD_INNER_H

#include "jobs/pg.h"
#include "jobs/record.h"
#include "jobs/record_sql.h"

struct record {
	struct job_pg *pg;
	int timeout_ms;
	bool is_rebuild;
	bool is_ready; /* the session is set up and has its lock */
	struct pg_array columns[RECORD_COLUMNS];
	struct projection_change **changes; /* in the order that they are written */
	size_t n_changes;
};

/* Connects and sets the session up, unless that is done. */
TALLY_MUST_CHECK tally_status record_connect(struct record *record, struct tally_error *err);

/* Runs a query; see job_pg_ask.  out_result may be NULL. */
TALLY_MUST_CHECK tally_status record_ask(struct record *record, const char *sql,
					 const struct job_pg_param *params, size_t n_params,
					 PGresult **out_result, struct tally_error *err);

#endif
