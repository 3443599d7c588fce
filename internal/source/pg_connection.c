#include "source/pg_connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/own.h"

#define CONNECT_TIMEOUT_MS 5000
#define BACKOFF_FIRST_MS   50
#define BACKOFF_MAX_MS     5000

static void on_timer(void *ctx);

/* ---- life -------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static int64_t
backoff_ms(struct pg_connection *connection)
{
	unsigned shift = connection->n_failures < 7 ? connection->n_failures : 7;
	uint64_t ceiling_ms = (uint64_t)BACKOFF_FIRST_MS << shift;

	if (ceiling_ms > BACKOFF_MAX_MS)
		ceiling_ms = BACKOFF_MAX_MS;
	connection->n_failures++;
	return (int64_t)(next_random(connection->random) % (ceiling_ms + 1));
}

tally_status
pg_connection_init(struct pg_connection *connection, struct loop *loop,
		   struct pg_settings *settings, const struct pg_events *events, void *ctx)
{
	connection->state = PG_CLOSED;
	connection->loop = loop;
	connection->settings = settings;
	connection->events = events;
	connection->ctx = ctx;
	connection->watch.fd = -1;
	connection->timer = (struct loop_timer){ .on_time = on_timer, .ctx = connection };
	return loop_timer_set(loop, &connection->timer, clock_mono_ms());
}

static void
close_pg(struct pg_connection *connection)
{
	loop_timer_clear(connection->loop, &connection->timer);
	loop_unwatch(connection->loop, &connection->watch);
	PQfinish(TAKE(connection->pg)); /* does not wait: the socket is non-blocking */
	connection->n_prepared = 0;
	connection->state = PG_CLOSED;
}

void
pg_connection_fini(struct pg_connection *connection)
{
	if (!connection->loop)
		return;
	close_pg(connection);
	free(connection->prepared);
	connection->prepared = NULL;
}

void
pg_connection_revive(struct pg_connection *connection)
{
	if (connection->state == PG_CLOSED && connection->timer.slot == 0)
		(void)!loop_timer_set(connection->loop, &connection->timer, clock_mono_ms());
}

void
pg_connection_drop(struct pg_connection *connection, const struct tally_error *err)
{
	bool was_up = connection->state == PG_IDLE || connection->state == PG_BUSY;

	close_pg(connection);
	/* Without memory for a timer the next query revives it. */
	(void)!loop_timer_set(connection->loop, &connection->timer,
			      clock_mono_ms() + backoff_ms(connection));
	connection->events->on_down(connection->ctx, was_up, err);
}

/* It failed by itself: says why, and drops it. */
static void
lose(struct pg_connection *connection)
{
	struct tally_error err;
	char reason[256];

	pg_error_reason(connection->pg, reason, sizeof reason);
	if (connection->state == PG_CONNECTING)
		pg_settings_refused(connection->settings, reason);
	(void)tally_fail(&err, TALLY_SOURCE_UNAVAILABLE, "%s",
			 reason[0] ? reason : "the connection was lost");
	pg_connection_drop(connection, &err);
}

/* ---- commands ---------------------------------------------------------------- */

