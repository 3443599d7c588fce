#include "dataset/batch.h"

#include <assert.h>

#include "base/own.h"
#include "dataset/cached.h"

OWN_DEFINE(batch);

struct batch *
batch_new(const struct plan *plan, const struct params *const *requests, size_t n,
	  const struct engine_limits *limits, const struct batch_events *events)
{
	OWN(batch) batch = calloc(1, sizeof *batch);

	if (!batch)
		return NULL;
	batch->plan = plan;
	batch->limits = limits;
	batch->events = *events;
	batch->steps = calloc(plan->definition->n_steps, sizeof *batch->steps);
	batch->as_of_ms = calloc(plan->sources->n, sizeof *batch->as_of_ms);
	if (!batch->steps || !batch->as_of_ms
	    || working_init(&batch->working, plan, requests, n) != TALLY_OK)
		return NULL;
	for (size_t i = 0; i < plan->definition->n_steps; i++) {
		batch->steps[i].batch = batch;
		batch->steps[i].plan = &plan->steps[i];
	}
	return TAKE(batch);
}

void
batch_free(struct batch *batch)
{
	if (!batch)
		return;
	assert(batch->n_in_flight == 0);
	for (size_t i = 0; batch->steps && i < batch->plan->definition->n_steps; i++) {
		join_keys_fini(&batch->steps[i].keys);
		free(batch->steps[i].arguments);
		rows_free(batch->steps[i].rows);
		rows_free(batch->steps[i].cached);
	}
	working_fini(&batch->working);
	free(batch->steps);
	free(batch->as_of_ms);
	free(batch);
}

static void
fail(struct batch *batch, tally_status status, const struct tally_error *err)
{
	if (batch->status != TALLY_OK)
		return; /* one reason is enough */
	batch->status = status;
	if (err)
		batch->err = *err;
	else
		(void)tally_fail(&batch->err, status, "%s", tally_status_title(status));
}

/* ---- asking ------------------------------------------------------------------------------- */

static void
on_rows(void *ctx, struct source_query *query, tally_status status, struct rows *rows,
	const struct tally_error *err)
{
	struct batch_step *step = ctx;
	struct batch *batch = step->batch;

	(void)query;
	batch->n_in_flight--;
	step->state = BATCH_STEP_ARRIVED;
	step->rows = rows;
	/* Nothing is left to be joined with: these rows matter to nobody. */
	if (status != TALLY_OK && batch->working.n_lines > 0)
		fail(batch, status, err);
	if (!batch->is_stopped)
		batch->events.on_arrival(batch->events.ctx);
}

/* What the rows that are still to come may take. */
static size_t
budget_left(const struct batch *batch)
{
	size_t used = working_bytes(&batch->working);

	for (size_t i = 0; i < batch->plan->definition->n_steps; i++) {
		const struct batch_step *step = &batch->steps[i];

		used += step->rows ? step->rows->used_bytes : 0;
		used += step->cached ? step->cached->used_bytes : 0;
	}
	return used < batch->limits->batch_bytes ? batch->limits->batch_bytes - used : 0;
}

static const struct value *
bound_values(const struct batch_step *step, struct plan_bind from)
{
	switch (from.kind) {
	case PLAN_BIND_KEY:
		return step->keys.values + from.index * step->keys.n;
	case PLAN_BIND_FROM:
		return &step->keys.from;
	case PLAN_BIND_TO:
		return &step->keys.to;
	default:
		return &step->batch->working.params[from.index];
	}
}

static tally_status
set_arguments(struct batch_step *step)
{
	const struct source_statement *statement = &step->plan->statement;

	step->arguments = calloc(statement->n_binds + 1, sizeof *step->arguments);
	if (!step->arguments)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < statement->n_binds; i++) {
		step->arguments[i].values = bound_values(step, step->plan->bind_from[i]);
		step->arguments[i].n = statement->binds[i].is_array ? step->keys.n : 1;
	}
	return TALLY_OK;
}

static tally_status
send_query(struct batch_step *step)
{
	struct batch *batch = step->batch;
	tally_status status = set_arguments(step);

	if (status != TALLY_OK)
		return status;
	step->query = (struct source_query){
		.statement = &step->plan->statement,
		.arguments = step->arguments,
		.deadline_ms = batch->limits->deadline_ms,
		.trace_id = batch->limits->trace_id[0] ? batch->limits->trace_id : NULL,
		.budget_bytes = budget_left(batch),
		.done = on_rows,
		.ctx = step,
	};
	step->state = BATCH_STEP_ASKED;
	batch->n_in_flight++;
	source_query(step->plan->source, &step->query); /* may have arrived when it returns */
	return TALLY_OK;
}

