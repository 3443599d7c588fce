/* worker.h - a worker: its two lanes, which share nothing but the process. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stdbool.h>

#include "worker/lane.h"

struct worker;

struct worker_options {
	const struct config *config;
	const struct kafka_config *kafka;
	const struct catalog *catalog;
	struct lane_events events; /* on_ready: once, when both lanes are; on the lanes' threads */
};

/* Starts both lanes; options' pointers outlive them.  The statuses of lane_start. */
TALLY_MUST_CHECK tally_status worker_start(const struct worker_options *options,
					   struct worker **out_worker, struct tally_error *err);

/* Takes no more requests, gives what is under way drain_ms in all to be answered, and frees the
 * worker.  Accepts NULL. */
void worker_stop(struct worker *worker, int drain_ms);

/* Whether both lanes are ready (lane_is_ready). */
bool worker_is_ready(const struct worker *worker);

#endif
