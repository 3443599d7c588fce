/* source.h - a database as the engine sees it: statements with typed binds in, rows out.
 *
 * A source is one database, for one lane, driven by one loop: a set of connections, each with one
 * query in flight; queries beyond that wait in a bounded queue.  Nothing blocks.  Everything runs
 * on the loop's thread.  Implementations: source/postgres.h, source/clickhouse.h, canned
 * rows in the tests.  The engine knows only this file. */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "source/rows.h"

/* What a statement takes as $1, $2 ... */
struct source_bind {
	const char *name;
	enum tally_type type;
	bool is_array; /* one element for each distinct key tuple; arrays of a query are aligned */
	bool may_be_null; /* a parameter that a request need not have */
	/* An end of a period whose rows are chosen among once more: where the database has no room
	 * for it, the nearest that it has room for will do. */
	bool may_be_nearest;
};

struct source_column {
	char *name;
	enum tally_type type;
};

/* The columns of a statement's rows, in order. */
struct source_shape {
	struct source_column *columns;
	size_t n_columns;
};

/* Frees the columns and the shape.  Accepts NULL. */
void source_shape_free(struct source_shape *shape);

/* Whether the server ended a query for what it takes, of time, memory or temporary files: a smaller
 * one may do. */
bool source_error_is_of_size(const struct tally_error *err);

/* A statement: immutable, owned by a plan, alive for as long as any source may run it. */
struct source_statement {
	const char *sql;                 /* with $1 ... $n */
	const char *where;               /* "comments.sql:14", for errors */
	const struct source_bind *binds; /* n_binds, $1 first */
	size_t n_binds;
	uint64_t id;                      /* unique in the process: names the prepared statement */
	const struct source_shape *shape; /* as described; NULL before that */
};

/* The values of one bind: n of them for an array, one for a scalar. */
struct source_argument {
	const struct value *values;
	size_t n;
};

struct source_query;

/* The end of a query, once; may come before source_query() returns.  On TALLY_OK rows is the
 * callee's to free.  Otherwise rows is NULL, err says why (source and sqlstate filled in), and
 * status is one of
 *   TALLY_TOO_LARGE           the rows passed budget_bytes
 *   TALLY_SOURCE_UNAVAILABLE  transient: no connection, connection lost, shutting down, deadlock
 *   TALLY_SOURCE_ERROR        permanent: the database refused this query with these values
 *   TALLY_DEADLINE_EXCEEDED   deadline_ms has passed, or the server's own time limit
 *   TALLY_CANCELLED           source_cancel, source_free
 *   TALLY_SATURATED           too many queries wait
 *   TALLY_NO_MEMORY */
typedef void source_done_fn(void *ctx, struct source_query *query, tally_status status,
			    struct rows *rows, const struct tally_error *err);

/* One run of a statement.  The caller owns the struct and what it points to, and keeps both until
 * done was called. */
struct source_query {
	const struct source_statement *statement;
	const struct source_argument *arguments; /* statement->n_binds */
	int64_t deadline_ms;                     /* clock_mono_ms() */
	const char *trace_id; /* 32 hex digits of who asked, or of the first of them; NULL */
	size_t budget_bytes;  /* what the rows may take */
	source_done_fn *done;
	void *ctx;
	/* the source's own */
	TAILQ_ENTRY(source_query) link;
	void *connection; /* NULL: it waits for one */
	int64_t since_ms; /* when it came, clock_mono_ms() */
};

TAILQ_HEAD(source_query_list, source_query);

/* The end of a description, once; may come before source_describe() returns.  On TALLY_OK shape is
 * the callee's to free.  TALLY_WRONG_DEFINITION: the database refused the statement, or returns a
 * type that Tally does not know (err: "comments.sql:14: what").  TALLY_SOURCE_UNAVAILABLE,
 * TALLY_DEADLINE_EXCEEDED, TALLY_CANCELLED: not known yet. */
typedef void source_described_fn(void *ctx, tally_status status, struct source_shape *shape,
				 const struct tally_error *err);

struct source;

struct source_ops {
	const char *kind; /* "postgres", "clickhouse": as after "for" in a dataset file */
	void (*query)(struct source *source, struct source_query *query);
	void (*cancel)(struct source *source, struct source_query *query);
	void (*describe)(struct source *source, const struct source_statement *statement,
			 int64_t deadline_ms, source_described_fn *done, void *ctx);
	void (*free)(struct source *source);
};

/* Counters of a source; written by its loop's thread, read by any. */
struct source_stats {
	_Atomic uint64_t queries;
	_Atomic uint64_t errors;     /* queries that ended otherwise than TALLY_OK */
	_Atomic uint64_t reconnects; /* connections opened again after a loss */
	_Atomic uint64_t connected;  /* a gauge: connections that are up */
	_Atomic uint64_t waiting;    /* a gauge: queries that wait for a connection */
};

/* The head of every implementation's own struct. */
struct source {
	const struct source_ops *ops;
	const char *name; /* "db1" */
	struct source_stats stats;
};

/* Starts a query; its done comes once, in every case. */
static inline void
source_query(struct source *source, struct source_query *query)
{
	source->ops->query(source, query);
}

/* Ends a query early, on the server's side too where it runs; its done comes with TALLY_CANCELLED
 * before this returns. */
static inline void
source_cancel(struct source *source, struct source_query *query)
{
	source->ops->cancel(source, query);
}

/* Prepares and describes a statement without running it; done comes once. */
static inline void
source_describe(struct source *source, const struct source_statement *statement,
		int64_t deadline_ms, source_described_fn *done, void *ctx)
{
	source->ops->describe(source, statement, deadline_ms, done, ctx);
}

/* Closes all connections and frees the source; what is in flight ends with TALLY_CANCELLED
 * first.  Accepts NULL. */
static inline void
source_free(struct source *source)
{
	if (source)
		source->ops->free(source);
}

#endif
