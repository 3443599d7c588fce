/* Batches: what waits is gathered by plan, identical requests once, and given to the engine. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/lane_inner.h"
#include "worker/timing.h"

#define LONG_MS     1000
#define TRACE_ID_AT 3 /* in a traceparent */

/* A distinct request of a run, and everybody who asked it. */
struct run_request {
	uint64_t hash;
	struct task_list tasks;
};

struct run {
	struct lane *lane;
	struct engine_run *engine;
	TAILQ_ENTRY(run) link;
	uint64_t id;
	int64_t started_ms;      /* Unix */
	int64_t started_mono_ms; /* clock_mono_ms() */
	bool is_long;            /* and that was told */
	bool is_unwanted;        /* stopped because nobody wants it */
	bool is_alone;           /* one request, on probation */
	const char *dataset;
	int64_t began_us;
	int64_t stepped_us;   /* the last step's end */
	struct timing timing; /* its steps */
	size_t n;
	size_t n_tasks;
	const struct params **params; /* n, for the engine */
	struct run_request *requests; /* n */
	size_t mask;
	uint32_t *slots; /* index + 1 into requests, by hash; 0: free */
};

static void
run_free(struct run *run)
{
	if (!run)
		return;
	free(run->params);
	free(run->requests);
	free(run->slots);
	free(run);
}

