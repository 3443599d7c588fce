/* pg.h - a connection to the job store's PostgreSQL for a thread that may wait, but never past its
 * deadline: every step, connecting included, polls the socket with what is left of it, so a frozen
 * server holds nobody.  A connection on which something was late or lost is closed; it is opened
 * again by the next query.  After a failure attempts are 0 .. 50 ms, 0 .. 100 ms, ... 0 .. 2 s
 * apart (full jitter), and queries in between fail at once; the first attempt after a loss is made
 * without delay, so that whoever asks may ask again.
 *
 * NOTE: libpq 15 resolves host names while it connects, without a limit; give hostaddr beside host
 * where the resolver may hang.
 *
 * One thread at a time. */
#ifndef JOBS_PG_H
#define JOBS_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include <tally/status.h>

#include "jobs/pg_array.h"

#define JOB_PG_PARAMS_MAX 32

struct job_pg;

struct job_pg_options {
	const char *url;         /* postgresql://...; copied */
	const char *application; /* as in pg_stat_activity: "tally jobs"; copied */
	int timeout_ms;          /* the server itself ends a statement after that */
	int stop_fd;             /* readable: every wait ends with TALLY_CLOSED; -1: none */
	const char *session;     /* more settings, as for postgres: "-c name=value"; may be NULL */
};

/* A parameter in binary; made by the functions below. */
struct job_pg_param {
	uint32_t type;
	int len;          /* -1: null */
	const void *data; /* borrowed; NULL: number */
	unsigned char number[8];
};

struct job_pg_query {
	const char *sql;
	const char *name; /* prepared under it once a connection; a static string, or NULL */
	const struct job_pg_param *params;
	size_t n_params;     /* without any sql may be several statements */
	bool is_binary;      /* how the result's cells come */
	int64_t deadline_ms; /* clock_mono_ms() */
};

/* Makes a connection that is closed yet.  TALLY_WRONG_SETTING: not a URL (it is not quoted: it may
 * hold a password); TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status job_pg_new(const struct job_pg_options *options,
					 struct job_pg **out_pg, struct tally_error *err);

/* Closes and frees it; does not wait.  Accepts NULL. */
void job_pg_free(struct job_pg *pg);

/* Whether it is open, as far as is known without asking. */
bool job_pg_is_up(const struct job_pg *pg);

/* When a closed one may be opened again, clock_mono_ms(). */
int64_t job_pg_retry_ms(const struct job_pg *pg);

/* Opens it unless it is open.  TALLY_JOB_STORE_UNAVAILABLE, TALLY_CLOSED. */
TALLY_MUST_CHECK tally_status job_pg_open(struct job_pg *pg, int64_t deadline_ms,
					  struct tally_error *err);

/* Closes it, which ends its transaction; the next query opens it again. */
void job_pg_close(struct job_pg *pg);

/* Runs a query, opening the connection first where needed; the caller clears the result (of the
 * last statement; out_result may be NULL).  TALLY_JOB_STORE_UNAVAILABLE: lost, late, or a failure
 * that may pass (err->sqlstate: deadlock, shutdown, ...).  TALLY_INTERNAL_ERROR: the server refuses
 * the statement (err->sqlstate); the connection stays open, a transaction has failed.
 * TALLY_CLOSED, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status job_pg_ask(struct job_pg *pg, const struct job_pg_query *query,
					 PGresult **out_result, struct tally_error *err);

/* A row of its own result; borrowed.  Whatever is not TALLY_OK ends the query, and is returned. */
typedef tally_status job_pg_row_fn(void *ctx, const PGresult *row);

/* Runs a query whose rows are handed out one by one, so that only one is held.  Statuses as
 * job_pg_ask, and those of on_row. */
TALLY_MUST_CHECK tally_status job_pg_each(struct job_pg *pg, const struct job_pg_query *query,
					  job_pg_row_fn *on_row, void *ctx,
					  struct tally_error *err);

/* A parameter: a terminated text (NULL: null), bytes, numbers, or an array of elements of a type
 * (whose status has been looked at).  All borrow. */
struct job_pg_param job_pg_text(const char *text);
struct job_pg_param job_pg_bytes(const void *data, size_t len);
struct job_pg_param job_pg_int4(int32_t number);
struct job_pg_param job_pg_int8(int64_t number);
struct job_pg_param job_pg_bool(bool value);
struct job_pg_param job_pg_array(uint32_t element, const struct pg_array *array);

#endif
