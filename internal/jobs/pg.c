#include "jobs/pg.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/own.h"
#include "source/pg_error.h"
#include "source/pg_settings.h"

#define BACKOFF_FIRST_MS  50
#define BACKOFF_MAX_MS    2000
#define BACKOFF_SHIFT_MAX 6
#define NAMES_MAX         16

struct job_pg {
	PGconn *pg; /* NULL: closed */
	struct pg_settings settings;
	char *options;
	char *application;
	int stop_fd;
	unsigned n_failures; /* since the last answer */
	int64_t retry_ms;
	char reason[160]; /* of the last failure */
	/* what is prepared on this connection; borrowed */
	const char *names[NAMES_MAX];
	size_t n_names;
};

OWN_DEFINE(job_pg);

/* ---- life -------------------------------------------------------------------- */

tally_status
job_pg_new(const struct job_pg_options *options, struct job_pg **out_pg, struct tally_error *err)
{
	OWN(job_pg) pg = calloc(1, sizeof *pg);
	tally_status status;

	if (!pg)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	pg->stop_fd = options->stop_fd;
	status =
	    pg_settings_init(&pg->settings, "TALLY_JOBS", options->url, options->timeout_ms, err);
	if (status != TALLY_OK)
		return status;
	if (asprintf(&pg->options, "-c timezone=UTC -c jit=off -c statement_timeout=%d %s",
		     options->timeout_ms, options->session ? options->session : "")
	    < 0)
		pg->options = NULL;
	pg->application = strdup(options->application);
	if (!pg->options || !pg->application)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	*out_pg = TAKE(pg);
	return TALLY_OK;
}

void
job_pg_free(struct job_pg *pg)
{
	if (!pg)
		return;
	job_pg_close(pg);
	pg_settings_fini(&pg->settings);
	free(pg->options);
	free(pg->application);
	free(pg);
}

bool
job_pg_is_up(const struct job_pg *pg)
{
	return pg->pg && PQstatus(pg->pg) == CONNECTION_OK;
}

int64_t
job_pg_retry_ms(const struct job_pg *pg)
{
	return pg->retry_ms;
}

void
job_pg_close(struct job_pg *pg)
{
	PQfinish(TAKE(pg->pg)); /* does not wait: the socket is non-blocking */
	pg->n_names = 0;
}

/* ---- failures ---------------------------------------------------------------- */

