#include "http/inner.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG        1024
#define PROBE_AFTER_S  30
#define PROBE_EVERY_S  10
#define PROBES         3
#define MAX_HOST_BYTES 256

struct address {
	const char *text;
	char host[MAX_HOST_BYTES]; /* empty: all addresses */
	char port[6];
};

static tally_status
read_port(const char *text, struct address *out_address, struct tally_error *err)
{
	size_t len = strlen(text);
	unsigned long port;

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "\"%s\" is not an address to listen on: write host:port, "
				  "such as 127.0.0.1:8080, [::1]:8080 or :8080",
				  out_address->text);
	port = strtoul(text, NULL, 10);
	if (port > 65535)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "\"%s\": a port is at most 65535 (0: any that is free)",
				  out_address->text);
	memcpy(out_address->port, text, len + 1);
	return TALLY_OK;
}

static tally_status
read_address(const char *text, struct address *out_address, struct tally_error *err)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	size_t len = colon ? (size_t)(colon - text) : 0;

	out_address->text = text;
	out_address->host[0] = '\0';
	if (len >= 2 && text[0] == '[' && colon[-1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "\"%s\": write an IPv6 address in brackets, such as [::1]:8080",
				  text);
	}
	if (len >= sizeof out_address->host)
		return tally_fail(err, TALLY_WRONG_SETTING, "the host to listen on is too long");
	memcpy(out_address->host, host, len);
	out_address->host[len] = '\0';
	return read_port(colon ? colon + 1 : "", out_address, err);
}

/* In words what bind() or socket() said, and what to do. */
static tally_status
explain(const struct address *address, int error, struct tally_error *err)
{
	switch (error) {
	case EADDRINUSE:
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "cannot listen on \"%s\": the port is taken; stop the program "
				  "that has it (ss -ltnp shows it) or choose another port",
				  address->text);
	case EADDRNOTAVAIL:
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "cannot listen on \"%s\": this machine does not have that "
				  "address; \":%s\" listens on all it has",
				  address->text, address->port);
	case EACCES:
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "cannot listen on \"%s\": not permitted; choose a port above "
				  "1023 or grant CAP_NET_BIND_SERVICE",
				  address->text);
	default:
		return tally_fail(err, TALLY_INTERNAL_ERROR, "cannot listen on \"%s\": %s",
				  address->text, strerror(error));
	}
}

static void
set(int fd, int level, int name, int value)
{
	/* Whatever the kernel does not know is a refinement that we can do without. */
	(void)setsockopt(fd, level, name, &value, sizeof value);
}

/* Accepted sockets inherit these. */
static void
tune(int fd, int stall_ms)
{
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_AFTER_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_S);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, stall_ms);
}

/* A listening socket, or -1 and errno. */
static int
listen_on(const struct addrinfo *info, int stall_ms)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	tune(fd, stall_ms);
	if (info->ai_family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		int error = errno;

		(void)close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static unsigned
port_of(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} name = { 0 };
	socklen_t len = sizeof name;

	if (getsockname(fd, &name.any, &len) != 0)
		return 0;
	return ntohs(name.any.sa_family == AF_INET6 ? name.six.sin6_port : name.four.sin_port);
}

/* All addresses: one IPv6 socket takes IPv4 too; IPv4 alone where there is no IPv6. */
static int
listen_everywhere(const char *port, int stall_ms)
{
	in_port_t number = htons((in_port_t)strtoul(port, NULL, 10));
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = number };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = number };
	struct addrinfo info = { .ai_family = AF_INET6,
				 .ai_addr = (struct sockaddr *)&six,
				 .ai_addrlen = sizeof six };
	int fd = listen_on(&info, stall_ms);

	if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;
	info.ai_family = AF_INET;
	info.ai_addr = (struct sockaddr *)&four;
	info.ai_addrlen = sizeof four;
	return listen_on(&info, stall_ms);
}

tally_status
http_listen(const char *text, int stall_ms, int *out_fd, unsigned *out_port,
	    struct tally_error *err)
{
	struct address address;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	tally_status status = read_address(text, &address, err);
	int code, error, fd = -1;

	if (status != TALLY_OK)
		return status;
	if (address.host[0]) {
		code = getaddrinfo(address.host, address.port, &hints, &found);
		if (code != 0)
			return tally_fail(err, TALLY_WRONG_SETTING,
					  "cannot listen on \"%s\": no such host (%s)", text,
					  gai_strerror(code));
		/* The first that works: "localhost" may have an address that is not up. */
		for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
			fd = listen_on(info, stall_ms);
		error = errno;
		freeaddrinfo(found);
	} else {
		fd = listen_everywhere(address.port, stall_ms);
		error = errno;
	}
	if (fd < 0)
		return explain(&address, error, err);
	*out_fd = fd;
	*out_port = port_of(fd);
	return TALLY_OK;
}
