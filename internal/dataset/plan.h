/* plan.h - a definition bound to kinds of sources: which statement each step runs, the types of
 * its binds, and where each column comes from.
 *
 * A plan is made in two moves.  plan_new does what the text allows.  Types of bound columns come
 * from the steps before, so plan_describe asks the sources step by step; until it has ended with
 * TALLY_OK the plan is not ready and no engine may run it.  Belongs to one thread (its loop's). */
#ifndef DATASET_PLAN_H
#define DATASET_PLAN_H

#include "dataset/definition.h"
#include "dataset/params.h"
#include "source/source.h"

struct plan;

/* The sources of one lane by name; borrowed by whoever gets it. */
struct plan_sources {
	struct source *const *items;
	size_t n;
};

/* Binds a definition to the sources.  The definition and the sources outlive the plan; the caller
 * frees the plan.  TALLY_WRONG_DEFINITION ("file:line: what": no such source, no statement for its
 * kind, a :name that nothing before provides ...), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status plan_new(const struct definition *definition,
				       const struct plan_sources *sources, struct plan **out_plan,
				       struct tally_error *err);

/* Frees the plan; no run and no description of it may be under way.  Accepts NULL. */
void plan_free(struct plan *plan);

/* The end of plan_describe, once; may come before it returns.  TALLY_OK: the plan is ready.
 * TALLY_WRONG_DEFINITION: "file:line: what".  TALLY_SOURCE_UNAVAILABLE, TALLY_DEADLINE_EXCEEDED:
 * describe again later; what was learnt is kept. */
typedef void
plan_described_fn(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err);

/* Has every step prepared and described by its source, and checks columns, types and binds. */
void plan_describe(struct plan *plan, int64_t deadline_ms, plan_described_fn *done, void *ctx);

/* Whether plan_describe has ended with TALLY_OK. */
bool plan_is_ready(const struct plan *plan);

/* The definition it was made from; borrowed. */
const struct definition *plan_definition(const struct plan *plan);

/* Whether two requests may share a batch: their values of all parameters that are bound as scalars
 * are equal. */
bool plan_same_batch(const struct plan *plan, const struct params *a, const struct params *b);

/* One warning, "file:line: what"; text is borrowed until it returns. */
typedef void plan_warning_fn(void *ctx, const char *text);

/* Says what is allowed but often not meant, for "tally check": a parameter bound as a scalar, and a
 * sum or count whose rows a step beside its own may double (any such step: whether it returns
 * several rows for a key is not known here).  The plan is ready. */
void plan_warnings(const struct plan *plan, plan_warning_fn *warn, void *ctx);

#endif