static int64_t
backoff_ms(unsigned n_failures)
{
	unsigned shift = n_failures - 1 < BACKOFF_SHIFT_MAX ? n_failures - 1 : BACKOFF_SHIFT_MAX;
	int64_t ceiling_ms = (int64_t)BACKOFF_FIRST_MS << shift;
	uint32_t random = UINT32_MAX / 2;

	if (ceiling_ms > BACKOFF_MAX_MS)
		ceiling_ms = BACKOFF_MAX_MS;
	/* Without randomness the middle: only the jitter is lost. */
	(void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
	return random % (ceiling_ms + 1);
}

/* Closes it and puts the next attempt off, unless this is the first failure. */
static tally_status
drop(struct job_pg *pg, const char *reason, struct tally_error *err)
{
	(void)snprintf(pg->reason, sizeof pg->reason, "%s", reason);
	job_pg_close(pg);
	pg->retry_ms = clock_mono_ms() + (pg->n_failures > 0 ? backoff_ms(pg->n_failures) : 0);
	pg->n_failures++;
	return tally_fail(err, TALLY_JOB_STORE_UNAVAILABLE, "the job store: %s", pg->reason);
}

static tally_status
lose(struct job_pg *pg, struct tally_error *err)
{
	char reason[160];

	pg_error_reason(pg->pg, reason, sizeof reason);
	return drop(pg, reason[0] ? reason : "the connection was lost", err);
}

/* Fills err from what the server says; its own words only where they cannot quote a value. */
static tally_status
refuse(struct job_pg *pg, const PGresult *result, struct tally_error *err)
{
	struct tally_error why = { 0 };
	tally_status status = pg_error_of_query(result, "the job store", &why);

	/* A statement is no longer there (a pooler), or its result is another: nothing is, then. */
	if (pg_error_is_stale(result))
		pg->n_names = 0;
	status = status == TALLY_SOURCE_ERROR ? TALLY_INTERNAL_ERROR : TALLY_JOB_STORE_UNAVAILABLE;
	if (err) {
		*err = why;
		err->status = status;
	}
	return status;
}

/* ---- waiting ----------------------------------------------------------------- */

/* Waits until the socket is ready.  On any other end the connection is closed. */
static tally_status
wait_for(struct job_pg *pg, short events, int64_t deadline_ms, struct tally_error *err)
{
	for (;;) {
		struct pollfd fds[2] = {
			{ .fd = PQsocket(pg->pg), .events = events },
			{ .fd = pg->stop_fd,      .events = POLLIN }
		};
		int64_t left_ms = deadline_ms - clock_mono_ms();
		int n;

		if (left_ms <= 0)
			return drop(pg, "no answer in time", err);
		n = poll(fds, 2, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
		if (n < 0 && errno != EINTR)
			return drop(pg, strerror(errno), err);
		if (n > 0 && fds[1].revents) {
			job_pg_close(pg);
			return tally_fail(err, TALLY_CLOSED, "the job store: stopped");
		}
		if (n > 0 && fds[0].revents)
			return TALLY_OK;
	}
}

/* ---- opening ----------------------------------------------------------------- */

static void
on_notice(void *ctx, const PGresult *result)
{
	(void)ctx;
	(void)result; /* libpq would print it */
}

/* What stands before dbname may be said otherwise in the URL. */
static PGconn *
begin(const struct job_pg *pg)
{
	const char *const keywords[] = { "gssencmode",      "tcp_user_timeout",
					 "keepalives_idle", "fallback_application_name",
					 "options",         "dbname",
					 "client_encoding", NULL };
	const char *const values[] = { "disable",   "30000",          "10",   pg->application,
				       pg->options, pg->settings.url, "UTF8", NULL };

	return PQconnectStartParams(keywords, values, 1);
}

static tally_status
finish_opening(struct job_pg *pg, int64_t deadline_ms, struct tally_error *err)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	while (next != PGRES_POLLING_OK) {
		tally_status status;

		if (next == PGRES_POLLING_FAILED || PQsocket(pg->pg) < 0)
			return lose(pg, err);
		status = wait_for(pg, next == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, deadline_ms,
				  err);
		if (status != TALLY_OK)
			return status;
		next = PQconnectPoll(pg->pg);
	}
	if (PQsetnonblocking(pg->pg, 1) != 0)
		return lose(pg, err);
	(void)PQsetNoticeReceiver(pg->pg, on_notice, NULL);
	return TALLY_OK;
}

tally_status
job_pg_open(struct job_pg *pg, int64_t deadline_ms, struct tally_error *err)
{
	if (job_pg_is_up(pg))
		return TALLY_OK;
	job_pg_close(pg);
	if (clock_mono_ms() < pg->retry_ms)
		return tally_fail(err, TALLY_JOB_STORE_UNAVAILABLE, "the job store: %s",
				  pg->reason);
	pg->pg = begin(pg);
	if (!pg->pg || PQstatus(pg->pg) == CONNECTION_BAD)
		return lose(pg, err);
	return finish_opening(pg, deadline_ms, err);
}

/* ---- queries ----------------------------------------------------------------- */

/* The parameters as libpq takes them. */
struct sent {
	Oid types[JOB_PG_PARAMS_MAX];
	const char *values[JOB_PG_PARAMS_MAX];
	int lengths[JOB_PG_PARAMS_MAX];
	int formats[JOB_PG_PARAMS_MAX];
};

static void
fill_sent(struct sent *sent, const struct job_pg_query *query)
{
	for (size_t i = 0; i < query->n_params; i++) {
		const struct job_pg_param *param = &query->params[i];
		const void *data = param->data ? param->data : param->number;

		sent->types[i] = param->type;
		sent->values[i] = param->len < 0 ? NULL : data;
		sent->lengths[i] = param->len;
		sent->formats[i] = 1;
	}
}

static bool
send_params(struct job_pg *pg, const struct job_pg_query *query)
{
	struct sent sent;
	int n = (int)query->n_params;

	fill_sent(&sent, query);
	if (query->name)
		return PQsendQueryPrepared(pg->pg, query->name, n, sent.values, sent.lengths,
					   sent.formats, query->is_binary);
	return PQsendQueryParams(pg->pg, query->sql, n, sent.types, sent.values, sent.lengths,
				 sent.formats, query->is_binary);
}

/* Sends what libpq has taken, all of it. */
static tally_status
flush(struct job_pg *pg, int64_t deadline_ms, struct tally_error *err)
{
	int left;

	while ((left = PQflush(pg->pg)) > 0) {
		/* The server may have to be read from before it reads on. */
		tally_status status = wait_for(pg, POLLIN | POLLOUT, deadline_ms, err);

		if (status != TALLY_OK)
			return status;
		if (!PQconsumeInput(pg->pg))
			return lose(pg, err);
	}
	return left == 0 ? TALLY_OK : lose(pg, err);
}

static tally_status
send_query(struct job_pg *pg, const struct job_pg_query *query, struct tally_error *err)
{
	bool is_simple = query->n_params == 0 && !query->is_binary && !query->name;

	if (!(is_simple ? PQsendQuery(pg->pg, query->sql) : send_params(pg, query)))
		return lose(pg, err);
	return flush(pg, query->deadline_ms, err);
}

/* The next result; NULL after the last one. */
static tally_status
receive(struct job_pg *pg, int64_t deadline_ms, PGresult **out_result, struct tally_error *err)
{
	while (PQisBusy(pg->pg)) {
		tally_status status = wait_for(pg, POLLIN, deadline_ms, err);

		if (status != TALLY_OK)
			return status;
		if (!PQconsumeInput(pg->pg))
			return lose(pg, err);
	}
	*out_result = PQgetResult(pg->pg);
	return TALLY_OK;
}

/* What a result says; a lost connection is closed. */
static tally_status
judge(struct job_pg *pg, const PGresult *result, struct tally_error *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_SINGLE_TUPLE:
	case PGRES_EMPTY_QUERY:
		pg->n_failures = 0;
		return TALLY_OK;
	default:
		/* An error that libpq made up has no SQLSTATE. */
		if (!PQresultErrorField(result, PG_DIAG_SQLSTATE))
			return lose(pg, err);
		return refuse(pg, result, err);
	}
}

