/* record.h - writes projections into the job store, over a connection of its own: one transaction
 * each, a few statements whatever its size.
 *
 * Any number may write at once, but none while the store is rebuilt: then results would be found
 * out of order.  An advisory lock tells, shared by those that record, exclusive for the one that
 * rebuilds.  One thread at a time. */
#ifndef JOBS_RECORD_H
#define JOBS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs/projection.h"

struct record;

struct record_options {
	const char *url; /* copied */
	int timeout_ms;  /* of each statement */
	int stop_fd;     /* readable: every wait ends with TALLY_CLOSED; -1: none */
	bool is_rebuild;
};

/* Makes a writer; connects when it is first used, and again after a loss (pg.h).
 * TALLY_WRONG_SETTING: not a PostgreSQL URL; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status record_new(const struct record_options *options,
					 struct record **out_record, struct tally_error *err);

/* Closes the connection and frees the writer.  Accepts NULL. */
void record_free(struct record *record);

/* Makes the partitions that are needed at now_ms (Unix) where they lack, and tells which there are.
 * Statuses as record_write. */
TALLY_MUST_CHECK tally_status record_days(struct record *record, int64_t now_ms,
					  struct projection_days *out_days,
					  struct tally_error *err);

/* Makes rows for the progress of all partitions of a topic, for those that have none.  Statuses as
 * record_write. */
TALLY_MUST_CHECK tally_status record_begin_topic(struct record *record, const char *topic,
						 size_t n_partitions, struct tally_error *err);

/* Whether nothing has been recorded.  Statuses as record_write. */
TALLY_MUST_CHECK tally_status record_is_empty(struct record *record, bool *out_is_empty,
					      struct tally_error *err);

/* Writes all of it, or nothing.  Afterwards the projection is only to be reset.
 * TALLY_JOB_STORE_UNAVAILABLE: not now; the store is away, or being rebuilt (is_rebuild: somebody
 * records).  TALLY_BAD_REQUEST: it holds something that the store takes never, from whichever
 * message.  TALLY_INTERNAL_ERROR: the store is not as it should be (no tables, no rights).
 * TALLY_CLOSED, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status record_write(struct record *record, struct projection *projection,
					   struct tally_error *err);

#endif
