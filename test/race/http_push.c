/* Many streams on a few server threads, written to by other threads, while their clients leave at
 * random and writers end them at random: every stream that was opened is freed once, and none is
 * told of after that.  For ThreadSanitizer. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/push.h"
#include "http/server.h"
#include "support/tcp.h"

#define CLIENTS     4
#define WRITERS     3
#define ROUNDS      150
#define MAX_STREAMS 64
#define PUSH_BYTES  2048
#define DEADLINE_MS 60000

struct stream {
	struct http_push *push;
	atomic_bool has_left;
	TAILQ_ENTRY(stream) link;
};

static struct http_server *server;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static TAILQ_HEAD(, stream) streams = TAILQ_HEAD_INITIALIZER(streams);
static atomic_bool is_over;
static _Atomic uint64_t n_opened, n_freed, n_left, n_ended, n_full, n_heard;

static void
require(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "http_push: %s\n", what);
	abort();
}

/* ---- the service ------------------------------------------------------------- */

static void
on_gone(void *ctx)
{
	struct stream *stream = ctx;

	require(!atomic_exchange(&stream->has_left, true), "told twice");
	atomic_fetch_add(&n_left, 1);
}

static void
handle(void *ctx, struct http_request *request)
{
	struct stream *stream = calloc(1, sizeof *stream);
	struct http_response response;

	(void)ctx;
	stream->push = http_push_new(PUSH_BYTES, on_gone, stream);
	http_response_init(&response, 200);
	http_response_push(&response, stream->push);
	atomic_fetch_add(&n_opened, 1);
	pthread_mutex_lock(&lock);
	TAILQ_INSERT_TAIL(&streams, stream, link);
	pthread_mutex_unlock(&lock);
	/* Writers may have it from here on. */
	http_reply(request, &response);
}

static void
free_stream(struct stream *stream)
{
	http_push_free(stream->push);
	/* Nobody may tell of it any more: the sanitizer sees who does. */
	free(stream);
	atomic_fetch_add(&n_freed, 1);
}

/* Takes the first stream out; NULL: there is none. */
static struct stream *
take(void)
{
	struct stream *stream;

	pthread_mutex_lock(&lock);
	stream = TAILQ_FIRST(&streams);
	if (stream)
		TAILQ_REMOVE(&streams, stream, link);
	pthread_mutex_unlock(&lock);
	return stream;
}

static void *
write_all(void *arg)
{
	static const char line[] = "event: state\ndata: something that is not empty\n\n";
	unsigned seed = *(unsigned *)arg;

	while (!atomic_load(&is_over)) {
		struct stream *stream = take();
		tally_status status;

		if (!stream) {
			(void)poll(NULL, 0, 1);
			continue;
		}
		status = http_push_write(stream->push, line, sizeof line - 1);
		atomic_fetch_add(&n_full, status == TALLY_FULL);
		if (status == TALLY_CLOSED || rand_r(&seed) % 40 == 0) {
			if (status != TALLY_CLOSED && rand_r(&seed) % 2)
				http_push_end(stream->push);
			atomic_fetch_add(&n_ended, status != TALLY_CLOSED);
			free_stream(stream);
			continue;
		}
		pthread_mutex_lock(&lock);
		TAILQ_INSERT_TAIL(&streams, stream, link);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
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
		atomic_fetch_add(&n_heard, 1);
	}
}

static void *
call(void *arg)
{
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	};
	unsigned seed = *(unsigned *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned which = (unsigned)rand_r(&seed) % 4;
		int fd = tcp_connect(http_server_port(server));

		require(fd >= 0, "no connection");
		(void)send(fd, requests[which], strlen(requests[which]), MSG_NOSIGNAL);
		if (which < 2 && rand_r(&seed) % 3 == 0)
			hear(fd, 1000000);
		else if (rand_r(&seed) % 2)
			hear(fd, which == 2 ? 1 : rand_r(&seed) % 8);
		tcp_leave(fd, rand_r(&seed) % 2);
	}
	return NULL;
}

static void
start(void)
{
	struct http_server_options options = { .listen = "127.0.0.1:0",
					       .n_threads = 3,
					       .max_connections = MAX_STREAMS,
					       .max_body_bytes = 100,
					       .max_target_bytes = 100,
					       .request_timeout_ms = DEADLINE_MS,
					       .idle_timeout_ms = 80,
					       .stall_timeout_ms = DEADLINE_MS,
					       .handler = handle };
	struct tally_error err = { 0 };

	if (http_server_start(&options, &server, &err) == TALLY_OK)
		return;
	(void)fprintf(stderr, "http_push: %s\n", err.detail);
	exit(1);
}

static void
free_what_is_left(void)
{
	struct stream *stream;

	while ((stream = take()))
		free_stream(stream);
}

int
main(void)
{
	pthread_t clients[CLIENTS], writers[WRITERS];
	unsigned seeds[CLIENTS + WRITERS];

	start();
	for (unsigned i = 0; i < CLIENTS + WRITERS; i++) {
		seeds[i] = i + 1;
		if (i < CLIENTS)
			pthread_create(&clients[i], NULL, call, &seeds[i]);
		else
			pthread_create(&writers[i - CLIENTS], NULL, write_all, &seeds[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i], NULL);
	atomic_store(&is_over, true);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	http_server_quiesce(server);
	/* With streams still open, ended by their writers: as a gateway stops. */
	free_what_is_left();
	http_server_drain(server, DEADLINE_MS);
	free_what_is_left();
	http_server_stop(server);
	require(atomic_load(&n_opened) == atomic_load(&n_freed), "not every stream was freed");
	require(n_left > 0 && n_ended > 0 && n_heard > 0, "nothing happened");
	(void)printf("http_push: %lu streams, %lu left, %lu ended, %lu full, %lu heard\n",
		     atomic_load(&n_opened), atomic_load(&n_left), atomic_load(&n_ended),
		     atomic_load(&n_full), atomic_load(&n_heard));
	return 0;
}
