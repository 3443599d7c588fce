/* conn.c - the phases of a connection, as libmicrohttpd's threads and whoever answers report them;
 * the watcher (watch.c) looks at them. */
#include "http/inner.h"

#include <assert.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"

struct conn *
http_conn_open(struct http_turn *turn, int fd)
{
	struct http_server *server = turn->server;
	struct conn *conn = NULL;

	pthread_mutex_lock(&server->table_lock);
	if (server->first_free < server->n_conns) {
		conn = &server->conns[server->first_free];
		server->first_free = conn->next_free;
	}
	pthread_mutex_unlock(&server->table_lock);
	if (!conn)
		return NULL;
	pthread_mutex_lock(&conn->lock);
	conn->turn = turn;
	conn->fd = fd;
	conn->serial++;
	conn->phase = CONN_IDLE;
	conn->due_ms = clock_mono_ms() + server->options.idle_timeout_ms;
	conn->has_begun = false;
	conn->has_left = false;
	/* Nothing was received before the first request. */
	conn->has_base = true;
	conn->base_bytes = 0;
	conn->request = NULL;
	pthread_mutex_unlock(&conn->lock);
	return conn;
}

/* From the table to the free ones. */
static void
release(struct http_server *server, struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->phase = CONN_FREE;
	conn->fd = -1;
	conn->request = NULL;
	pthread_mutex_unlock(&conn->lock);
	pthread_mutex_lock(&server->table_lock);
	conn->next_free = server->first_free;
	server->first_free = conn->slot;
	pthread_mutex_unlock(&server->table_lock);
}

void
http_conn_close(struct http_server *server, struct conn *conn)
{
	if (conn)
		release(server, conn);
	atomic_fetch_sub(&server->n_open, 1);
	if (atomic_exchange(&server->is_full, false))
		http_watch_ring(server);
}

void
http_conn_reading(struct conn *conn, struct http_request *request)
{
	pthread_mutex_lock(&conn->lock);
	conn->request = request;
	conn->has_left = false;
	if (conn->phase != CONN_CUT)
		conn->phase = CONN_READING;
	if (!conn->has_begun)
		conn->due_ms = clock_mono_ms() + conn->server->options.request_timeout_ms;
	pthread_mutex_unlock(&conn->lock);
}

void
http_conn_handled(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->phase = CONN_HANDLED;
	conn->request->stage = REQUEST_HANDLED;
	pthread_mutex_unlock(&conn->lock);
}

bool
http_conn_is_answered(struct conn *conn)
{
	bool is_answered;

	pthread_mutex_lock(&conn->lock);
	is_answered = conn->request->stage == REQUEST_ANSWERED;
	pthread_mutex_unlock(&conn->lock);
	return is_answered;
}

/* Without kernel memory it goes unwatched. */
void
http_conn_watch_locked(struct conn *conn)
{
	struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT,
				     .data.u64 = (uint64_t)conn->serial << 32 | conn->slot };

	(void)epoll_ctl(conn->server->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event);
	conn->is_watched = true;
}

bool
http_conn_waiting(struct conn *conn)
{
	bool is_waiting;

	pthread_mutex_lock(&conn->lock);
	is_waiting = conn->request->stage != REQUEST_ANSWERED;
	if (is_waiting)
		conn->request->stage = REQUEST_SUSPENDED;
	if (is_waiting && !conn->request->is_settled) {
		conn->phase = CONN_WAITING;
		conn->is_watched = false; /* most are answered before the next tick */
	}
	pthread_mutex_unlock(&conn->lock);
	return is_waiting;
}

bool
http_conn_settle(struct conn *conn)
{
	bool is_watcher = pthread_equal(pthread_self(), conn->server->watcher), is_gone;

	pthread_mutex_lock(&conn->lock);
	assert(!conn->request->is_settled);
	conn->request->is_settled = true;
	if (conn->phase == CONN_WAITING && conn->is_watched)
		(void)epoll_ctl(conn->server->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn->phase = CONN_HANDLED;
	while (conn->is_calling && !is_watcher)
		pthread_cond_wait(&conn->called, &conn->lock);
	is_gone = conn->request->is_gone;
	pthread_mutex_unlock(&conn->lock);
	return is_gone;
}

bool
http_conn_answered(struct conn *conn, struct MHD_Response *answer)
{
	bool is_suspended;

	pthread_mutex_lock(&conn->lock);
	is_suspended = conn->request->stage == REQUEST_SUSPENDED;
	conn->request->answer = answer;
	conn->request->stage = REQUEST_ANSWERED;
	pthread_mutex_unlock(&conn->lock);
	return is_suspended;
}

void
http_conn_sending(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->phase = CONN_SENDING;
	conn->has_base = false;
	pthread_mutex_unlock(&conn->lock);
}

bool
http_conn_pause(struct conn *conn)
{
	bool is_cut;

	pthread_mutex_lock(&conn->lock);
	is_cut = conn->phase == CONN_CUT;
	if (!is_cut) {
		conn->phase = CONN_PAUSED;
		http_conn_watch_locked(conn);
	}
	pthread_mutex_unlock(&conn->lock);
	return !is_cut;
}

void
http_conn_go_on(struct conn *conn)
{
	struct MHD_Connection *mhd = NULL;

	pthread_mutex_lock(&conn->lock);
	if (conn->phase == CONN_PAUSED) {
		(void)epoll_ctl(conn->server->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
		conn->phase = CONN_SENDING;
		conn->has_base = false;
		mhd = conn->request->mhd;
	}
	pthread_mutex_unlock(&conn->lock);
	/* Suspended, it cannot go away. */
	if (mhd)
		http_turn_resume(conn->turn, mhd);
}

bool
http_conn_is_cut(struct conn *conn)
{
	bool is_cut;

	pthread_mutex_lock(&conn->lock);
	is_cut = conn->phase == CONN_CUT;
	pthread_mutex_unlock(&conn->lock);
	return is_cut;
}

void
http_conn_cut_locked(struct conn *conn)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	conn->phase = CONN_CUT;
	/* Dissolves the association: connect(2). */
	(void)connect(conn->fd, &nowhere, sizeof nowhere);
}

void
http_conn_cut(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	http_conn_cut_locked(conn);
	pthread_mutex_unlock(&conn->lock);
}

void
http_conn_idle(struct conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->request = NULL;
	if (conn->phase != CONN_CUT)
		conn->phase = CONN_IDLE;
	conn->has_begun = false;
	conn->has_left = false;
	conn->has_base = false;
	conn->due_ms = clock_mono_ms() + conn->server->options.idle_timeout_ms;
	pthread_mutex_unlock(&conn->lock);
}

bool
http_conn_is_busy(struct conn *conn)
{
	bool is_busy;

	pthread_mutex_lock(&conn->lock);
	is_busy = conn->phase == CONN_HANDLED || conn->phase == CONN_WAITING
		  || conn->phase == CONN_SENDING;
	pthread_mutex_unlock(&conn->lock);
	return is_busy;
}
