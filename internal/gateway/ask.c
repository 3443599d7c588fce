/* A request for rows: checked, joined to a flight or published as a new one. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/prefer.h"

#define MESSAGE_STACK_BYTES 2048

/* A request message, ready to be sent; data is its value. */
struct message {
	struct tally_sync_request head;
	struct tally_headers headers;
	char key[33];
	char *data;
	size_t len;
};

/* Of a message that is on its way: whose flight it is. */
struct departure {
	struct gateway *gateway;
	struct tally_request_id id;
};

static void
add_fault(struct params_faults *faults, const char *name, const char *detail)
{
	if (faults->n == PARAMS_MAX_FAULTS)
		return;
	struct params_fault *fault = &faults->items[faults->n++];
	snprintf(fault->name, sizeof fault->name, "%s", name);
	snprintf(fault->detail, sizeof fault->detail, "%s", detail);
}

/* Takes format and csv_safe, which are Tally's own; true when the argument is one of them. */
static bool
take_own(struct caller *caller, const struct http_argument *argument, struct params_faults *faults)
{
	if (strcmp(argument->name, "format") == 0) {
		if (!transcode_format_parse(argument->value, argument->len, &caller->format))
			add_fault(faults, "format", "must be json, csv or ndjson");
		return true;
	}
	if (strcmp(argument->name, "csv_safe") != 0)
		return false;
	if (strcmp(argument->value, "0") != 0 && strcmp(argument->value, "1") != 0)
		add_fault(faults, "csv_safe", "must be 0 or 1");
	caller->csv_safe = strcmp(argument->value, "0") != 0;
	return true;
}

/* Reads the query into the caller's parameters. */
static tally_status
read_query(struct caller *caller, const struct http_target *target, struct params_faults *faults,
	   struct tally_error *err)
{
	struct params_text texts[TARGET_MAX_ARGUMENTS];
	struct params_faults own = { .n = 0 };
	size_t n = 0;

	for (size_t i = 0; i < target->n_arguments; i++) {
		const struct http_argument *argument = &target->arguments[i];
		if (!take_own(caller, argument, &own))
			texts[n++] =
			    (struct params_text){ argument->name, argument->value, argument->len };
	}
	tally_status status =
	    params_from_texts(caller->definition, texts, n, &caller->params, faults, err);
	for (size_t i = 0; i < own.n; i++)
		add_fault(faults, own.items[i].name, own.items[i].detail);
	if (status == TALLY_OK && own.n > 0)
		return tally_fail(err, TALLY_INVALID_PARAMETER, "%s %s", own.items[0].name,
				  own.items[0].detail);
	return status;
}

static void
read_prefer(const char *value, void *ctx)
{
	prefer_read(value, ctx);
}

/* How long the caller waits: Prefer: wait=N, at least a second, at most the limit. */
static void
read_wait(struct caller *caller)
{
	const struct config *config = caller->gateway->options.config;
	uint32_t max_s = (uint32_t)(config->wait_max_ms / 1000);
	struct prefer prefer = { 0 };

	http_request_each_header(caller->request, "Prefer", read_prefer, &prefer);
	caller->has_preference = prefer.has_wait;
	uint32_t wait_s =
	    prefer.has_wait ? prefer.wait_s : (uint32_t)((config->wait_default_ms + 999) / 1000);
	if (wait_s > max_s)
		wait_s = max_s;
	caller->waiter.wait_s = wait_s < 1 ? 1 : wait_s;
	caller->waiter.deadline_ms = clock_mono_ms() + (int64_t)caller->waiter.wait_s * 1000;
}

static void
read_no_cache(const char *value, void *ctx)
{
	bool *no_cache = ctx;

	if (strcasestr(value, "no-cache"))
		*no_cache = true;
}

tally_status
gateway_read_trace(const struct http_request *request, struct tally_trace *out_trace)
{
	/* Of a refused request nothing may be read. */
	const char *text =
	    http_request_refusal(request) ? NULL : http_request_header(request, "traceparent");

	if (text && tally_trace_parse(text, strlen(text), out_trace))
		return TALLY_OK;
	return tally_trace_make(out_trace);
}

