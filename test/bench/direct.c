/* direct - what Tally is compared with: the same datasets over HTTP, straight from the databases,
 * all in one process and without Kafka.  It is our own server, engine, sources and encoder, so that
 * what differs is the way and nothing else.
 *
 *   direct HOST:PORT CONNECTIONS BATCH_MAX IN_FLIGHT
 *
 * CONNECTIONS are to each database.  BATCH_MAX 1 is a service as one would write it: every request
 * has its own statements, prepared, one at a time on a connection.  A larger one gathers requests
 * while IN_FLIGHT batches are under way, as the worker does, but without the two hops: the most
 * that batching can give.  Databases are TALLY_SOURCE_DB1 and _DB2, datasets TALLY_DATASETS.
 *
 * The HTTP server's thread parses and checks; the main thread runs the loop with everything else. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "dataset/engine.h"
#include "gateway/query.h"
#include "http/pages.h"
#include "source/open.h"
#include "worker/plans.h"

#define MAX_CALLS    8192
#define MAX_BATCH    1024
#define N_SLOTS      (2 * MAX_BATCH)
#define TIMEOUT_MS   30000
#define BATCH_BYTES  ((size_t)32 << 20)
#define RESULT_BYTES ((size_t)8 << 20)
#define DRAIN_MS     2000

/* A caller who waits. */
struct call {
	TAILQ_ENTRY(call) link;
	struct http_request *request;
	struct params *params;
	struct plan *plan;
};

TAILQ_HEAD(call_list, call);

struct service {
	size_t batch_max, in_flight;
	struct loop *loop;
	struct catalog *catalog;
	struct source *sources[2];
	struct plan_sources plan_sources;
	struct plans *plans;
	struct http_server *server;
	struct queue *arrived;    /* from the server's thread */
	struct call_list waiting; /* in order of arrival */
	size_t n_running;
	struct loop_watch signals;
	struct metric_series *batch_requests;
};

/* Calls that run together; those with the same parameters are one request. */
struct batch {
	struct service *service;
	size_t n;
	const struct params *params[MAX_BATCH];
	struct call_list calls[MAX_BATCH];
	uint16_t slots[N_SLOTS]; /* index + 1 into params, by hash; 0: free */
};

static void __attribute__((noreturn))
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "direct: %s: %s\n", what, why);
	exit(1);
}

/* ---- answers ---- */

static void
reply(struct call *call, unsigned code, char *body, size_t len)
{
	struct http_response response;

	http_response_init(&response, code);
	http_response_header(&response, "Content-Type", "application/json");
	http_response_header(&response, "Cache-Control", "no-store");
	http_response_owned(&response, body, len);
	http_reply(call->request, &response);
	params_free(call->params);
	free(call);
}

/* A copy for all but the last, who takes the body itself. */
static void
reply_all(struct call_list *calls, unsigned code, char *body, size_t len)
{
	struct call *call;

	while ((call = TAILQ_FIRST(calls)) != NULL) {
		char *own = body;

		TAILQ_REMOVE(calls, call, link);
		if (!TAILQ_EMPTY(calls)) {
			own = malloc(len);
			if (!own)
				die("reply", "out of memory");
			memcpy(own, body, len);
		}
		reply(call, code, own, len);
	}
}

static void
on_answer(void *ctx, struct engine_run *run, size_t request, struct engine_answer *answer)
{
	struct batch *batch = ctx;
	char *text;

	(void)run;
	if (answer->status == TALLY_OK) {
		reply_all(&batch->calls[request], 200, answer->body, answer->body_len);
		answer->body = NULL;
		return;
	}
	text = strdup(answer->error.detail);
	if (!text)
		die("reply", "out of memory");
	reply_all(&batch->calls[request], 503, text, strlen(text));
}

static void
on_end(void *ctx, struct engine_run *run)
{
	struct batch *batch = ctx;

	(void)run;
	batch->service->n_running--;
	loop_wake(batch->service->loop); /* there is room for another */
	free(batch);
}

/* ---- batches ---- */

