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

/* Asks for the topics one after the other; *out_topic is the last one that was asked for. */
static tally_status
look_at_topics(struct gateway *gateway, struct gateway_topics *out_topics, const char **out_topic,
	       struct tally_error *err)
{
	int n_requests;
	tally_status status;

	*out_topic = TALLY_TOPIC_REQUESTS_SYNC;
	status = kafka_producer_warm(gateway->producer, *out_topic, WARM_MS, &n_requests, err);
	if (status != TALLY_OK)
		return status;
	atomic_store(&gateway->n_request_partitions, n_requests);
	*out_topic = TALLY_TOPIC_REPLIES;
	status = kafka_producer_warm(gateway->producer, *out_topic, WARM_MS, &out_topics->n_replies,
				     err);
	if (status != TALLY_OK || !gateway->jobs)
		return status;
	return gateway_jobs_look_at_topics(gateway->jobs, WARM_MS, &out_topics->n_results,
					   out_topic, err);
}

bool
gateway_meet_topics(struct gateway *gateway, struct gateway_topics *out_topics)
{
	while (!atomic_load(&gateway->is_stopping)) {
		struct tally_error err = { 0 };
		const char *topic;

		if (look_at_topics(gateway, out_topics, &topic, &err) == TALLY_OK)
			return true;
		log_warn("Kafka is not ready", LOG_ERROR(&err));
		gateway_pause(gateway, AGAIN_MS);
	}
	return false;
}

/* ---- once it is ready ---- */

/* The first topic that is missing; NULL: none.  A broker that is away says nothing about topics. */
static const char *
find_missing(struct gateway *gateway, struct tally_error *err)
{
	struct gateway_topics topics;
	const char *topic;

	switch (look_at_topics(gateway, &topics, &topic, err)) {
	case TALLY_OK:
		return NULL;
	case TALLY_NOT_FOUND:
		return topic;
	default:
		return atomic_load(&gateway->missing_topic);
	}
}

void
gateway_keep_topics(struct gateway *gateway)
{
	const char *last = NULL;

	for (;;) {
		struct tally_error err = { 0 };
		const char *missing;

		gateway_pause(gateway, KEEP_MS);
		if (atomic_load(&gateway->is_stopping))
			return;
		missing = find_missing(gateway, &err);

		/* Seen twice: a broker that has just started may not know all topics yet. */
		if (missing && missing == last && !atomic_load(&gateway->missing_topic))
			log_error("a topic is missing", LOG_ERROR(&err));
		if (!missing || missing == last)
			atomic_store(&gateway->missing_topic, missing);
		last = missing;
	}
}
