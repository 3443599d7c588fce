#include "support/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

int
tcp_connect(unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((in_port_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
		int reason = errno;

		(void)close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

ssize_t
tcp_hear(int fd, char *out, size_t max, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&pollfd, 1, timeout_ms) != 1)
		return -1;
	n = recv(fd, out, max, 0);
	return n > 0 ? n : 0;
}

void
tcp_leave(int fd, bool reset)
{
	struct linger linger = { .l_onoff = 1 };

	if (reset)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	(void)close(fd);
}
