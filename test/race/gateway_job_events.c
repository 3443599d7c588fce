/* Event streams whose job store answers from two threads, while clients leave at random and the
 * gateway stops in the midst of it: each stream is freed once, and nobody touches it after that. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* What the streams stand on is made here; under other names, because the library has it, too. */
#define job_store_get          test_job_store_get
#define job_store_watch        test_job_store_watch
#define job_store_unwatch      test_job_store_unwatch
#define gateway_jobs_begin     test_gateway_jobs_begin
#define gateway_jobs_end       test_gateway_jobs_end
#define gateway_jobs_store     test_gateway_jobs_store
#define gateway_jobs_check_id  test_gateway_jobs_check_id
#define exchange_reply         test_exchange_reply
#define exchange_problem       test_exchange_problem
#define exchange_tenant        test_exchange_tenant
#define exchange_wait          test_exchange_wait
#define exchange_take_wait     test_exchange_take_wait
#define gateway_get_job_events test_gateway_get_job_events
#define job_events_new         test_job_events_new
#define job_events_close       test_job_events_close
#define job_events_free        test_job_events_free
#define job_events_count       test_job_events_count
#include "../../internal/gateway/job_events.c"
#include "support/tcp.h"

#define CLIENTS     4
#define STORES      2
#define ROUNDS      120
#define MAX_GETS    64
#define DEADLINE_MS 60000

static struct gateway gateway;
static struct http_server *server;
static atomic_bool is_stopped;
static _Atomic uint64_t n_answers, n_events;

static void
require(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "gateway_job_events: %s\n", what);
	abort();
}

/* ---- the store --------------------------------------------------------------- */

struct get {
	job_found_fn *found;
	void *ctx;
};

static pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER;
static struct get lookups[MAX_GETS];
static size_t n_lookups;
static TAILQ_HEAD(, job_watch) watches = TAILQ_HEAD_INITIALIZER(watches);

tally_status
job_store_get(struct job_store *store, const char *tenant, const struct tally_job_id *id,
	      job_found_fn *found, void *ctx)
{
	tally_status status = TALLY_SATURATED;

	(void)store;
	(void)tenant;
	(void)id;
	pthread_mutex_lock(&store_lock);
	if (n_lookups < MAX_GETS) {
		lookups[n_lookups++] = (struct get){ found, ctx };
		status = TALLY_OK;
	}
	pthread_mutex_unlock(&store_lock);
	return status;
}

tally_status
job_store_watch(struct job_store *store, struct job_watch *watch)
{
	(void)store;
	pthread_mutex_lock(&store_lock);
	TAILQ_INSERT_TAIL(&watches, watch, link);
	watch->is_watched = true;
	pthread_mutex_unlock(&store_lock);
	return TALLY_OK;
}

bool
job_store_unwatch(struct job_store *store, struct job_watch *watch)
{
	bool was_watched;

	(void)store;
	pthread_mutex_lock(&store_lock);
	was_watched = watch->is_watched;
	if (was_watched)
		TAILQ_REMOVE(&watches, watch, link);
	watch->is_watched = false;
	pthread_mutex_unlock(&store_lock);
	return was_watched;
}

/* Takes a question, a look-up first. */
static struct get
take_question(void)
{
	struct get get = { 0 };

	pthread_mutex_lock(&store_lock);
	struct job_watch *watch = TAILQ_FIRST(&watches);
	if (n_lookups > 0) {
		get = lookups[--n_lookups];
	} else if (watch) {
		TAILQ_REMOVE(&watches, watch, link);
		watch->is_watched = false;
		get = (struct get){ watch->found, watch->ctx };
	}
	pthread_mutex_unlock(&store_lock);
	return get;
}

static void *
answer_questions(void *arg)
{
	static const enum job_state states[] = { JOB_QUEUED,  JOB_QUEUED,  JOB_QUEUED,
						 JOB_RUNNING, JOB_RUNNING, JOB_SUCCEEDED };
	unsigned seed = *(unsigned *)arg;

	/* Stopped, the store still answers what waits. */
	for (;;) {
		bool was_stopped = atomic_load(&is_stopped);
		struct get get = take_question();
		struct job job = { .created_ms = clock_unix_ms(),
				   .n_parts = 1,
				   .state = states[(unsigned)rand_r(&seed) % 6] };
		tally_status status = rand_r(&seed) % 8 ? TALLY_OK : TALLY_JOB_STORE_UNAVAILABLE;

		if (get.found) {
			get.found(get.ctx, status, status == TALLY_OK ? &job : NULL, 0);
			atomic_fetch_add(&n_answers, 1);
		} else if (was_stopped) {
			return NULL;
		}
		if (!get.found || rand_r(&seed) % 4 == 0)
			(void)poll(NULL, 0, 1);
	}
}

