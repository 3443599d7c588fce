#include "base/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static struct {
	bool is_started;
	int signal_fd;
	int end_fd;
	signals_fn *on_signal;
	void *ctx;
	pthread_t thread;
} signals = { .signal_fd = -1, .end_fd = -1 };

static void
fill(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGHUP);
}

void
signals_block(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	fill(&set);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* fails only for a wrong first argument */
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static void *
take(void *arg)
{
	struct pollfd ready[2] = {
		{ .fd = signals.signal_fd, .events = POLLIN },
		{ .fd = signals.end_fd,    .events = POLLIN }
	};
	struct signalfd_siginfo info;
	bool is_second = false;

	(void)arg;
	for (;;) {
		if (poll(ready, 2, -1) < 0)
			continue; /* EINTR */
		if (read(signals.signal_fd, &info, sizeof info) == sizeof info) {
			bool is_end = info.ssi_signo != SIGHUP;
			if (is_end && is_second)
				_exit(128 + (int)info.ssi_signo);
			is_second = is_second || is_end;
			signals.on_signal(signals.ctx, (int)info.ssi_signo);
		}
		if (ready[1].revents != 0)
			return NULL;
	}
}

static void
close_fds(void)
{
	if (signals.signal_fd >= 0)
		(void)close(signals.signal_fd);
	if (signals.end_fd >= 0)
		(void)close(signals.end_fd);
	signals.signal_fd = signals.end_fd = -1;
}

tally_status
signals_start(signals_fn *on_signal, void *ctx, struct tally_error *err)
{
	sigset_t set;
	int error;

	fill(&set);
	signals.on_signal = on_signal;
	signals.ctx = ctx;
	signals.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	signals.end_fd = eventfd(0, EFD_CLOEXEC);
	error = errno;
	if (signals.signal_fd >= 0 && signals.end_fd >= 0)
		error = pthread_create(&signals.thread, NULL, take, NULL);
	else if (error == 0)
		error = EMFILE;
	if (error != 0) {
		close_fds();
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no signal thread: %s",
				  strerror(error));
	}
	signals.is_started = true;
	return TALLY_OK;
}

void
signals_stop(void)
{
	sigset_t set;

	if (!signals.is_started)
		return;
	(void)!eventfd_write(signals.end_fd, 1); /* its counter is 0: there is room */
	(void)pthread_join(signals.thread, NULL);
	close_fds();
	signals.is_started = false;
	fill(&set);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
