/* Many clients, some of whom leave at random; answers from the handler's thread, from two others and
 * from on_gone; the server quiesces in the midst of it.  Each request is answered once, hears of its
 * client at most once, and never after its answer: its token is freed then. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/server.h"
#include "support/tcp.h"

#define CLIENTS     8
#define ROUNDS      300
#define REPLIERS    2
#define QUEUE       1024
#define DEADLINE_MS 20000
#define BODY_BYTES  100000

struct token {
	struct http_request *request;
	int n_gone;
	bool answers_itself;
	atomic_bool is_answered;
};

static struct http_server *server;
static _Atomic uint64_t n_handled, n_answered, n_gone, n_heard;
static atomic_bool is_over;
static char body[BODY_BYTES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t grown = PTHREAD_COND_INITIALIZER;
static struct token *queue[QUEUE];
static size_t n_queued;

static void
require(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "http_server: %s\n", what);
	abort();
}

static ssize_t
read_piece(void *ctx, char *out, size_t max)
{
	int *left = ctx;

	if ((*left)-- == 0)
		return 0;
	memset(out, 'y', max < 1000 ? max : 1000);
	return (ssize_t)(max < 1000 ? max : 1000);
}

static void
answer(struct http_request *request, unsigned n)
{
	struct http_response response;
	int *left;

	http_response_init(&response, 200);
	http_response_header(&response, "X-Kind", "raced");
	if (n % 3 == 0) {
		left = malloc(sizeof *left);
		require(left, "out of memory");
		*left = 20;
		http_response_stream(&response, read_piece, free, left);
	} else {
		http_response_static(&response, body, n % 3 == 1 ? 5 : sizeof body);
	}
	http_reply(request, &response);
	atomic_fetch_add(&n_answered, 1);
}

static void
on_gone(void *ctx)
{
	struct token *token = ctx;

	require(!atomic_load(&token->is_answered), "on_gone after the answer");
	require(token->n_gone++ == 0, "on_gone twice");
	atomic_fetch_add(&n_gone, 1);
	if (token->answers_itself) {
		answer(token->request, 1);
		free(token);
	}
}

static void
handle(void *ctx, struct http_request *request)
{
	const char *path = http_request_target(request)->path;
	struct token *token;
	unsigned n;

	(void)ctx;
	n = (unsigned)atomic_fetch_add(&n_handled, 1);
	require(!http_request_refusal(request), "a request was refused");
	if (strcmp(path, "/now") == 0) {
		answer(request, n);
		return;
	}
	token = calloc(1, sizeof *token);
	require(token, "out of memory");
	token->request = request;
	token->answers_itself = strcmp(path, "/left") == 0;
	http_request_on_gone(request, on_gone, token);
	if (token->answers_itself)
		return;
	pthread_mutex_lock(&lock);
	require(n_queued < QUEUE, "the queue is full");
	queue[n_queued++] = token;
	pthread_cond_signal(&grown);
	pthread_mutex_unlock(&lock);
}

static void *
reply(void *arg)
{
	unsigned seed = *(unsigned *)arg;

	for (;;) {
		struct token *token = NULL;

		pthread_mutex_lock(&lock);
		while (n_queued == 0 && !atomic_load(&is_over))
			pthread_cond_wait(&grown, &lock);
		if (n_queued > 0)
			token = queue[--n_queued];
		pthread_mutex_unlock(&lock);
		if (!token)
			return NULL;
		/* At once, or when the client may have left. */
		if (rand_r(&seed) % 2)
			(void)poll(NULL, 0, 1);
		answer(token->request, (unsigned)rand_r(&seed));
		atomic_store(&token->is_answered, true);
		free(token);
	}
}

/* Reads until the server closes. */
static void
hear(int fd)
{
	char some[4096];
	ssize_t n;

	while ((n = tcp_hear(fd, some, sizeof some, DEADLINE_MS)) > 0)
		;
	require(n == 0, "no answer");
	atomic_fetch_add(&n_heard, 1);
}

static void *
call(void *arg)
{
	static const char *const requests[] = {
		"GET /now HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET /later HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
		"GET /now HTTP/1.1\r\nHost: h\r\n\r\n"
		"POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
		"GET /left HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /later HTTP/1.1\r\nHo",
	};
	unsigned seed = *(unsigned *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned which = (unsigned)rand_r(&seed) % 5;
		const char *request = requests[which];
		int fd = tcp_connect(http_server_port(server));

		if (fd < 0)
			return NULL; /* it quiesces */
		(void)send(fd, request, strlen(request), MSG_NOSIGNAL);
		if (which < 3 && rand_r(&seed) % 2)
			hear(fd);
		else if (rand_r(&seed) % 2)
			(void)poll(NULL, 0, 1);
		tcp_leave(fd, rand_r(&seed) % 2);
	}
	return NULL;
}

static void
start(void)
{
	struct http_server_options options = { .listen = "127.0.0.1:0",
					       .n_threads = 3,
					       .max_connections = 6,
					       .max_body_bytes = 100,
					       .max_target_bytes = 100,
					       .request_timeout_ms = DEADLINE_MS,
					       .idle_timeout_ms = 80,
					       .stall_timeout_ms = DEADLINE_MS,
					       .handler = handle };
	struct tally_error err = { 0 };

	if (http_server_start(&options, &server, &err) == TALLY_OK)
		return;
	(void)fprintf(stderr, "http_server: %s\n", err.detail);
	exit(1);
}

static void
run(unsigned seed)
{
	pthread_t clients[CLIENTS], repliers[REPLIERS];
	unsigned seeds[CLIENTS + REPLIERS];
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	start();
	atomic_store(&is_over, false);
	for (unsigned i = 0; i < CLIENTS + REPLIERS; i++) {
		seeds[i] = seed * 100 + i;
		if (i < CLIENTS)
			pthread_create(&clients[i], NULL, call, &seeds[i]);
		else
			pthread_create(&repliers[i - CLIENTS], NULL, reply, &seeds[i]);
	}
	/* The second time in the midst of it. */
	while (seed == 2 && atomic_load(&n_handled) < (uint64_t)CLIENTS * ROUNDS)
		require(clock_mono_ms() < until && poll(NULL, 0, 1) == 0, "it does not move");
	if (seed == 2)
		http_server_quiesce(server);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	http_server_quiesce(server);
	while (http_server_stats(server).connections > 0 || http_server_stats(server).waiting > 0)
		require(clock_mono_ms() < until && poll(NULL, 0, 1) == 0, "connections stay");
	pthread_mutex_lock(&lock);
	atomic_store(&is_over, true);
	pthread_cond_broadcast(&grown);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < REPLIERS; i++)
		pthread_join(repliers[i], NULL);
	require(http_server_stats(server).reaped == 0, "a client was called slow");
	http_server_stop(server);
}

int
main(void)
{
	memset(body, 'z', sizeof body);
	for (unsigned seed = 1; seed <= 2; seed++) {
		run(seed);
		require(atomic_load(&n_handled) == atomic_load(&n_answered), "not every answer");
	}
	require(atomic_load(&n_gone) > 0 && atomic_load(&n_heard) > 0, "nothing happened");
	(void)printf("http_server: %lu requests, %lu left, %lu heard\n", atomic_load(&n_handled),
		     atomic_load(&n_gone), atomic_load(&n_heard));
	return 0;
}
