#include "gateway/gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/watchdog.h"
#include "config/program.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_events.h"

#define SEND_TIMEOUT_MS 4000 /* librdkafka looks once a second: at most 5 s until a 503 */
#define LOOK_MS         5
#define FLUSH_MS        1000
#define DELIVER_MS      1000 /* at least, for answers to reach their callers */

/* ---- meeting the broker ---- */

/* FNV-1a. */
uint32_t
gateway_hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

/* Starts to read the partition of this gateway's replies. */
static tally_status
read_replies(struct gateway *gateway, int n, struct tally_error *err)
{
	const struct config *config = gateway->options.config;
	int32_t partition = (int32_t)config->reply_partition;
	struct kafka_reader_options options = {
		.topic = TALLY_TOPIC_REPLIES,
		.on_message = gateway_on_reply,
		.ctx = gateway,
	};
	struct kafka_reader *reader;

	if (partition >= n)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "TALLY_REPLY_PARTITION is %d, but %s has the partitions 0 to %d",
				  partition, TALLY_TOPIC_REPLIES, n - 1);
	if (partition < 0)
		partition = (int32_t)(gateway_hash_name(config->instance) % (uint32_t)n);
	options.partition = partition;
	tally_status status = kafka_reader_start(gateway->options.kafka, &options, &reader, err);
	if (status != TALLY_OK)
		return status;
	atomic_store(&gateway->reply_partition, partition);
	atomic_store(&gateway->reader, reader);
	return TALLY_OK;
}

static bool
is_positioned(const struct gateway *gateway)
{
	return kafka_reader_is_positioned(gateway->reader)
	       && (!gateway->jobs || gateway_jobs_is_positioned(gateway->jobs));
}

static void *
run_starter(void *ctx)
{
	struct gateway *gateway = ctx;
	struct tally_error err = { 0 };
	struct gateway_topics topics;

	if (!gateway_meet_topics(gateway, &topics))
		return NULL;
	if (read_replies(gateway, topics.n_replies, &err) != TALLY_OK
	    || (gateway->jobs
		&& gateway_jobs_read_results(gateway->jobs, topics.n_results, &err) != TALLY_OK)) {
		gateway->options.events.on_fatal(gateway->options.events.ctx, &err);
		return NULL;
	}
	while (!is_positioned(gateway)) {
		if (atomic_load(&gateway->is_stopping))
			return NULL;
		gateway_pause(gateway, LOOK_MS);
	}
	atomic_store(&gateway->is_ready, true);
	gateway->options.events.on_ready(gateway->options.events.ctx, gateway_port(gateway));
	gateway_keep_topics(gateway);
	return NULL;
}

/* ---- making ---- */

/* Without API keys only this machine may ask, unless --open says otherwise. */
static tally_status
check_listen(const struct gateway *gateway, struct tally_error *err)
{
	static const char *const loopbacks[] = { "127.", "localhost:", "[::1]:" };
	const struct config *config = gateway->options.config;

	for (size_t i = 0; i < sizeof loopbacks / sizeof loopbacks[0]; i++) {
		if (strncmp(config->listen, loopbacks[i], strlen(loopbacks[i])) == 0)
			return TALLY_OK;
	}
	if (config->open || tenants_have_keys(gateway->tenants))
		return TALLY_OK;
	return tally_fail(err, TALLY_WRONG_SETTING,
			  "TALLY_LISTEN=%s is open to other machines, and there are no API keys: "
			  "listen on 127.0.0.1, set TALLY_API_KEYS, or allow it with --open",
			  config->listen);
}

static tally_status
start_http(struct gateway *gateway, struct tally_error *err)
{
	const struct config *config = gateway->options.config;
	const struct http_server_options options = {
		.listen = config->listen,
		.n_threads = (unsigned)config->http_threads,
		.max_connections = (unsigned)config->http_connections,
		.max_body_bytes = (size_t)config->body_max_bytes,
		.max_target_bytes = (size_t)config->target_max_bytes,
		.request_timeout_ms = (int)config->request_timeout_ms,
		.idle_timeout_ms = (int)config->idle_timeout_ms,
		.stall_timeout_ms = (int)config->stall_timeout_ms,
		.handler = gateway_on_request,
		.ctx = gateway,
		.on_log = program_log_http,
		.watchdog = gateway->watchdog,
	};

	return http_server_start(&options, &gateway->server, err);
}

static tally_status
start_threads(struct gateway *gateway, struct tally_error *err)
{
	gateway->has_deadlines =
	    pthread_create(&gateway->deadlines, NULL, gateway_run_deadlines, gateway) == 0;
	gateway->has_starter =
	    gateway->has_deadlines
	    && pthread_create(&gateway->starter, NULL, run_starter, gateway) == 0;
	if (!gateway->has_starter)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no thread can be started");
	return TALLY_OK;
}

