#include "support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define HEAD       "{\"status\":\"ok\",\"data\":"
#define PARAMS_MAX 8
#define PATIENCE   20000 /* ms that a run may take before the test gives up */

static void
must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "rig: %s\n", what);
	abort();
}

static void
on_described(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	(void)ctx;
	(void)plan;
	must(status == TALLY_OK, err ? err->detail : "plan");
}

struct rig *
rig_new(const char *dataset, struct canned_statement *statements, size_t n)
{
	static const char *const names[RIG_SOURCES] = { "db1", "db2" };
	struct rig *rig = calloc(1, sizeof *rig);
	struct tally_error err = { .status = TALLY_OK };

	must(rig != NULL, "out of memory");
	must(loop_new(NULL, NULL, &rig->loop, &err) == TALLY_OK, err.detail);
	must(definition_parse("t.sql", dataset, strlen(dataset), &rig->definition, &err)
		 == TALLY_OK,
	     err.detail);
	for (size_t i = 0; i < RIG_SOURCES; i++) {
		rig->sources[i] = canned_new(names[i], rig->loop, statements, n);
		must(rig->sources[i] != NULL, "out of memory");
	}
	rig->plan_sources = (struct plan_sources){ rig->sources, RIG_SOURCES };
	must(plan_new(rig->definition, &rig->plan_sources, &rig->plan, &err) == TALLY_OK,
	     err.detail);
	plan_describe(rig->plan, INT64_MAX, on_described, rig);
	rig->limits.batch_bytes = 64u << 20;
	rig->limits.result_bytes = 16u << 20;
	return rig;
}

static void
forget_answers(struct rig *rig)
{
	for (size_t i = 0; rig->answers && i < rig->n_requests; i++)
		free(rig->answers[i].body);
	free(rig->answers);
	free(rig->is_answered);
	rig->answers = NULL;
	rig->is_answered = NULL;
}

void
rig_clear(struct rig *rig)
{
	forget_answers(rig);
	for (size_t i = 0; i < rig->n_requests; i++)
		params_free(rig->requests[i]);
	free(rig->requests);
	rig->requests = NULL;
	rig->n_requests = 0;
}

void
rig_free(struct rig *rig)
{
	if (!rig)
		return;
	if (rig->run)
		engine_cancel(rig->run);
	rig_clear(rig);
	plan_free(rig->plan);
	for (size_t i = 0; i < RIG_SOURCES; i++)
		source_free(rig->sources[i]);
	definition_free(rig->definition);
	loop_free(rig->loop);
	free(rig);
}

/* Cuts "login=ann&since" in place. */
static size_t
cut_texts(char *text, struct params_text *texts)
{
	size_t n = 0;

	for (char *part = strtok_r(text, "&", &text); part; part = strtok_r(NULL, "&", &text)) {
		char *value = strchr(part, '=');

		must(n < PARAMS_MAX, "more parameters than a rig takes");
		texts[n] = (struct params_text){ .name = part };
		if (value) {
			*value++ = '\0';
			texts[n].value = value;
			texts[n].len = strlen(value);
		}
		n++;
	}
	return n;
}

void
rig_request(struct rig *rig, const char *text)
{
	struct params_text texts[PARAMS_MAX];
	struct params_faults faults;
	struct tally_error err = { .status = TALLY_OK };
	char *copy = strdup(text);

	must(copy != NULL && !rig->answers, "out of memory, or a request after the run");
	size_t n = cut_texts(copy, texts);
	rig->requests = reallocarray(rig->requests, rig->n_requests + 1, sizeof(struct params *));
	must(rig->requests != NULL, "out of memory");
	must(params_from_texts(rig->definition, texts, n, &rig->requests[rig->n_requests], &faults,
			       &err)
		 == TALLY_OK,
	     err.detail);
	rig->n_requests++;
	free(copy);
}

/* ---- events --------------------------------------------------------------------------------- */

static void
on_answer(void *ctx, struct engine_run *run, size_t request, struct engine_answer *answer)
{
	struct rig *rig = ctx;

	must(!rig->has_ended, "an answer after the end");
	must(request < rig->n_requests, "an answer to nobody");
	must(!rig->is_answered[request], "two answers for a request");
	must((answer->status == TALLY_OK) == (answer->body != NULL), "a body or a failure");
	must(answer->error.status == answer->status || answer->status == TALLY_OK,
	     "the error is of another status");
	rig->is_answered[request] = true;
	rig->answers[request] = *answer;
	answer->body = NULL;
	rig->n_answered++;
	rig->n_as_of = engine_as_of(run, rig->as_of, RIG_SOURCES);
	if (rig->on_answer)
		rig->on_answer(rig, run, request);
}

static void
on_step(void *ctx, struct engine_run *run, const struct engine_step *step)
{
	struct rig *rig = ctx;

	must(!rig->has_ended, "a step after the end");
	must(rig->n_steps < RIG_STEPS, "more steps than a rig notes");
	rig->steps[rig->n_steps++] = *step;
	if (rig->on_step)
		rig->on_step(rig, run, rig->n_steps - 1);
}

static void
on_end(void *ctx, struct engine_run *run)
{
	struct rig *rig = ctx;

	(void)run;
	must(!rig->has_ended, "a second end");
	must(rig->n_answered == rig->n_requests, "the end before the last answer");
	rig->has_ended = true;
	rig->run = NULL;
}

void
rig_start(struct rig *rig)
{
	const struct engine_events events = { on_answer, on_step, on_end, rig };
	struct engine_limits limits = rig->limits;
	struct engine_run *run = NULL;

	must(rig->run == NULL, "a run is under way");
	forget_answers(rig);
	rig->answers = calloc(rig->n_requests + 1, sizeof *rig->answers);
	rig->is_answered = calloc(rig->n_requests + 1, sizeof *rig->is_answered);
	must(rig->answers && rig->is_answered, "out of memory");
	rig->n_answered = 0;
	rig->n_steps = 0;
	rig->n_as_of = 0;
	rig->has_ended = false;
	if (limits.deadline_ms == 0)
		limits.deadline_ms = clock_mono_ms() + PATIENCE;
	must(engine_start(rig->plan, (const struct params *const *)rig->requests, rig->n_requests,
			  &limits, &events, &run)
		 == TALLY_OK,
	     "the engine did not start");
	must((run == NULL) == rig->has_ended, "a run that ended is NULL");
	rig->run = run;
}

void
rig_wait(struct rig *rig)
{
	int64_t until_ms = clock_mono_ms() + PATIENCE;

	while (!rig->has_ended) {
		must(clock_mono_ms() < until_ms, "a run without an end");
		loop_step(rig->loop, 100);
	}
}

void
rig_run(struct rig *rig)
{
	rig_start(rig);
	rig_wait(rig);
}

const char *
rig_data(struct rig *rig, size_t request)
{
	struct engine_answer *answer = &rig->answers[request];
	size_t head = sizeof HEAD - 1;

	if (!rig->is_answered || !rig->is_answered[request])
		return "no answer";
	if (answer->status != TALLY_OK)
		return tally_status_code(answer->status);
	if (answer->body[answer->body_len - 1] == '}') { /* looked at for the first time */
		must(answer->body_len > head && memcmp(answer->body, HEAD, head) == 0,
		     "a body that is no answer");
		answer->body[answer->body_len - 1] = '\0';
	}
	return answer->body + head;
}

const struct tally_error *
rig_error(const struct rig *rig, size_t request)
{
	return &rig->answers[request].error;
}
