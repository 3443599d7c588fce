/* pg_connection.h - one connection to PostgreSQL that opens itself again after a loss.
 *
 * It carries one command at a time and knows nothing of what the command is: who uses it calls
 * PQsend... on pg, then pg_connection_sent, and gets every result and then the end.  After a loss
 * or a failed attempt it waits for 0 .. 50 ms, 0 .. 100 ms, ... 0 .. 5 s (full jitter, so that many
 * workers do not come back at once); a result of any command takes the wait back to the start.
 *
 * Nothing here waits for the network, with one exception: libpq 15 resolves a host name inside
 * PQconnectPoll.  Where the resolver may hang, give hostaddr beside host, or an address.
 *
 * Owner: a pool, which embeds the struct; it must not move.  One thread: the loop's. */
#ifndef SOURCE_PG_CONNECTION_H
#define SOURCE_PG_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/loop.h"
#include "source/pg_error.h"
#include "source/pg_settings.h"

enum pg_state {
	PG_CLOSED,     /* the timer opens it */
	PG_CONNECTING, /* the timer gives up */
	PG_IDLE,
	PG_BUSY, /* a command was sent */
};

/* What a connection tells its owner; ctx is that of pg_connection_init.  Each may send the next
 * command or drop the connection; none may free it. */
struct pg_events {
	void (*on_up)(void *ctx);                       /* idle for the first time */
	void (*on_result)(void *ctx, PGresult *result); /* borrowed */
	void (*on_ready)(void *ctx);                    /* no more results: idle again */
	void (*on_down)(void *ctx, bool was_up, const struct tally_error *err);
};

struct pg_connection {
	enum pg_state state;
	PGconn *pg; /* NULL when closed */
	struct loop *loop;
	struct pg_settings *settings; /* of the pool */
	const struct pg_events *events;
	void *ctx;
	struct loop_watch watch;
	struct loop_timer timer;
	unsigned n_failures; /* in a row */
	uint64_t *random;    /* the state of the pool's generator */
	/* the ids of the statements that this connection has prepared, in no order */
	uint64_t *prepared;
	size_t n_prepared;
	size_t cap_prepared;
};

/* Fills a connection and lets the loop open it in its next turn.  All pointers are borrowed, for
 * the connection's whole life; random is set before.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status pg_connection_init(struct pg_connection *connection,
						 struct loop *loop, struct pg_settings *settings,
						 const struct pg_events *events, void *ctx);

/* Closes it for good, without a callback.  Accepts a zeroed one. */
void pg_connection_fini(struct pg_connection *connection);

/* Closes it, which ends what runs on it, and opens it again later; calls on_down. */
void pg_connection_drop(struct pg_connection *connection, const struct tally_error *err);

/* Sees that a closed connection has its timer, in case there was no memory for one. */
void pg_connection_revive(struct pg_connection *connection);

/* After a successful PQsend...: busy until on_ready.  May find it lost, and call on_down. */
void pg_connection_sent(struct pg_connection *connection);

/* Whether a statement is prepared on this connection, and noting that it is or is no longer.
 * A statement that cannot be noted for want of memory would be prepared twice: false. */
bool pg_connection_has(const struct pg_connection *connection, uint64_t statement_id);
bool pg_connection_note(struct pg_connection *connection, uint64_t statement_id);
void pg_connection_forget(struct pg_connection *connection, uint64_t statement_id);

#endif
