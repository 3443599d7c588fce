/* databases.h - the databases of the settings as sources on a loop of their own, for commands that
 * run datasets without a worker.
 *
 * One thread; calls that wait run the loop. */
#ifndef TALLY_DATABASES_H
#define TALLY_DATABASES_H

#include "base/loop.h"
#include "config/config.h"
#include "dataset/plan.h"

struct databases {
	struct loop *loop;
	struct source *items[CONFIG_MAX_PAIRS];
	size_t n;
	struct plan_sources sources; /* items, for plan_new */
};

/* Opens every database of the settings; they connect in the background.  TALLY_WRONG_SETTING,
 * TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR.  Release with databases_close, also after a failure. */
TALLY_MUST_CHECK tally_status databases_open(const struct config *config,
					     struct databases *databases, struct tally_error *err);

/* Closes the databases and the loop.  Accepts zeroed ones. */
void databases_close(struct databases *databases);

/* Makes a plan of a definition and describes it, waiting.  The caller frees the plan before the
 * databases are closed.  TALLY_WRONG_DEFINITION, TALLY_WRONG_SETTING (a database that the dataset
 * needs is not set), TALLY_SOURCE_UNAVAILABLE, TALLY_DEADLINE_EXCEEDED, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status databases_plan(struct databases *databases,
					     const struct definition *definition,
					     struct plan **out_plan, struct tally_error *err);

#endif
