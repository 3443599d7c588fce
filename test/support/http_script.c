#include "support/http_script.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUESTS    64
#define MAX_CONNECTIONS 64
#define REQUEST_BYTES   ((size_t)4 << 20)

struct http_script {
	const struct http_act *acts;
	size_t n_acts;
	int fd;
	int port;
	int stop[2]; /* a pipe that is closed to stop */
	pthread_t thread;
	pthread_mutex_t mutex; /* guards what follows */
	char *requests[MAX_REQUESTS];
	size_t n_requests;
	size_t n_connections;
	pthread_t threads[MAX_CONNECTIONS];
};

struct connection {
	struct http_script *script;
	int fd;
};

static void
check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

/* Waits for fd; false when the server is stopped. */
static bool
await(struct http_script *script, int fd, short events)
{
	struct pollfd fds[] = {
		{ .fd = fd,              .events = events },
                { .fd = script->stop[0], .events = POLLIN }
	};

	check(poll(fds, 2, -1) > 0, "poll");
	return !fds[1].revents;
}

/* The length of the request in text; 0 when it is not whole. */
static size_t
request_len(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "\r\nContent-Length:");
	size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;

	return end ? (size_t)(end + 4 - text) + body : 0;
}

/* Reads a request; NULL when the client or the server goes. */
static char *
read_request(struct connection *connection)
{
	char *text = calloc(1, REQUEST_BYTES);
	size_t len = 0;

	check(text != NULL, "calloc");
	for (;;) {
		size_t whole = request_len(text);
		ssize_t n;

		if (whole > 0 && len >= whole)
			return text;
		if (!await(connection->script, connection->fd, POLLIN))
			break;
		n = read(connection->fd, text + len, REQUEST_BYTES - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	free(text);
	return NULL;
}

static const struct http_act *
take_act(struct http_script *script, char *request)
{
	size_t i;

	check(pthread_mutex_lock(&script->mutex) == 0, "lock");
	i = script->n_requests++;
	check(i < MAX_REQUESTS, "too many requests");
	script->requests[i] = request;
	check(pthread_mutex_unlock(&script->mutex) == 0, "unlock");
	return &script->acts[i < script->n_acts ? i : script->n_acts - 1];
}

static void
send_bytes(const struct connection *connection, const struct http_act *act)
{
	size_t slice = act->slice ? act->slice : act->len;

	for (size_t at = 0; at < act->len; at += slice) {
		size_t len = act->len - at < slice ? act->len - at : slice;

		if (!await(connection->script, connection->fd, POLLOUT)
		    || send(connection->fd, act->bytes + at, len, MSG_NOSIGNAL) < 0)
			return;
		if (act->slice)
			sched_yield();
	}
}

/* Whether the connection goes on. */
static bool
serve(struct connection *connection)
{
	const struct linger reset = { .l_onoff = 1 };
	const struct http_act *act;
	char *request = read_request(connection);
	char byte;

	if (!request)
		return false;
	act = take_act(connection->script, request);
	send_bytes(connection, act);
	switch (act->then) {
	case HTTP_KEEP:
		return true;
	case HTTP_RESET:
		check(setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0,
		      "linger");
		return false;
	case HTTP_HANG:
		while (await(connection->script, connection->fd, POLLIN)
		       && read(connection->fd, &byte, 1) > 0)
			;
		return false;
	default:
		return false;
	}
}

static void *
run_connection(void *ctx)
{
	struct connection *connection = ctx;

	while (serve(connection))
		;
	(void)close(connection->fd);
	free(connection);
	return NULL;
}

static void
accept_one(struct http_script *script)
{
	struct connection *connection = malloc(sizeof *connection);

	check(connection != NULL, "malloc");
	connection->script = script;
	connection->fd = accept(script->fd, NULL, NULL);
	check(connection->fd >= 0, "accept");
	check(pthread_mutex_lock(&script->mutex) == 0, "lock");
	check(script->n_connections < MAX_CONNECTIONS, "too many connections");
	check(pthread_create(&script->threads[script->n_connections++], NULL, run_connection,
			     connection)
		  == 0,
	      "thread");
	check(pthread_mutex_unlock(&script->mutex) == 0, "unlock");
}

static void *
run(void *ctx)
{
	struct http_script *script = ctx;

	while (await(script, script->fd, POLLIN))
		accept_one(script);
	return NULL;
}

struct http_script *
http_script_start(const struct http_act *acts, size_t n)
{
	struct http_script *script = calloc(1, sizeof *script);
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof address;

	check(script != NULL, "calloc");
	script->acts = acts;
	script->n_acts = n;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	script->fd = socket(AF_INET, SOCK_STREAM, 0);
	check(script->fd >= 0 && bind(script->fd, (struct sockaddr *)&address, len) == 0
		  && listen(script->fd, 64) == 0
		  && getsockname(script->fd, (struct sockaddr *)&address, &len) == 0
		  && pipe(script->stop) == 0 && pthread_mutex_init(&script->mutex, NULL) == 0,
	      "listen");
	script->port = ntohs(address.sin_port);
	check(pthread_create(&script->thread, NULL, run, script) == 0, "thread");
	return script;
}

void
http_script_stop(struct http_script *script)
{
	if (!script)
		return;
	(void)close(script->stop[1]);
	(void)pthread_join(script->thread, NULL);
	for (size_t i = 0; i < script->n_connections; i++)
		(void)pthread_join(script->threads[i], NULL);
	(void)close(script->stop[0]);
	(void)close(script->fd);
	for (size_t i = 0; i < script->n_requests; i++)
		free(script->requests[i]);
	(void)pthread_mutex_destroy(&script->mutex);
	free(script);
}

int
http_script_port(const struct http_script *script)
{
	return script->port;
}

size_t
http_script_connections(struct http_script *script)
{
	size_t n;

	check(pthread_mutex_lock(&script->mutex) == 0, "lock");
	n = script->n_connections;
	check(pthread_mutex_unlock(&script->mutex) == 0, "unlock");
	return n;
}

size_t
http_script_requests(struct http_script *script)
{
	size_t n;

	check(pthread_mutex_lock(&script->mutex) == 0, "lock");
	n = script->n_requests;
	check(pthread_mutex_unlock(&script->mutex) == 0, "unlock");
	return n;
}

const char *
http_script_request(struct http_script *script, size_t index)
{
	const char *request;

	check(pthread_mutex_lock(&script->mutex) == 0, "lock");
	request = index < script->n_requests ? script->requests[index] : NULL;
	check(pthread_mutex_unlock(&script->mutex) == 0, "unlock");
	return request;
}
