/* A request for rows: checked, joined to a flight or published as a new one. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scratch.h"
#include "gateway/gateway_inner.h"
#include "gateway/query.h"

#define MESSAGE_STACK_BYTES 2048

/* A request message, ready to be sent; data is its value. */
struct message {
	struct tally_sync_request head;
	struct tally_headers headers;
	char key[33];
	char *data;
	size_t len;
};

/* How long the caller waits: Prefer: wait=N, at least a second, at most the limit. */
static void
read_wait(struct caller *caller)
{
	const struct config *config = caller->exchange.gateway->options.config;
	uint32_t max_s = (uint32_t)(config->wait_max_ms / 1000);
	struct prefer prefer;

	query_read_prefer(caller->exchange.request, &prefer);
	caller->has_preference = prefer.has_wait;
	uint32_t wait_s =
	    prefer.has_wait ? prefer.wait_s : (uint32_t)((config->wait_default_ms + 999) / 1000);
	if (wait_s > max_s)
		wait_s = max_s;
	caller->waiter.wait_s = wait_s < 1 ? 1 : wait_s;
	caller->waiter.deadline_ms = clock_mono_ms() + (int64_t)caller->waiter.wait_s * 1000;
}

static tally_status
read_headers(struct caller *caller, struct tally_error *err)
{
	read_wait(caller);
	caller->no_cache = query_has_no_cache(caller->exchange.request);
	if (caller->exchange.trace.text[0] == '\0')
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness");
	return TALLY_OK;
}

/* ---- publishing ---- */

static tally_status
make_message(const struct caller *caller, struct message *message, struct tally_error *err)
{
	int64_t budget_ms = caller->waiter.deadline_ms - clock_mono_ms();

	message->head = (struct tally_sync_request){
		.reply_partition = atomic_load(&caller->exchange.gateway->reply_partition),
		.budget_ms = budget_ms > 1 ? (uint32_t)budget_ms : 1,
		.no_cache = caller->no_cache,
		.trace = caller->exchange.trace,
	};
	snprintf(message->head.tenant, sizeof message->head.tenant, "%s",
		 exchange_tenant(&caller->exchange));
	memcpy(message->key, caller->key, sizeof message->key);
	if (tally_request_id_make(&message->head.id) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness");
	if (tally_sync_request_write(&message->head, &message->headers) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "the headers do not fit");
	message->data = malloc(MESSAGE_STACK_BYTES);
	if (!message->data)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	tally_status status =
	    params_encode(caller->params, message->data, MESSAGE_STACK_BYTES, &message->len, err);
	if (status != TALLY_TOO_LARGE)
		return status;
	free(message->data);
	message->data = malloc(message->len);
	if (!message->data)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	return params_encode(caller->params, message->data, message->len, &message->len, err);
}

/* Ends the flight of a message that will not arrive. */
static void
fail_flight(struct gateway *gateway, const struct tally_request_id *id,
	    const struct tally_error *error)
{
	struct flight_taken taken;

	if (flights_take(gateway->flights, id->bytes, &taken))
		answer_all(&taken.waiters, error);
}

static void
explain(tally_status status, struct tally_error *err)
{
	tally_status shown = status == TALLY_FULL ? TALLY_SATURATED : status;

	(void)tally_fail(err, shown, "%s",
			 shown == TALLY_SATURATED ? "too many requests are on their way to Kafka"
			 : shown == TALLY_OUTCOME_UNKNOWN ? "Kafka has not acknowledged the request"
							  : "Kafka did not take the request");
	snprintf(err->source, sizeof err->source, "kafka");
}

/* Whose flight it is that will not arrive stands in the message. */
static bool
find_id(const struct kafka_message *message, struct tally_request_id *out_id)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(headers[i].name, TALLY_HEADER_ID) == 0)
			return tally_request_id_parse(headers[i].value, headers[i].len, out_id);
	}
	return false;
}

void
gateway_on_lost(void *ctx, tally_status status, const struct kafka_message *message)
{
	struct tally_request_id id;
	struct tally_error err = { 0 };

	explain(status, &err);
	if (find_id(message, &id))
		fail_flight(ctx, &id, &err);
}

