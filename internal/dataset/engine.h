/* engine.h - runs a batch of requests of one dataset: steps, joins, groups, order, JSON.
 *
 * The heart of Tally.  It knows no Kafka, no HTTP, no clock and no libpq: requests are parameters,
 * rows come from sources, time is a number that the caller gives.  A run lives on the thread of
 * its sources' loop, never blocks, and many runs are under way at once.
 *
 * Working set: one row for each distinct request at first; a joined row is one row number for each
 * step, so joins copy no values and the rows of a request stay together.  A step starts as soon as
 * the columns that it is bound by are there.  What fails for a batch (a refused query, a batch past
 * its budget) is halved and run again until the request at fault is alone.  What the requests of a
 * plan took lately bounds its next batches, so that few of them are past it. */
#ifndef DATASET_ENGINE_H
#define DATASET_ENGINE_H

#include "dataset/params.h"
#include "dataset/plan.h"

/* What one request came to.  On TALLY_OK body is the REST body, byte for byte. */
struct engine_answer {
	tally_status status;
	struct tally_error error; /* when status is not TALLY_OK */
	char *body;               /* malloc'ed; the callee takes it by setting it to NULL */
	size_t body_len;
	uint64_t n_rows;
};

/* When the rows of a source were read: the earliest of its steps, Unix ms; 0: source not asked. */
struct engine_as_of {
	const char *source;
	int64_t at_ms;
};

/* How one step of a run went; for metrics, Server-Timing and --explain. */
struct engine_step {
	const struct definition_step *step;
	const struct source_statement *statement;
	size_t n_keys;   /* distinct tuples bound; 1 without "by" */
	size_t n_rows;   /* rows that came back */
	size_t n_cached; /* keys answered from the step's cache */
	int64_t took_us;
};

struct engine_run;

/* Called on the loop's thread; any of them may come before engine_start returns.  No call comes
 * after on_end, and the run is freed after it. */
struct engine_events {
	/* Once for each request, in any order; request is its index in the batch. */
	void (*on_answer)(void *ctx, struct engine_run *run, size_t request,
			  struct engine_answer *answer);
	/* After each step; may be NULL. */
	void (*on_step)(void *ctx, struct engine_run *run, const struct engine_step *step);
	/* Once, after the last answer. */
	void (*on_end)(void *ctx, struct engine_run *run);
	void *ctx;
};

/* What a run may take. */
struct engine_limits {
	int64_t now_ms;      /* clock_mono_ms(): only for the ages of cached rows */
	int64_t deadline_ms; /* clock_mono_ms(): given to every query */
	size_t batch_bytes;  /* rows and working set of one (sub-)batch */
	size_t result_bytes; /* one body */
	bool no_cache;       /* skip the step caches */
	char trace_id[33];   /* given to every query: of the first request of many; "": none */
};

/* Runs a ready plan for n distinct requests (parameters are borrowed until their on_answer).  After
 * TALLY_OK on_answer comes n times and on_end once; *out_run is NULL when on_end came before the
 * return.  The requests are of one batch (plan_same_batch).  TALLY_NO_MEMORY: nothing was
 * started. */
TALLY_MUST_CHECK tally_status engine_start(struct plan *plan, const struct params *const *requests,
					   size_t n, const struct engine_limits *limits,
					   const struct engine_events *events,
					   struct engine_run **out_run);

/* Stops a run: its queries are cancelled, requests without an answer get TALLY_CANCELLED, on_end
 * comes before this returns.  May be called from the run's own callbacks, but not from on_end. */
void engine_cancel(struct engine_run *run);

/* When the sources were read so far: as_of[0 .. result-1], at most max.  From on_answer on. */
size_t engine_as_of(const struct engine_run *run, struct engine_as_of *as_of, size_t max);

#endif
