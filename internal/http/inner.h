/* inner.h - what the files of this folder share; nobody else includes it.
 *
 * Threads.  Those of turn.c turn libmicrohttpd: they read requests, call the handler and send
 * answers.  Another one, the watcher, accepts connections, sees clients leave while their requests
 * wait, and cuts connections that are too slow.  The socket of a connection is open as long as its
 * struct conn is in use: conn_close comes before libmicrohttpd closes it.
 *
 * Locks.  conn->lock guards the fields of a conn below it, and stage, is_settled, is_gone and
 * answer of its request.  No other lock is taken under it, no callback runs under it.  The lock of
 * a struct http_push is taken before it.
 *
 * Suspended connections.  libmicrohttpd keeps a connection, and with it the request, while it is
 * suspended.  Whoever ends CONN_PAUSED under conn->lock, and nobody else, resumes it. */
#ifndef HTTP_INNER_H
#define HTTP_INNER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/watchdog.h"
#include "http/server.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;
struct http_push;

/* What a client may send past the limit of a body before it is cut: it has time to read why. */
#define HTTP_DRAIN_BYTES ((size_t)1 << 20)

enum conn_phase {
	CONN_FREE,
	CONN_IDLE,    /* no whole request line yet */
	CONN_READING, /* a request line is there, the rest not yet */
	CONN_HANDLED, /* the request is with the handler, or answered */
	CONN_WAITING, /* the handler is done, no answer yet; see is_watched */
	CONN_SENDING, /* the answer is on its way */
	CONN_PAUSED,  /* a pushed body has nothing to send; epoll watches the socket */
	CONN_CUT,     /* shut down by us */
};

/* A thread that serves, and the connections that it gets; a connection stays with its turn. */
struct http_turn {
	struct http_server *server; /* NULL: it was not started */
	struct MHD_Daemon *daemon;  /* its thread's, but for MHD_resume_connection */
	pthread_t thread;
	bool has_thread;
	int epoll_fd;
	int bell_fd;
	struct pulse pulse;
	struct watched watched;
	atomic_bool is_rung; /* and not heard yet */
	atomic_bool is_stopping;
	pthread_mutex_t lock; /* guards what follows; no other is taken under it */
	int *new_fds;         /* room for n_conns */
	uint32_t n_new;
};

struct conn {
	struct http_server *server;
	struct http_turn *turn;
	uint32_t slot; /* in server->conns */
	uint32_t next_free;
	pthread_mutex_t lock;
	pthread_cond_t called; /* is_calling has ended */
	int fd;
	uint32_t serial; /* of the use of this slot: an event of an earlier use does no harm */
	enum conn_phase phase;
	int64_t due_ms; /* cut at, in IDLE, READING and SENDING */
	bool has_base;  /* base_bytes is set */
	bool has_begun; /* IDLE: the first byte of a request has come, due_ms is of a request */
	uint64_t
	    base_bytes;  /* IDLE: received before the request; SENDING: acknowledged at the start */
	bool has_left;   /* IDLE, READING: its FIN was there at the last look */
	bool is_watched; /* WAITING: epoll watches the socket, from the next tick on */
	bool is_calling; /* on_gone runs */
	struct http_request *request;
};

struct http_server {
	struct http_server_options options;
	struct http_turn *turns; /* options.n_threads */
	unsigned port;
	struct conn *conns;
	uint32_t n_conns;
	uint32_t first_free; /* guarded by table_lock; n_conns: none */
	pthread_mutex_t table_lock;
	int listen_fd; /* the watcher's while it runs; -1: closed */
	int epoll_fd;
	int wake_fd;
	int tick_ms;
	bool has_watcher;
	pthread_t watcher;
	sem_t deaf; /* posted when the listening socket is closed */
	bool is_paused;
	atomic_bool is_full; /* somebody must ring when a connection closes */
	atomic_bool is_quiescing;
	atomic_bool is_stopping;
	_Atomic uint64_t n_open;
	_Atomic uint64_t n_waiting;
	_Atomic uint64_t n_gone;
	_Atomic uint64_t n_reaped;
	_Atomic uint64_t n_streams;
};

enum request_stage { REQUEST_READING, REQUEST_HANDLED, REQUEST_SUSPENDED, REQUEST_ANSWERED };

struct http_header {
	const char *name;
	const char *value;
};

struct http_request {
	struct http_server *server;
	struct conn *conn;
	struct MHD_Connection *mhd;
	bool has_headers; /* the first call of libmicrohttpd has been */
	bool is_refused;
	struct tally_error refusal;
	/* The request line: where libmicrohttpd has it, and copies. */
	const char *raw_at;
	size_t raw_len;
	char *raw; /* NULL: too long */
	char method[24];
	struct http_target target;
	struct http_header *headers;
	size_t n_headers;
	char *header_text;
	bool expects_continue;
	bool is_chunked;         /* the connection ends with it: framing.c */
	uint64_t declared_bytes; /* Content-Length */
	char *body;
	size_t body_len;
	size_t body_cap;
	size_t dropped_bytes; /* of the body of a refused request */
	int64_t arrived_us;
	http_gone_fn *on_gone;
	void *gone_ctx;
	enum request_stage stage;
	bool is_settled; /* http_reply has begun: no on_gone any more */
	bool is_gone;
	unsigned status;
	struct MHD_Response *answer; /* NULL once answered: cut the connection */
};

