/* task.h - one request that a worker has taken and not answered yet.
 *
 * It is in one place at a time: with the lane, in a run, or on its way to the broker as an answer
 * or a dead letter.  What only one kind of lane knows of a request follows this struct in the
 * kind's own (struct sync_task, struct job_task). */
#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tally/message.h>

#include "dataset/params.h"
#include "kafka/message.h"
#include "worker/answer.h"
#include "worker/plans.h"

struct lane;

struct task {
	struct lane *lane;
	struct kafka_message *message;
	uint64_t epoch;  /* of the partition's assignment */
	unsigned starts; /* that came to no end; 0: it is not on probation */
	bool is_alone;   /* on probation, and begun: it has the floor */
	bool has_head;   /* was read */
	/* of the head, by the kind */
	bool has_caller;    /* the head could be read: it says whom to tell */
	bool no_cache;      /* skip the step caches */
	uint32_t budget_ms; /* until its deadline, from the broker's stamp on */
	const char *trace;  /* its traceparent; "" when unknown */
	/* of the value */
	struct params *params; /* NULL until it is understood */
	struct plan *plan;
	const char *dataset; /* the definition's name; "" when unknown */
	int64_t deadline_ms; /* clock_mono_ms() */
	/* where its time went: age when it was taken, then clock_mono_us() */
	int64_t age_ms;
	int64_t taken_us;
	int64_t began_us; /* its batch; 0: it is in none */
	/* while its database is away; clock_mono_ms() */
	unsigned n_tries;    /* that came to nothing */
	int64_t retry_ms;    /* the next one */
	int64_t gives_up_ms; /* after which it is told */
	/* of its end */
	struct answer *answer;     /* that it is told; NULL before */
	struct tally_error *fault; /* why it is to be a dead letter; NULL: it is none */
	bool is_dead;              /* on its way to the dead letters */
	tally_status delivery;     /* of its answer, when that failed */
	TAILQ_ENTRY(task) link;
};

TAILQ_HEAD(task_list, task);

/* A task of size bytes (a kind's struct, all zero but for the task at its head) for a message,
 * which it takes; NULL when out of memory (the message is freed). */
struct task *
task_new(struct lane *lane, size_t size, struct kafka_message *message, uint64_t epoch);

/* Frees the task and its message, and lets go of its answer.  Accepts NULL. */
void task_free(struct task *task);

/* Reads the value against the datasets of plans, into task->plan and params.  TALLY_BAD_REQUEST: a
 * dead letter.  TALLY_DATASET_MISMATCH: a request that the definition here does not know.
 * TALLY_SOURCE_UNAVAILABLE: the plan is not ready.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status task_read_value(struct task *task, const struct plans *plans,
					      struct tally_error *err);

#endif