/* ---- the gateway ------------------------------------------------------------- */

struct gateway_jobs *
gateway_jobs_begin(const struct exchange *exchange)
{
	return (struct gateway_jobs *)(void *)exchange->gateway;
}

void
gateway_jobs_end(struct gateway_jobs *jobs)
{
	(void)jobs;
}

struct job_store *
gateway_jobs_store(struct gateway_jobs *jobs)
{
	return (struct job_store *)(void *)jobs;
}

tally_status
gateway_jobs_check_id(const struct gateway_jobs *jobs, const char *tenant, const char *text,
		      size_t len, struct tally_job_id *out_id, struct tally_job_id_parts *out_parts)
{
	(void)jobs;
	(void)tenant;
	(void)text;
	(void)len;
	*out_id = (struct tally_job_id){ "id" };
	*out_parts = (struct tally_job_id_parts){ .created_ms = clock_unix_ms() };
	return TALLY_OK;
}

void
exchange_reply(const struct exchange *exchange, struct http_response *response)
{
	http_reply(exchange->request, response);
}

void
exchange_problem(const struct exchange *exchange, const struct tally_error *error,
		 const struct params_faults *faults)
{
	struct http_response response;

	(void)error;
	(void)faults;
	http_response_init(&response, 503);
	exchange_reply(exchange, &response);
}

bool
exchange_wait(struct exchange *exchange)
{
	(void)exchange;
	return true;
}

struct tenant *
exchange_take_wait(struct exchange *exchange)
{
	(void)exchange;
	return NULL;
}

const char *
exchange_tenant(const struct exchange *exchange)
{
	(void)exchange;
	return "default";
}

static void
handle(void *ctx, struct http_request *request)
{
	struct exchange exchange = { .gateway = ctx, .request = request, .variable = "" };

	gateway_get_job_events(&exchange);
}

/* ---- its clients ------------------------------------------------------------- */

/* Reads a few times, or until the server closes. */
static void
hear(int fd, int times)
{
	char some[512];

	for (; times > 0; times--) {
		ssize_t n = tcp_hear(fd, some, sizeof some, DEADLINE_MS);

		require(n >= 0, "nothing comes");
		if (n == 0)
			return;
		atomic_fetch_add(&n_events, 1);
	}
}

static void *
call(void *arg)
{
	static const char request[] = "GET /x HTTP/1.0\r\nLast-Event-ID: 1\r\n\r\n";
	unsigned seed = *(unsigned *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		int fd = tcp_connect(http_server_port(server));

		require(fd >= 0, "no connection");
		(void)send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
		hear(fd, rand_r(&seed) % 3 ? rand_r(&seed) % 4 : 1000000);
		tcp_leave(fd, rand_r(&seed) % 2);
	}
	return NULL;
}

static void
start_gateway(void)
{
	const struct http_server_options options = { .listen = "127.0.0.1:0",
						     .n_threads = 3,
						     .max_connections = 20,
						     .max_body_bytes = 100,
						     .max_target_bytes = 100,
						     .request_timeout_ms = DEADLINE_MS,
						     .idle_timeout_ms = DEADLINE_MS,
						     .stall_timeout_ms = DEADLINE_MS,
						     .handler = handle,
						     .ctx = &gateway };
	struct tally_error err = { 0 };

	gateway.events = job_events_new(MAX_GETS);
	require(http_server_start(&options, &server, &err) == TALLY_OK, err.detail);
}

/* Half-way, in the midst of it. */
static void
wait_for_half(void)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	while (atomic_load(&n_answers) < CLIENTS * ROUNDS / 2)
		require(clock_mono_ms() < until && poll(NULL, 0, 1) == 0, "it does not move");
}

int
main(void)
{
	pthread_t clients[CLIENTS], stores[STORES];
	unsigned seeds[CLIENTS + STORES];

	start_gateway();
	for (unsigned i = 0; i < CLIENTS + STORES; i++) {
		seeds[i] = i + 1;
		if (i < CLIENTS)
			pthread_create(&clients[i], NULL, call, &seeds[i]);
		else
			pthread_create(&stores[i - CLIENTS], NULL, answer_questions, &seeds[i]);
	}
	wait_for_half();
	/* As a gateway stops; the clients that come later are refused. */
	job_events_close(gateway.events);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	atomic_store(&is_stopped, true);
	for (int i = 0; i < STORES; i++)
		pthread_join(stores[i], NULL);
	http_server_quiesce(server);
	http_server_drain(server, DEADLINE_MS);
	http_server_stop(server);
	require(job_events_count(gateway.events) == 0, "a stream is left");
	job_events_free(gateway.events);
	require(n_events > 0, "nothing happened");
	(void)printf("gateway_job_events: %lu answers, %lu pieces heard\n", atomic_load(&n_answers),
		     atomic_load(&n_events));
	return 0;
}
