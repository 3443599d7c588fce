#include "gateway/admission.h"

#define MOMENT_US   (100 * INT64_C(1000))
#define STANDING_US (100 * INT64_C(1000))  /* the best of a moment waits longer in a queue */
#define MOMENTS     2                      /* one alone may be a machine that stood still */
#define MEMORY_US   (2000 * INT64_C(1000)) /* what is older counts for half */
#define STALE_US    (10 * INT64_C(1000000))
#define ALWAYS      16 /* requests on their way: who asks learns how it is */
#define RETRY_MAX_S 30

/* Adds a moment that passed in a standing queue to what is known of it. */
static void
add_moment(struct admission *admission, int64_t passed_us)
{
	admission->queue_replies += admission->n_replies;
	admission->queue_us += (double)(passed_us < MEMORY_US ? passed_us : MEMORY_US);
	admission->queue_work_us += (double)admission->work_us;
	if (++admission->n_standing < MOMENTS)
		return;
	atomic_store(&admission->us_work,
		     (int64_t)(admission->queue_work_us / admission->queue_replies));
	atomic_store(&admission->us_each,
		     (int64_t)(admission->queue_us / admission->queue_replies) + 1);
	if (admission->queue_us < (double)MEMORY_US)
		return;
	admission->queue_replies /= 2;
	admission->queue_us /= 2;
	admission->queue_work_us /= 2;
}

static void
end_moment(struct admission *admission, int64_t passed_us)
{
	if (admission->best_us > STANDING_US) {
		add_moment(admission, passed_us);
		return;
	}
	admission->queue_replies = admission->queue_us = admission->queue_work_us = 0;
	admission->n_standing = 0;
	atomic_store(&admission->us_each, 0);
}

/* A moment lasts until a reply comes after its time: replies that come by the batch fill it. */
void
admission_on_reply(struct admission *admission, int64_t now_us, int64_t queued_us, int64_t took_us)
{
	int64_t passed_us = now_us - admission->began_us;

	if (admission->began_us > 0 && passed_us >= MOMENT_US)
		end_moment(admission, passed_us);
	if (admission->began_us == 0 || passed_us >= MOMENT_US) {
		admission->began_us = now_us;
		admission->best_us = queued_us;
		admission->n_replies = 0;
		admission->work_us = 0;
	}
	if (queued_us < admission->best_us)
		admission->best_us = queued_us;
	atomic_store(&admission->last_us, now_us);
	admission->n_replies++;
	admission->work_us += took_us > queued_us ? took_us - queued_us : 0;
}

bool
admission_has_queue(const struct admission *admission)
{
	return atomic_load(&admission->us_each) > 0;
}

int64_t
admission_queue_ms(const struct admission *admission, int64_t now_us, size_t n)
{
	int64_t each_us = atomic_load(&admission->us_each);
	int64_t queue_us = (int64_t)n * each_us - atomic_load(&admission->us_work);

	if (each_us == 0 || queue_us < 0 || now_us - atomic_load(&admission->last_us) > STALE_US)
		return 0;
	return queue_us / 1000;
}

bool
admission_takes(const struct admission *admission, int64_t now_us, size_t n, int64_t wait_ms,
		unsigned *out_retry_s)
{
	int64_t queue_ms = admission_queue_ms(admission, now_us, n);
	int64_t allowed_ms = wait_ms - atomic_load(&admission->us_work) / 1000;

	if (allowed_ms > admission->max_queue_ms)
		allowed_ms = admission->max_queue_ms;
	if (n < ALWAYS || queue_ms == 0 || queue_ms <= allowed_ms)
		return true;
	int64_t retry_s = 1 + (queue_ms - (allowed_ms > 0 ? allowed_ms : 0)) / 1000;
	*out_retry_s = retry_s < RETRY_MAX_S ? (unsigned)retry_s : RETRY_MAX_S;
	return false;
}
