/* client.h - asks Tally through Kafka: publishes requests as a foreign producer, and awaits their
 * results.
 *
 * Each client has one partition of the results, which its requests name.  It reads there only while
 * something is awaited, from the end that was asked for before the first of these was published; so
 * no result can come before it is looked for.  A result is remembered until it is awaited or
 * forgotten.  Calls block, each with a limit.  One thread at a time; clients share nothing. */
#ifndef TALLY_CLIENT_H
#define TALLY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/answer.h>
#include <tally/request.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_CLIENT_BYTES   (64 * 1024 * 1024)
#define TALLY_CLIENT_JOBS    1000
#define TALLY_CLIENT_SEND_MS 10000

struct tally_client;

struct tally_client_settings {
	struct tally_kafka kafka;
	const char *source; /* ce_source: this service, as "/billing"; not "tally" */
	const char *tenant; /* NULL: "default" */
	size_t max_bytes;   /* of the bodies that are held; 0: TALLY_CLIENT_BYTES */
	size_t max_jobs;    /* awaited at once; 0: TALLY_CLIENT_JOBS */
	int send_ms;        /* until a broker has acknowledged; 0: TALLY_CLIENT_SEND_MS */
};

/* How a request is to be run; all may be 0. */
struct tally_submission {
	const char *event_id; /* ce_id, 1 to 64 bytes; NULL: a random one */
	uint32_t budget_ms;   /* until the job's deadline; 0: TALLY_JOB_DEADLINE_MS */
	bool no_cache;
	const struct tally_trace *trace; /* NULL: one is begun */
};

/* Connects, each of two connections within timeout_ms; the caller frees the client.
 * TALLY_WRONG_SETTING, TALLY_KAFKA_UNAVAILABLE, TALLY_NOT_FOUND (there are no topics),
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_client_open(const struct tally_client_settings *settings,
						int timeout_ms, struct tally_client **out_client,
						struct tally_error *err);

/* Frees the client and what was not awaited.  Accepts NULL. */
void tally_client_free(struct tally_client *client);

/* Publishes a request and returns when it is acknowledged by all replicas, or send_ms is over.
 * how may be NULL.  The same event_id is the same job, whoever publishes it again; what came of it
 * before this client began to read is not seen.  TALLY_BAD_REQUEST: the request is too large, or
 * event_id no such text; TALLY_FULL: max_jobs are awaited; TALLY_KAFKA_UNAVAILABLE: it was not
 * published; TALLY_OUTCOME_UNKNOWN: perhaps it was.  After that *out_id is set and may be awaited,
 * and the same event_id may be submitted again. */
TALLY_MUST_CHECK tally_status tally_client_submit(struct tally_client *client,
						  const struct tally_request_view *request,
						  const struct tally_submission *how,
						  struct tally_job_id *out_id,
						  struct tally_error *err);

/* Waits for the result of a job that this client submitted, at most timeout_ms.  TALLY_OK, also of
 * a job that failed: *out_answer is the caller's (tally_answer_fini), and the job forgotten.
 * TALLY_RESULT_NOT_READY: not yet, await it again.  TALLY_TOO_LARGE: it is there, but past
 * max_bytes with what else is held; it is forgotten.  TALLY_NOT_FOUND: nothing such is awaited.
 * TALLY_KAFKA_UNAVAILABLE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_client_await(struct tally_client *client,
						 const struct tally_job_id *id, int timeout_ms,
						 struct tally_answer *out_answer,
						 struct tally_error *err);

/* Awaits a job no longer.  It still runs. */
void tally_client_forget(struct tally_client *client, const struct tally_job_id *id);

#ifdef __cplusplus
}
#endif

#endif
