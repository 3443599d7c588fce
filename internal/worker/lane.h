/* lane.h - one lane of a worker: a consumer group, a loop thread with its own database connections,
 * and producers for what comes out.
 *
 *   group's thread --queue--> loop thread: decode, gather, run batches, answer
 *   producer's thread: the answer is stored -> the request's offset may be committed
 *
 * A batch begins as soon as fewer than batches_in_flight run and something waits: no interval. What
 * arrives meanwhile is the next batch; identical requests of a batch run once.
 *
 * There are two kinds, which share nothing but the process (and its floor, solo.h): a backlog of
 * jobs never stands before a caller who waits.  What differs between them is a table,
 * lane_kind.h. */
#ifndef WORKER_LANE_H
#define WORKER_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "dataset/catalog.h"
#include "kafka/config.h"
#include "worker/solo.h"

struct watchdog;
struct lane;
struct lane_kind;

extern const struct lane_kind lane_sync; /* tally.requests.sync to tally.replies */
extern const struct lane_kind lane_jobs; /* tally.requests.jobs to tally.results */

/* What a lane tells its owner; on the loop's thread. */
struct lane_events {
	void (*on_ready)(void *ctx);                                /* every dataset; once */
	void (*on_fatal)(void *ctx, const struct tally_error *err); /* the process must stop */
	void *ctx;
};

struct lane_options {
	const struct lane_kind *kind;
	const struct config *config;
	const struct kafka_config *kafka;
	const struct catalog *catalog;
	struct lane_events events;
	struct solo *solo; /* of the process, and the lane's seat there */
	int seat;
	struct watchdog *watchdog; /* NULL: nobody watches the loop */
};

/* Makes the lane and starts its thread; options' pointers outlive it.  TALLY_WRONG_DEFINITION,
 * TALLY_WRONG_SETTING, TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status lane_start(const struct lane_options *options, struct lane **out_lane,
					 struct tally_error *err);

/* Takes no more requests; what is under way goes on.  Accepts NULL. */
void lane_quiesce(struct lane *lane);

/* Takes no more requests, gives what is under way drain_ms to be answered, commits, leaves the
 * group and frees the lane.  What is not answered then is read again by another worker.  Accepts
 * NULL. */
void lane_stop(struct lane *lane, int drain_ms);

/* Whether every dataset is ready and partitions are assigned. */
bool lane_is_ready(const struct lane *lane);

#endif
