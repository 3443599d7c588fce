/* plans.h - the plan of every dataset for one lane's sources.
 *
 * All are described at start.  A wrong definition is final: the process must stop.  A source that
 * is away is not: its datasets are described again every second, and until then their requests are
 * answered source_unavailable.  Lives on the lane's loop thread. */
#ifndef WORKER_PLANS_H
#define WORKER_PLANS_H

#include "base/loop.h"
#include "dataset/catalog.h"
#include "dataset/plan.h"

struct plans;

struct plans_events {
	/* A definition that does not fit its database: "file:line: what".  Once for each. */
	void (*on_wrong)(void *ctx, const struct tally_error *err);
	/* Every dataset is ready; once. */
	void (*on_ready)(void *ctx);
	/* A source is away; once for each dataset until it is ready. */
	void (*on_away)(void *ctx, const struct definition *definition,
			const struct tally_error *err);
	void *ctx;
};

/* Makes the plans; nothing is asked of the sources yet.  Catalog, sources and loop outlive the
 * plans; the caller frees them.  TALLY_WRONG_DEFINITION, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status plans_new(const struct catalog *catalog,
					const struct plan_sources *sources, struct loop *loop,
					const struct plans_events *events, struct plans **out_plans,
					struct tally_error *err);

/* Frees the plans, after their sources (which end what is under way).  Accepts NULL. */
void plans_free(struct plans *plans);

/* Begins to describe; events come on the loop's thread from now on. */
void plans_describe(struct plans *plans);

/* Stops describing again; call it before the sources are freed. */
void plans_stop(struct plans *plans);

/* Finds the plan of a dataset by name; NULL when there is no such dataset.  It may not be ready. */
struct plan *plans_find(const struct plans *plans, const char *name, size_t len);

/* Why a plan that is not ready is not, for its requests: TALLY_SOURCE_UNAVAILABLE. */
const struct tally_error *plans_error(const struct plans *plans, const struct plan *plan);

#endif
