/* turn.c - the threads that serve: each turns a libmicrohttpd of its own.
 *
 * libmicrohttpd 0.9.75 can turn itself, but must not: its thread asks epoll for 128 events at a
 * time and, when it got as many, asks again without a limit, so that it sleeps on 128 requests that
 * it holds in its hands (MHD_epoll).  A turn from outside never waits in there.  We wait here, for
 * its sockets and for our bell; the bell is rung for connections that are to be added or resumed,
 * and only once until it was heard. */
#include "http/inner.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

static void
ring(struct http_turn *turn)
{
	/* It can only fail when it is rung already. */
	if (!atomic_exchange(&turn->is_rung, true) && eventfd_write(turn->bell_fd, 1) < 0)
		assert(errno == EAGAIN);
}

static void
hear(struct http_turn *turn)
{
	eventfd_t rings;

	if (eventfd_read(turn->bell_fd, &rings) < 0)
		assert(errno == EAGAIN);
	/* From here on a ring is a new one; what it was rung for before is looked at now. */
	atomic_store(&turn->is_rung, false);
}

/* ---- new connections --------------------------------------------------------- */

static void
add(struct http_turn *turn, int fd)
{
	/* Nobody asks libmicrohttpd who it was. */
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	/* It closes the socket when it fails. */
	if (MHD_add_connection(turn->daemon, fd, &nobody, sizeof nobody) == MHD_YES)
		return;
	atomic_fetch_sub(&turn->server->n_open, 1);
	http_log(turn->server, LOG_WARNING, "a connection was dropped: %s", strerror(errno));
}

static int
next_new(struct http_turn *turn)
{
	int fd = -1;

	pthread_mutex_lock(&turn->lock);
	if (turn->n_new > 0)
		fd = turn->new_fds[--turn->n_new];
	pthread_mutex_unlock(&turn->lock);
	return fd;
}

void
http_turn_give(struct http_turn *turn, int fd)
{
	pthread_mutex_lock(&turn->lock);
	/* n_open counts them, too. */
	assert(turn->n_new < turn->server->n_conns);
	turn->new_fds[turn->n_new++] = fd;
	pthread_mutex_unlock(&turn->lock);
	ring(turn);
}

void
http_turn_resume(struct http_turn *turn, struct MHD_Connection *mhd)
{
	MHD_resume_connection(mhd);
	ring(turn);
}

/* ---- the thread -------------------------------------------------------------- */

static void *
run(void *arg)
{
	struct http_turn *turn = arg;
	struct pollfd fds[] = {
		{ .fd = turn->epoll_fd, .events = POLLIN },
		{ .fd = turn->bell_fd,  .events = POLLIN }
	};

	while (!atomic_load(&turn->is_stopping)) {
		MHD_UNSIGNED_LONG_LONG pending_ms;
		bool has_more = MHD_get_timeout(turn->daemon, &pending_ms) == MHD_YES;
		int fd;

		/* It has no time limits of its own, so what it has pending is pending now. */
		pulse_wait(&turn->pulse);
		int n = poll(fds, 2, has_more ? 0 : -1);
		pulse_work(&turn->pulse);
		if (n > 0 && fds[1].revents)
			hear(turn);
		while ((fd = next_new(turn)) >= 0)
			add(turn, fd);
		(void)MHD_run_wait(turn->daemon, 0);
	}
	pulse_wait(&turn->pulse);
	return NULL;
}

static tally_status
make(struct http_turn *turn, struct tally_error *err)
{
	const union MHD_DaemonInfo *info;

	turn->new_fds = calloc(turn->server->n_conns, sizeof *turn->new_fds);
	if (!turn->new_fds)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	turn->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	turn->daemon = http_daemon_start(turn);
	info = turn->daemon ? MHD_get_daemon_info(turn->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (turn->bell_fd < 0 || !info)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "cannot start the HTTP server: %s",
				  strerror(errno));
	turn->epoll_fd = info->epoll_fd;
	return TALLY_OK;
}

tally_status
http_turn_start(struct http_turn *turn, struct http_server *server, struct tally_error *err)
{
	int error;

	turn->server = server;
	turn->bell_fd = -1;
	pthread_mutex_init(&turn->lock, NULL);
	tally_status status = make(turn, err);
	if (status != TALLY_OK)
		return status;
	error = pthread_create(&turn->thread, NULL, run, turn);
	if (error)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "cannot start a thread: %s",
				  strerror(error));
	turn->has_thread = true;
	turn->watched = (struct watched){ .pulse = &turn->pulse, .name = "http" };
	watchdog_add(server->options.watchdog, &turn->watched);
	(void)pthread_setname_np(turn->thread, "http-turn");
	return TALLY_OK;
}

void
http_turn_stop(struct http_turn *turn)
{
	int fd;

	if (!turn->server)
		return;
	if (turn->has_thread) {
		atomic_store(&turn->is_stopping, true);
		ring(turn);
		pthread_join(turn->thread, NULL);
		watchdog_remove(turn->server->options.watchdog, &turn->watched);
	}
	while ((fd = next_new(turn)) >= 0)
		(void)close(fd);
	if (turn->daemon)
		MHD_stop_daemon(turn->daemon);
	if (turn->bell_fd >= 0)
		(void)close(turn->bell_fd);
	free(turn->new_fds);
	pthread_mutex_destroy(&turn->lock);
}
