/* jobs_inner.h - the job part of a gateway, for the files that make it up: jobs.c (life),
 * jobs_keeper.c (what is due), jobs_metrics.c, results.c (what comes back), cancel.c; and for the
 * submissions: submit.c (from HTTP to a checked request), submission.c (from its message to the
 * answer), claim.c (idempotency keys), accepted.c (the answers). */
#ifndef GATEWAY_JOBS_INNER_H
#define GATEWAY_JOBS_INNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <tally/job.h>
#include <tally/parts.h>

#include "base/metrics.h"
#include "gateway/jobs.h"
#include "gateway/waits.h"
#include "jobs/recorder.h"
#include "kafka/message.h"
#include "kafka/producer.h"
#include "kafka/reader.h"

/* librdkafka looks once a second: at most 5 s until a 503. */
#define JOBS_SEND_TIMEOUT_MS 4000

struct shared_body;
struct submission;
TAILQ_HEAD(submission_list, submission);

struct gateway_jobs {
	struct gateway_options options;
	struct tally_secrets secrets; /* in options.config */
	struct job_store *store;
	struct recorder *recorder;
	struct kafka_producer *producer;
	_Atomic(struct kafka_reader *) reader; /* NULL until the broker was met */
	_Atomic int32_t partition;             /* of tally.results; -1: not known yet */
	_Atomic int32_t n_request_partitions;  /* 0: not known yet */
	struct waits *waits;
	atomic_bool is_closed;   /* no more handlers */
	atomic_int n_inside;     /* handlers */
	atomic_bool is_ending;   /* the producer is not to be used any more */
	atomic_int n_sending;    /* who uses it */
	atomic_size_t n_bytes;   /* of bodies, taken from TALLY_RESULTS_BYTES */
	atomic_bool is_stopping; /* the keeper ends */
	pthread_t keeper;
	bool has_keeper;
	pthread_mutex_t lock; /* guards seconds and publishing; and is what changed goes with */
	pthread_cond_t changed;
	struct submission *publishing;  /* with keys: one of each job at a time */
	struct submission_list seconds; /* keys to look at again, the next one first */
	pthread_mutex_t parts_lock;     /* guards the following */
	struct tally_parts *parts;
	size_t n_parts_bytes; /* of n_bytes */
	struct metric *submitted;
	struct metric_series *refused;
};

/* ---- jobs.c ---- */

/* Sends a message of the job lane.  As kafka_producer_send; TALLY_CLOSED: the gateway is stopping.
 */
TALLY_MUST_CHECK tally_status jobs_publish(struct gateway_jobs *jobs,
					   const struct kafka_outgoing *message);

/* Says in words for a caller why a message was not sent or not stored; returns what callers see.
 * TALLY_FULL and TALLY_CLOSED are TALLY_SATURATED. */
tally_status jobs_explain(tally_status status, struct tally_error *err);

/* ---- jobs_keeper.c ---- */

/* Ends waits at their deadlines, looks at keys again, drops stale parts, watches the producer; a
 * thread. */
void *jobs_keep(void *ctx);

/* Has submission_claim called for a submission in a while.  False: the gateway is stopping. */
bool jobs_look_later(struct gateway_jobs *jobs, struct submission *submission);

/* Ends what waits for a second look. */
void jobs_drop_seconds(struct gateway_jobs *jobs);

/* ---- jobs_metrics.c ---- */

/* Registers the metrics of this part. */
void jobs_add_metrics(struct gateway_jobs *jobs);

/* ---- results.c ---- */

/* A message of this gateway's partition of tally.results; on the reader's thread. */
void jobs_on_result(void *ctx, struct kafka_message *message);

/* Nobody waits for a job any more: drops the parts of its results. */
void jobs_forget_parts(struct gateway_jobs *jobs, const struct tally_job_id *id);

/* Drops parts that no more came for. */
void jobs_age_parts(struct gateway_jobs *jobs);

/* A body over malloc'ed text, for which n_taken bytes were taken; takes both, also on failure: NULL
 * when out of memory. */
struct shared_body *
jobs_body_of_text(struct gateway_jobs *jobs, char *text, size_t len, size_t n_taken);

#endif
