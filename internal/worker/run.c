/* Batches: what waits is gathered by plan, identical requests once, and given to the engine. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane_inner.h"

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
	const char *dataset;
	char timing[TALLY_TIMING_MAX + 1];
	size_t timing_len;
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
	run->id = mix(lane->run_seed + UINT64_C(0x9E3779B97F4A7C15) * ++lane->n_runs);
	run->params = calloc(max, sizeof *run->params);
	run->requests = calloc(max, sizeof *run->requests);
	run->slots = calloc(n_slots, sizeof *run->slots);
	if (!run->params || !run->requests || !run->slots) {
		run_free(run);
		return NULL;
	}
	return run;
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
			TAILQ_INSERT_TAIL(&request->tasks, task, link);
			run->n_tasks++;
			return true;
		}
		slot = (slot + 1) & run->mask;
	}
	if (run->n == max)
		return false;
	struct run_request *request = &run->requests[run->n];
	request->hash = hash;
	TAILQ_INIT(&request->tasks);
	TAILQ_INSERT_TAIL(&request->tasks, task, link);
	run->params[run->n] = task->params;
	run->slots[slot] = (uint32_t)++run->n;
	run->n_tasks++;
	return true;
}

static void
expire(struct task *task)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_DEADLINE_EXCEEDED,
			 "the wait ran out before a worker came to the request");
	lane_reply_error(task, &err);
}

static bool
may_share(const struct task *a, const struct task *b)
{
	return a->plan == b->plan && a->head.no_cache == b->head.no_cache
	       && plan_same_batch(a->plan, a->params, b->params);
}

/* Moves what may share a batch with the first that waits into the run; the latest deadline. */
static int64_t
gather(struct run *run, size_t max)
{
	struct lane *lane = run->lane;
	struct task *first = TAILQ_FIRST(&lane->waiting);
	int64_t now_ms = loop_now_ms(lane->loop);
	int64_t deadline_ms = 0;
	struct task *next;

	for (struct task *task = first; task; task = next) {
		next = TAILQ_NEXT(task, link);
		if (task != first && !may_share(first, task))
			continue;
		TAILQ_REMOVE(&lane->waiting, task, link);
		if (task->deadline_ms <= now_ms) {
			/* The first of a batch stands for it; it may not go before the others. */
			if (task == first)
				first = next;
			expire(task);
			continue;
		}
		if (!run_add(run, task, max)) {
			TAILQ_INSERT_HEAD(&lane->waiting, task, link);
			break;
		}
		if (task->deadline_ms > deadline_ms)
			deadline_ms = task->deadline_ms;
	}
	return deadline_ms;
}

static void
fill_as_of(const struct run *run, struct tally_sync_reply *reply)
{
	struct engine_as_of as_of[TALLY_SOURCES_MAX];
	size_t n = engine_as_of(run->engine, as_of, TALLY_SOURCES_MAX);

	for (size_t i = 0; i < n; i++) {
		snprintf(reply->as_of[reply->n_as_of].source,
			 sizeof reply->as_of[reply->n_as_of].source, "%s", as_of[i].source);
		reply->as_of[reply->n_as_of++].at_ms = as_of[i].at_ms;
	}
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

static void
on_answer(void *ctx, struct engine_run *engine, size_t index, struct engine_answer *answer)
{
	struct run *run = ctx;
	struct task_list *tasks = &run->requests[index].tasks;
	struct tally_sync_reply reply = { .run = run->id, .state = TALLY_SUCCEEDED };
	struct task *task;

	run->engine = engine;
	fill_as_of(run, &reply);
	memcpy(reply.timing, run->timing, run->timing_len + 1);
	while ((task = TAILQ_FIRST(tasks)) != NULL) {
		char *body = answer->body;
		TAILQ_REMOVE(tasks, task, link);
		if (answer->status == TALLY_CANCELLED) {
			lane_end(task, false); /* we stop: another worker reads it again */
			continue;
		}
		if (answer->status != TALLY_OK) {
			count_source_error(run->lane, &answer->error);
			lane_reply_error(task, &answer->error);
			continue;
		}
		if (TAILQ_EMPTY(tasks)) {
			answer->body = NULL;
		} else {
			body = malloc(answer->body_len);
			if (body)
				memcpy(body, answer->body, answer->body_len);
		}
		if (body) {
			lane_reply(task, &reply, body, answer->body_len);
		} else {
			struct tally_error err = { 0 };
			(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
			lane_reply_error(task, &err);
		}
	}
}

static void
on_step(void *ctx, struct engine_run *engine, const struct engine_step *step)
{
	struct run *run = ctx;
	size_t room = sizeof run->timing - run->timing_len;

	(void)engine;
	metric_observe(
	    metric_series(run->lane->metrics.step_seconds, run->dataset, step->step->name),
	    (double)step->took_us / 1e6);
	int n =
	    snprintf(run->timing + run->timing_len, room, "%s%s;dur=%.1f",
		     run->timing_len ? ", " : "", step->step->name, (double)step->took_us / 1e3);
	/* What does not fit is left out as a whole. */
	if (n > 0 && (size_t)n < room)
		run->timing_len += (size_t)n;
	run->timing[run->timing_len] = '\0';
}

static void
on_end(void *ctx, struct engine_run *engine)
{
	struct run *run = ctx;
	struct lane *lane = run->lane;

	(void)engine;
	TAILQ_REMOVE(&lane->running, run, link);
	lane->n_running--;
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
			lane_reply_error(task, &err);
		}
	}
}

static void
start(struct run *run, int64_t deadline_ms)
{
	struct lane *lane = run->lane;
	const struct config *config = lane->options.config;
	const struct task *first = TAILQ_FIRST(&run->requests[0].tasks);
	const struct engine_limits limits = {
		.now_ms = loop_now_ms(lane->loop),
		.deadline_ms = deadline_ms,
		.batch_bytes = (size_t)config->batch_bytes,
		.result_bytes = (size_t)config->result_max_bytes,
		.no_cache = first->head.no_cache,
	};
	const struct engine_events events = { on_answer, on_step, on_end, run };
	struct plan *plan = first->plan;
	struct engine_run *engine;

	run->dataset = plan_definition(plan)->name;
	TAILQ_INSERT_TAIL(&lane->running, run, link);
	lane->n_running++;
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

void
lane_run(struct lane *lane)
{
	const struct config *config = lane->options.config;
	size_t max = (size_t)config->batch_max;

	while (lane->n_running < (size_t)config->batches_in_flight
	       && !TAILQ_EMPTY(&lane->waiting)) {
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
lane_cancel_runs(struct lane *lane)
{
	struct run *run;

	while ((run = TAILQ_FIRST(&lane->running)) != NULL)
		engine_cancel(run->engine);
}
