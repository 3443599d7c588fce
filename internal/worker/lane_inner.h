/* lane_inner.h - a lane, for the files that make it up: lane.c (life), intake.c (requests in),
 * run.c (batches), reply.c (answers out).  Everything is the loop thread's unless it says
 * otherwise. */
#ifndef WORKER_LANE_INNER_H
#define WORKER_LANE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "dataset/engine.h"
#include "kafka/group.h"
#include "kafka/producer.h"
#include "source/source.h"
#include "worker/age.h"
#include "worker/lane.h"
#include "worker/task.h"

struct run;
TAILQ_HEAD(run_list, run);

struct lane_metrics {
	struct metric *requests;
	struct metric *step_seconds;
	struct metric *source_errors;
	struct metric_series *batch_requests;
	struct metric_series *queue_age;
	struct metric_series *running;
	struct metric_series *dead_letters;
};

struct lane {
	struct lane_options options;
	struct loop *loop;
	pthread_t thread;
	bool has_thread;
	struct source *sources[CONFIG_MAX_PAIRS];
	struct plan_sources plan_sources;
	struct plans *plans;
	_Atomic(struct kafka_group *) group; /* NULL until the plans were asked; any thread */
	struct kafka_producer *replies;
	struct kafka_producer *dead_letters;
	struct queue *intake;     /* tasks from the group's thread */
	struct task_list waiting; /* understood, in order of arrival */
	struct run_list running;
	size_t n_running;
	struct age age;
	struct loop_timer retry;
	struct task_list returned; /* their replies were not stored; guarded by lock */
	pthread_mutex_t lock;
	pthread_cond_t is_idle; /* n_open became 0; with lock */
	atomic_size_t n_open;   /* tasks that exist; any thread */
	atomic_bool is_full;    /* the group was told to wait; any thread */
	atomic_bool is_ready;
	uint64_t run_seed;
	uint64_t n_runs;
	struct lane_metrics metrics;
};

/* ---- intake.c ---- */

/* A message from the group; on its thread. */
bool lane_on_message(void *ctx, struct kafka_message *message, uint64_t epoch);

/* Takes in what has arrived, then starts batches. */
void lane_on_wake(void *ctx);

/* The task has ended; done: its offset may be committed.  Frees it.  Any thread. */
void lane_end(struct task *task, bool is_done);

/* ---- run.c ---- */

/* Starts batches as long as there is room. */
void lane_run(struct lane *lane);

/* Ends all runs; their tasks stay unanswered. */
void lane_cancel_runs(struct lane *lane);

/* ---- reply.c ---- */

/* Publishes a task's error and lets go of the task. */
void lane_reply_error(struct task *task, const struct tally_error *error);

/* Publishes a body (malloc'ed, taken) under the reply's headers and lets go of the task. */
void lane_reply(struct task *task, struct tally_sync_reply *reply, char *body, size_t len);

/* Publishes the message to the dead letters and lets go of the task. */
void lane_dead_letter(struct task *task, const struct tally_error *error);

/* Tries again what could not be published; on the retry timer. */
void lane_retry(void *ctx);

#endif
