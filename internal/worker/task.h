/* task.h - one request that a worker has taken and not answered yet.
 *
 * It is in one place at a time: with the lane, in a run, or on its way to the broker as a reply. */
#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tally/message.h>

#include "dataset/params.h"
#include "kafka/message.h"
#include "worker/plans.h"

struct lane;

struct task {
	struct lane *lane;
	struct kafka_message *message;
	uint64_t epoch; /* of the partition's assignment */
	struct tally_sync_request head;
	struct params *params; /* NULL until it is understood */
	struct plan *plan;
	int64_t deadline_ms;   /* clock_mono_ms() */
	bool is_dead;          /* on its way to the dead letters */
	tally_status delivery; /* of its reply, when that failed */
	tally_status outcome;  /* of its reply, for the metrics */
	const char *dataset;   /* the definition's name; "" when unknown */
	TAILQ_ENTRY(task) link;
};

TAILQ_HEAD(task_list, task);

/* A task for a message, which it takes; NULL when out of memory (the message is freed). */
struct task *task_new(struct lane *lane, struct kafka_message *message, uint64_t epoch);

/* Frees the task and its message.  Accepts NULL. */
void task_free(struct task *task);

/* Reads the headers into task->head.  TALLY_BAD_REQUEST: a dead letter. */
TALLY_MUST_CHECK tally_status task_read_head(struct task *task, struct tally_error *err);

/* Reads the value against the datasets of plans, into task->plan and params.  TALLY_BAD_REQUEST: a
 * dead letter, too.  TALLY_DATASET_MISMATCH: a request that the definition here does not know.
 * TALLY_SOURCE_UNAVAILABLE: the plan is not ready.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status task_read_value(struct task *task, const struct plans *plans,
					      struct tally_error *err);

#endif
