/* batch.h - requests that run together: their steps are asked, arrive and are joined.
 *
 * A step is asked as soon as the columns that it is bound by are joined, so independent steps are
 * in flight at once; rows are joined in the order of the file.  What fails here fails the batch:
 * who is to blame is found by its owner, by halving. */
#ifndef DATASET_BATCH_H
#define DATASET_BATCH_H

#include "dataset/engine.h"
#include "dataset/join.h"
#include "dataset/working.h"

struct batch;

/* What a batch tells its owner. */
struct batch_events {
	void (*on_arrival)(void *ctx); /* a query ended while nobody was in batch_turn */
	void (*on_step)(void *ctx,
			const struct engine_step *step); /* a step is about to be joined */
	void *ctx;
};

enum batch_step_state { BATCH_STEP_WAITS, BATCH_STEP_ASKED, BATCH_STEP_ARRIVED };

/* One step of a batch on its way. */
struct batch_step {
	struct batch *batch;
	const struct plan_step *plan;
	enum batch_step_state state;
	struct join_keys keys; /* that the source is asked for */
	struct source_argument *arguments;
	struct source_query query;
	struct rows *rows;   /* from the source; NULL before and after */
	struct rows *cached; /* from the cache; NULL without any */
	size_t n_keys;
	size_t n_cached;
};

struct batch {
	const struct plan *plan;
	const struct engine_limits *limits;
	struct batch_events events;
	size_t first; /* of its requests, in the run */
	struct working working;
	struct batch_step *steps;
	size_t n_joined;
	size_t n_in_flight;
	int64_t *as_of_ms; /* by source; 0: not asked */
	bool is_stopped;
	tally_status status; /* of what failed first */
	struct tally_error err;
};

/* A batch of n requests, nothing asked yet; all is borrowed.  The caller frees it.  NULL when out
 * of memory. */
struct batch *batch_new(const struct plan *plan, const struct params *const *requests, size_t n,
			const struct engine_limits *limits, const struct batch_events *events);

/* Frees the batch, which has nothing in flight.  Accepts NULL. */
void batch_free(struct batch *batch);

enum batch_turn {
	BATCH_WAITS,  /* for a query, or it was stopped: turn again after on_arrival */
	BATCH_JOINED, /* the working set is what answers are made of */
	BATCH_FAILED, /* status and err say why; queries may still be in flight */
};

/* Asks, joins and goes on as far as it can. */
enum batch_turn batch_turn(struct batch *batch);

/* Cancels what is in flight; no event comes any more. */
void batch_stop(struct batch *batch);

/* Makes the answer of a request (its index in the batch) from its n_lines lines. */
void batch_answer(const struct batch *batch, size_t request, size_t first_line, size_t n_lines,
		  struct engine_answer *out_answer);

#endif
