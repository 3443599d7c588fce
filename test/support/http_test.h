/* http_test.h - what tests of the HTTP server share: a client's words, and waits with a deadline.
 * For test files of Criterion; a wait that is in vain fails the test. */
#ifndef SUPPORT_HTTP_TEST_H
#define SUPPORT_HTTP_TEST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/tcp.h"

#define DEADLINE_MS  10000
#define ANSWER_BYTES 65536 /* room for what hear_... write, which ends with a NUL */

static inline int
client_of(unsigned port)
{
	int fd = tcp_connect(port);

	cr_assert_geq(fd, 0, "connect: %s", strerror(errno));
	return fd;
}

static inline void
put(int fd, const char *text, size_t len)
{
	cr_assert_eq(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len, "send: %s", strerror(errno));
}

static inline void
say(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

/* The bytes of the next read; 0: closed or reset. */
static inline size_t
hear(int fd, char *out, size_t max)
{
	ssize_t n = tcp_hear(fd, out, max, DEADLINE_MS);

	cr_assert_geq(n, 0, "nothing came");
	return (size_t)n;
}

/* What comes until the server closes. */
static inline void
hear_all(int fd, char *out)
{
	size_t len = 0, n;

	while ((n = hear(fd, out + len, ANSWER_BYTES - 1 - len)) > 0)
		len += n;
	out[len] = '\0';
	(void)close(fd);
}

static inline int
count(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part))) {
		n++;
		text += strlen(part);
	}
	return n;
}

/* What comes until part is there times times. */
static inline void
hear_times(int fd, char *out, const char *part, int times)
{
	size_t len = 0;

	out[0] = '\0';
	while (count(out, part) < times) {
		size_t n = hear(fd, out + len, ANSWER_BYTES - 1 - len);

		cr_assert_gt(n, 0, "closed after: %s", out);
		len += n;
		out[len] = '\0';
	}
}

static inline void
wait_for(sem_t *semaphore)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DEADLINE_MS / 1000;
	cr_assert_eq(sem_timedwait(semaphore, &until), 0, "it did not happen");
}

/* Waits until a counter has a value. */
static inline void
wait_until(uint64_t (*get)(void), uint64_t value)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	while (get() != value) {
		cr_assert_lt(clock_mono_ms(), until, "%lu, not %lu", get(), value);
		(void)poll(NULL, 0, 1);
	}
}

#endif
