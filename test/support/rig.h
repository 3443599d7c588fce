/* rig.h - an engine on canned sources: a dataset's text in, the answers of a batch out.
 *
 * Sources db1 and db2 know the same statements.  What cannot fail in a correct program (memory, a
 * wrong dataset text of the test, a second answer for a request) ends the process with a message.
 * One thread. */
#ifndef SUPPORT_RIG_H
#define SUPPORT_RIG_H

#include "dataset/engine.h"
#include "support/canned.h"

#define RIG_SOURCES 2
#define RIG_STEPS   256

struct rig;

/* Called with each answer, after it was noted; for tests that cancel from there. */
typedef void rig_hook_fn(struct rig *rig, struct engine_run *run, size_t index);

struct rig {
	struct loop *loop;
	struct definition *definition;
	struct source *sources[RIG_SOURCES];
	struct plan_sources plan_sources;
	struct plan *plan;
	struct params **requests;
	size_t n_requests;
	struct engine_limits limits; /* deadline_ms: rig_start sets it when it is 0 */
	rig_hook_fn *on_answer;      /* may be NULL */
	rig_hook_fn *on_step;        /* may be NULL; index is the step's number in steps */
	void *ctx;
	/* of the last run */
	struct engine_run *run; /* NULL once it has ended */
	struct engine_answer *answers;
	bool *is_answered;
	size_t n_answered;
	bool has_ended;
	struct engine_step steps[RIG_STEPS];
	size_t n_steps;
	struct engine_as_of as_of[RIG_SOURCES]; /* at the last answer */
	size_t n_as_of;
};

/* A rig with a ready plan.  The caller frees it; the statements are borrowed. */
struct rig *rig_new(const char *dataset, struct canned_statement *statements, size_t n);

/* Frees the rig, its sources and what is left of a run.  Accepts NULL. */
void rig_free(struct rig *rig);

/* Adds a request: "login=ann&since=2025-01-01"; a name without = is absent. */
void rig_request(struct rig *rig, const char *text);

/* Forgets the requests, for another batch on the same plan. */
void rig_clear(struct rig *rig);

/* Starts a run of all requests. */
void rig_start(struct rig *rig);

/* Turns the loop until the run has ended. */
void rig_wait(struct rig *rig);

/* Both. */
void rig_run(struct rig *rig);

/* The rows of a request as JSON, "[...]", or the code of its failure. */
const char *rig_data(struct rig *rig, size_t request);

/* What the request's failure says. */
const struct tally_error *rig_error(const struct rig *rig, size_t request);

#endif