static tally_status
make(struct gateway *gateway, struct tally_error *err)
{
	const struct config *config = gateway->options.config;
	tally_status status = tenants_new(config->api_keys, &gateway->tenants, err);

	if (status == TALLY_OK)
		status = check_listen(gateway, err);
	gateway->flights = flights_new((size_t)config->waiters_max);
	gateway->events = job_events_new((size_t)config->waiters_max);
	if (status == TALLY_OK && (!gateway->flights || !gateway->events))
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK)
		status =
		    kafka_producer_start_quiet(gateway->options.kafka, SEND_TIMEOUT_MS,
					       gateway_on_lost, gateway, &gateway->producer, err);
	if (status == TALLY_OK)
		status = gateway_jobs_new(&gateway->options, &gateway->jobs, err);
	/* A thread that hangs would keep the callers of its connections for ever. */
	if (status == TALLY_OK)
		status = watchdog_start(config->watchdog_ms, program_on_hang,
					(void *)(uintptr_t)config, &gateway->watchdog, err);
	if (status == TALLY_OK)
		status = start_http(gateway, err);
	if (status == TALLY_OK) {
		gateway_add_callbacks(gateway);
		status = start_threads(gateway, err);
	}
	return status;
}

tally_status
gateway_start(const struct gateway_options *options, struct gateway **out_gateway,
	      struct tally_error *err)
{
	struct gateway *gateway = calloc(1, sizeof *gateway);
	pthread_condattr_t attributes;

	if (!gateway)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	gateway->options = *options;
	gateway->admission.max_queue_ms = options->config->queue_wait_max_ms;
	atomic_store(&gateway->reply_partition, -1);
	pthread_mutex_init(&gateway->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&gateway->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	gateway_add_metrics(gateway);
	tally_status status = make(gateway, err);
	if (status != TALLY_OK) {
		gateway_stop(gateway, 0);
		return status;
	}
	*out_gateway = gateway;
	return TALLY_OK;
}

unsigned
gateway_port(const struct gateway *gateway)
{
	return http_server_port(gateway->server);
}

/* ---- API keys ---- */

static void
count_keys(void *ctx, const char *name, const struct tenant_limits *limits, size_t n_keys)
{
	size_t *n = ctx;

	(void)name;
	(void)limits;
	*n += n_keys;
}

void
gateway_reload(struct gateway *gateway)
{
	struct tally_error err = { 0 };
	size_t n = 0;

	if (!gateway)
		return;
	if (tenants_reload(gateway->tenants, &err) != TALLY_OK) {
		log_error("the API keys stay as they were", LOG_ERROR(&err));
		return;
	}
	tenants_each(gateway->tenants, count_keys, &n);
	log_info("API keys read again", LOG_UINT("keys", n));
}

/* ---- ending ---- */

/* Takes no more callers, and gives those that wait until end_ms to be answered: for rows, or by the
 * job store and the broker. */
static void
drain(struct gateway *gateway, int64_t end_ms)
{
	const struct timespec look = { 0, LOOK_MS * 1000000 };

	flights_close(gateway->flights);
	gateway_jobs_close(gateway->jobs);
	job_events_close(gateway->events);
	while (http_server_stats(gateway->server).waiting > 0 && clock_mono_ms() < end_ms)
		nanosleep(&look, NULL);
	/* Who has joined a flight still needs the producer, for a moment. */
	while (atomic_load(&gateway->n_joining) > 0)
		nanosleep(&look, NULL);
}

/* No thread but the server's is left, so nobody else has a caller in hand. */
static void
answer_rest(struct gateway *gateway)
{
	struct waiter_list left = TAILQ_HEAD_INITIALIZER(left);
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_SATURATED, "this gateway is stopping");
	flights_expire(gateway->flights, INT64_MAX, &left);
	answer_all(&left, &err);
}

/* Gives the answers until end_ms to reach their callers, and a moment in any case. */
static void
deliver(struct gateway *gateway, int64_t end_ms)
{
	int64_t left_ms = end_ms - clock_mono_ms();

	http_server_drain(gateway->server, left_ms > DELIVER_MS ? (int)left_ms : DELIVER_MS);
}

static void
stop_threads(struct gateway *gateway)
{
	pthread_mutex_lock(&gateway->lock);
	atomic_store(&gateway->is_stopping, true);
	pthread_cond_broadcast(&gateway->changed);
	pthread_mutex_unlock(&gateway->lock);
	if (gateway->has_starter)
		pthread_join(gateway->starter, NULL);
	if (gateway->has_deadlines)
		pthread_join(gateway->deadlines, NULL);
}

void
gateway_stop(struct gateway *gateway, int drain_ms)
{
	int64_t end_ms = clock_mono_ms() + drain_ms;

	if (!gateway)
		return;
	atomic_store(&gateway->is_ready, false);
	if (gateway->server) {
		http_server_quiesce(gateway->server);
		drain(gateway, end_ms);
	}
	stop_threads(gateway);
	metrics_forget(gateway);
	/* The reader's and the producer's threads answer callers: they end before the server.  The
	 * reader itself ends after it: answers on their way are its messages. */
	kafka_reader_quiesce(gateway->reader);
	gateway_jobs_quiesce(gateway->jobs, FLUSH_MS);
	kafka_producer_stop(gateway->producer, FLUSH_MS);
	if (gateway->flights)
		answer_rest(gateway);
	if (gateway->server)
		deliver(gateway, end_ms);
	http_server_stop(gateway->server);
	watchdog_stop(gateway->watchdog);
	kafka_reader_stop(gateway->reader);
	gateway_jobs_free(gateway->jobs);
	job_events_free(gateway->events);
	flights_free(gateway->flights);
	tenants_free(gateway->tenants);
	pthread_cond_destroy(&gateway->changed);
	pthread_mutex_destroy(&gateway->lock);
	free(gateway);
}
