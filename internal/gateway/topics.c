/* Which topics there are, and how many partitions they have. */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"

#define WARM_MS  1000
#define AGAIN_MS 250
#define KEEP_MS  5000

void
gateway_pause(struct gateway *gateway, int ms)
{
	int64_t at_ms = clock_mono_ms() + ms;
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };

	pthread_mutex_lock(&gateway->lock);
	if (!atomic_load(&gateway->is_stopping))
		(void)pthread_cond_timedwait(&gateway->changed, &gateway->lock, &at);
	pthread_mutex_unlock(&gateway->lock);
}

int
gateway_meet_topics(struct gateway *gateway)
{
	struct tally_error err = { 0 };
	int n_requests, n_replies;

	while (!atomic_load(&gateway->is_stopping)) {
		if (kafka_producer_warm(gateway->producer, TALLY_TOPIC_REQUESTS_SYNC, WARM_MS,
					&n_requests, &err)
			== TALLY_OK
		    && kafka_producer_warm(gateway->producer, TALLY_TOPIC_REPLIES, WARM_MS,
					   &n_replies, &err)
			   == TALLY_OK) {
			atomic_store(&gateway->n_request_partitions, n_requests);
			return n_replies;
		}
		log_warn("Kafka is not ready", LOG_ERROR(&err));
		gateway_pause(gateway, AGAIN_MS);
	}
	return 0;
}

/* ---- once it is ready ---- */

/* The topics that a gateway needs: first those of rows, then those of jobs. */
static const char *const needed[] = { TALLY_TOPIC_REQUESTS_SYNC, TALLY_TOPIC_REPLIES,
				      TALLY_TOPIC_REQUESTS_JOBS, TALLY_TOPIC_CONTROL,
				      TALLY_TOPIC_RESULTS };

enum { REQUESTS_SYNC, REPLIES, REQUESTS_JOBS, NEEDED = sizeof needed / sizeof *needed };

/* The first topic that is missing; NULL: none.  A broker that is away says nothing about topics. */
static const char *
look_at_topics(struct gateway *gateway, struct tally_error *err)
{
	size_t n_topics = gateway->jobs ? NEEDED : REQUESTS_JOBS;

	for (size_t i = 0; i < n_topics && !atomic_load(&gateway->is_stopping); i++) {
		int n;
		tally_status status =
		    kafka_producer_warm(gateway->producer, needed[i], WARM_MS, &n, err);

		if (status == TALLY_NOT_FOUND)
			return needed[i];
		if (status != TALLY_OK)
			return atomic_load(&gateway->missing_topic);
		if (i == REQUESTS_SYNC)
			atomic_store(&gateway->n_request_partitions, n);
		else if (i == REQUESTS_JOBS)
			gateway_jobs_set_partitions(gateway->jobs, n);
	}
	return NULL;
}

void
gateway_keep_topics(struct gateway *gateway)
{
	const char *last = NULL;

	while (!atomic_load(&gateway->is_stopping)) {
		struct tally_error err = { 0 };
		const char *missing = look_at_topics(gateway, &err);

		/* Seen twice: a broker that has just started may not know all topics yet. */
		if (missing && missing == last && !atomic_load(&gateway->missing_topic))
			log_error("a topic is missing", LOG_ERROR(&err));
		if (!missing || missing == last)
			atomic_store(&gateway->missing_topic, missing);
		last = missing;
		gateway_pause(gateway, KEEP_MS);
	}
}
