#include "bench/ask.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct ask {
	int fd;
	char host[128];
	char answer[1 << 20]; /* head, then as much of the body as came */
};

static void __attribute__((noreturn))
die(const char *what)
{
	(void)fprintf(stderr, "latency: %s\n", what);
	exit(1);
}

struct ask *
ask_open(const char *address)
{
	struct ask *ask = calloc(1, sizeof *ask);
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(address, ':');
	struct addrinfo *found;
	int one = 1;

	if (!ask || !colon || (size_t)(colon - address) >= sizeof ask->host)
		die("the address must be HOST:PORT");
	memcpy(ask->host, address, (size_t)(colon - address));
	if (getaddrinfo(ask->host, colon + 1, &hints, &found) != 0)
		die("no such host");
	ask->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ask->fd < 0 || connect(ask->fd, found->ai_addr, found->ai_addrlen) != 0)
		die("cannot connect");
	(void)setsockopt(ask->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	freeaddrinfo(found);
	return ask;
}

/* Adds what comes to the len bytes that are there; how many there are then. */
static size_t
receive(struct ask *ask, size_t len)
{
	ssize_t n = 0;

	if (len + 1 < sizeof ask->answer)
		n = recv(ask->fd, ask->answer + len, sizeof ask->answer - 1 - len, 0);
	if (n <= 0)
		die("the connection ended, or the answer is too large");
	ask->answer[len + (size_t)n] = '\0';
	return len + (size_t)n;
}

void
ask_get(struct ask *ask, const char *target)
{
	char request[1024];
	const char *end = NULL, *field;
	size_t len = 0, whole;
	int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target,
			 ask->host);

	if (n < 0 || (size_t)n >= sizeof request
	    || send(ask->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		die("cannot send a request");
	while (!end) {
		len = receive(ask, len);
		end = strstr(ask->answer, "\r\n\r\n");
	}
	field = strcasestr(ask->answer, "\r\nContent-Length:");
	if (strncmp(ask->answer, "HTTP/1.1 200 ", 13) != 0 || !field || field > end)
		die(ask->answer);
	whole = (size_t)(end + 4 - ask->answer) + strtoul(field + 17, NULL, 10);
	while (len < whole)
		len = receive(ask, len);
}

void
ask_close(struct ask *ask)
{
	(void)close(ask->fd);
	free(ask);
}
