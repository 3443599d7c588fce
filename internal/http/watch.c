/* watch.c - the watcher and what it does to slow connections.
 *
 * libmicrohttpd 0.9.75 does not look at a suspended connection, and knows only inactivity: one byte
 * a second keeps a connection for ever.  So the watcher looks at every connection a few times
 * within the shortest limit, and has its own epoll for the sockets of requests that still wait
 * then.  What came in, what the client has acknowledged and whether it has left is asked of the
 * kernel (TCP_INFO).
 *
 * It accepts, too, and hands each connection to one of the turns. */
#include "http/inner.h"

#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"

#define LISTEN_EVENT     UINT64_MAX
#define WAKE_EVENT       (UINT64_MAX - 1)
#define EVENTS_A_TURN    64
#define ACCEPTS_A_TURN   256
#define LEAST_BYTES_A_S  16384
#define TICKS_A_LIMIT    8
#define SHORTEST_TICK_MS 10
#define LONGEST_TICK_MS  500
#define CLOSE_WAIT       8 /* TCP_CLOSE_WAIT of netinet/tcp.h, which linux/tcp.h does not go with */

/* ---- clients that leave ------------------------------------------------------ */

/* A pushed body: its writer is told when libmicrohttpd lets go of it, which it does once it is
 * resumed and cannot send. */
static void
on_left_paused(struct conn *conn, uint32_t serial)
{
	struct MHD_Connection *mhd = NULL;

	pthread_mutex_lock(&conn->lock);
	if (conn->serial == serial && conn->phase == CONN_PAUSED) {
		(void)epoll_ctl(conn->server->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
		http_conn_cut_locked(conn);
		mhd = conn->request->mhd;
	}
	pthread_mutex_unlock(&conn->lock);
	if (mhd)
		http_turn_resume(conn->turn, mhd);
}

static void
on_left_waiting(struct conn *conn, uint32_t serial)
{
	http_gone_fn *on_gone = NULL;
	void *ctx = NULL;

	pthread_mutex_lock(&conn->lock);
	if (conn->serial == serial && conn->phase == CONN_WAITING && !conn->request->is_gone) {
		conn->request->is_gone = true;
		atomic_fetch_add(&conn->server->n_gone, 1);
		on_gone = conn->request->on_gone;
		ctx = conn->request->gone_ctx;
		conn->is_calling = on_gone != NULL;
	}
	pthread_mutex_unlock(&conn->lock);
	if (!on_gone)
		return;
	on_gone(ctx);
	pthread_mutex_lock(&conn->lock);
	conn->is_calling = false;
	pthread_cond_broadcast(&conn->called);
	pthread_mutex_unlock(&conn->lock);
}

/* The event may be of a request that was answered while it was under way. */
static void
on_left(struct http_server *server, uint64_t id)
{
	struct conn *conn = &server->conns[(uint32_t)id];

	on_left_waiting(conn, (uint32_t)(id >> 32));
	on_left_paused(conn, (uint32_t)(id >> 32));
}

/* ---- connections that are too slow ------------------------------------------- */

static bool
ask_kernel(int fd, struct tcp_info *out_info)
{
	socklen_t len = sizeof *out_info;

	memset(out_info, 0, sizeof *out_info);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out_info, &len) == 0;
}

/* A request begins with its first byte, which libmicrohttpd does not tell us. */
static bool
is_late_idle(struct conn *conn, const struct tcp_info *info, int64_t now_ms)
{
	if (!conn->has_base)
		conn->base_bytes = info->tcpi_bytes_received;
	conn->has_base = true;
	if (!conn->has_begun && info->tcpi_bytes_received > conn->base_bytes) {
		conn->has_begun = true;
		conn->due_ms = now_ms + conn->server->options.request_timeout_ms;
	}
	return now_ms >= conn->due_ms;
}

/* libmicrohttpd 0.9.75 overlooks a FIN that came with the last bytes it read, and would keep the
 * connection for as long as it may last.  It had from one look to the next to see it. */
static bool
is_left(struct conn *conn, const struct tcp_info *info)
{
	bool was_there = conn->has_left;

	conn->has_left = info->tcpi_state == CLOSE_WAIT;
	return was_there && conn->has_left;
}

static bool
is_late_sending(struct conn *conn, const struct tcp_info *info, int64_t now_ms)
{
	int64_t window_ms = conn->server->options.stall_timeout_ms;
	uint64_t least = (uint64_t)window_ms * LEAST_BYTES_A_S / 1000;

	if (conn->has_base && now_ms < conn->due_ms)
		return false;
	if (conn->has_base && info->tcpi_bytes_acked - conn->base_bytes < least)
		return true;
	conn->has_base = true;
	conn->base_bytes = info->tcpi_bytes_acked;
	conn->due_ms = now_ms + window_ms;
	return false;
}

enum verdict { FINE, LATE, LEFT };

static enum verdict
look_at(struct conn *conn, int64_t now_ms)
{
	bool is_watched =
	    conn->phase == CONN_IDLE || conn->phase == CONN_READING || conn->phase == CONN_SENDING;
	struct tcp_info info;

	if (!is_watched || !ask_kernel(conn->fd, &info))
		return FINE;
	if (conn->phase == CONN_SENDING)
		return is_late_sending(conn, &info, now_ms) ? LATE : FINE;
	if (conn->phase == CONN_READING && now_ms >= conn->due_ms)
		return LATE;
	/* An idle connection that is closed was not too slow. */
	if (conn->phase == CONN_IDLE && is_late_idle(conn, &info, now_ms))
		return conn->has_begun ? LATE : LEFT;
	return is_left(conn, &info) ? LEFT : FINE;
}

