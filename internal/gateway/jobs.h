/* jobs.h - the job part of a gateway: what it has when TALLY_JOBS and TALLY_JOB_SECRET are set.
 *
 *   producer  requests of the job lane, cancellations: 202 only after the broker's word
 *   reader    one partition of tally.results; completes waits that began here (waits.h)
 *   store     everything else that is asked about jobs
 *   recorder  projects the topics into the store
 *   keeper    a thread: deadlines of waits, second looks at idempotency keys
 *
 * A job store that is away takes nothing from rows or from submissions without a key. */
#ifndef GATEWAY_JOBS_H
#define GATEWAY_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/gateway.h"
#include "jobs/job.h"
#include "jobs/store.h"

struct exchange;
struct gateway_jobs;

/* ---- for handlers; any thread ------------------------------------------------------------- */

/* Begins to handle a request about jobs.  NULL: it has been answered, because this gateway has no
 * jobs (404, which says what is missing) or is stopping (503).  What is not NULL is good until
 * gateway_jobs_end, and as long as a question to the store or a message is under way. */
struct gateway_jobs *gateway_jobs_begin(const struct exchange *exchange);

/* The handler returns; the request may be answered later. */
void gateway_jobs_end(struct gateway_jobs *jobs);

/* The store; lives as long as jobs. */
struct job_store *gateway_jobs_store(struct gateway_jobs *jobs);

/* The secrets that sign ids; as jobs. */
const struct tally_secrets *gateway_jobs_secrets(const struct gateway_jobs *jobs);

/* What an id in a path means.  TALLY_OK: it is genuine and the tenant's; or a foreign one
 * (out_parts->is_foreign), of which only the store knows.  TALLY_NOT_FOUND: malformed, forged or
 * another tenant's.  TALLY_EXPIRED: older than JOB_RETENTION_MS. */
TALLY_MUST_CHECK tally_status gateway_jobs_check_id(const struct gateway_jobs *jobs,
						    const char *tenant, const char *text,
						    size_t len, struct tally_job_id *out_id,
						    struct tally_job_id_parts *out_parts);

/* Takes memory for the body of a result from TALLY_RESULTS_BYTES; false: there is not enough, the
 * answer is TALLY_SATURATED. */
bool gateway_jobs_take_bytes(struct gateway_jobs *jobs, size_t len);

/* Gives back what was taken. */
void gateway_jobs_give_bytes(struct gateway_jobs *jobs, size_t len);

/* The broker's word on a cancellation, once: TALLY_OK, TALLY_KAFKA_UNAVAILABLE,
 * TALLY_OUTCOME_UNKNOWN.  On the producer's thread: it must not block. */
typedef void gateway_cancelled_fn(void *ctx, tally_status status);

/* Publishes the cancellation of a job that is not final: a cancelled result to the partition of its
 * results, and word of it to the workers.  Of job its id, tenant, created_ms, deadline_ms, dataset
 * (may be NULL) and, of a foreign one, partition are read.  TALLY_OK: on_done comes.
 * TALLY_SATURATED, TALLY_KAFKA_UNAVAILABLE, TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR: it does not. */
TALLY_MUST_CHECK tally_status gateway_jobs_cancel(struct gateway_jobs *jobs, const struct job *job,
						  gateway_cancelled_fn *on_done, void *ctx,
						  struct tally_error *err);

/* ---- life; gateway.c ---------------------------------------------------------------------- */

/* Starts the store, the recorder and the producer, which connect in the background; *out_jobs is
 * NULL when neither TALLY_JOBS nor TALLY_JOB_SECRET is set.  What options point to outlives it.
 * TALLY_WRONG_SETTING, TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status gateway_jobs_new(const struct gateway_options *options,
					       struct gateway_jobs **out_jobs,
					       struct tally_error *err);

/* Asks the broker for the topics of the job lane, waiting for at most timeout_ms for each; from now
 * on requests are published to all partitions that there are.  *out_results is how many the results
 * have.  TALLY_KAFKA_UNAVAILABLE; TALLY_NOT_FOUND: there is no topic *out_topic.  One thread. */
TALLY_MUST_CHECK tally_status gateway_jobs_look_at_topics(struct gateway_jobs *jobs, int timeout_ms,
							  int *out_results, const char **out_topic,
							  struct tally_error *err);

/* Starts to read this gateway's partition of the results, which have n_results.
 * TALLY_WRONG_SETTING: those are not as many as the settings say. */
TALLY_MUST_CHECK tally_status gateway_jobs_read_results(struct gateway_jobs *jobs, int n_results,
							struct tally_error *err);

/* Whether results are not missed from now on. */
bool gateway_jobs_is_positioned(const struct gateway_jobs *jobs);

/* Lets no more handlers in, waits until none is inside, and answers those who wait for a result
 * with what is known: their jobs go on.  Accepts NULL, as the following do. */
void gateway_jobs_close(struct gateway_jobs *jobs);

/* Ends all that answers callers, recorder included: what is under way gets flush_ms to reach the
 * broker.  Afterwards no caller is left here. */
void gateway_jobs_quiesce(struct gateway_jobs *jobs, int flush_ms);

/* Frees the rest; after the HTTP server, whose last answers may be messages of the reader. */
void gateway_jobs_free(struct gateway_jobs *jobs);

#endif
