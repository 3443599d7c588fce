/* clock.c - the wall clock as told by CHAOS_CLOCK, a file that holds seconds to be added; for
 * LD_PRELOAD.  The monotonic clock stays.  librdkafka reckons by the wall clock until when glibc is
 * to wait, which does not know of us: what cnd_timedwait is told is taken back.  (libfaketime does
 * no such thing, and librdkafka's waits of milliseconds become some of an hour.) */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

typedef int gettime_fn(clockid_t, struct timespec *);
typedef int timedwait_fn(cnd_t *, mtx_t *, const struct timespec *);

static time_t
offset(void)
{
	const char *path = getenv("CHAOS_CLOCK");
	char text[32] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof text - 1) < 0)
		text[0] = '\0';
	close(fd);
	return (time_t)strtol(text, NULL, 10);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static gettime_fn *real;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, now);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += offset();
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec at;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &at) != 0)
		return -1;
	*now = (struct timeval){ at.tv_sec, at.tv_nsec / 1000 };
	return 0;
}

time_t
time(time_t *out_now)
{
	struct timespec at = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &at);
	if (out_now)
		*out_now = at.tv_sec;
	return at.tv_sec;
}

int
timespec_get(struct timespec *now, int base)
{
	return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int
cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
	      const struct timespec *restrict until)
{
	static timedwait_fn *real;
	struct timespec at = *until;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "cnd_timedwait");
	at.tv_sec -= offset();
	return real(condition, mutex, &at);
}