/* Sends the message of a flight; on failure the flight is answered.  Takes message->data. */
static void
publish(struct gateway *gateway, struct message *message)
{
	struct tally_error err = { 0 };
	const struct kafka_outgoing outgoing = {
		.topic = TALLY_TOPIC_REQUESTS_SYNC,
		/* By the fingerprint, identical requests of several gateways would meet at one
		 * worker; those of one gateway share a flight, which is nearly all of that. */
		.partition = kafka_producer_turn(atomic_load(&gateway->n_request_partitions),
						 atomic_load(&gateway->reply_partition)),
		.key = message->key,
		.key_len = sizeof message->key - 1,
		.owned_value = message->data,
		.value_len = message->len,
		.headers = message->headers.items,
		.n_headers = message->headers.n,
	};
	tally_status status = kafka_producer_send(gateway->producer, &outgoing);

	if (status == TALLY_OK)
		return;
	free(message->data);
	explain(status, &err);
	fail_flight(gateway, &message->head.id, &err);
}

/* ---- joining ---- */

static void
on_gone(void *ctx)
{
	struct caller *caller = ctx;
	struct tally_error err = { 0 };

	if (!flights_leave(caller->exchange.gateway->flights, &caller->waiter))
		return; /* somebody else answers */
	(void)tally_fail(&err, TALLY_CANCELLED, "the client has left");
	answer_error(caller, &err);
}

static tally_status
find_key(struct caller *caller, struct tally_error *err)
{
	struct tally_request_id bytes;
	tally_status status = params_fingerprint(caller->params, exchange_tenant(&caller->exchange),
						 caller->key, err);

	/* A fingerprint has the size and the form of an id. */
	if (status == TALLY_OK && tally_request_id_parse(caller->key, 32, &bytes))
		memcpy(caller->fingerprint, bytes.bytes, sizeof caller->fingerprint);
	return status;
}

/* Whether the caller has joined a flight under way, and then other threads may answer it. */
static bool
board(struct caller *caller)
{
	struct gateway *gateway = caller->exchange.gateway;

	if (caller->no_cache
	    || !flights_board(gateway->flights, &caller->waiter, caller->fingerprint,
			      clock_mono_ms()))
		return false;
	metric_add(gateway->metrics.coalesced, 1);
	return true;
}

/* Joins a flight, or begins one, with a message that is ready.  On TALLY_OK other threads may
 * answer the caller at any moment. */
static tally_status
join(struct caller *caller, const struct message *message, bool *out_is_new,
     struct tally_error *err)
{
	struct gateway *gateway = caller->exchange.gateway;
	tally_status status = flights_join(gateway->flights, &caller->waiter,
					   caller->no_cache ? NULL : caller->fingerprint,
					   message->head.id.bytes, clock_mono_ms(), out_is_new);

	if (status == TALLY_CLOSED)
		return tally_fail(err, TALLY_SATURATED, "this gateway is stopping");
	if (status != TALLY_OK)
		return tally_fail(err, status, "too many callers wait here already");
	return status;
}

/* Whether a new message would be answered in time; false: the caller has been answered.  Who joins
 * a flight adds nothing to the queue and is not asked. */
static bool
admit(struct caller *caller)
{
	struct gateway *gateway = caller->exchange.gateway;
	struct tally_error err = { 0 };
	unsigned retry_s;

	if (!admission_has_queue(&gateway->admission))
		return true;
	int64_t now_us = clock_mono_us();
	size_t n = flights_in_air(gateway->flights);
	if (admission_takes(&gateway->admission, now_us, n,
			    caller->waiter.deadline_ms - now_us / 1000, &retry_s))
		return true;
	(void)tally_fail(&err, TALLY_SATURATED,
			 "the workers are behind: this request would wait for one for %.1f s; try "
			 "again after Retry-After, or submit it as a job",
			 (double)admission_queue_ms(&gateway->admission, now_us, n) / 1e3);
	answer_quietly(caller, &err, retry_s);
	return false;
}