static uint64_t
mix(uint64_t x)
{
	/* splitmix64 (Steele, Lea, Flood 2014): ids of runs are spread, not secret. */
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

uint64_t
lane_random(struct lane *lane)
{
	return mix(lane->run_seed + UINT64_C(0x9E3779B97F4A7C15) * ++lane->n_runs);
}

static struct run *
run_new(struct lane *lane, size_t max)
{
	struct run *run = calloc(1, sizeof *run);
	size_t n_slots = 16;

	if (!run)
		return NULL;
	while (n_slots < 2 * max)
		n_slots *= 2;
	run->lane = lane;
	run->mask = n_slots - 1;
	run->id = lane_random(lane);
	run->began_us = clock_mono_us();
	run->params = calloc(max, sizeof *run->params);
	run->requests = calloc(max, sizeof *run->requests);
	run->slots = calloc(n_slots, sizeof *run->slots);
	if (!run->params || !run->requests || !run->slots) {
		run_free(run);
		return NULL;
	}
	return run;
}

static void
add_task(struct run *run, struct run_request *request, struct task *task)
{
	TAILQ_INSERT_TAIL(&request->tasks, task, link);
	task->began_us = run->began_us;
	run->n_tasks++;
}

/* Adds a task to its request; false when it would be one request too many. */
static bool
run_add(struct run *run, struct task *task, size_t max)
{
	uint64_t hash = params_hash(task->params);
	size_t slot = mix(hash) & run->mask;

	while (run->slots[slot] != 0) {
		struct run_request *request = &run->requests[run->slots[slot] - 1];
		const struct params *params = run->params[run->slots[slot] - 1];
		if (request->hash == hash && params_equal(params, task->params)) {
			add_task(run, request, task);
			return true;
		}
		slot = (slot + 1) & run->mask;
	}
	if (run->n == max)
		return false;
	struct run_request *request = &run->requests[run->n];
	request->hash = hash;
	TAILQ_INIT(&request->tasks);
	add_task(run, request, task);
	run->params[run->n] = task->params;
	run->slots[slot] = (uint32_t)++run->n;
	return true;
}

bool
lane_is_past(const struct task *task)
{
	return task->deadline_ms <= loop_now_ms(task->lane->loop) || lane_is_unwanted(task);
}

void
lane_end_past(struct task *task)
{
	struct tally_error err = { 0 };

	if (lane_is_unwanted(task)) {
		lane_drop(task, "cancelled");
		return;
	}
	(void)tally_fail(&err, TALLY_DEADLINE_EXCEEDED,
			 "the wait ran out before a worker came to the request");
	lane_answer_error(task, &err);
}

static bool
may_share(const struct task *a, const struct task *b)
{
	return a->plan == b->plan && a->no_cache == b->no_cache
	       && plan_same_batch(a->plan, a->params, b->params);
}

/* Moves what may share a batch with the first that waits into the run; the latest deadline. */
static int64_t
gather(struct run *run, size_t max)
{
	struct lane *lane = run->lane;
	struct task *first = TAILQ_FIRST(&lane->waiting);
	int64_t deadline_ms = 0;
	struct task *next;

	for (struct task *task = first; task; task = next) {
		next = TAILQ_NEXT(task, link);
		if (task != first && !may_share(first, task))
			continue;
		TAILQ_REMOVE(&lane->waiting, task, link);
		if (lane_is_past(task)) {
			/* The first of a batch stands for it; it may not go before the others. */
			if (task == first)
				first = next;
			lane_end_past(task);
			continue;
		}
		if (!run_add(run, task, max)) {
			/* Back to its place: others may have waited for longer. */
			if (next)
				TAILQ_INSERT_BEFORE(next, task, link);
			else
				TAILQ_INSERT_TAIL(&lane->waiting, task, link);
			break;
		}
		if (task->deadline_ms > deadline_ms)
			deadline_ms = task->deadline_ms;
	}
	return deadline_ms;
}

static void
fill_as_of(const struct run *run, struct answer *answer)
{
	struct engine_as_of as_of[TALLY_SOURCES_MAX];
	size_t n = engine_as_of(run->engine, as_of, TALLY_SOURCES_MAX);

	for (size_t i = 0; i < n; i++) {
		struct tally_as_of *to = &answer->as_of[answer->n_as_of++];

		(void)snprintf(to->source, sizeof to->source, "%s", as_of[i].source);
		to->at_ms = as_of[i].at_ms;
	}
}

static void
set_timing(const struct run *run, struct answer *answer)
{
	struct timing timing = run->timing;

	timing_add(&timing, "encode", clock_mono_us() - run->stepped_us);
	memcpy(answer->timing, timing.text, timing.len + 1);
}

/* The answer of a request for all who asked it; NULL: out of memory. */
static struct answer *
make_answer(const struct run *run, struct engine_answer *from)
{
	struct answer_store *store = &run->lane->store;
	struct answer *answer =
	    from->status == TALLY_OK ? answer_new(store) : answer_of_error(store, &from->error);

	if (!answer)
		return NULL;
	answer->status = from->status;
	answer->run = run->id;
	answer->started_ms = run->started_ms;
	fill_as_of(run, answer);
	set_timing(run, answer);
	if (from->status == TALLY_OK) {
		answer->n_rows = from->n_rows;
		answer_set_body(answer, TAKE(from->body), from->body_len);
	}
	return answer;
}

static void
count_source_error(struct lane *lane, const struct tally_error *error)
{
	if (error->source[0] == '\0')
		return;
	metric_add(metric_series(lane->metrics.source_errors, error->source,
				 error->sqlstate[0] ? error->sqlstate : "none"),
		   1);
}

static bool
is_held(const struct lane *lane)
{
	return atomic_load(&lane->store.held_bytes) > lane->limits.held_bytes;
}

/* Tasks go on: to the broker, to the end, back into line, or aside for a while. */
static void
end_task(const struct run *run, struct task *task, const struct engine_answer *from,
	 struct answer *answer)
{
	struct lane *lane = run->lane;

	if (run->is_unwanted || lane_is_unwanted(task)) {
		lane_drop(task, "cancelled");
	} else if (from->status == TALLY_CANCELLED) {
		lane_end(task, false); /* we stop: another worker reads it again */
	} else if (from->status == TALLY_OK && from->body) {
		/* The broker is slower than the databases: what there is no room for is read
		 * again, and nothing else runs until there is. */
		lane_line_up(task);
	} else if (from->status == TALLY_OK || !lane_park(task, &from->error)) {
		if (from->status != TALLY_OK)
			count_source_error(lane, &from->error);
		lane_answer(task, answer);
	}
}

static void
on_answer(void *ctx, struct engine_run *engine, size_t index, struct engine_answer *from)
{
	struct run *run = ctx;
	struct task_list *tasks = &run->requests[index].tasks;
	struct answer *answer = NULL;
	struct task *task;

	run->engine = engine;
	bool has_room = from->status != TALLY_OK || !is_held(run->lane);
	if (from->status != TALLY_CANCELLED && has_room)
		answer = make_answer(run, from);
	while ((task = TAILQ_FIRST(tasks)) != NULL) {
		TAILQ_REMOVE(tasks, task, link);
		end_task(run, task, from, answer);
	}
	answer_release(answer);
}

static void
on_step(void *ctx, struct engine_run *engine, const struct engine_step *step)
{
	struct run *run = ctx;

	(void)engine;
	metric_observe(
	    metric_series(run->lane->metrics.step_seconds, run->dataset, step->step->name),
	    (double)step->took_us / 1e6);
	timing_add(&run->timing, step->step->name, step->took_us);
	run->stepped_us = clock_mono_us();
}

static void
on_end(void *ctx, struct engine_run *engine)
{
	struct run *run = ctx;
	struct lane *lane = run->lane;

	(void)engine;
	TAILQ_REMOVE(&lane->running, run, link);
	lane->n_together -= !run->is_alone;
	metric_move(lane->metrics.running, -1);
	run_free(run);
	loop_wake(lane->loop); /* there is room for another */
}

static void
fail_all(struct run *run)
{
	struct tally_error err = { 0 };
	struct task *task;

	(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < run->n; i++) {
		while ((task = TAILQ_FIRST(&run->requests[i].tasks)) != NULL) {
			TAILQ_REMOVE(&run->requests[i].tasks, task, link);
			lane_answer_error(task, &err);
		}
	}
}

static void
start(struct run *run, int64_t deadline_ms)
{
	struct lane *lane = run->lane;
	const struct task *first = TAILQ_FIRST(&run->requests[0].tasks);
	struct engine_limits limits = {
		.now_ms = loop_now_ms(lane->loop),
		.deadline_ms = deadline_ms,
		.batch_bytes = lane->limits.batch_bytes,
		.result_bytes = lane->limits.result_bytes,
		.no_cache = first->no_cache,
	};
	const struct engine_events events = { on_answer, on_step, on_end, run };
	struct plan *plan = first->plan;
	struct engine_run *engine;

	/* 00-TRACE ID-..., or nothing */
	if (strlen(first->trace) > TRACE_ID_AT)
		(void)snprintf(limits.trace_id, sizeof limits.trace_id, "%.32s",
			       first->trace + TRACE_ID_AT);
	run->dataset = plan_definition(plan)->name;
	run->started_ms = clock_unix_ms();
	run->stepped_us = run->began_us;
	run->started_mono_ms = limits.now_ms;
	TAILQ_INSERT_TAIL(&lane->running, run, link);
	lane->n_together += !run->is_alone;
	metric_move(lane->metrics.running, 1);
	metric_observe(lane->metrics.batch_requests, (double)run->n_tasks);
	/* on_end may come before this returns and free the run: it is not touched afterwards unless
	 * the engine says that it goes on. */
	if (engine_start(plan, run->params, run->n, &limits, &events, &engine) != TALLY_OK) {
		fail_all(run);
		on_end(run, NULL);
	} else if (engine) {
		run->engine = engine;
	}
}

/* Whether bodies on their way leave no room for more; then their release wakes the loop. */
static bool
must_wait(struct lane *lane)
{
	if (!is_held(lane))
		return false;
	atomic_store(&lane->is_held, true);
	return is_held(lane); /* the last of them may have gone before it could see that */
}

bool
lane_has_room(const struct lane *lane)
{
	return lane->n_together < (size_t)lane->options.config->batches_in_flight;
}

void
lane_run(struct lane *lane)
{
	size_t max = (size_t)lane->options.config->batch_max;

	while (lane_has_room(lane) && !TAILQ_EMPTY(&lane->waiting) && !must_wait(lane)) {
		struct run *run = run_new(lane, max);
		if (!run) {
			log_error("out of memory for a batch");
			return; /* the retry timer comes back */
		}
		int64_t deadline_ms = gather(run, max);
		if (run->n == 0)
			run_free(run);
		else
			start(run, deadline_ms);
	}
}

void
lane_run_alone(struct lane *lane)
{
	struct run *run = must_wait(lane) ? NULL : run_new(lane, 1);

	if (!run)
		return; /* a release or the retry timer comes back */
	struct task *task = TAKE(lane->alone.task);
	if (lane_is_past(task)) {
		lane_end_past(task);
		run_free(run);
		return;
	}
	run->is_alone = true;
	(void)run_add(run, task, 1);
	start(run, task->deadline_ms);
}

/* ---- watching ---- */

static void
tell_long(struct run *run)
{
	struct task *task;

	run->is_long = true;
	for (size_t i = 0; i < run->n; i++) {
		TAILQ_FOREACH (task, &run->requests[i].tasks, link)
			run->lane->kind->on_long_run(task, run->id);
	}
}

/* Whether there is somebody left in the run, and nobody of them wants it. */
static bool
has_only_unwanted(const struct run *run)
{
	const struct task *task;
	bool is_empty = true;

	for (size_t i = 0; i < run->n; i++) {
		TAILQ_FOREACH (task, &run->requests[i].tasks, link) {
			if (!lane_is_unwanted(task))
				return false;
			is_empty = false;
		}
	}
	return !is_empty;
}

void
lane_watch_runs(struct lane *lane)
{
	int64_t long_ms = loop_now_ms(lane->loop) - LONG_MS;
	struct run *next;

	for (struct run *run = TAILQ_FIRST(&lane->running); run; run = next) {
		next = TAILQ_NEXT(run, link);
		if (lane->kind->on_long_run && !run->is_long && run->started_mono_ms <= long_ms)
			tell_long(run);
		if (lane->kind->is_unwanted && has_only_unwanted(run)) {
			run->is_unwanted = true;
			engine_cancel(run->engine); /* others may end with it: from the start */
			next = TAILQ_FIRST(&lane->running);
		}
	}
}

void
lane_cancel_runs(struct lane *lane)
{
	struct run *run;

	while ((run = TAILQ_FIRST(&lane->running)) != NULL)
		engine_cancel(run->engine);
}
