/* submission.h - a job on its way: from the checked request to the caller's answer.
 *
 *   no key:  register the wait, publish ──▶ the broker's word ──▶ 202, or wait for the result
 *   a key:   claim it in the store ──▶ ours: the same, and confirm the claim
 *                                  └─▶ somebody was first: wait until it is confirmed (or publish
 *                                      the stored bytes again), then say what the store knows
 *                                      (of an old job not before it is recorded)
 *
 * A submission is in one hand at a time (the handler, the store's callback, the producer's report,
 * the keeper), and beside that perhaps in the table of waits; each holds a reference.  Several may
 * want to answer (the report, a result, the deadline, the client's leaving): whoever sets
 * is_answered does.  The job goes on whatever its caller is told. */
#ifndef GATEWAY_SUBMISSION_H
#define GATEWAY_SUBMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <uthash.h>

#include <tally/job.h>

#include "dataset/params.h"
#include "gateway/exchange.h"
#include "gateway/form.h"
#include "gateway/jobs.h"
#include "gateway/prefer.h"
#include "gateway/waits.h"

struct shared_body;

struct submission {
	struct wait wait; /* first: a wait is its submission */
	struct gateway_jobs *jobs;
	struct exchange exchange;
	atomic_uint n_references;
	/* what was asked for */
	const struct definition *definition;
	struct prefer prefer;
	bool is_rows;     /* GET of rows: its answer is rows, when they come in time */
	struct form form; /* of rows */
	/* the message */
	struct tally_job_request head;
	char key[33]; /* the fingerprint in hex */
	char *value;  /* owned */
	size_t len;
	/* where it stands */
	atomic_bool is_answered;
	atomic_bool is_stored; /* the broker has it */
	atomic_bool is_over;   /* the wait: to be answered as soon as it is stored */
	bool is_known;         /* somebody was first with its key: id and message are theirs */
	int64_t until_ms;      /* then a message that is not confirmed is published again */
	UT_hash_handle hh;     /* claim.c's own: of those that are being published, by id */
	int64_t row_until_ms;  /* so long the row of an old job is waited for; 0: not yet */
	struct job_watch watch;
	size_t n_taken;  /* of TALLY_RESULTS_BYTES, for a body that is being read */
	int64_t look_ms; /* jobs_keeper.c's own, as the following */
	TAILQ_ENTRY(submission) link;
};

/* ---- submission.c ---- */

/* A submission of a request to this gateway; NULL when out of memory. */
struct submission *submission_new(struct gateway_jobs *jobs, const struct exchange *exchange);

/* Drops a reference. */
void submission_drop(struct submission *submission);

/* Makes the message of checked parameters: its id, key, headers and value; more is format and
 * labels, timeout_ms the deadline as it was asked for, 0: none.  TALLY_BAD_REQUEST: too large;
 * TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status submission_make(struct submission *submission,
					      const struct params *params,
					      const struct tally_request_view *more,
					      int64_t timeout_ms, struct tally_error *err);

/* Sends a submission that is made on its way; it is answered.  On a handler's thread. */
void submission_start(struct submission *submission);

/* Publishes the message; in the hand of the caller's. */
void submission_publish(struct submission *submission);

/* Answers, if nobody has, with a failure, ends the wait, and drops the reference in hand. */
void submission_fail(struct submission *submission, const struct tally_error *err);

/* Ends waits that were detached because of their deadlines, or of a stop. */
void submissions_expire(struct wait_list *list);

/* ---- claim.c ---- */

/* Asks for the key of a submission; goes on when the store has answered. */
void submission_claim(struct submission *submission);

/* The message is with the broker, or is not; of one with a key, confirms the claim, or lets others
 * go on. */
void submission_published(struct submission *submission, bool is_stored);

/* Says what the store knows of a job that somebody was first with; waits for it. */
void submission_look(struct submission *submission);

/* ---- accepted.c: each answers, if nobody has, and drops no reference ---- */

/* Whether the caller is the one to answer. */
bool submission_take_answer(struct submission *submission);

/* 202 with the document of a job; NULL: nothing is recorded yet. */
void submission_answer_accepted(struct submission *submission, const struct job *job);

/* 200 with the document of a final job; or, where rows were asked for, its error. */
void submission_answer_final(struct submission *submission, const struct job *job);

/* 200 with rows; body is taken in any case. */
void submission_answer_rows(struct submission *submission, struct shared_body *body);

/* A problem document; says where the job is when that may run all the same. */
void submission_answer_error(struct submission *submission, const struct tally_error *err);

/* ---- results.c ---- */

/* Fills in the request half of a job; texts are malloc'ed, released with submission_job_fini.
 * TALLY_NO_MEMORY, TALLY_BAD_REQUEST. */
TALLY_MUST_CHECK tally_status submission_job_init(const struct submission *submission,
						  struct job *out_job);

/* Releases the texts of such a job. */
void submission_job_fini(struct job *job);

#endif
