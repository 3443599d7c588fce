#include "source/postgres.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/own.h"
#include "source/ending.h"
#include "source/pg_run.h"

#define UNAVAILABLE_AFTER_MS 1000

/* A connection and what runs on it. */
struct pg_slot {
	struct postgres *postgres;
	struct pg_connection connection;
	struct pg_run run;
	struct loop_timer deadline; /* of the run */
	bool was_up;
};

struct postgres {
	struct source source; /* first */
	char *name;
	struct loop *loop;
	struct pg_settings settings;
	int query_timeout_ms;
	uint64_t random;
	size_t queue_max;
	struct source_query_list waiting;
	size_t n_waiting;
	struct loop_timer patience; /* the first moment at which a waiting query may give up */
	size_t n_up;
	int64_t down_since_ms; /* while n_up is 0 */
	char reason[256];      /* why the last attempt failed */
	bool is_dispatching;
	bool is_closing;
	size_t n_slots;
	struct pg_slot slots[];
};

static void dispatch(struct postgres *postgres);

/* ---- endings ----------------------------------------------------------------- */

/* Ends a run whose outcome is there. */
static void
end_run(struct pg_slot *slot, bool is_broken)
{
	struct postgres *postgres = slot->postgres;
	struct source_query *query = slot->run.query;
	struct source_outcome outcome;

	pg_run_take(&slot->run, &outcome);
	loop_timer_clear(postgres->loop, &slot->deadline);
	if (is_broken)
		pg_connection_drop(&slot->connection, &outcome.err);
	/* First the next one, so that the server works while we do. */
	dispatch(postgres);
	source_deliver(&postgres->source, query, &outcome);
}

/* Ends a run from outside, with the connection that it runs on. */
static void
abort_run(struct pg_slot *slot, tally_status status, const char *what)
{
	struct source_outcome *outcome = &slot->run.outcome;

	rows_free(TAKE(outcome->rows));
	source_shape_free(TAKE(outcome->shape));
	outcome->status = status;
	(void)tally_fail(&outcome->err, status, "%s: %s", slot->run.query->statement->where, what);
	end_run(slot, true);
}

static void
go_on(struct pg_slot *slot, enum pg_next next)
{
	if (next == PG_SENT)
		pg_connection_sent(&slot->connection);
	else if (next != PG_RUNNING)
		end_run(slot, next == PG_BROKEN);
}

/* ---- waiting ----------------------------------------------------------------- */

/* When a waiting query gives up, as things are. */
static int64_t
gives_up_at_ms(const struct postgres *postgres, const struct source_query *query)
{
	int64_t from_ms = query->since_ms;

	if (postgres->n_up > 0)
		return query->deadline_ms;
	if (from_ms < postgres->down_since_ms)
		from_ms = postgres->down_since_ms;
	from_ms += UNAVAILABLE_AFTER_MS;
	return from_ms < query->deadline_ms ? from_ms : query->deadline_ms;
}

/* Moves the timer forward to at_ms, if it is later than that or not set. */
static void
be_patient_until(struct postgres *postgres, int64_t at_ms)
{
	if (postgres->patience.slot == 0 || postgres->patience.at_ms > at_ms)
		(void)!loop_timer_set(postgres->loop, &postgres->patience, at_ms);
}

static void
remove_waiting(struct postgres *postgres, struct source_query *query)
{
	TAILQ_REMOVE(&postgres->waiting, query, link);
	postgres->source.stats.waiting = --postgres->n_waiting;
}

static void
give_up(struct postgres *postgres, struct source_query *query)
{
	char what[sizeof postgres->reason + 32];

	if (postgres->n_up > 0) {
		source_refuse(&postgres->source, query, TALLY_DEADLINE_EXCEEDED,
			      "had no free connection before the deadline");
		return;
	}
	(void)snprintf(what, sizeof what, "cannot be reached%s%s", postgres->reason[0] ? ": " : "",
		       postgres->reason);
	source_refuse(&postgres->source, query, TALLY_SOURCE_UNAVAILABLE, what);
}

static struct source_query *
find_impatient(struct postgres *postgres, int64_t now_ms)
{
	struct source_query *query;

	TAILQ_FOREACH (query, &postgres->waiting, link) {
		if (gives_up_at_ms(postgres, query) <= now_ms)
			return query;
	}
	return NULL;
}

