/* What is due: ends of waits, second looks at idempotency keys, parts that nobody completed. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/jobs_inner.h"
#include "gateway/submission.h"

#define LOOK_MS   250 /* a new wait is a second at least: none is overlooked for longer */
#define SECOND_MS 100 /* between two looks at a key */
#define AGE_MS    1000

/* Waits until at_ms, until something is due earlier, or until the gateway stops. */
static void
sleep_until(struct gateway_jobs *jobs, int64_t at_ms)
{
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };

	pthread_mutex_lock(&jobs->lock);
	if (!atomic_load(&jobs->is_stopping))
		(void)pthread_cond_timedwait(&jobs->changed, &jobs->lock, &at);
	pthread_mutex_unlock(&jobs->lock);
}

bool
jobs_look_later(struct gateway_jobs *jobs, struct submission *submission)
{
	bool is_open;

	pthread_mutex_lock(&jobs->lock);
	is_open = !atomic_load(&jobs->is_closed);
	if (is_open) {
		submission->look_ms = clock_mono_ms() + SECOND_MS;
		TAILQ_INSERT_TAIL(&jobs->seconds, submission, link);
		pthread_cond_signal(&jobs->changed);
	}
	pthread_mutex_unlock(&jobs->lock);
	return is_open;
}

/* The next submission whose key is to be looked at by now; NULL: none.  All wait equally long, so
 * they are sorted. */
static struct submission *
take_second(struct gateway_jobs *jobs, int64_t now_ms)
{
	struct submission *submission;

	pthread_mutex_lock(&jobs->lock);
	submission = TAILQ_FIRST(&jobs->seconds);
	if (submission && submission->look_ms > now_ms)
		submission = NULL;
	if (submission)
		TAILQ_REMOVE(&jobs->seconds, submission, link);
	pthread_mutex_unlock(&jobs->lock);
	return submission;
}

static int64_t
next_second(struct gateway_jobs *jobs)
{
	const struct submission *submission;
	int64_t at_ms;

	pthread_mutex_lock(&jobs->lock);
	submission = TAILQ_FIRST(&jobs->seconds);
	at_ms = submission ? submission->look_ms : INT64_MAX;
	pthread_mutex_unlock(&jobs->lock);
	return at_ms;
}

void
jobs_drop_seconds(struct gateway_jobs *jobs)
{
	struct submission *submission;
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_SATURATED, "this gateway is stopping");
	while ((submission = take_second(jobs, INT64_MAX)) != NULL)
		submission_fail(submission, &err);
}

static int64_t
next_time(struct gateway_jobs *jobs)
{
	int64_t at_ms = clock_mono_ms() + LOOK_MS;
	int64_t wait_ms = waits_next_deadline(jobs->waits);
	int64_t second_ms = next_second(jobs);

	if (wait_ms < at_ms)
		at_ms = wait_ms;
	return second_ms < at_ms ? second_ms : at_ms;
}

/* An idempotent producer that has failed for good never sends again: another process must. */
static void
watch_producer(struct gateway_jobs *jobs)
{
	const struct gateway_events *events = &jobs->options.events;
	struct tally_error err = { 0 };

	if (!kafka_producer_is_dead(jobs->producer))
		return;
	(void)tally_fail(&err, TALLY_KAFKA_UNAVAILABLE, "the producer of requests has failed");
	events->on_fatal(events->ctx, &err);
}

void *
jobs_keep(void *ctx)
{
	struct gateway_jobs *jobs = ctx;
	int64_t age_ms = clock_mono_ms() + AGE_MS;

	while (!atomic_load(&jobs->is_stopping)) {
		struct wait_list expired = TAILQ_HEAD_INITIALIZER(expired);
		struct submission *submission;

		sleep_until(jobs, next_time(jobs));
		int64_t now_ms = clock_mono_ms();
		waits_expire(jobs->waits, now_ms, &expired);
		submissions_expire(&expired);
		while ((submission = take_second(jobs, now_ms)) != NULL)
			submission_claim(submission);
		if (now_ms >= age_ms) {
			age_ms = now_ms + AGE_MS;
			jobs_age_parts(jobs);
			watch_producer(jobs);
		}
	}
	return NULL;
}
