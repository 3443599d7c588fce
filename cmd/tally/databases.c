#include "databases.h"

#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/own.h"
#include "source/open.h"

#define QUEUE_MAX   64
#define DESCRIBE_MS 10000

OWN_DEFINE(plan);

/* How a description ended. */
struct described {
	bool is_done;
	tally_status status;
	struct tally_error *err;
};

static tally_status
open_one(const struct config *config, const struct config_pair *pair, struct databases *databases,
	 struct tally_error *err)
{
	const struct source_options options = {
		.name = pair->name,
		.url = pair->value,
		.loop = databases->loop,
		.connections = (size_t)config->source_connections,
		.queue_max = QUEUE_MAX,
		.query_timeout_ms = (int)config->query_timeout_ms,
		.seed = (uint64_t)clock_mono_us(),
	};
	tally_status status = source_open(&options, &databases->items[databases->n], err);

	databases->n += status == TALLY_OK;
	return status;
}

tally_status
databases_open(const struct config *config, struct databases *databases, struct tally_error *err)
{
	tally_status status;

	*databases = (struct databases){ 0 };
	status = loop_new(NULL, NULL, &databases->loop, err);
	for (size_t i = 0; status == TALLY_OK && i < config->n_sources; i++)
		status = open_one(config, &config->sources[i], databases, err);
	databases->sources = (struct plan_sources){ databases->items, databases->n };
	return status;
}

void
databases_close(struct databases *databases)
{
	for (size_t i = 0; i < databases->n; i++)
		source_free(databases->items[i]);
	loop_free(databases->loop);
	databases->n = 0;
	databases->loop = NULL;
}

static bool
has_source(const struct databases *databases, const char *name)
{
	for (size_t i = 0; i < databases->n; i++) {
		if (strcmp(databases->items[i]->name, name) == 0)
			return true;
	}
	return false;
}

/* A plan would call it a fault of the file; more often the setting is missing. */
static tally_status
check_sources(const struct databases *databases, const struct definition *definition,
	      struct tally_error *err)
{
	for (size_t i = 0; i < definition->n_steps; i++) {
		const struct definition_step *step = &definition->steps[i];
		char name[64];
		size_t at = 0;

		if (has_source(databases, step->source))
			continue;
		for (; step->source[at] && at < sizeof name - 1; at++)
			name[at] = (char)toupper((unsigned char)step->source[at]);
		name[at] = '\0';
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "%s:%d: step %s is on %s, which is not set:"
				  " TALLY_SOURCE_%s=postgresql://...",
				  definition->file, step->line, step->name, step->source, name);
	}
	return TALLY_OK;
}

static void
on_described(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	struct described *described = ctx;

	(void)plan;
	described->is_done = true;
	described->status = status;
	if (status != TALLY_OK && described->err)
		*described->err = *err;
}

tally_status
databases_plan(struct databases *databases, const struct definition *definition,
	       struct plan **out_plan, struct tally_error *err)
{
	struct described described = { .err = err };
	OWN(plan) plan = NULL;
	tally_status status = check_sources(databases, definition, err);

	if (status == TALLY_OK)
		status = plan_new(definition, &databases->sources, &plan, err);
	if (status != TALLY_OK)
		return status;
	plan_describe(plan, clock_mono_ms() + DESCRIBE_MS, on_described, &described);
	while (!described.is_done)
		loop_step(databases->loop, -1);
	if (described.status == TALLY_OK)
		*out_plan = TAKE(plan);
	return described.status;
}