/* Sends what waits in libpq and asks the loop for what is needed next; false when it is lost. */
static bool
flush(struct pg_connection *connection)
{
	int left = PQflush(connection->pg);

	if (left < 0) {
		lose(connection);
		return false;
	}
	loop_watch_set(connection->loop, &connection->watch,
		       left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return true;
}

void
pg_connection_sent(struct pg_connection *connection)
{
	connection->state = PG_BUSY;
	(void)flush(connection);
}

/* Hands out what has arrived.  Callbacks may drop the connection or send the next command. */
static void
read_results(struct pg_connection *connection)
{
	while (connection->state == PG_BUSY && !PQisBusy(connection->pg)) {
		PGresult *result = PQgetResult(connection->pg);

		if (!result) {
			connection->state = PG_IDLE;
			connection->events->on_ready(connection->ctx);
			return;
		}
		/* An error that libpq made up (it has no SQLSTATE) is a lost connection. */
		if (PQstatus(connection->pg) == CONNECTION_BAD
		    && !PQresultErrorField(result, PG_DIAG_SQLSTATE)) {
			PQclear(result);
			lose(connection);
			return;
		}
		connection->n_failures = 0;
		connection->events->on_result(connection->ctx, result);
		PQclear(result);
	}
}

static void
on_event(void *ctx, int fd, uint32_t events)
{
	struct pg_connection *connection = ctx;

	(void)fd;
	if (events & ~(uint32_t)EPOLLOUT && !PQconsumeInput(connection->pg)) {
		lose(connection);
		return;
	}
	if (connection->watch.events & EPOLLOUT && !flush(connection))
		return;
	if (connection->state == PG_BUSY)
		read_results(connection);
	else
		(void)PQisBusy(connection->pg); /* reads notices */
}

/* ---- connecting -------------------------------------------------------------- */

static void
on_notice(void *ctx, const PGresult *result)
{
	(void)ctx;
	(void)result; /* libpq would print it */
}

static void
up(struct pg_connection *connection)
{
	loop_timer_clear(connection->loop, &connection->timer);
	connection->watch.on_event = on_event;
	if (PQsetnonblocking(connection->pg, 1) != 0) {
		lose(connection);
		return;
	}
	loop_watch_set(connection->loop, &connection->watch, EPOLLIN);
	connection->state = PG_IDLE;
	connection->events->on_up(connection->ctx);
}

static void advance(struct pg_connection *connection);

static void
on_connect_event(void *ctx, int fd, uint32_t events)
{
	struct pg_connection *connection = ctx;

	(void)fd;
	(void)events;
	/* libpq may go on with another socket of the same number, which epoll would not know. */
	loop_unwatch(connection->loop, &connection->watch);
	advance(connection);
}

static void
advance(struct pg_connection *connection)
{
	PostgresPollingStatusType next = PQconnectPoll(connection->pg);

	if (next == PGRES_POLLING_FAILED) {
		lose(connection);
		return;
	}
	connection->watch.fd = PQsocket(connection->pg);
	connection->watch.events = next == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN;
	connection->watch.on_event = on_connect_event;
	connection->watch.ctx = connection;
	if (loop_watch(connection->loop, &connection->watch) != TALLY_OK) {
		connection->watch.fd = -1;
		lose(connection);
		return;
	}
	if (next == PGRES_POLLING_OK)
		up(connection);
}

static void
open_pg(struct pg_connection *connection)
{
	const struct pg_settings *settings = connection->settings;

	connection->state = PG_CONNECTING;
	connection->pg = PQconnectStartParams(settings->keywords, settings->values, 1);
	if (!connection->pg || PQstatus(connection->pg) == CONNECTION_BAD
	    || loop_timer_set(connection->loop, &connection->timer,
			      clock_mono_ms() + CONNECT_TIMEOUT_MS)
		   != TALLY_OK) {
		lose(connection);
		return;
	}
	(void)PQsetNoticeReceiver(connection->pg, on_notice, NULL);
	/* As if the last poll had said "writing", which is what libpq asks for. */
	connection->watch.fd = PQsocket(connection->pg);
	if (connection->watch.fd < 0) {
		advance(connection);
		return;
	}
	connection->watch.events = EPOLLOUT;
	connection->watch.on_event = on_connect_event;
	connection->watch.ctx = connection;
	if (loop_watch(connection->loop, &connection->watch) != TALLY_OK) {
		connection->watch.fd = -1;
		lose(connection);
	}
}

static void
on_timer(void *ctx)
{
	struct pg_connection *connection = ctx;
	struct tally_error err;

	if (connection->state == PG_CLOSED) {
		open_pg(connection);
		return;
	}
	(void)tally_fail(&err, TALLY_SOURCE_UNAVAILABLE, "no answer within %d ms",
			 CONNECT_TIMEOUT_MS);
	pg_connection_drop(connection, &err);
}

/* ---- prepared statements ----------------------------------------------------- */

bool
pg_connection_has(const struct pg_connection *connection, uint64_t statement_id)
{
	for (size_t i = 0; i < connection->n_prepared; i++) {
		if (connection->prepared[i] == statement_id)
			return true;
	}
	return false;
}

bool
pg_connection_note(struct pg_connection *connection, uint64_t statement_id)
{
	if (connection->n_prepared == connection->cap_prepared) {
		size_t cap = connection->cap_prepared ? connection->cap_prepared * 2 : 16;
		uint64_t *prepared = realloc(connection->prepared, cap * sizeof *prepared);

		if (!prepared)
			return false;
		connection->prepared = prepared;
		connection->cap_prepared = cap;
	}
	connection->prepared[connection->n_prepared++] = statement_id;
	return true;
}

void
pg_connection_forget(struct pg_connection *connection, uint64_t statement_id)
{
	for (size_t i = 0; i < connection->n_prepared; i++) {
		if (connection->prepared[i] == statement_id)
			connection->prepared[i] = connection->prepared[--connection->n_prepared];
	}
}