static void
reap(struct http_server *server)
{
	int64_t now_ms = clock_mono_ms();

	for (uint32_t i = 0; i < server->n_conns; i++) {
		struct conn *conn = &server->conns[i];
		enum verdict verdict;

		pthread_mutex_lock(&conn->lock);
		verdict = look_at(conn, now_ms);
		if (verdict == LATE)
			atomic_fetch_add(&server->n_reaped, 1);
		if (verdict != FINE) {
			conn->phase = CONN_CUT;
			(void)shutdown(conn->fd, SHUT_RDWR);
		}
		if (conn->phase == CONN_WAITING && !conn->is_watched)
			http_conn_watch_locked(conn);
		pthread_mutex_unlock(&conn->lock);
	}
}

/* ---- the listening socket ---------------------------------------------------- */

static void
set_paused(struct http_server *server, bool is_paused)
{
	struct epoll_event event = { .events = is_paused ? 0 : EPOLLIN, .data.u64 = LISTEN_EVENT };

	if (server->listen_fd < 0 || server->is_paused == is_paused)
		return;
	server->is_paused = is_paused;
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, server->listen_fd, &event);
}

static bool
has_room(struct http_server *server)
{
	return atomic_load(&server->n_open) < server->options.max_connections;
}

/* Whether to accept; otherwise a connection that closes rings. */
static bool
may_accept(struct http_server *server)
{
	if (has_room(server))
		return true;
	atomic_store(&server->is_full, true);
	/* One may have closed just before. */
	return has_room(server);
}

static bool
is_fleeting(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static void
accept_some(struct http_server *server)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd;

		if (!may_accept(server)) {
			set_paused(server, true);
			return;
		}
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			atomic_fetch_add(&server->n_open, 1);
			http_turn_give(&server->turns[(unsigned)fd % server->options.n_threads],
				       fd);
		} else if (errno == EAGAIN)
			return;
		else if (!is_fleeting(errno)) {
			/* No descriptors, no memory: the next tick tries again. */
			http_log(server, LOG_WARNING, "cannot accept connections: %s",
				 strerror(errno));
			set_paused(server, true);
			return;
		}
	}
}

static void
close_listening(struct http_server *server)
{
	if (server->listen_fd < 0)
		return;
	(void)close(server->listen_fd);
	server->listen_fd = -1;
	sem_post(&server->deaf);
}

/* ---- the thread -------------------------------------------------------------- */

static void
on_ring(struct http_server *server)
{
	eventfd_t rings;

	if (eventfd_read(server->wake_fd, &rings) < 0)
		assert(errno == EAGAIN);
	if (atomic_load(&server->is_quiescing) && server->listen_fd >= 0) {
		/* What the kernel has taken for us would be reset. */
		accept_some(server);
		close_listening(server);
	}
	if (has_room(server))
		set_paused(server, false);
}

static void
on_event(struct http_server *server, uint64_t id)
{
	if (id == WAKE_EVENT)
		on_ring(server);
	else if (id != LISTEN_EVENT)
		on_left(server, id);
	else if (server->listen_fd >= 0)
		accept_some(server);
}

static void *
watch(void *arg)
{
	struct http_server *server = arg;
	struct epoll_event events[EVENTS_A_TURN];
	int64_t next_ms = clock_mono_ms() + server->tick_ms;

	while (!atomic_load(&server->is_stopping)) {
		bool is_busy = atomic_load(&server->n_open) > 0 || server->is_paused;
		int n = epoll_wait(server->epoll_fd, events, EVENTS_A_TURN,
				   is_busy ? server->tick_ms : -1);

		for (int i = 0; i < n; i++)
			on_event(server, events[i].data.u64);
		if (clock_mono_ms() < next_ms)
			continue;
		reap(server);
		if (has_room(server))
			set_paused(server, false);
		next_ms = clock_mono_ms() + server->tick_ms;
	}
	return NULL;
}

void
http_watch_ring(const struct http_server *server)
{
	/* It can only fail when it is rung already. */
	if (eventfd_write(server->wake_fd, 1) < 0)
		assert(errno == EAGAIN);
}

static int
shortest(int a, int b)
{
	return a < b ? a : b;
}

static int
tick_of(const struct http_server_options *options)
{
	int limit = shortest(options->request_timeout_ms,
			     shortest(options->idle_timeout_ms, options->stall_timeout_ms));
	int tick = shortest(limit / TICKS_A_LIMIT, LONGEST_TICK_MS);

	return tick > SHORTEST_TICK_MS ? tick : SHORTEST_TICK_MS;
}

tally_status
http_watch_start(struct http_server *server, struct tally_error *err)
{
	struct epoll_event on_wake = { .events = EPOLLIN, .data.u64 = WAKE_EVENT };
	struct epoll_event on_listen = { .events = EPOLLIN, .data.u64 = LISTEN_EVENT };
	int error;

	server->tick_ms = tick_of(&server->options);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (server->epoll_fd < 0 || server->wake_fd < 0
	    || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &on_wake) != 0
	    || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd, &on_listen) != 0)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "cannot watch sockets: %s",
				  strerror(errno));
	error = pthread_create(&server->watcher, NULL, watch, server);
	if (error)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "cannot start a thread: %s",
				  strerror(error));
	server->has_watcher = true;
	(void)pthread_setname_np(server->watcher, "http-watch");
	return TALLY_OK;
}

void
http_watch_stop(struct http_server *server)
{
	if (server->has_watcher) {
		atomic_store(&server->is_stopping, true);
		http_watch_ring(server);
		pthread_join(server->watcher, NULL);
		server->has_watcher = false;
	}
	close_listening(server);
}

void
http_watch_deafen(struct http_server *server)
{
	if (atomic_exchange(&server->is_quiescing, true))
		return;
	http_watch_ring(server);
	while (sem_wait(&server->deaf) != 0)
		assert(errno == EINTR);
}
