/* admission.h - whether a new request would be answered in time.
 *
 * Replies say how long their requests had waited for a worker.  Where even the best of a moment
 * waited for long there is a standing queue, and a newcomer waits behind all requests of this
 * gateway that are on their way: in queueing theory, their number divided by the rate at which
 * replies come (Little's law), of which the work itself is a part.  What that predicts is compared
 * with a ceiling and with the newcomer's own wait.  Without a standing queue nothing is refused:
 * what is slow then is the work, not the queue, and how much more of it could be done at a time
 * nobody knows.
 *
 * The best of a moment, not the mean, tells a queue that stands from one that comes and goes
 * (Nichols and Jacobson, Controlling Queue Delay, 2012).  Where several gateways share the workers
 * each sees its share of replies, and so its own wait. */
#ifndef GATEWAY_ADMISSION_H
#define GATEWAY_ADMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What replies said in the last seconds.  Zeroed and given max_queue_ms it is ready. */
struct admission {
	int64_t max_queue_ms; /* the ceiling */

	/* Of the thread that calls admission_on_reply. */
	int64_t began_us;   /* of the moment under way; 0: none is */
	int64_t best_us;    /* the shortest time in the queue in it */
	uint32_t n_replies; /* in it */
	int64_t work_us;    /* the sum of the times that their work took */
	/* The same since a queue stands, what is older counting less; and the time. */
	double queue_replies, queue_work_us, queue_us;
	uint32_t n_standing; /* moments since then */

	/* For everybody: what a request adds to the wait of the next, 0 while no queue stands; how
	 * long the work itself takes; when the last reply came, as what is old says nothing. */
	_Atomic int64_t us_each, us_work, last_us;
};

/* A reply came at now_us (clock_mono_us()) to a request that had been on its way for took_us, of
 * which it waited queued_us for a worker.  One thread at a time. */
void
admission_on_reply(struct admission *admission, int64_t now_us, int64_t queued_us, int64_t took_us);

/* Whether a queue stands: without one everybody is taken, and nothing need be counted.  Any
 * thread. */
bool admission_has_queue(const struct admission *admission);

/* The predicted wait in the queue, in ms, of a newcomer at now_us behind n requests on their way; 0
 * where no queue stands.  Any thread. */
int64_t admission_queue_ms(const struct admission *admission, int64_t now_us, size_t n);

/* Whether a newcomer at now_us who waits for wait_ms, behind n requests on their way, is to be
 * taken.  False: *out_retry_s says in how many seconds the queue will be short enough.  Any
 * thread. */
bool admission_takes(const struct admission *admission, int64_t now_us, size_t n, int64_t wait_ms,
		     unsigned *out_retry_s);

#endif
