/* copy.h - the activity of an existing installation, from PostgreSQL into ClickHouse.
 *
 * Rows are taken in ranges of ids.  What is in a range is told on both sides by a digest, a count
 * and sums: where they are equal nothing is done, and where they are not what ClickHouse has of the
 * range is deleted and the range is copied.  So a copy that broke off goes on where it was, and
 * running it again copies what has come since.  At the end both sides are compared by buckets of
 * users.
 *
 * Rows that come while it runs, with higher ids than it saw at first, are left for the next run.
 * These calls block: they are for the command line, not for a loop. */
#ifndef SOURCE_COPY_H
#define SOURCE_COPY_H

#include <stdint.h>

#include <tally/status.h>

/* How far it is. */
struct copy_progress {
	int64_t n_all;    /* rows of the source when it began */
	int64_t n_done;   /* of which so many are there now */
	int64_t n_copied; /* so many by this run */
	int n_verified;   /* buckets of users that are equal */
};

/* What to copy.  Everything is borrowed for the call. */
struct copy_job {
	const char *name; /* of the database, for error texts: "db2" */
	const char *from; /* postgresql://... */
	const char *to;   /* clickhouse://..., migrated */
	void (*on_progress)(void *ctx, const struct copy_progress *progress);
	void *ctx;
};

#define COPY_BUCKETS 64

/* Copies space_type, event_type and logs, and verifies.  TALLY_WRONG_SETTING (a URL),
 * TALLY_WRONG_DEFINITION (tables that are not there or not as the migrations have them),
 * TALLY_SOURCE_ERROR (a value without a place in ClickHouse; sides that differ in the end),
 * TALLY_SOURCE_UNAVAILABLE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status copy_activity(const struct copy_job *job,
					    struct copy_progress *out_progress,
					    struct tally_error *err);

#endif
