#include "http/inner.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Of libmicrohttpd's memory for a connection, beside the target: the headers of a request, then
 * those of its answer. */
#define HEAD_BYTES    ((size_t)24 << 10)
#define LINE_BYTES    256
#define DRAIN_LOOK_MS 5

void
http_log(const struct http_server *server, int level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	if (!server->options.on_log)
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof line, format, args);
	va_end(args);
	server->options.on_log(server->options.ctx, level, line);
}

/* ---- libmicrohttpd's calls --------------------------------------------------- */

/* It tells of every client that errs or leaves, without a level. */
__attribute__((format(printf, 2, 0))) static void
on_line(void *ctx, const char *format, va_list args)
{
	const struct http_server *server = ctx;
	char line[LINE_BYTES];

	if (!server->options.on_log)
		return;
	(void)vsnprintf(line, sizeof line, format, args);
	line[strcspn(line, "\n")] = '\0';
	server->options.on_log(server->options.ctx, LOG_DEBUG, line);
}

static void
on_connection(void *ctx, struct MHD_Connection *mhd, void **slot,
	      enum MHD_ConnectionNotificationCode code)
{
	struct http_turn *turn = ctx;
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		http_conn_close(turn->server, *slot);
		return;
	}
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	*slot = http_conn_open(turn, info->connect_fd);
	if (!*slot)
		(void)shutdown(info->connect_fd, SHUT_RDWR);
}

/* The raw target, before libmicrohttpd splits and decodes it. */
static void *
on_target(void *ctx, const char *target, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct conn *conn = info ? info->socket_context : NULL;
	struct http_request *request = conn ? http_request_new(conn, mhd, target) : NULL;
	char *query = strchr(target, '?');

	(void)ctx;
	/* It would make a list of the arguments, which we do not use; when that does not fit the
	 * connection's memory, it answers while it goes on to read headers. */
	if (query)
		query[1] = '\0';
	return request;
}

static size_t
leave_escaped(void *ctx, struct MHD_Connection *mhd, char *text)
{
	(void)ctx;
	(void)mhd;
	return strlen(text);
}

/* NOTE: MHD_AccessHandlerCallback has eight parameters, past our limit of six. */
static enum MHD_Result
on_call(void *ctx, struct MHD_Connection *mhd, const char *target, const char *method,
	const char *version, const char *data, size_t *len, void **slot)
{
	struct http_line line = { .method = method, .target = target, .version = version };

	(void)ctx;
	(void)mhd;
	return *slot && http_request_call(*slot, &line, data, len) ? MHD_YES : MHD_NO;
}

static void
on_completed(void *ctx, struct MHD_Connection *mhd, void **slot,
	     enum MHD_RequestTerminationCode code)
{
	(void)ctx;
	(void)mhd;
	(void)code;
	http_request_free(*slot);
	*slot = NULL;
}

/* ---- start and stop ---------------------------------------------------------- */

static tally_status
make_table(struct http_server *server, struct tally_error *err)
{
	server->n_conns = server->options.max_connections;
	server->conns = calloc(server->n_conns, sizeof *server->conns);
	if (!server->conns)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < server->n_conns; i++) {
		struct conn *conn = &server->conns[i];

		conn->server = server;
		conn->slot = i;
		conn->next_free = i + 1;
		conn->fd = -1;
		pthread_mutex_init(&conn->lock, NULL);
		pthread_cond_init(&conn->called, NULL);
	}
	return TALLY_OK;
}

struct MHD_Daemon *
http_daemon_start(struct http_turn *turn)
{
	struct http_server *server = turn->server;

	/* Which connections a turn gets is not ours to say, so each may have all of them. */
	return MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_ERROR_LOG
		| MHD_USE_NO_LISTEN_SOCKET,
	    0, NULL, NULL, on_call, server, MHD_OPTION_EXTERNAL_LOGGER, on_line, server,
	    MHD_OPTION_CONNECTION_LIMIT, server->n_conns + 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    HEAD_BYTES + server->options.max_target_bytes, MHD_OPTION_URI_LOG_CALLBACK, on_target,
	    server, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, server,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
	    on_connection, turn, MHD_OPTION_END);
}

static tally_status
start_turns(struct http_server *server, struct tally_error *err)
{
	tally_status status = TALLY_OK;

	server->turns = calloc(server->options.n_threads, sizeof *server->turns);
	if (!server->turns)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (unsigned i = 0; status == TALLY_OK && i < server->options.n_threads; i++)
		status = http_turn_start(&server->turns[i], server, err);
	return status;
}

/* Signals are the main thread's: ours are born with all of them blocked. */
static tally_status
start_threads(struct http_server *server, struct tally_error *err)
{
	sigset_t all, before;
	tally_status status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = start_turns(server, err);
	if (status == TALLY_OK)
		status = http_watch_start(server, err);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return status;
}

tally_status
http_server_start(const struct http_server_options *options, struct http_server **out_server,
		  struct tally_error *err)
{
	struct http_server *server = calloc(1, sizeof *server);
	tally_status status;

	if (!server)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	assert(options->n_threads > 0 && options->max_connections > 0);
	server->options = *options;
	server->options.listen = NULL;
	server->listen_fd = server->epoll_fd = server->wake_fd = -1;
	pthread_mutex_init(&server->table_lock, NULL);
	sem_init(&server->deaf, 0, 0);
	status = make_table(server, err);
	if (status == TALLY_OK)
		status = http_listen(options->listen, options->stall_timeout_ms, &server->listen_fd,
				     &server->port, err);
	if (status == TALLY_OK)
		status = start_threads(server, err);
	if (status != TALLY_OK) {
		http_server_stop(server);
		return status;
	}
	*out_server = server;
	return TALLY_OK;
}

unsigned
http_server_port(const struct http_server *server)
{
	return server->port;
}

void
http_server_quiesce(struct http_server *server)
{
	http_watch_deafen(server);
}

void
http_server_drain(struct http_server *server, int timeout_ms)
{
	const struct timespec look = { 0, DRAIN_LOOK_MS * 1000000 };
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	uint32_t i = 0;

	while (i < server->n_conns && clock_mono_ms() < until_ms) {
		if (http_conn_is_busy(&server->conns[i]))
			(void)nanosleep(&look, NULL);
		else
			i++;
	}
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void
http_server_stop(struct http_server *server)
{
	if (!server)
		return;
	assert(atomic_load(&server->n_waiting) == 0);
	http_watch_stop(server);
	for (unsigned i = 0; server->turns && i < server->options.n_threads; i++)
		http_turn_stop(&server->turns[i]);
	free(server->turns);
	close_fd(server->epoll_fd);
	close_fd(server->wake_fd);
	for (uint32_t i = 0; server->conns && i < server->n_conns; i++) {
		pthread_cond_destroy(&server->conns[i].called);
		pthread_mutex_destroy(&server->conns[i].lock);
	}
	free(server->conns);
	sem_destroy(&server->deaf);
	pthread_mutex_destroy(&server->table_lock);
	free(server);
}

struct http_server_stats
http_server_stats(struct http_server *server)
{
	return (struct http_server_stats){
		.connections = atomic_load(&server->n_open),
		.waiting = atomic_load(&server->n_waiting),
		.gone = atomic_load(&server->n_gone),
		.reaped = atomic_load(&server->n_reaped),
		.streams = atomic_load(&server->n_streams),
	};
}
