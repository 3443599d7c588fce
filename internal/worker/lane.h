/* lane.h - one lane of a worker: a consumer group, a loop thread with its own database connections,
 * and producers for what comes out.
 *
 *   group's thread --queue--> loop thread: decode, gather, run batches, reply
 *   producer's thread: the reply is stored -> the request's offset may be committed
 *
 * A batch begins as soon as fewer than batches_in_flight run and something waits: no interval. What
 * arrives meanwhile is the next batch; identical requests of a batch run once. */
#ifndef WORKER_LANE_H
#define WORKER_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "dataset/catalog.h"
#include "kafka/config.h"

struct lane;

/* What a lane tells its owner; on the loop's thread. */
struct lane_events {
	void (*on_ready)(void *ctx);                                /* every dataset; once */
	void (*on_fatal)(void *ctx, const struct tally_error *err); /* the process must stop */
	void *ctx;
};

struct lane_options {
	const struct config *config;
	const struct kafka_config *kafka;
	const struct catalog *catalog;
	const char *topic;
	const char *group;
	struct lane_events events;
};

/* Makes the lane and starts its thread; options' pointers outlive it.  TALLY_WRONG_DEFINITION,
 * TALLY_WRONG_SETTING, TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status lane_start(const struct lane_options *options, struct lane **out_lane,
					 struct tally_error *err);

/* Takes no more requests, gives what is under way drain_ms to be answered, commits, leaves the
 * group and frees the lane.  What is not answered then is read again by another worker.  Accepts
 * NULL. */
void lane_stop(struct lane *lane, int drain_ms);

/* Whether every dataset is ready and partitions are assigned. */
bool lane_is_ready(const struct lane *lane);

#endif