static tally_status
read_headers(struct caller *caller, struct tally_error *err)
{
	read_wait(caller);
	http_request_each_header(caller->request, "Cache-Control", read_no_cache,
				 &caller->no_cache);
	if (gateway_read_trace(caller->request, &caller->trace) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness");
	return TALLY_OK;
}

/* ---- publishing ---- */

static tally_status
make_message(const struct caller *caller, struct message *message, struct tally_error *err)
{
	int64_t budget_ms = caller->waiter.deadline_ms - clock_mono_ms();

	*message = (struct message){ .head = {
		.reply_partition = atomic_load(&caller->gateway->reply_partition),
		.budget_ms = budget_ms > 1 ? (uint32_t)budget_ms : 1,
		.tenant = GATEWAY_TENANT,
		.no_cache = caller->no_cache,
		.trace = caller->trace,
	} };
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

/* The broker's word on a request; on the producer's thread. */
static void
on_delivered(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct departure *departure = ctx;
	struct tally_error err = { 0 };

	(void)partition;
	(void)offset;
	if (status != TALLY_OK) {
		explain(status, &err);
		fail_flight(departure->gateway, &departure->id, &err);
	}
	free(departure);
}

/* Sends the message of a flight; on failure the flight is answered.  Takes message->data. */
static void
publish(struct gateway *gateway, struct message *message)
{
	struct departure *departure = malloc(sizeof *departure);
	struct tally_error err = { 0 };
	const struct kafka_outgoing outgoing = {
		.topic = TALLY_TOPIC_REQUESTS_SYNC,
		.partition = -1,
		.key = message->key,
		.key_len = sizeof message->key - 1,
		.owned_value = message->data,
		.value_len = message->len,
		.headers = message->headers.items,
		.n_headers = message->headers.n,
		.on_delivered = on_delivered,
		.ctx = departure,
	};
	tally_status status = TALLY_NO_MEMORY;

	if (departure) {
		*departure = (struct departure){ gateway, message->head.id };
		status = kafka_producer_send(gateway->producer, &outgoing);
	}
	if (status == TALLY_OK)
		return;
	free(message->data);
	free(departure);
	explain(status, &err);
	fail_flight(gateway, &message->head.id, &err);
}

/* ---- joining ---- */

static void
on_gone(void *ctx)
{
	struct caller *caller = ctx;
	struct tally_error err = { 0 };

	if (!flights_leave(caller->gateway->flights, &caller->waiter))
		return; /* somebody else answers */
	(void)tally_fail(&err, TALLY_CANCELLED, "the client has left");
	answer_error(caller, &err);
}

static tally_status
find_key(struct caller *caller, struct tally_error *err)
{
	struct tally_request_id bytes;
	tally_status status = params_fingerprint(caller->params, GATEWAY_TENANT, caller->key, err);

	/* A fingerprint has the size and the form of an id. */
	if (status == TALLY_OK && tally_request_id_parse(caller->key, 32, &bytes))
		memcpy(caller->fingerprint, bytes.bytes, sizeof caller->fingerprint);
	return status;
}

/* From here on the caller may be answered by other threads at any moment. */
static void
join(struct caller *caller)
{
	struct gateway *gateway = caller->gateway;
	struct tally_error err = { 0 };
	struct message message;
	bool is_new = false;

	tally_status status = find_key(caller, &err);
	message.data = NULL;
	if (status == TALLY_OK)
		status = make_message(caller, &message, &err);
	if (status == TALLY_OK) {
		http_request_on_gone(caller->request, on_gone, caller);
		status = flights_join(gateway->flights, &caller->waiter,
				      caller->no_cache ? NULL : caller->fingerprint,
				      message.head.id.bytes, clock_mono_ms(), &is_new);
		if (status == TALLY_CLOSED)
			(void)tally_fail(&err, TALLY_SATURATED, "this gateway is stopping");
		else if (status != TALLY_OK)
			(void)tally_fail(&err, status, "too many callers wait here already");
	}
	if (status != TALLY_OK) {
		free(message.data);
		answer_error(caller, &err);
		return;
	}
	if (is_new) {
		publish(gateway, &message);
		return;
	}
	free(message.data);
	metric_add(gateway->metrics.coalesced, 1);
}

void
gateway_ask(struct gateway *gateway, struct http_request *request,
	    const struct definition *definition)
{
	struct params_faults faults = { .n = 0 };
	struct tally_error err = { 0 };
	struct caller *caller = calloc(1, sizeof *caller);

	if (!caller) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		answer_problem(gateway, request, &err, NULL);
		return;
	}
	caller->gateway = gateway;
	caller->request = request;
	caller->definition = definition;
	caller->csv_safe = true;
	tally_status status = read_query(caller, http_request_target(request), &faults, &err);
	if (status == TALLY_OK && !gateway_is_ready(gateway)) {
		status = tally_fail(&err, TALLY_KAFKA_UNAVAILABLE,
				    "this gateway has not met its Kafka broker yet");
		snprintf(err.source, sizeof err.source, "kafka");
	}
	if (status == TALLY_OK)
		status = read_headers(caller, &err);
	if (status == TALLY_OK) {
		atomic_fetch_add(&gateway->n_joining, 1);
		join(caller);
		atomic_fetch_sub(&gateway->n_joining, 1);
		return;
	}
	answer_problem(gateway, request, &err, faults.n > 0 ? &faults : NULL);
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
	struct message message;

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
