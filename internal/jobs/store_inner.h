/* store_inner.h - what the files of the job store share: the queue of questions and its threads
 * (store.c), and one file for each kind of question.
 *
 * A kind of question is a struct that begins with struct question, and two functions.  The deadline
 * of a batch is that of its oldest question, and all questions have the same time; so whenever a
 * thread comes free, nothing that waits is late yet, and a frozen server makes nobody wait for
 * longer than the timeout. */
#ifndef JOBS_STORE_INNER_H
#define JOBS_STORE_INNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <tally/topics.h>

#include "jobs/pg.h"
#include "jobs/store.h"

#define QUESTIONS_MAX 256 /* asked together */

struct question;

/* A thread and its connection. */
struct asker {
	struct job_store *store;
	struct job_pg *pg;
	pthread_t thread;
	bool is_started;
	bool is_up; /* as the others see it; under the store's lock */
};

struct question_kind {
	size_t n_max;  /* asked together; at most QUESTIONS_MAX */
	bool is_heavy; /* takes long: not all threads at once */
	/* Asks, calls everybody back and frees the questions (n > 0); by deadline_ms. */
	void (*ask)(struct asker *asker, struct question **questions, size_t n,
		    int64_t deadline_ms);
	/* Calls back with a failure and frees the question. */
	void (*fail)(struct question *question, tally_status status);
};

struct question {
	const struct question_kind *kind;
	int64_t deadline_ms; /* clock_mono_ms() */
	TAILQ_ENTRY(question) link;
};

TAILQ_HEAD(questions, question);
TAILQ_HEAD(watches, job_watch);

struct job_store {
	size_t queue_max;
	int timeout_ms;
	int stop_fd;       /* readable once the store stops */
	atomic_bool is_up; /* the last question was answered */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	bool is_stopping;
	struct questions queue;
	size_t n_queue;
	size_t n_up;    /* askers with a connection */
	size_t n_heavy; /* askers with a heavy question */
	struct asker *askers;
	size_t n_askers;

	pthread_mutex_t watch_lock; /* guards the watches */
	pthread_cond_t watch_changed;
	bool is_watch_stopping;
	struct watches watches; /* in the order of their serial numbers */
	size_t n_watches;
	uint64_t last_serial;
	struct asker watcher;
};

/* Queues a question, which is the store's then.  TALLY_SATURATED: it stays the caller's. */
TALLY_MUST_CHECK tally_status store_put(struct job_store *store, struct question *question,
					const struct question_kind *kind);

/* Asks, and once more when an open connection turned out to be lost.  Statuses of job_pg_ask, all
 * failures as TALLY_JOB_STORE_UNAVAILABLE or TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status store_ask(struct asker *asker, const struct job_pg_query *query,
					PGresult **out_result);

/* Notes whether the database answered; the status to call back with. */
tally_status store_note(struct job_store *store, tally_status status);

/* The watching thread; arg is the store. */
void *store_watch_run(void *arg);

/* ---- rows ------------------------------------------------------------------------------------ */

/* The columns of a job j, for store_row_read; text format. */
extern const char store_columns[];

/* Up to when all requests are recorded. */
#define STORE_WATERMARK                                                                            \
	"(SELECT coalesce(min(stamp_ms), 0) FROM progress"                                         \
	"  WHERE topic = '" TALLY_TOPIC_REQUESTS_JOBS "')"

/* Whether a job j may be told.  A result may be recorded before its request; the job would then be
 * told without its labels, parameters and format, and differently a moment later.  Once all
 * requests are recorded that came before the result, there is none that could be read, and the
 * result is all that there is to tell. */
#define STORE_IS_TOLD(watermark) "(j.has_request OR j.finished_ms < " watermark ")"

/* Reads a job from a row whose first column of the above is number at; its texts are those of the
 * result. */
void store_row_read(const PGresult *result, int row, int at, struct job *out_job);

/* A number of a row; 0 for null. */
int64_t store_row_number(const PGresult *result, int row, int at);

/* ---- looking jobs up ------------------------------------------------------------------------- */

/* One job that is looked for.  The answer has its row if it is due, final, or not as it was seen.
 */
struct look {
	const struct tally_job_id *id;
	const char *tenant;
	enum job_state seen;
	bool is_due;
	int row; /* out: of the answer; -1: none */
};

/* The answer to looks; looks' rows refer to it. */
struct looked {
	PGresult *result;
	int64_t watermark_ms;
};

/* Looks for n jobs in one query.  TALLY_OK: the caller clears out_looked->result.  Statuses of
 * store_ask. */
TALLY_MUST_CHECK tally_status store_look(struct asker *asker, struct look *looks, size_t n,
					 int64_t deadline_ms, struct looked *out_looked);

/* Tells one who asked what its look found. */
void
store_tell(const struct looked *looked, const struct look *look, job_found_fn *found, void *ctx);

#endif
