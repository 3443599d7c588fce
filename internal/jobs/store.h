/* store.h - the job store: what is known of every job, in PostgreSQL, as questions that do not
 * block.
 *
 * A few threads, each with a connection of its own, take questions from a bounded queue; what waits
 * together is asked together (one query for all jobs that are looked up, one per 100 ms for all
 * that are watched).  Every answer comes by callback on one of these threads, once, also when the
 * database is away (TALLY_JOB_STORE_UNAVAILABLE within the timeout, a frozen server included).  The
 * tenant is a condition of every query: another tenant's job is TALLY_NOT_FOUND.
 *
 * Callbacks may ask again, but must not stop the store, nor block. */
#ifndef JOBS_STORE_H
#define JOBS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "jobs/job.h"

struct job_store;

struct job_store_options {
	const char *url;      /* postgresql://...; copied */
	unsigned connections; /* one of them watches; at least 2 are opened */
	size_t queue_max;     /* questions that may wait; past it TALLY_SATURATED */
	int timeout_ms;       /* of one question */
};

/* Starts the threads; they connect in the background and again after a loss (backoff with jitter).
 * TALLY_WRONG_SETTING: not a PostgreSQL URL.  TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status job_store_start(const struct job_store_options *options,
					      struct job_store **out_store,
					      struct tally_error *err);

/* Answers what waits with TALLY_JOB_STORE_UNAVAILABLE, ends the threads and frees the store.
 * Accepts NULL. */
void job_store_stop(struct job_store *store);

/* Whether the last question was answered by the database. */
bool job_store_is_up(const struct job_store *store);

/* ---- one job ------------------------------------------------------------------------------ */

/* TALLY_OK: the job, borrowed for the call.  TALLY_NOT_FOUND: there is no row, or one of which only
 * the result is recorded and the request may still be; watermark_ms (Unix) says up to when all
 * requests have been recorded (0: not known), so that an id made more than 60 s before it never was
 * a job.  TALLY_JOB_STORE_UNAVAILABLE. */
typedef void
job_found_fn(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms);

/* Looks a job up.  TALLY_OK: found comes once.  TALLY_SATURATED, TALLY_NO_MEMORY: it does not. */
TALLY_MUST_CHECK tally_status job_store_get(struct job_store *store, const char *tenant,
					    const struct tally_job_id *id, job_found_fn *found,
					    void *ctx);

/* A wait for a job; embedded in the waiter's own struct. */
struct job_watch {
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	/* Wakes when the job is in another state, or final; JOB_STATES: as soon as it is there. */
	enum job_state seen;
	int64_t deadline_ms; /* clock_mono_ms() */
	job_found_fn *found;
	void *ctx;
	/* the store's own */
	bool is_watched;
	uint64_t serial;
	TAILQ_ENTRY(job_watch) link;
};

/* Waits until the job's state is another than seen, or final; or until the deadline, and then found
 * tells what the job is then (also when there is no row).  TALLY_OK: found comes once, or
 * job_store_unwatch returns true.  TALLY_SATURATED: too many watches.  While the database is away a
 * watch goes on; at its deadline it ends with TALLY_JOB_STORE_UNAVAILABLE. */
TALLY_MUST_CHECK tally_status job_store_watch(struct job_store *store, struct job_watch *watch);

/* Ends a watch early.  False: found was called, or is being called by another thread. */
bool job_store_unwatch(struct job_store *store, struct job_watch *watch);

/* ---- the body ----------------------------------------------------------------------------- */

/* TALLY_OK: the whole body, malloc'ed, the callee's; its SHA-256 has been compared.  TALLY_EXPIRED:
 * it is gone.  TALLY_INTERNAL_ERROR: what is stored is not that body.  TALLY_JOB_STORE_UNAVAILABLE,
 * TALLY_NO_MEMORY. */
typedef void job_body_fn(void *ctx, tally_status status, char *body, size_t len);

/* Reads the body of a job that succeeded; job as job_store_get gave it (nothing of it is kept).
 * Statuses as job_store_get. */
TALLY_MUST_CHECK tally_status job_store_read_body(struct job_store *store, const struct job *job,
						  job_body_fn *got, void *ctx);

/* ---- lists -------------------------------------------------------------------------------- */

#define JOB_LIST_MAX 200

struct job_list_query {
	char tenant[TALLY_TENANT_MAX + 1];
	bool has_state;
	enum job_state state;
	char dataset[TALLY_DATASET_NAME_MAX + 1]; /* "": any */
	size_t limit;                             /* 1 .. JOB_LIST_MAX */
	/* Only jobs after this one in the list's order; created_ms 0: from the newest. */
	int64_t before_created_ms;
	struct tally_job_id before_id;
};

/* Jobs, newest first (created_ms, then id, descending); borrowed for the call. */
typedef void job_list_fn(void *ctx, tally_status status, const struct job *jobs, size_t n);

/* Lists a tenant's jobs within the retention.  Statuses as job_store_get. */
TALLY_MUST_CHECK tally_status job_store_list(struct job_store *store,
					     const struct job_list_query *query,
					     job_list_fn *listed, void *ctx);

/* ---- idempotency keys --------------------------------------------------------------------- */

/* What is kept of a request with a key, before it is published; with it the request can be
 * published again, byte for byte. */
struct job_claim {
	char tenant[TALLY_TENANT_MAX + 1];
	char key[TALLY_IDEMPOTENCY_KEY_MAX + 1];
	unsigned char body_hash[TALLY_SHA256_BYTES];
	struct tally_job_id id;
	int64_t created_ms;
	int64_t deadline_ms;
	char fingerprint[33]; /* the message key */
	char trace[TALLY_TRACEPARENT_LEN + 1];
	bool no_cache;
	const char *request; /* the message's value; borrowed */
	size_t request_len;
	bool is_confirmed; /* the broker has acknowledged it */
};

/* TALLY_OK: is_new: the claim is the caller's, who publishes it and then confirms it.  Otherwise
 * claim is the first one under this key, borrowed for the call: compare its body_hash; when it is
 * not confirmed the first caller may still be about to, or have died.  TALLY_JOB_STORE_UNAVAILABLE.
 */
typedef void
job_claimed_fn(void *ctx, tally_status status, bool is_new, const struct job_claim *claim);

/* Claims a key for a request; one of any number of callers at any gateways wins.  The claim is
 * copied.  Statuses as job_store_get. */
TALLY_MUST_CHECK tally_status job_store_claim(struct job_store *store,
					      const struct job_claim *claim,
					      job_claimed_fn *claimed, void *ctx);

/* Notes that the request of a key has been acknowledged by the broker.  done may be NULL: a note
 * that is lost costs a harmless second message. */
TALLY_MUST_CHECK tally_status job_store_confirm(struct job_store *store, const char *tenant,
						const char *key,
						void (*done)(void *ctx, tally_status status),
						void *ctx);

#endif