static void
on_patience(void *ctx)
{
	struct postgres *postgres = ctx;
	int64_t now_ms = clock_mono_ms();
	struct source_query *query;

	/* From the start each time: done may change the list. */
	while ((query = find_impatient(postgres, now_ms))) {
		remove_waiting(postgres, query);
		give_up(postgres, query);
	}
	TAILQ_FOREACH (query, &postgres->waiting, link)
		be_patient_until(postgres, gives_up_at_ms(postgres, query));
}

/* ---- running ----------------------------------------------------------------- */

/* An idle connection; one that has the statement is better. */
static struct pg_slot *
find_idle(struct postgres *postgres, const struct source_statement *statement)
{
	struct pg_slot *idle = NULL;

	for (size_t i = 0; i < postgres->n_slots; i++) {
		struct pg_slot *slot = &postgres->slots[i];

		if (slot->connection.state != PG_IDLE || slot->run.query)
			continue;
		if (!statement || pg_connection_has(&slot->connection, statement->id))
			return slot;
		if (!idle)
			idle = slot;
	}
	return idle;
}

static void
start(struct pg_slot *slot, struct source_query *query)
{
	struct postgres *postgres = slot->postgres;

	int64_t until_ms = source_wait_until_ms(query, postgres->query_timeout_ms);

	if (loop_timer_set(postgres->loop, &slot->deadline, until_ms) != TALLY_OK) {
		source_refuse(&postgres->source, query, TALLY_NO_MEMORY,
			      "could not be asked: out of memory");
		return;
	}
	query->connection = slot;
	go_on(slot,
	      pg_run_start(&slot->run, &slot->connection, query, source_is_description(query)));
}

/* Starts what can be started.  Not nested: what a done function adds, the loop below takes. */
static void
dispatch(struct postgres *postgres)
{
	if (postgres->is_dispatching || postgres->is_closing)
		return;
	postgres->is_dispatching = true;
	for (;;) {
		struct source_query *query = TAILQ_FIRST(&postgres->waiting);
		struct pg_slot *slot = query ? find_idle(postgres, query->statement) : NULL;

		if (!slot)
			break;
		remove_waiting(postgres, query);
		start(slot, query);
	}
	postgres->is_dispatching = false;
}

/* ---- events of a connection -------------------------------------------------- */

static void
on_up(void *ctx)
{
	struct pg_slot *slot = ctx;
	struct postgres *postgres = slot->postgres;

	postgres->source.stats.connected = ++postgres->n_up;
	if (slot->was_up)
		postgres->source.stats.reconnects++;
	slot->was_up = true;
	dispatch(postgres);
}

static void
on_result(void *ctx, PGresult *result)
{
	struct pg_slot *slot = ctx;

	if (slot->run.query)
		go_on(slot, pg_run_result(&slot->run, result));
}

static void
on_ready(void *ctx)
{
	struct pg_slot *slot = ctx;

	if (slot->run.query)
		go_on(slot, pg_run_ready(&slot->run));
}

static void
note_down(struct postgres *postgres, bool was_up)
{
	struct source_query *query;

	if (!was_up)
		return;
	postgres->source.stats.connected = --postgres->n_up;
	if (postgres->n_up > 0)
		return;
	postgres->down_since_ms = clock_mono_ms();
	TAILQ_FOREACH (query, &postgres->waiting, link)
		be_patient_until(postgres, gives_up_at_ms(postgres, query));
}

static void
on_down(void *ctx, bool was_up, const struct tally_error *err)
{
	struct pg_slot *slot = ctx;
	struct postgres *postgres = slot->postgres;
	struct source_outcome *outcome = &slot->run.outcome;

	(void)snprintf(postgres->reason, sizeof postgres->reason, "%.255s", err->detail);
	note_down(postgres, was_up);
	if (!slot->run.query)
		return;
	/* The server may have said why before it closed. */
	if (outcome->status == TALLY_OK) {
		rows_free(TAKE(outcome->rows));
		source_shape_free(TAKE(outcome->shape));
		outcome->status =
		    tally_fail(&outcome->err, TALLY_SOURCE_UNAVAILABLE,
			       "%s: the connection was lost", slot->run.query->statement->where);
	}
	end_run(slot, false);
}

static void
on_deadline(void *ctx)
{
	struct pg_slot *slot = ctx;
	const char *what;
	tally_status status = source_late_status(slot->run.query, &what);

	abort_run(slot, status, what);
}

static const struct pg_events connection_events = {
	.on_up = on_up,
	.on_result = on_result,
	.on_ready = on_ready,
	.on_down = on_down,
};

