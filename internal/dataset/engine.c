/* A run: ranges of requests that are still to be answered, and the one that is a batch now.
 *
 * Sources and callbacks may call back at any moment, so there is one place where a run moves: pump.
 * A query that ends while pump is at work is seen by it; one that ends later calls it.  Halves run
 * one after the other, depth first: memory stays that of one batch. */
#include "dataset/engine.h"

#include <assert.h>

#include "base/own.h"
#include "dataset/batch.h"

/* Of a batch in the mean of what requests take. */
#define MOST_WEIGHT  4
#define TOTAL_WEIGHT 32

struct range {
	size_t first;
	size_t n;
};

struct engine_run {
	struct plan *plan;
	const struct params *const *requests;
	size_t n;
	struct engine_limits limits;
	struct engine_events events;
	bool *is_answered;
	int64_t *as_of_ms; /* by source */
	/* Depth first, each halving adds one, and what its batch had no room for: a size_t has no
	 * more bits. */
	struct range ranges[2 * 8 * sizeof(size_t) + 1];
	size_t n_ranges;
	struct batch *batch;         /* of the range that is under way */
	struct engine_run **out_run; /* while engine_start is at work */
	unsigned n_entered;          /* calls on the stack that use the run */
	bool is_pumping;
	bool is_cancelled; /* engine_cancel tells the requests that are left; nothing else does */
	bool is_over;      /* on_end was called: only waits to be freed */
};

static void
engine_run_free(struct engine_run *run)
{
	if (!run)
		return;
	batch_free(run->batch);
	free(run->is_answered);
	free(run->as_of_ms);
	free(run);
}

OWN_DEFINE(engine_run);

static void
enter(struct engine_run *run)
{
	run->n_entered++;
}

static void
leave(struct engine_run *run)
{
	if (--run->n_entered == 0 && run->is_over)
		engine_run_free(run);
}