static void
add(struct batch *batch, struct call *call)
{
	size_t slot = params_hash(call->params) % N_SLOTS;

	while (batch->slots[slot] != 0) {
		size_t at = batch->slots[slot] - 1u;

		if (params_equal(batch->params[at], call->params)) {
			TAILQ_INSERT_TAIL(&batch->calls[at], call, link);
			return;
		}
		slot = (slot + 1) % N_SLOTS;
	}
	batch->params[batch->n] = call->params;
	TAILQ_INIT(&batch->calls[batch->n]);
	TAILQ_INSERT_TAIL(&batch->calls[batch->n], call, link);
	batch->slots[slot] = (uint16_t)++batch->n;
}

/* Moves what may share a batch with the first that waits into it; how many calls. */
static size_t
gather(struct service *service, struct batch *batch)
{
	const struct call *first = TAILQ_FIRST(&service->waiting);
	size_t n = 0;
	struct call *next;

	for (struct call *call = TAILQ_FIRST(&service->waiting); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (batch->n == service->batch_max)
			break;
		if (call->plan != first->plan
		    || !plan_same_batch(first->plan, first->params, call->params))
			continue;
		TAILQ_REMOVE(&service->waiting, call, link);
		add(batch, call);
		n++;
	}
	return n;
}

static void
start(struct service *service)
{
	struct plan *plan = TAILQ_FIRST(&service->waiting)->plan;
	struct batch *batch = calloc(1, sizeof *batch);
	const struct engine_limits limits = {
		.now_ms = clock_mono_ms(),
		.deadline_ms = clock_mono_ms() + TIMEOUT_MS,
		.batch_bytes = BATCH_BYTES,
		.result_bytes = RESULT_BYTES,
	};
	const struct engine_events events = { on_answer, NULL, on_end, batch };
	struct engine_run *run;

	if (!batch)
		die("batch", "out of memory");
	batch->service = service;
	metric_observe(service->batch_requests, (double)gather(service, batch));
	service->n_running++;
	if (engine_start(plan, batch->params, batch->n, &limits, &events, &run) != TALLY_OK)
		die("batch", "out of memory");
}

static void
on_wake(void *ctx)
{
	struct service *service = ctx;
	struct call *call;

	while ((call = queue_pop(service->arrived, 0)) != NULL)
		TAILQ_INSERT_TAIL(&service->waiting, call, link);
	while (service->n_running < service->in_flight && !TAILQ_EMPTY(&service->waiting))
		start(service);
}

/* ---- requests; on the server's thread ---- */

static struct plan *
find_plan(const struct service *service, const char *path)
{
	static const char prefix[] = "/api/";
	const char *name = path + sizeof prefix - 1;

	if (strncmp(path, prefix, sizeof prefix - 1) != 0)
		return NULL;
	return plans_find(service->plans, name, strcspn(name, "/"));
}

static void
on_request(void *ctx, struct http_request *request)
{
	struct service *service = ctx;
	struct params_faults faults = { .n = 0 };
	struct tally_error err = { 0 };
	struct form form;

	if (http_request_refusal(request)) {
		http_reply_text(request, 400, "malformed request\n");
		return;
	}
	const char *path = http_request_target(request)->path;
	struct plan *plan = find_plan(service, path);
	if (!plan) {
		if (strcmp(path, "/metrics") == 0)
			http_reply_metrics(request);
		else
			http_reply_text(request, 404, "no such dataset\n");
		return;
	}
	struct call *call = calloc(1, sizeof *call);
	if (!call)
		die("request", "out of memory");
	call->request = request;
	call->plan = plan;
	if (query_read(plan_definition(plan), request, &call->params, &form, &faults, &err)
	    != TALLY_OK) {
		http_reply_text(request, 422, "wrong parameters\n");
		free(call);
		return;
	}
	if (queue_push(service->arrived, call) != TALLY_OK)
		die("request", "too many at once");
	loop_wake(service->loop);
}

/* ---- life ---- */

static void
on_wrong(void *ctx, const struct tally_error *err)
{
	(void)ctx;
	die("dataset", err->detail);
}

static void
on_ready(void *ctx)
{
	struct service *service = ctx;

	(void)printf("ready port=%u\n", http_server_port(service->server));
	(void)fflush(stdout);
}

static void
on_signal(void *ctx, int fd, uint32_t events)
{
	struct service *service = ctx;

	(void)fd;
	(void)events;
	loop_stop(service->loop);
}