static tally_status
ask(struct batch_step *step)
{
	struct batch *batch = step->batch;
	tally_status status = join_gather(&batch->working, step->plan, &step->keys);

	if (status != TALLY_OK)
		return status;
	step->n_keys = step->keys.n;
	if (step->plan->cache && !batch->limits->no_cache) {
		status = cached_look(step, budget_left(batch));
		if (status != TALLY_OK)
			return status;
	}
	if (step->keys.n > 0)
		return send_query(step);
	step->rows = step->cached ? TAKE(step->cached)
				  : rows_new(step->plan->shape->n_columns, budget_left(batch));
	step->state = BATCH_STEP_ARRIVED;
	return step->rows ? TALLY_OK : TALLY_NO_MEMORY;
}

static void
ask_ready(struct batch *batch)
{
	for (size_t i = batch->n_joined; i < batch->plan->definition->n_steps; i++) {
		struct batch_step *step = &batch->steps[i];

		if (batch->is_stopped || batch->status != TALLY_OK || batch->working.n_lines == 0)
			return;
		if (step->state != BATCH_STEP_WAITS || step->plan->n_needed > batch->n_joined)
			continue;
		tally_status status = ask(step);
		if (status != TALLY_OK)
			fail(batch, status, NULL);
	}
}

/* ---- joining ------------------------------------------------------------------------------ */

static void
note_as_of(struct batch *batch, const struct batch_step *step, int64_t at_ms)
{
	const struct plan_sources *sources = batch->plan->sources;

	for (size_t i = 0; at_ms > 0 && i < sources->n; i++) {
		if (sources->items[i] != step->plan->source)
			continue;
		if (batch->as_of_ms[i] == 0 || at_ms < batch->as_of_ms[i])
			batch->as_of_ms[i] = at_ms;
	}
}

static void
tell_step(struct batch *batch, const struct batch_step *step)
{
	struct engine_step told = {
		.step = step->plan->definition,
		.statement = &step->plan->statement,
		.n_keys = step->n_keys,
		.n_rows = step->rows->n_rows,
		.n_cached = step->n_cached,
		.took_us = step->rows->took_us,
	};

	batch->events.on_step(batch->events.ctx, &told);
}

/* Joins the next step, which has arrived. */
static void
join_next(struct batch *batch)
{
	struct batch_step *step = &batch->steps[batch->n_joined];

	assert(step->rows->n_columns == step->plan->shape->n_columns);
	note_as_of(batch, step, step->rows->as_of_ms);
	if (step->cached)
		note_as_of(batch, step, step->cached->as_of_ms);
	tally_status status = step->plan->cache ? cached_merge(step) : TALLY_OK;
	if (status == TALLY_OK) {
		tell_step(batch, step);
		if (batch->is_stopped)
			return;
		status = join_rows(&batch->working, step->plan, TAKE(step->rows),
				   batch->limits->batch_bytes);
	}
	if (status != TALLY_OK)
		fail(batch, status, NULL);
	batch->n_joined++;
}

enum batch_turn
batch_turn(struct batch *batch)
{
	for (;;) {
		ask_ready(batch);
		if (batch->is_stopped)
			return BATCH_WAITS;
		if (batch->status != TALLY_OK)
			return BATCH_FAILED;
		if (batch->n_joined == batch->plan->definition->n_steps)
			return BATCH_JOINED;
		if (batch->working.n_lines == 0) /* queries that were already sent may end */
			return batch->n_in_flight > 0 ? BATCH_WAITS : BATCH_JOINED;
		if (batch->steps[batch->n_joined].state != BATCH_STEP_ARRIVED)
			return BATCH_WAITS;
		join_next(batch);
	}
}

void
batch_stop(struct batch *batch)
{
	batch->is_stopped = true;
	for (size_t i = 0; i < batch->plan->definition->n_steps; i++) {
		struct batch_step *step = &batch->steps[i];

		if (step->state == BATCH_STEP_ASKED)
			source_cancel(step->plan->source, &step->query);
	}
}