static void
finish(struct engine_run *run)
{
	run->is_over = true;
	if (run->out_run)
		*run->out_run = NULL;
	run->events.on_end(run->events.ctx, run);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void
give(struct engine_run *run, size_t request, struct engine_answer *answer)
{
	assert(!run->is_answered[request]);
	run->is_answered[request] = true;
	run->events.on_answer(run->events.ctx, run, request, answer);
	free(answer->body); /* NULL when it was taken */
}

/* The same failure for every request of a range that has no answer yet. */
static void
give_failure(struct engine_run *run, struct range range, const struct tally_error *err)
{
	for (size_t i = range.first; i < range.first + range.n; i++) {
		struct engine_answer answer = { .status = err->status, .error = *err };

		if (run->is_over)
			return;
		if (!run->is_answered[i])
			give(run, i, &answer);
	}
}

static void
keep_as_of(struct engine_run *run, const struct batch *batch)
{
	for (size_t i = 0; i < run->plan->sources->n; i++) {
		int64_t at_ms = batch->as_of_ms[i];

		if (at_ms > 0 && (run->as_of_ms[i] == 0 || at_ms < run->as_of_ms[i]))
			run->as_of_ms[i] = at_ms;
	}
}

enum whom { ALL, WITHOUT_LINES };

/* Answers requests of the batch from their lines, which are in the order of the requests. */
static void
answer_batch(struct engine_run *run, const struct batch *batch, enum whom whom)
{
	const struct working *working = &batch->working;
	size_t line = 0;

	keep_as_of(run, batch);
	for (size_t i = 0; i < working->n_requests && !run->is_over; i++) {
		struct engine_answer answer;
		size_t first = line;

		while (line < working->n_lines && working_line(working, line)[0] == i)
			line++;
		if (whom == WITHOUT_LINES && line > first)
			continue;
		batch_answer(batch, i, first, line - first, &answer);
		give(run, batch->first + i, &answer);
	}
}

/* ---- failures ------------------------------------------------------------------------------- */

/* Failures that one request, or their number, may have caused for the others of the batch. */
static bool
may_be_one_request(const struct batch *batch)
{
	return batch->status == TALLY_SOURCE_ERROR || batch->status == TALLY_TOO_LARGE
	       || source_error_is_of_size(&batch->err);
}

/* A failure as the requests are told of it. */
static struct tally_error
public_error(const struct engine_run *run, const struct batch *batch)
{
	struct tally_error err = batch->err;

	err.status = batch->status;
	if (batch->status == TALLY_TOO_LARGE)
		(void)tally_fail(&err, TALLY_RESULT_TOO_LARGE,
				 "the rows that this request reads are past %zu bytes: narrow the "
				 "request",
				 run->limits.batch_bytes);
	if (batch->status == TALLY_CANCELLED) /* by the source: this run was not cancelled */
		(void)tally_fail(&err, TALLY_SOURCE_UNAVAILABLE,
				 "the connection to the database was closed");
	return err;
}

static void
push(struct engine_run *run, size_t first, size_t n)
{
	assert(run->n_ranges < sizeof run->ranges / sizeof run->ranges[0]);
	run->ranges[run->n_ranges++] = (struct range){ first, n };
}

/* A failure that is nobody's fault: all are told, but those whom no step left could give a row. */
static void
fail_all(struct engine_run *run, const struct batch *batch, const struct tally_error *err)
{
	run->n_ranges = 0;
	answer_batch(run, batch, WITHOUT_LINES);
	give_failure(run, (struct range){ 0, run->n }, err);
}

/* Halves the failed batch, or tells its requests. */
static void
fail_batch(struct engine_run *run)
{
	struct batch *batch = TAKE(run->batch);
	struct range range = { batch->first, batch->working.n_requests };
	struct tally_error err = public_error(run, batch);

	batch_stop(batch);
	if (!may_be_one_request(batch)) {
		fail_all(run, batch, &err);
	} else if (range.n > 1) {
		push(run, range.first + range.n / 2, range.n - range.n / 2);
		push(run, range.first, range.n / 2);
	} else {
		give_failure(run, range, &err);
	}
	batch_free(batch);
}

/* ---- moving --------------------------------------------------------------------------------- */

static void pump(struct engine_run *run);

static void
on_arrival(void *ctx)
{
	pump(ctx);
}

static void
on_step(void *ctx, const struct engine_step *step)
{
	struct engine_run *run = ctx;

	if (run->events.on_step)
		run->events.on_step(run->events.ctx, run, step);
}

/* How many requests a batch has room for, by what they took lately: reading what does not fit, to
 * read its halves again, is work for nothing.  A quarter is left for those that take more. */
static size_t
room(const struct engine_run *run)
{
	const struct plan *plan = run->plan;
	size_t total = run->limits.batch_bytes;
	size_t left = total > plan->shared_bytes ? total - plan->shared_bytes : 0;
	size_t n = plan->request_bytes > 0 ? left / 4 * 3 / plan->request_bytes : run->n;

	return n > 0 ? n : 1;
}

/* Of steps without keys, whose rows are as many for one request as for all. */
static size_t
shared_bytes(const struct batch *batch)
{
	size_t bytes = 0;

	for (size_t i = 0; i < batch->plan->definition->n_steps; i++) {
		const struct rows *rows = batch->working.rows[1 + i];

		if (rows && batch->plan->steps[i].sql->n_keys == 0)
			bytes += rows->used_bytes;
	}
	return bytes;
}

/* The mean of the last batches, of which those of few requests count less: one says little of the
 * others, and one past the budget, which was never joined, nothing. */
static void
note_bytes(struct plan *plan, const struct batch *batch)
{
	size_t n = batch->working.n_requests;
	size_t weight = n < MOST_WEIGHT ? n : MOST_WEIGHT;
	size_t shared = shared_bytes(batch);
	size_t each = (working_bytes(&batch->working) - shared) / n;

	plan->shared_bytes = shared;
	if (plan->request_bytes == 0 && weight == MOST_WEIGHT)
		plan->request_bytes = each;
	plan->request_bytes =
	    ((TOTAL_WEIGHT - weight) * plan->request_bytes + weight * each) / TOTAL_WEIGHT;
}

/* The next range, or as much of it as there is room for. */
static struct range
next_range(struct engine_run *run)
{
	struct range range = run->ranges[--run->n_ranges];
	size_t max = room(run);

	if (range.n > max) {
		push(run, range.first + max, range.n - max);
		range.n = max;
	}
	return range;
}

/* Makes a batch of the next range; without memory its requests and all others are told so. */
static void
begin_batch(struct engine_run *run)
{
	struct batch_events events = { on_arrival, on_step, run };
	struct range range = next_range(run);

	run->batch =
	    batch_new(run->plan, run->requests + range.first, range.n, &run->limits, &events);
	if (run->batch) {
		run->batch->first = range.first;
		return;
	}
	struct tally_error err;
	(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
	run->n_ranges = 0;
	give_failure(run, (struct range){ 0, run->n }, &err);
}

/* One turn of the batch; false when it waits for a query. */
static bool
turn(struct engine_run *run)
{
	switch (batch_turn(run->batch)) {
	case BATCH_WAITS:
		return false;
	case BATCH_FAILED:
		fail_batch(run);
		return true;
	case BATCH_JOINED:
		note_bytes(run->plan, run->batch);
		answer_batch(run, run->batch, ALL);
		if (run->is_over)
			return false; /* cancelled on the way: freed with the run */
		batch_free(TAKE(run->batch));
		return true;
	}
	return false;
}

static void
pump(struct engine_run *run)
{
	if (run->is_pumping)
		return;
	enter(run);
	run->is_pumping = true;
	while (!run->is_over) {
		if (run->batch) {
			if (!turn(run))
				break;
		} else if (run->n_ranges > 0) {
			begin_batch(run);
		} else {
			finish(run);
		}
	}
	run->is_pumping = false;
	leave(run);
}

tally_status
engine_start(struct plan *plan, const struct params *const *requests, size_t n,
	     const struct engine_limits *limits, const struct engine_events *events,
	     struct engine_run **out_run)
{
	assert(plan_is_ready(plan));
	OWN(engine_run) run = calloc(1, sizeof *run);

	if (!run)
		return TALLY_NO_MEMORY;
	run->plan = plan;
	run->requests = requests;
	run->n = n;
	run->limits = *limits;
	run->events = *events;
	run->is_answered = calloc(n + 1, sizeof *run->is_answered);
	run->as_of_ms = calloc(plan->sources->n + 1, sizeof *run->as_of_ms);
	if (!run->is_answered || !run->as_of_ms)
		return TALLY_NO_MEMORY;
	if (n > 0)
		push(run, 0, n);
	struct engine_run *started = TAKE(run);
	*out_run = started;
	started->out_run = out_run;
	enter(started);
	pump(started);
	started->out_run = NULL;
	leave(started);
	return TALLY_OK;
}

void
engine_cancel(struct engine_run *run)
{
	struct tally_error err;

	if (run->is_over || run->is_cancelled)
		return;
	enter(run);
	run->is_cancelled = true;
	run->n_ranges = 0;
	if (run->batch)
		batch_stop(run->batch);
	(void)tally_fail(&err, TALLY_CANCELLED, "the run was cancelled");
	give_failure(run, (struct range){ 0, run->n }, &err);
	finish(run);
	leave(run);
}

size_t
engine_as_of(const struct engine_run *run, struct engine_as_of *as_of, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < run->plan->sources->n && n < max; i++) {
		if (run->as_of_ms[i] > 0)
			as_of[n++] = (struct engine_as_of){ run->plan->sources->items[i]->name,
							    run->as_of_ms[i] };
	}
	return n;
}
