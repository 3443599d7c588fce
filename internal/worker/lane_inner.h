/* lane_inner.h - a lane, for the files that make it up: lane.c (life), lane_metrics.c, intake.c
 * (requests in), run.c (batches), alone.c (requests on probation), park.c (requests without a
 * database), reply.c (answers out), and the kinds.  Everything is the loop thread's unless it says
 * otherwise. */
#ifndef WORKER_LANE_INNER_H
#define WORKER_LANE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "base/watchdog.h"
#include "dataset/engine.h"
#include "kafka/group.h"
#include "kafka/producer.h"
#include "source/source.h"
#include "worker/age.h"
#include "worker/control.h"
#include "worker/lane.h"
#include "worker/lane_kind.h"
#include "worker/task.h"

struct run;
TAILQ_HEAD(run_list, run);

struct lane_metrics {
	struct metric *answers;
	struct metric *step_seconds;
	struct metric *source_errors;
	struct metric *dropped;
	struct metric_series *batch_requests;
	struct metric_series *queue_age;
	struct metric_series *running;
	struct metric_series *parked;
	struct metric_series *dead_letters;
};

enum lane_alone_state { LANE_FREE, LANE_BEGINS, LANE_RUNS, LANE_ENDS };

#define LANE_NO_NEWS (-1)

/* The request on probation that has the floor; alone.c. */
struct lane_alone {
	enum lane_alone_state state;
	struct task *task;     /* until it begins, and then until it runs */
	bool has_floor;        /* of solo.h */
	bool wants_floor;      /* asked for it */
	atomic_int news;       /* enum kafka_news of the group; any thread */
	atomic_bool has_ended; /* what ran; any thread */
};

struct lane {
	const struct lane_kind *kind;
	struct lane_options options;
	struct lane_limits limits;
	struct loop *loop;
	pthread_t thread;
	bool has_thread;
	struct source *sources[CONFIG_MAX_PAIRS];
	struct plan_sources plan_sources;
	struct plans *plans;
	bool may_join; /* the plans were asked */
	bool is_prepared;
	bool is_failed;    /* on_fatal was called: nothing more is tried */
	int64_t warned_ms; /* when it last said what is missing, clock_mono_ms() */
	_Atomic(struct kafka_group *) group; /* NULL until it is joined; any thread */
	struct kafka_producer *answers;
	struct kafka_producer *dead_letters;
	struct control *control;   /* of the job lane */
	struct queue *intake;      /* tasks from the group's thread */
	struct task_list fresh;    /* nothing of them was looked at */
	struct task_list suspects; /* on probation, their heads read */
	struct task_list waiting;  /* understood, in order of arrival */
	struct task_list unsent;   /* answers for which the producer has no room; the job lane's */
	struct task_list parked;   /* until their database is back */
	struct run_list running;
	size_t n_together; /* of them those that are not alone */
	struct lane_alone alone;
	bool is_refused; /* there is ordinary work that may not begin now */
	struct loop_timer again;
	struct watched watched;
	struct age age;
	struct loop_timer retry;
	struct answer_store store;
	atomic_bool is_held;       /* nothing runs until bodies are released */
	struct task_list returned; /* their answers were not stored; guarded by lock */
	pthread_mutex_t lock;
	pthread_cond_t is_idle; /* n_open became 0; with lock */
	atomic_size_t n_open;   /* tasks that exist; any thread */
	atomic_bool is_full;    /* the group was told to wait; any thread */
	atomic_bool is_ready;
	atomic_bool is_leaving; /* what is parked is left to others; any thread */
	uint64_t run_seed;
	uint64_t n_runs;
	struct lane_metrics metrics;
};

/* ---- lane.c ---- */

/* Tells the owner, once, that the process must stop. */
void lane_fail(struct lane *lane, const struct tally_error *err);

/* Joins the group, once the definitions are known to fit, or to wait for a database, and the kind
 * is prepared. */
void lane_join(struct lane *lane);

/* ---- lane_metrics.c ---- */

