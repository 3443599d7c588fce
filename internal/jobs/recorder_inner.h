/* recorder_inner.h - the recorder, for the files that make it up:
 *   recorder.c          life and counters
 *   recorder_intake.c   what has come and is not recorded, from the groups' threads to the writer's
 *   recorder_step.c     messages into the store; used by the rebuild too
 *   recorder_writer.c   the writer's thread
 *   recorder_house.c    the thread that keeps house, and recorder_overdue.c, its jobs without end
 *   recorder_rebuild.c */
#ifndef JOBS_RECORDER_INNER_H
#define JOBS_RECORDER_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "jobs/pg.h"
#include "jobs/record.h"
#include "jobs/recorder.h"
#include "kafka/group.h"
#include "kafka/producer.h"
#include "kafka/ranges.h"

#define RECORDER_BATCH_BYTES ((size_t)2 << 20)
#define RECORDER_ASK_MS      1000 /* a question to the broker */
/* The database's clock, a witness for ours. */
#define RECORDER_DB_NOW "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

/* ---- intake ------------------------------------------------------------------------------- */

/* A message that is not recorded yet. */
struct recorder_item {
	struct kafka_message *message;
	uint64_t epoch;
	enum projection_topic topic;
};

#define INTAKE_ITEMS 16384 /* of the ring */

/* A bounded queue.  The groups are told to stop at half of the ring, or at a number of bytes; each
 * may bring one message more. */
struct recorder_intake {
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t changed;
	struct recorder_item items[INTAKE_ITEMS];
	size_t first;
	size_t n;
	size_t bytes;
	bool is_full[PROJECTION_TOPICS]; /* whom nothing comes from until it is resumed */
	bool is_closed;                  /* nothing comes any more */
	bool is_abandoned;               /* and what is there is not wanted */
};

/* Prepares, and frees what was not taken. */
void recorder_intake_init(struct recorder_intake *intake);
void recorder_intake_fini(struct recorder_intake *intake);

/* Adds a message, which is taken; false when no more should come.  Any thread. */
bool recorder_intake_add(struct recorder_intake *intake, const struct recorder_item *item);

/* Takes up to max messages, or RECORDER_BATCH_BYTES of them, waiting for the first and then a
 * moment for more; 0: it is closed and empty, or abandoned.  resumes[topic] is set for those that
 * may go on. */
size_t recorder_intake_take(struct recorder_intake *intake, struct recorder_item *items, size_t max,
			    bool resumes[PROJECTION_TOPICS]);

/* Nothing comes any more; with abandon what is there is not wanted.  Wakes the writer. */
void recorder_intake_close(struct recorder_intake *intake, bool abandon);

/* Waits for ms; true at once when it is abandoned. */
bool recorder_intake_pause(struct recorder_intake *intake, int ms);

/* ---- steps -------------------------------------------------------------------------------- */

/* What turns messages into rows.  One thread. */
struct recorder_step {
	struct record *record;
	struct projection *projection;
	struct projection_rules rules;
	int64_t days_at_ms; /* when the rules' days were read, clock_mono_ms(); 0: not */
	size_t limit;       /* messages of one transaction; less while a bad one is sought */
	void (*on_log)(void *ctx, int level, const char *text);
	void *ctx;
	_Atomic uint64_t *n_recorded;
	_Atomic uint64_t *n_refused;
};

/* Makes a step's parts from the options. */
TALLY_MUST_CHECK tally_status recorder_step_init(struct recorder_step *step,
						 const struct recorder_options *options,
						 const struct record_options *record,
						 struct tally_error *err);

/* Frees them.  Accepts a zeroed one. */
void recorder_step_fini(struct recorder_step *step);

/* Makes the rows of the progress of requests and results.  Statuses as record_write, and
 * TALLY_KAFKA_UNAVAILABLE, TALLY_NOT_FOUND. */
TALLY_MUST_CHECK tally_status recorder_step_begin(struct recorder_step *step,
						  const struct kafka_config *kafka,
						  struct tally_error *err);

/* Records the first *out_n (> 0) of n (> 0) messages in one transaction.  A message that the store
 * takes never is left out.  Statuses as record_write, without TALLY_BAD_REQUEST. */
TALLY_MUST_CHECK tally_status recorder_step(struct recorder_step *step,
					    const struct recorder_item *items, size_t n,
					    size_t *out_n, struct tally_error *err);

/* ---- house -------------------------------------------------------------------------------- */

/* What one recorder does for all.  Its own thread. */
struct recorder_house {
	struct job_pg *pg;
	struct kafka_ranges *ranges;
	struct kafka_producer *producer;
	struct tally_headers headers; /* of a result under way */
	bool has_lock;
	int64_t cleaned_at_ms; /* clock_mono_ms() */
	/* overdue jobs are walked through in this order, again after a while */
	int64_t walk_at_ms; /* when it began, clock_mono_ms() */
	int64_t walk_deadline_ms;
	char walk_id[TALLY_JOB_ID_CHARS + 1];
};

/* Asks for rows; the connection of the house.  Statuses as job_pg_ask. */
TALLY_MUST_CHECK tally_status recorder_house_ask(struct recorder *recorder,
						 const struct job_pg_query *query,
						 PGresult **out_result, struct tally_error *err);

/* Ends some of the jobs that are overdue.  Statuses as job_pg_ask. */
TALLY_MUST_CHECK tally_status recorder_end_overdue(struct recorder *recorder,
						   struct tally_error *err);

/* The thread: until the recorder is stopped. */
void *recorder_run_house(void *arg);

/* ---- the recorder ------------------------------------------------------------------------- */

struct recorder {
	struct recorder_options options;
	char *url;
	struct kafka_group *groups[PROJECTION_TOPICS];
	struct recorder_intake intake;
	struct recorder_step step;
	struct recorder_house house;
	int stop_writer_fd; /* readable: the writer gives up */
	int stop_house_fd;  /* readable: the house ends */
	pthread_t writer;
	pthread_t keeper;
	bool has_writer;
	bool has_keeper;
	atomic_bool has_written; /* the writer has ended */
	atomic_bool is_up;
	_Atomic uint64_t n_recorded;
	_Atomic uint64_t n_refused;
	_Atomic uint64_t n_overdue;
	_Atomic int64_t watermark_ms;
};

/* A line for the log.  Any thread. */
void recorder_log(const struct recorder *recorder, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The writer's thread: until the intake is closed and recorded, or abandoned. */
void *recorder_run_writer(void *arg);

#endif