static void
watch_signals(struct service *service)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	service->signals = (struct loop_watch){
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = EPOLLIN,
		.on_event = on_signal,
		.ctx = service,
	};
	if (service->signals.fd < 0 || loop_watch(service->loop, &service->signals) != TALLY_OK)
		die("signals", "cannot be watched");
}

static void
open_sources(struct service *service, size_t connections)
{
	static const char *const names[] = { "db1", "db2" };
	static const char *const settings[] = { "TALLY_SOURCE_DB1", "TALLY_SOURCE_DB2" };
	struct tally_error err = { 0 };

	for (size_t i = 0; i < 2; i++) {
		const struct source_options options = {
			.name = names[i],
			.url = getenv(settings[i]),
			.loop = service->loop,
			.connections = connections,
			.queue_max = 2 * (size_t)MAX_CALLS,
			.query_timeout_ms = TIMEOUT_MS,
			.seed = i,
		};

		if (!options.url)
			die(settings[i], "is not set");
		if (source_open(&options, &service->sources[i], &err) != TALLY_OK)
			die(settings[i], err.detail);
	}
	service->plan_sources = (struct plan_sources){ service->sources, 2 };
}

static void
start_service(struct service *service, const char *listen)
{
	const char *folder = getenv("TALLY_DATASETS");
	const struct plans_events events = { on_wrong, on_ready, NULL, service };
	const struct http_server_options options = {
		.listen = listen,
		.n_threads = 1,
		.max_connections = MAX_CALLS / 2,
		.max_target_bytes = 8192,
		.request_timeout_ms = 10000,
		.idle_timeout_ms = 600000,
		.stall_timeout_ms = 30000,
		.handler = on_request,
		.ctx = service,
	};
	struct tally_error err = { 0 };

	if (catalog_load(folder ? folder : "deploy/datasets", &service->catalog, &err) != TALLY_OK
	    || plans_new(service->catalog, &service->plan_sources, service->loop, &events,
			 &service->plans, &err)
		   != TALLY_OK)
		die("datasets", err.detail);
	service->batch_requests = metric_series(metrics_histogram("tally_batch_requests",
								  "Requests that ran as one batch",
								  "lane", NULL, &metrics_counts),
						"direct", NULL);
	metrics_add_process("direct");
	if (http_server_start(&options, &service->server, &err) != TALLY_OK)
		die(listen, err.detail);
	plans_describe(service->plans);
}

/* Whoever still waits is cut off: nobody measures any more. */
static void
stop_service(struct service *service)
{
	struct call *call;

	http_server_quiesce(service->server);
	plans_stop(service->plans);
	service->in_flight = 0; /* nothing new */
	for (int64_t until_ms = clock_mono_ms() + DRAIN_MS;
	     service->n_running > 0 && clock_mono_ms() < until_ms;)
		loop_step(service->loop, 10);
	source_free(service->sources[0]);
	source_free(service->sources[1]);
	on_wake(service);
	while ((call = TAILQ_FIRST(&service->waiting)) != NULL) {
		TAILQ_REMOVE(&service->waiting, call, link);
		reply(call, 503, NULL, 0);
	}
	http_server_drain(service->server, DRAIN_MS);
	http_server_stop(service->server);
	plans_free(service->plans);
	loop_unwatch(service->loop, &service->signals);
	(void)close(service->signals.fd);
	loop_free(service->loop);
	queue_free(service->arrived);
	catalog_free(service->catalog);
}

/* A number of [1, max]. */
static size_t
number(const char *text, size_t max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end != '\0' || n < 1 || n > max)
		die(text, "not a number, or out of range");
	return n;
}

int
main(int argc, char **argv)
{
	static struct service service;
	struct tally_error err = { 0 };

	if (argc != 5) {
		(void)fprintf(stderr, "usage: direct HOST:PORT CONNECTIONS BATCH_MAX IN_FLIGHT\n");
		return 2;
	}
	service.batch_max = number(argv[3], MAX_BATCH);
	service.in_flight = number(argv[4], MAX_CALLS);
	TAILQ_INIT(&service.waiting);
	service.arrived = queue_new(MAX_CALLS);
	if (!service.arrived || loop_new(on_wake, &service, &service.loop, &err) != TALLY_OK)
		die("loop", err.detail);
	watch_signals(&service);
	open_sources(&service, number(argv[2], 100));
	start_service(&service, argv[1]);
	loop_run(service.loop);
	stop_service(&service);
	return 0;
}
