/* control.h - a worker's ear on tally.control: every partition, without a group, so that each
 * worker hears of each cancelled job.
 *
 * All that the topic has is read at the start: a job may be cancelled long before it is taken.  A
 * lane takes its first request once that is done. */
#ifndef WORKER_CONTROL_H
#define WORKER_CONTROL_H

#include <stdbool.h>

#include <tally/id.h>

#include "kafka/config.h"

struct control;

/* Starts reading n_partitions of tally.control; config outlives it.  TALLY_WRONG_SETTING,
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status control_start(const struct kafka_config *config, int n_partitions,
					    struct control **out_control, struct tally_error *err);

/* Stops reading and frees.  Accepts NULL. */
void control_stop(struct control *control);

/* Whether everything that the topic had at the start has been read. */
bool control_has_caught_up(const struct control *control);

/* Whether a job is known to be cancelled.  Any thread. */
bool control_is_cancelled(struct control *control, const struct tally_job_id *id);

#endif
