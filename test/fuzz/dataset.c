/* A dataset file: parsed, bound to sources, described by them, and run for two requests. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "dataset/engine.h"
#include "support/canned.h"

#define SOURCES 2

/* Whatever the statement is, its rows have these columns. */
static const char *const rows[] = { "ann|1|a|2025-06-29", "ann|2|b|~", "bob|~|c|2024-02-29", NULL };
static struct canned_statement statement = {
	.tag = "",
	.columns = "login text, user_id int, name text, day date",
	.rows = rows,
	.delay_ms = CANNED_AT_ONCE,
};

/* ---- one run ----------------------------------------------------------------- */

struct asked {
	size_t n_answers;
	bool has_ended;
};

static void
on_answer(void *ctx, struct engine_run *run, size_t request, struct engine_answer *answer)
{
	struct asked *asked = ctx;

	(void)run;
	FUZZ_MUST(request < 2 && !asked->has_ended);
	FUZZ_MUST((answer->status == TALLY_OK) == (answer->body != NULL));
	free(answer->body);
	answer->body = NULL;
	asked->n_answers++;
}

static void
on_end(void *ctx, struct engine_run *run)
{
	struct asked *asked = ctx;

	(void)run;
	asked->has_ended = true;
}

static void
run_plan(struct plan *plan, const struct params *params)
{
	const struct params *const requests[] = { params, params };
	const struct engine_limits limits = { .now_ms = 1,
					      .deadline_ms = INT64_MAX,
					      .batch_bytes = 1 << 22,
					      .result_bytes = 1 << 20 };
	struct asked asked = { 0 };
	const struct engine_events events = { on_answer, NULL, on_end, &asked };
	struct engine_run *run;

	FUZZ_MUST(engine_start(plan, requests, 2, &limits, &events, &run) == TALLY_OK);
	/* Its sources answer at once. */
	FUZZ_MUST(!run && asked.n_answers == 2 && asked.has_ended);
}

/* ---- the plan ---------------------------------------------------------------- */

static void
on_described(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	(void)plan;
	*(tally_status *)ctx = status;
	FUZZ_MUST(status == TALLY_OK || (err && err->detail[0]));
}

static void
count_warning(void *ctx, const char *text)
{
	FUZZ_MUST(strncmp(text, "t.sql:", 6) == 0);
	++*(size_t *)ctx;
}

/* Every parameter that must be there is a text; others are left out. */
static struct params *
make_params(const struct definition *definition)
{
	struct params_text texts[DEFINITION_MAX_PARAMS];
	struct params_faults faults;
	struct params *params = NULL;
	size_t n = 0;

	for (size_t i = 0; i < definition->n_params; i++) {
		if (definition->params[i].is_required)
			texts[n++] = (struct params_text){ definition->params[i].name, "ann", 3 };
	}
	(void)!params_from_texts(definition, texts, n, &params, &faults, NULL);
	return params;
}

static void
make_plan(const struct definition *definition)
{
	static struct source *sources[SOURCES];
	const struct plan_sources all = { sources, SOURCES };
	tally_status status = TALLY_OK;
	struct tally_error err = { 0 };
	struct plan *plan;
	size_t n_warnings = 0;

	for (size_t i = 0; i < SOURCES && !sources[i]; i++)
		FUZZ_MUST((sources[i] = canned_new(i ? "db2" : "db1", NULL, &statement, 1)));
	if (plan_new(definition, &all, &plan, &err) != TALLY_OK) {
		FUZZ_MUST(strncmp(err.detail, "t.sql:", 6) == 0);
		return;
	}
	plan_describe(plan, INT64_MAX, on_described, &status);
	FUZZ_MUST(plan_is_ready(plan) == (status == TALLY_OK));
	struct params *params = plan_is_ready(plan) ? make_params(definition) : NULL;
	if (params) {
		plan_warnings(plan, count_warning, &n_warnings);
		run_plan(plan, params);
	}
	params_free(params);
	plan_free(plan);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct definition *definition = NULL;
	struct tally_error err = { 0 };
	tally_status status =
	    definition_parse("t.sql", (const char *)data, size, &definition, &err);

	if (status == TALLY_OK) {
		FUZZ_MUST(definition->n_steps > 0 && definition->n_columns > 0);
		make_plan(definition);
	} else {
		FUZZ_MUST(status == TALLY_WRONG_DEFINITION && !definition);
		FUZZ_MUST(strncmp(err.detail, "t.sql:", 6) == 0);
		fuzz_must_be_plain(err.detail);
	}
	definition_free(definition);
	return 0;
}