/* Where libmicrohttpd keeps the start of a request. */
struct http_line {
	const char *method;
	const char *target;
	const char *version;
};

/* ---- listen.c */

/* Makes a listening socket for "host:port"; the accepted ones get keepalive probes, and are given
 * up when sent data stays unacknowledged for stall_ms.  TALLY_WRONG_SETTING with what to do,
 * TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status http_listen(const char *address, int stall_ms, int *out_fd,
					  unsigned *out_port, struct tally_error *err);

/* ---- framing.c */

/* Checks the request line and the headers and copies them into the request: method, headers,
 * declared_bytes, expects_continue, is_chunked.  TALLY_BAD_REQUEST with what is wrong;
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status http_framing_read(struct http_request *request,
						const struct http_line *line,
						struct tally_error *err);

/* ---- watch.c */

/* Starts the watcher: it accepts from listen_fd, which it closes.  TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status http_watch_start(struct http_server *server, struct tally_error *err);

/* Stops and joins the watcher, if it runs, and closes the listening socket. */
void http_watch_stop(struct http_server *server);

/* Accepts what has connected, closes the listening socket, and returns when that is done. */
void http_watch_deafen(struct http_server *server);

/* Wakes the watcher; any thread. */
void http_watch_ring(const struct http_server *server);

/* ---- turn.c */

/* Starts the thread of a zeroed turn.  TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR: http_turn_stop it all
 * the same. */
TALLY_MUST_CHECK tally_status http_turn_start(struct http_turn *turn, struct http_server *server,
					      struct tally_error *err);

/* Ends it and closes its connections; accepts a zeroed one. */
void http_turn_stop(struct http_turn *turn);

/* Gives it a new connection, which n_open counts already; any thread. */
void http_turn_give(struct http_turn *turn, int fd);

/* Goes on with a connection that was suspended; any thread. */
void http_turn_resume(struct http_turn *turn, struct MHD_Connection *mhd);

/* ---- server.c */

/* A libmicrohttpd for a turn, to be turned from outside; NULL with errno. */
struct MHD_Daemon *http_daemon_start(struct http_turn *turn);

/* ---- conn.c */

/* A conn for a socket that a turn has begun to serve; NULL when the table is full. */
struct conn *http_conn_open(struct http_turn *turn, int fd);

/* The socket of a connection is about to be closed; conn may be NULL, as http_conn_open gave it. */
void http_conn_close(struct http_server *server, struct conn *conn);

/* A request line is there. */
void http_conn_reading(struct conn *conn, struct http_request *request);

/* The request goes to the handler: no limit of time from now on. */
void http_conn_handled(struct conn *conn);

/* Whether the request already has its answer. */
bool http_conn_is_answered(struct conn *conn);

/* The connection is suspended: its client may leave, for which the watcher looks from its next tick
 * on.  False when the answer came first, and then the caller resumes the connection. */
bool http_conn_waiting(struct conn *conn);

/* With conn->lock held: has epoll watch for the client to leave. */
void http_conn_watch_locked(struct conn *conn);

/* The answer is there: ends the watch, and waits for an on_gone that is running, unless it is this
 * one that answers.  Whether the client has left. */
bool http_conn_settle(struct conn *conn);

/* Stores the answer (NULL: cut the connection).  True when the caller has to resume the connection;
 * otherwise the request is no longer the caller's. */
bool http_conn_answered(struct conn *conn, struct MHD_Response *answer);

/* The answer begins to be sent. */
void http_conn_sending(struct conn *conn);

/* The connection is suspended, because its pushed body has nothing to send: watches for its client
 * to leave.  False when it was cut before, and then the caller resumes the connection. */
bool http_conn_pause(struct conn *conn);

/* There is something to send: resumes the connection, if it is paused. */
void http_conn_go_on(struct conn *conn);

/* Whether the connection was cut. */
bool http_conn_is_cut(struct conn *conn);

/* Resets the connection, in the midst of an answer: a FIN could be taken for its end. */
void http_conn_cut(struct conn *conn);

/* The same with conn->lock held. */
void http_conn_cut_locked(struct conn *conn);

/* Whether an answer is due or on its way. */
bool http_conn_is_busy(struct conn *conn);

/* The request is over. */
void http_conn_idle(struct conn *conn);

/* ---- request.c; libmicrohttpd calls the first three through server.c */

/* A request for a request line with this target; NULL without memory. */
struct http_request *
http_request_new(struct conn *conn, struct MHD_Connection *mhd, const char *raw);

/* Takes the next part of a request, or sends its answer; false: cut the connection. */
bool http_request_call(struct http_request *request, const struct http_line *line, const char *data,
		       size_t *len);

/* What a content reader returns on a connection that was cut: told of an error, libmicrohttpd
 * 0.9.75 forgets the connection without closing it.  So it gets a byte that it can no longer send,
 * and closes. */
ssize_t http_read_cut(char *out);

/* Frees a request that libmicrohttpd is done with.  Accepts NULL. */
void http_request_free(struct http_request *request);

/* ---- push.c */

/* libmicrohttpd's response with this body, on conn; NULL without memory, and the body is still the
 * caller's. */
struct MHD_Response *http_push_build(struct http_push *push, struct conn *conn);

/* ---- server.c */

/* Writes a line to the log, if there is one. */
void http_log(const struct http_server *server, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