/* ---- the source -------------------------------------------------------------- */

static void
postgres_query(struct source *source, struct source_query *query)
{
	struct postgres *postgres = (struct postgres *)source;

	query->connection = NULL;
	query->since_ms = clock_mono_ms();
	if (postgres->is_closing) {
		source_refuse(&postgres->source, query, TALLY_CANCELLED, "is being closed");
		return;
	}
	if (query->deadline_ms <= query->since_ms) {
		source_refuse(&postgres->source, query, TALLY_DEADLINE_EXCEEDED,
			      "was asked after the deadline");
		return;
	}
	if (postgres->n_waiting >= postgres->queue_max && !source_is_description(query)
	    && !find_idle(postgres, NULL)) {
		source_refuse(&postgres->source, query, TALLY_SATURATED,
			      "has too many queries waiting");
		return;
	}
	TAILQ_INSERT_TAIL(&postgres->waiting, query, link);
	postgres->source.stats.waiting = ++postgres->n_waiting;
	be_patient_until(postgres, gives_up_at_ms(postgres, query));
	for (size_t i = 0; i < postgres->n_slots; i++)
		pg_connection_revive(&postgres->slots[i].connection);
	dispatch(postgres);
}

static void
postgres_cancel(struct source *source, struct source_query *query)
{
	struct postgres *postgres = (struct postgres *)source;

	if (query->connection) {
		abort_run(query->connection, TALLY_CANCELLED, "cancelled");
		return;
	}
	remove_waiting(postgres, query);
	source_refuse(&postgres->source, query, TALLY_CANCELLED, "was not asked: cancelled");
}

static void
postgres_free(struct source *source)
{
	struct postgres *postgres = (struct postgres *)source;
	struct source_query *query;

	postgres->is_closing = true;
	for (size_t i = 0; i < postgres->n_slots; i++) {
		if (postgres->slots[i].run.query)
			abort_run(&postgres->slots[i], TALLY_CANCELLED, "the source was closed");
	}
	while ((query = TAILQ_FIRST(&postgres->waiting))) {
		remove_waiting(postgres, query);
		source_refuse(&postgres->source, query, TALLY_CANCELLED, "is being closed");
	}
	for (size_t i = 0; i < postgres->n_slots; i++)
		pg_connection_fini(&postgres->slots[i].connection);
	loop_timer_clear(postgres->loop, &postgres->patience);
	pg_settings_fini(&postgres->settings);
	free(postgres->name);
	free(postgres);
}

static const struct source_ops postgres_ops = {
	.kind = "postgres",
	.query = postgres_query,
	.cancel = postgres_cancel,
	.describe = source_describe_by_query,
	.free = postgres_free,
};

static tally_status
open_slots(struct postgres *postgres)
{
	for (size_t i = 0; i < postgres->n_slots; i++) {
		struct pg_slot *slot = &postgres->slots[i];
		tally_status status;

		slot->postgres = postgres;
		slot->deadline = (struct loop_timer){ .on_time = on_deadline, .ctx = slot };
		slot->connection.random = &postgres->random;
		status = pg_connection_init(&slot->connection, postgres->loop, &postgres->settings,
					    &connection_events, slot);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

tally_status
source_postgres_open(const struct source_options *options, struct source **out_source,
		     struct tally_error *err)
{
	struct postgres *postgres;
	tally_status status;

	if (options->connections == 0)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: no connections", options->name);
	postgres = calloc(1, sizeof *postgres + options->connections * sizeof *postgres->slots);
	if (!postgres)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	postgres->source.ops = &postgres_ops;
	postgres->loop = options->loop;
	postgres->query_timeout_ms = options->query_timeout_ms;
	postgres->queue_max = options->queue_max;
	postgres->random = options->seed;
	postgres->n_slots = options->connections;
	postgres->down_since_ms = clock_mono_ms();
	postgres->patience = (struct loop_timer){ .on_time = on_patience, .ctx = postgres };
	TAILQ_INIT(&postgres->waiting);
	postgres->name = strdup(options->name);
	postgres->source.name = postgres->name;
	status = pg_settings_init(&postgres->settings, options->name, options->url,
				  options->query_timeout_ms, err);
	if (status == TALLY_OK && (!postgres->name || open_slots(postgres) != TALLY_OK))
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status != TALLY_OK) {
		postgres_free(&postgres->source);
		return status;
	}
	*out_source = &postgres->source;
	return TALLY_OK;
}
