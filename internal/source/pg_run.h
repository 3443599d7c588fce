/* pg_run.h - one query, or one description, on one connection: the steps that it takes.
 *
 *   query        [prepare] execute                   rows
 *                execute -> stale: deallocate prepare execute, once
 *   description  [prepare] describe [look up types]  a shape
 *
 * Each step is a command of its own; the run says after each event what comes next, and who holds
 * it (the pool) keeps the connection going.  The loop's thread. */
#ifndef SOURCE_PG_RUN_H
#define SOURCE_PG_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "source/ending.h"
#include "source/pg_connection.h"

enum pg_step {
	PG_STEP_NONE,
	PG_STEP_DEALLOCATE,
	PG_STEP_PREPARE,
	PG_STEP_DESCRIBE,
	PG_STEP_LOOKUP,
	PG_STEP_EXECUTE,
};

enum pg_next {
	PG_RUNNING, /* more is to come */
	PG_SENT,    /* a command was sent: call pg_connection_sent */
	PG_OVER,    /* outcome is there; the connection is free */
	PG_BROKEN,  /* outcome is there; drop the connection */
};

struct pg_run {
	struct source_query *query; /* NULL: nothing runs */
	struct pg_connection *connection;
	bool is_describe;
	bool is_retried; /* prepared anew already */
	bool is_stale;   /* must be */
	enum pg_step step;
	Oid *oids; /* n_columns: what the columns are, while rows or types are read; owned */
	size_t n_columns;
	int64_t sent_us;    /* clock_mono_us() */
	int64_t sent_at_ms; /* Unix time */
	struct source_outcome outcome;
};

/* Starts a query on an idle connection: PG_SENT, PG_OVER or PG_BROKEN. */
enum pg_next pg_run_start(struct pg_run *run, struct pg_connection *connection,
			  struct source_query *query, bool is_describe);

/* Takes a result: PG_RUNNING or PG_BROKEN. */
enum pg_next pg_run_result(struct pg_run *run, PGresult *result);

/* Takes the end of a command: PG_SENT, PG_OVER or PG_BROKEN. */
enum pg_next pg_run_ready(struct pg_run *run);

/* Ends the run and moves its outcome out; nothing runs afterwards. */
void pg_run_take(struct pg_run *run, struct source_outcome *out_outcome);

#endif
