#include "worker/plans.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define DESCRIBE_AGAIN_MS   1000
#define DESCRIBE_TIMEOUT_MS 10000

struct plans_entry {
	struct plans *plans;
	struct plan *plan;
	bool is_under_way;
	bool is_wrong;
	bool is_away;
	struct tally_error error; /* why it is not ready */
};

struct plans {
	struct loop *loop;
	struct plans_events events;
	struct loop_timer again;
	bool is_stopped;
	size_t n_ready;
	size_t n;
	struct plans_entry entries[]; /* in the catalog's order: by name */
};

static void describe_missing(void *ctx);

tally_status
plans_new(const struct catalog *catalog, const struct plan_sources *sources, struct loop *loop,
	  const struct plans_events *events, struct plans **out_plans, struct tally_error *err)
{
	size_t n = catalog_count(catalog);
	struct plans *plans = calloc(1, sizeof *plans + n * sizeof *plans->entries);

	if (!plans)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	plans->loop = loop;
	plans->events = *events;
	plans->again = (struct loop_timer){ .on_time = describe_missing, .ctx = plans };
	for (size_t i = 0; i < n; i++) {
		struct plans_entry *entry = &plans->entries[i];
		tally_status status = plan_new(catalog_at(catalog, i), sources, &entry->plan, err);

		if (status != TALLY_OK) {
			plans_free(plans);
			return status;
		}
		entry->plans = plans;
		plans->n++;
		(void)tally_fail(&entry->error, TALLY_SOURCE_UNAVAILABLE,
				 "the databases have not been asked yet: try again");
	}
	*out_plans = plans;
	return TALLY_OK;
}

void
plans_free(struct plans *plans)
{
	if (!plans)
		return;
	for (size_t i = 0; i < plans->n; i++)
		plan_free(plans->entries[i].plan);
	free(plans);
}

static void
on_away(struct plans_entry *entry, const struct tally_error *err)
{
	struct plans *plans = entry->plans;

	entry->error = *err;
	entry->error.status = TALLY_SOURCE_UNAVAILABLE;
	if (plans->is_stopped)
		return;
	if (!entry->is_away && plans->events.on_away)
		plans->events.on_away(plans->events.ctx, plan_definition(entry->plan), err);
	entry->is_away = true;
	/* Without memory for a timer the next one that is set describes this one too. */
	(void)!loop_timer_set(plans->loop, &plans->again, clock_mono_ms() + DESCRIBE_AGAIN_MS);
}

static void
on_described(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	struct plans_entry *entry = ctx;
	struct plans *plans = entry->plans;

	(void)plan;
	entry->is_under_way = false;
	if (status == TALLY_OK) {
		if (++plans->n_ready == plans->n && plans->events.on_ready)
			plans->events.on_ready(plans->events.ctx);
	} else if (status == TALLY_WRONG_DEFINITION) {
		entry->is_wrong = true;
		plans->events.on_wrong(plans->events.ctx, err);
	} else {
		on_away(entry, err);
	}
}

static void
describe_missing(void *ctx)
{
	struct plans *plans = ctx;

	for (size_t i = 0; i < plans->n && !plans->is_stopped; i++) {
		struct plans_entry *entry = &plans->entries[i];

		if (entry->is_under_way || entry->is_wrong || plan_is_ready(entry->plan))
			continue;
		entry->is_under_way = true;
		plan_describe(entry->plan, clock_mono_ms() + DESCRIBE_TIMEOUT_MS, on_described,
			      entry);
	}
}

void
plans_describe(struct plans *plans)
{
	describe_missing(plans);
}

void
plans_stop(struct plans *plans)
{
	plans->is_stopped = true;
	loop_timer_clear(plans->loop, &plans->again);
}

struct plan *
plans_find(const struct plans *plans, const char *name, size_t len)
{
	for (size_t i = 0; i < plans->n; i++) {
		const char *own = plan_definition(plans->entries[i].plan)->name;

		if (strlen(own) == len && memcmp(own, name, len) == 0)
			return plans->entries[i].plan;
	}
	return NULL;
}

const struct tally_error *
plans_error(const struct plans *plans, const struct plan *plan)
{
	for (size_t i = 0; i < plans->n; i++) {
		if (plans->entries[i].plan == plan)
			return &plans->entries[i].error;
	}
	return NULL;
}
