/* timing.h - where the time of a request went, in the form of Server-Timing (W3C): milliseconds.
 *
 *   queue   in Kafka, beyond the fastest message of the last minute (age.h)
 *   batch   from the lane's taking it until its batch began
 *   NAME    each step of the dataset; independent ones overlap
 *   encode  from the last step to this answer
 *   worker  from the lane's taking it until its answer is sent; batch, steps, encode lie in it */
#ifndef WORKER_TIMING_H
#define WORKER_TIMING_H

#include <stddef.h>
#include <stdint.h>

#include <tally/message.h>

#include "worker/task.h"

/* Entries as they are gathered; zeroed at first. */
struct timing {
	char text[TALLY_TIMING_MAX + 1];
	size_t len;
};

/* Appends an entry; one that does not fit is left out as a whole. */
void timing_add(struct timing *timing, const char *name, int64_t us);

/* Writes all that is known of a task with an answer, which is about to be sent. */
void timing_of(const struct task *task, struct timing *out_timing);

#endif
