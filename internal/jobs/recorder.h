/* recorder.h - projects the job lane into the job store.
 *
 * A member of three consumer groups (requests, results, control); what has arrived is written in
 * one transaction, and its offsets are committed after the database.  A row has a request half and
 * a result half, either may come first; a final state never changes, and because a job's results
 * all stand in one partition, the first that is recorded is the one with the lowest offset.  So any
 * number of recorders give the same rows, and reading everything again does too.
 *
 * It also keeps house, one recorder at a time (an advisory lock): days' partitions are made ahead
 * and dropped when the retention ends, old idempotency keys are deleted, and a job that is 30 s
 * past its deadline without a result gets one: failed, deadline_exceeded, published like any
 * other. */
#ifndef JOBS_RECORDER_H
#define JOBS_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

#include <tally/id.h>

#include "kafka/config.h"

struct recorder;

/* Counters; read at any time. */
struct recorder_stats {
	uint64_t recorded;    /* messages projected */
	uint64_t refused;     /* messages that are no requests or results, or forged ones */
	uint64_t missed;      /* messages that were deleted before they were read */
	uint64_t stalls;      /* times that a partition stood still and was read again */
	uint64_t overdue;     /* jobs that were ended because of their deadline */
	int64_t lag;          /* messages that wait in the assigned partitions; -1: not known */
	int64_t watermark_ms; /* as stored; 0: not known */
	bool is_up;           /* the database answers */
};

struct recorder_options {
	const struct kafka_config *kafka;
	const char *url;              /* of the job store; copied */
	struct tally_secrets secrets; /* an id of ours that is not genuine is refused; borrowed */
	int results_partitions;
	int timeout_ms; /* of one transaction's every step */
	/* A line for the log; level as in syslog(3).  Any thread.  May be NULL. */
	void (*on_log)(void *ctx, int level, const char *text);
	void *ctx;
};

/* Starts the recorder; everything that is borrowed outlives it.  It waits for the broker and the
 * database in the background.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status recorder_start(const struct recorder_options *options,
					     struct recorder **out_recorder,
					     struct tally_error *err);

/* Ends it: what was taken is recorded and committed if that is done within timeout_ms, the rest is
 * read again.  Accepts NULL. */
void recorder_stop(struct recorder *recorder, int timeout_ms);

/* A snapshot of the counters. */
struct recorder_stats recorder_stats(struct recorder *recorder);

struct recorder_progress {
	uint64_t n_done;
	uint64_t n_all; /* messages that the topics had at the beginning */
};

/* Fills an empty store from all that the topics still hold, idempotency keys included, then
 * returns; blocks.  The recorders' own offsets are not touched.  TALLY_WRONG_SETTING: the store is
 * not empty, or has no tables.  TALLY_KAFKA_UNAVAILABLE, TALLY_JOB_STORE_UNAVAILABLE. */
TALLY_MUST_CHECK tally_status
recorder_rebuild(const struct recorder_options *options,
		 void (*on_progress)(void *ctx, const struct recorder_progress *progress),
		 struct tally_error *err);

#endif
