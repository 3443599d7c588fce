/* job_look.h - a request about one job, up to what may be said of that job.
 *
 * The id proves itself: a forged one, or another tenant's, is 404 without a question to the store.
 * Then the store is asked.  No row of a genuine id: not recorded yet, unless all requests up to a
 * minute after the id's time are recorded, then there never was such a job.  Ids of foreign
 * producers are known to the store only.
 *
 * A look may wait for the job to become final.  Then it is always in one hand: the one that asks,
 * the store's watch, or the one that took it out of the watch; whoever has it goes on. */
#ifndef GATEWAY_JOB_LOOK_H
#define GATEWAY_JOB_LOOK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/exchange.h"
#include "gateway/jobs.h"

struct job_look;

/* What was found, once for each question; on the handler's thread, one of the store's or one of the
 * server's.  job: borrowed for the call, or NULL when it is not recorded yet.  error: NULL, or what
 * to answer. */
typedef void
job_look_fn(struct job_look *look, const struct job *job, const struct tally_error *error);

/* The first member of a handler's own struct. */
struct job_look {
	struct exchange exchange;
	struct gateway_jobs *jobs;
	struct tally_job_id id;
	struct tally_job_id_parts parts;
	job_look_fn *found;
	int64_t wait_until_ms; /* clock_mono_ms(): ask until the job is final or then; 0: once */
	/* job_look.c's own */
	pthread_mutex_t lock; /* of the following; taken before the store's */
	bool is_gone;
	bool is_watching;
	struct job_watch watch;
};

/* Begins a request whose path variable is an id: a zeroed struct of size bytes that begins with a
 * job_look, to be released with job_look_free.  NULL: it has been answered.  When the handler
 * returns it calls gateway_jobs_end. */
void *job_look_begin(const struct exchange *exchange, size_t size, job_look_fn *found);

/* A client that leaves ends the wait; for the handler, before it asks. */
void job_look_on_gone(struct job_look *look);

/* Asks the store; found is called, maybe before this returns.  May be called again from there. */
void job_look_ask(struct job_look *look);

/* Frees the struct, after the answer. */
void job_look_free(struct job_look *look);

#endif