/* What is done with each result of a query; it owns the result. */
typedef tally_status take_fn(void *ctx, PGresult *result);

/* Takes all results; the first failure is what is returned, and the connection is in step again, or
 * closed. */
static tally_status
take_all(struct job_pg *pg, const struct job_pg_query *query, take_fn *take, void *ctx,
	 struct tally_error *err)
{
	tally_status outcome = TALLY_OK;

	for (;;) {
		PGresult *result = NULL;
		tally_status status = receive(pg, query->deadline_ms, &result, err);

		if (status != TALLY_OK)
			return outcome == TALLY_OK ? status : outcome;
		if (!result)
			return outcome;
		status = outcome == TALLY_OK ? judge(pg, result, err) : TALLY_OK;
		if (!pg->pg || status != TALLY_OK || outcome != TALLY_OK) {
			outcome = outcome == TALLY_OK ? status : outcome;
			PQclear(result);
		} else {
			outcome = take(ctx, result);
			if (outcome != TALLY_OK)
				job_pg_close(pg); /* nobody wants the rest */
		}
		if (!pg->pg)
			return outcome;
	}
}

static tally_status
discard(void *ctx, PGresult *result)
{
	(void)ctx;
	PQclear(result);
	return TALLY_OK;
}

static bool
is_prepared(const struct job_pg *pg, const struct job_pg_query *query)
{
	for (size_t i = 0; i < pg->n_names; i++) {
		if (strcmp(pg->names[i], query->name) == 0)
			return true;
	}
	return false;
}

/* Opens the connection and prepares the query, where that is still to be done. */
static tally_status
make_ready(struct job_pg *pg, const struct job_pg_query *query, struct tally_error *err)
{
	struct sent sent;
	tally_status status = job_pg_open(pg, query->deadline_ms, err);

	if (status != TALLY_OK || !query->name || is_prepared(pg, query))
		return status;
	if (pg->n_names == NAMES_MAX)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "too many prepared statements");
	fill_sent(&sent, query);
	if (!PQsendPrepare(pg->pg, query->name, query->sql, (int)query->n_params, sent.types))
		return lose(pg, err);
	status = flush(pg, query->deadline_ms, err);
	if (status == TALLY_OK)
		status = take_all(pg, query, discard, NULL, err);
	if (status == TALLY_OK)
		pg->names[pg->n_names++] = query->name;
	return status;
}

static tally_status
begin_query(struct job_pg *pg, const struct job_pg_query *query, struct tally_error *err)
{
	tally_status status;

	if (query->n_params > JOB_PG_PARAMS_MAX)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "too many parameters");
	status = make_ready(pg, query, err);
	return status == TALLY_OK ? send_query(pg, query, err) : status;
}

static tally_status
keep_last(void *ctx, PGresult *result)
{
	PGresult **kept = ctx;

	PQclear(*kept);
	*kept = result;
	return TALLY_OK;
}

tally_status
job_pg_ask(struct job_pg *pg, const struct job_pg_query *query, PGresult **out_result,
	   struct tally_error *err)
{
	PGresult *result = NULL;
	tally_status status = begin_query(pg, query, err);

	if (status == TALLY_OK)
		status = take_all(pg, query, keep_last, &result, err);
	if (status != TALLY_OK || !out_result)
		PQclear(result);
	else
		*out_result = result;
	return status;
}

struct rows {
	job_pg_row_fn *on_row;
	void *ctx;
};

static tally_status
hand_out(void *ctx, PGresult *result)
{
	const struct rows *rows = ctx;
	tally_status status = TALLY_OK;

	if (PQntuples(result) > 0) /* the last one is empty */
		status = rows->on_row(rows->ctx, result);
	PQclear(result);
	return status;
}

tally_status
job_pg_each(struct job_pg *pg, const struct job_pg_query *query, job_pg_row_fn *on_row, void *ctx,
	    struct tally_error *err)
{
	struct rows rows = { on_row, ctx };
	tally_status status = begin_query(pg, query, err);

	if (status != TALLY_OK)
		return status;
	(void)!PQsetSingleRowMode(pg->pg); /* it cannot fail right after the query was sent */
	return take_all(pg, query, hand_out, &rows, err);
}