/* Begins a flight, unless somebody else has begun it meanwhile. */
static void
begin(struct caller *caller)
{
	struct gateway *gateway = caller->exchange.gateway;
	struct tally_error err = { 0 };
	SCRATCH struct message message;
	bool is_new = false;

	message.data = NULL;
	tally_status status = make_message(caller, &message, &err);
	caller->published_us = clock_mono_us();
	if (status == TALLY_OK)
		status = join(caller, &message, &is_new, &err);
	if (status == TALLY_OK && is_new) {
		publish(gateway, &message);
		return;
	}
	free(message.data);
	if (status != TALLY_OK)
		answer_error(caller, &err);
	else
		metric_add(gateway->metrics.coalesced, 1);
}

/* From here on the caller is not the handler's. */
static void
enter(struct caller *caller)
{
	struct tally_error err = { 0 };

	if (find_key(caller, &err) != TALLY_OK) {
		answer_error(caller, &err);
		return;
	}
	http_request_on_gone(caller->exchange.request, on_gone, caller);
	if (!board(caller) && admit(caller))
		begin(caller);
}

void
gateway_ask(const struct exchange *exchange, const struct definition *definition)
{
	struct gateway *gateway = exchange->gateway;
	struct params_faults faults = { .n = 0 };
	struct tally_error err = { 0 };
	struct caller *caller = calloc(1, sizeof *caller);

	if (!caller) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		exchange_problem(exchange, &err, NULL);
		return;
	}
	caller->exchange = *exchange;
	caller->definition = definition;
	tally_status status = query_read(definition, exchange->request, &caller->params,
					 &caller->form, &faults, &err);
	if (status == TALLY_OK && !gateway_is_ready(gateway)) {
		status = tally_fail(&err, TALLY_KAFKA_UNAVAILABLE,
				    "this gateway has not met its Kafka broker yet");
		snprintf(err.source, sizeof err.source, "kafka");
	}
	if (status == TALLY_OK)
		status = read_headers(caller, &err);
	if (status == TALLY_OK) {
		atomic_fetch_add(&gateway->n_joining, 1);
		enter(caller);
		atomic_fetch_sub(&gateway->n_joining, 1);
		return;
	}
	exchange_problem(exchange, &err, faults.n > 0 ? &faults : NULL);
	params_free(caller->params);
	free(caller);
}

/* Answers those whose wait is over, and takes them out of the list. */
static void
drop_expired(struct flight_taken *taken)
{
	struct waiter *waiter = TAILQ_FIRST(&taken->waiters);
	int64_t now_ms = clock_mono_ms();
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_DEADLINE_EXCEEDED, "the wait ran out");
	while (waiter) {
		struct waiter *next = TAILQ_NEXT(waiter, in_flight);
		if (waiter->deadline_ms <= now_ms) {
			TAILQ_REMOVE(&taken->waiters, waiter, in_flight);
			taken->n_waiters--;
			answer_error((struct caller *)waiter, &err);
		}
		waiter = next;
	}
}

/* The caller that waits longest speaks for all. */
static struct caller *
find_speaker(struct flight_taken *taken)
{
	struct waiter *best = TAILQ_FIRST(&taken->waiters);
	struct waiter *waiter;

	TAILQ_FOREACH (waiter, &taken->waiters, in_flight) {
		if (waiter->deadline_ms > best->deadline_ms)
			best = waiter;
	}
	return (struct caller *)best;
}

void
gateway_ask_again(struct gateway *gateway, struct flight_taken *taken)
{
	struct tally_error err = { 0 };
	SCRATCH struct message message;

	drop_expired(taken);
	if (TAILQ_EMPTY(&taken->waiters))
		return;
	const struct caller *speaker = find_speaker(taken);
	message.data = NULL;
	tally_status status = make_message(speaker, &message, &err);
	if (status == TALLY_OK) {
		status = flights_again(gateway->flights, taken, speaker->fingerprint,
				       message.head.id.bytes);
		if (status != TALLY_OK)
			(void)tally_fail(&err, TALLY_SATURATED, "the request cannot be repeated");
	}
	if (status == TALLY_OK) {
		publish(gateway, &message);
		return;
	}
	free(message.data);
	answer_all(&taken->waiters, &err);
}