/* Registers the lane's metrics; the callbacks, once sources and producers are there. */
void lane_metrics_init(struct lane *lane);
void lane_metrics_callbacks(struct lane *lane);

/* No callback of the lane runs any more. */
void lane_metrics_forget(struct lane *lane);

/* ---- intake.c ---- */

/* A message from the group, begun starts times before; on its thread. */
bool lane_take(struct lane *lane, struct kafka_message *message, uint64_t epoch, unsigned starts);
bool lane_on_message(void *ctx, struct kafka_message *message, uint64_t epoch);

/* Looks at a request's head, and at its value when it may run with others. */
void lane_receive(struct task *task);

/* Reads its value and puts it in line. */
void lane_understand(struct task *task);

/* Takes in what has arrived, then starts batches. */
void lane_on_wake(void *ctx);

/* The task has ended; done: its offset may be committed.  Frees it.  Any thread. */
void lane_end(struct task *task, bool is_done);

/* The task has ended without an answer, which nobody wants; why: for the metrics. */
void lane_drop(struct task *task, const char *why);

/* Whether nobody wants an answer any more. */
bool lane_is_unwanted(const struct task *task);

/* Gives a task back to the loop, which finds it on its retry timer.  Any thread. */
void lane_give_back(struct task *task, tally_status delivery);

/* Tries again what could not be published; on the retry timer. */
void lane_retry(void *ctx);

/* ---- run.c ---- */

/* Starts batches as long as there is room. */
void lane_run(struct lane *lane);
bool lane_has_room(const struct lane *lane);

/* Starts the request that has the floor, when bodies on their way leave room. */
void lane_run_alone(struct lane *lane);

/* Whether it is too late, or nobody wants it; then it ends without having run. */
bool lane_is_past(const struct task *task);
void lane_end_past(struct task *task);

/* Tells of runs that take long, and stops those that nobody wants. */
void lane_watch_runs(struct lane *lane);

/* A number that nobody need guess. */
uint64_t lane_random(struct lane *lane);

/* Ends all runs; their tasks stay unanswered. */
void lane_cancel_runs(struct lane *lane);

/* ---- alone.c ---- */

/* Does what there is to do: with others, and alone. */
void lane_work(struct lane *lane);

/* Does so again at at_ms, if not before. */
void lane_look_at(struct lane *lane, int64_t at_ms);

/* Ends requests on probation that are past before their turn has come. */
void lane_sweep(struct lane *lane);

/* An understood request is to run. */
void lane_line_up(struct task *task);

/* A request that runs alone, or may not at all, does not go on for now.  Any thread. */
void lane_alone_back(struct task *task);

/* The loop has ended: lets go of all that have not begun, and of the floor. */
void lane_alone_end(struct lane *lane);

/* For the group (kafka/group.h) and the floor (solo.h). */
bool lane_on_suspect(void *ctx, struct kafka_message *message, uint64_t epoch, unsigned starts);
void lane_on_news(void *ctx, enum kafka_news news);
bool lane_is_stuck(void *ctx);
void lane_on_floor(void *ctx);

/* ---- park.c ---- */

/* Puts a request that failed aside, to be tried again; false when it is to be told the error. */
TALLY_MUST_CHECK bool lane_park(struct task *task, const struct tally_error *error);

/* Tries again what was put aside long enough. */
void lane_unpark(struct lane *lane);

/* ---- reply.c ---- */

/* Publishes an answer (an owner is added) and lets go of the task; NULL: out of memory. */
void lane_answer(struct task *task, struct answer *answer);

/* The same with an error. */
void lane_answer_error(struct task *task, const struct tally_error *error);

/* The end of a kind's send: TALLY_OK when all of the answer is stored.  Any thread. */
void lane_sent(struct task *task, tally_status status);

/* Tells whoever waits, as far as the head tells who that is, then publishes the message to the dead
 * letters and lets go of the task. */
void lane_dead_letter(struct task *task, const struct tally_error *error);

/* Publishes the dead letter, after whoever waits was told.  Any thread. */
void lane_send_letter(struct task *task);

#endif
