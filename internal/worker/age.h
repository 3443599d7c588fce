/* age.h - how old a request is, without trusting anybody's clock.
 *
 * The broker stamps each message (LogAppendTime) with its own clock, which may be off from ours.
 * The smallest difference seen within the last minute is taken as that offset: a message that
 * arrived at once had age 0.  So age = (now - stamp) - smallest difference of the last minute.  Now
 * is monotonic: our wall clock may jump as it likes, and a jump of the broker's is forgotten after
 * a minute.  One thread. */
#ifndef WORKER_AGE_H
#define WORKER_AGE_H

#include <stdint.h>

#define AGE_SLOTS   12
#define AGE_SLOT_MS 5000 /* 12 slots of 5 s are the last minute */

struct age {
	int64_t slot_start_ms;       /* monotonic; when the newest slot began */
	int64_t smallest[AGE_SLOTS]; /* of each slot; INT64_MAX: nothing seen */
	unsigned newest;
};

/* Starts without any observation, at a monotonic time. */
void age_init(struct age *age, int64_t now_mono_ms);

/* The age in ms (>= 0) of a message with the given stamp, at a monotonic time of ours; the message
 * itself is the newest observation. */
int64_t age_of(struct age *age, int64_t stamp_unix_ms, int64_t now_mono_ms);

#endif
