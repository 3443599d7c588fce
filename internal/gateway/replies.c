/* What comes back: replies for flights, and the deadlines of those who wait for them. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scratch.h"
#include "gateway/gateway_inner.h"
#include "gateway/server_timing.h"
#include "kafka/message.h"

#define LOOK_MS 250 /* a new caller waits a second at least: none is overlooked for longer */

static void
succeed(struct flight_taken *taken, struct kafka_message *message,
	const struct tally_sync_reply *reply)
{
	struct shared_body *body = shared_body_new(message);
	struct tally_error err = { 0 };
	struct waiter *waiter;

	if (!body) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		answer_all(&taken->waiters, &err);
		return;
	}
	while ((waiter = TAILQ_FIRST(&taken->waiters)) != NULL) {
		TAILQ_REMOVE(&taken->waiters, waiter, in_flight);
		answer_rows((struct caller *)waiter, body, reply->timing);
	}
	shared_body_drop(body);
}

/* Who began the flight gets its failure; who joined it may have a second one. */
static void
fail(struct gateway *gateway, struct flight_taken *taken, const struct tally_error *error)
{
	struct waiter *first = TAILQ_FIRST(&taken->waiters);
	struct waiter *waiter;

	if (!tally_status_is_retryable(error->status) || taken->attempt > 1
	    || taken->n_waiters < 2) {
		answer_all(&taken->waiters, error);
		return;
	}
	TAILQ_FOREACH (waiter, &taken->waiters, in_flight) {
		if (!waiter->is_joiner)
			first = waiter;
	}
	TAILQ_REMOVE(&taken->waiters, first, in_flight);
	taken->n_waiters--;
	answer_error((struct caller *)first, error);
	gateway_ask_again(gateway, taken);
}

/* Reads a reply.  A success without rows is none: who waits goes on to wait for the right one. */
static tally_status
read_reply(const struct kafka_message *message, struct tally_sync_reply *out_reply,
	   struct tally_error *err)
{
	SCRATCH struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);
	size_t key_len, len;
	const void *key = kafka_message_key(message, &key_len);
	const char *value = kafka_message_value(message, &len);
	tally_status status = tally_sync_reply_read(key, key_len, headers, n, out_reply, err);

	if (status == TALLY_OK && out_reply->state == TALLY_SUCCEEDED
	    && !shared_body_is_rows(value, len))
		return tally_fail(err, TALLY_BAD_REQUEST, "the value is no answer");
	return status;
}

/* How long a flight took is known of the caller who began it; nobody's, when that one has left. */
static void
learn(struct gateway *gateway, const struct flight_taken *taken, const char *timing)
{
	const struct waiter *waiter = TAILQ_FIRST(&taken->waiters);
	int64_t now_us = clock_mono_us();

	while (waiter && waiter->is_joiner)
		waiter = TAILQ_NEXT(waiter, in_flight);
	if (!waiter)
		return;
	admission_on_reply(&gateway->admission, now_us,
			   server_timing_find_us(timing, "queue")
			       + server_timing_find_us(timing, "batch"),
			   now_us - ((const struct caller *)waiter)->published_us);
}

void
gateway_on_reply(void *ctx, struct kafka_message *message)
{
	struct gateway *gateway = ctx;
	struct tally_sync_reply reply;
	struct tally_error err = { 0 };
	struct flight_taken taken;
	size_t len;

	if (read_reply(message, &reply, &err) != TALLY_OK) {
		metric_add(gateway->metrics.refused, 1);
		log_warn("unreadable reply", LOG_INT("offset", kafka_message_offset(message)),
			 LOG_ERROR(&err));
		kafka_message_free(message);
		return;
	}
	if (!flights_take(gateway->flights, reply.id.bytes, &taken)) {
		/* Its callers have left; or another gateway shares this partition. */
		metric_add(gateway->metrics.late, 1);
		kafka_message_free(message);
		return;
	}
	learn(gateway, &taken, reply.timing);
	const void *value = kafka_message_value(message, &len);
	if (reply.state == TALLY_SUCCEEDED) {
		succeed(&taken, message, &reply);
		return;
	}
	if (tally_error_decode(value ? value : "", len, &err) != TALLY_OK)
		(void)tally_fail(
		    &err, reply.error_code != TALLY_OK ? reply.error_code : TALLY_INTERNAL_ERROR,
		    "the worker gave no reason");
	kafka_message_free(message);
	fail(gateway, &taken, &err);
}

/* Waits until at_ms or until the gateway stops. */
static void
sleep_until(struct gateway *gateway, int64_t at_ms)
{
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };
	int error = 0;

	pthread_mutex_lock(&gateway->lock);
	while (!atomic_load(&gateway->is_stopping) && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&gateway->changed, &gateway->lock, &at);
	pthread_mutex_unlock(&gateway->lock);
}

void *
gateway_run_deadlines(void *ctx)
{
	struct gateway *gateway = ctx;
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_DEADLINE_EXCEEDED,
			 "the wait ran out before the rows were there; try again, or wait longer "
			 "with Prefer: wait=N");
	while (!atomic_load(&gateway->is_stopping)) {
		struct waiter_list expired = TAILQ_HEAD_INITIALIZER(expired);
		int64_t now_ms = clock_mono_ms();
		int64_t next_ms = flights_next_deadline(gateway->flights);

		sleep_until(gateway, next_ms < now_ms + LOOK_MS ? next_ms : now_ms + LOOK_MS);
		flights_expire(gateway->flights, clock_mono_ms(), &expired);
		answer_all(&expired, &err);
	}
	return NULL;
}
