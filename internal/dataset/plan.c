#include "dataset/plan_inner.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/own.h"
#include "dataset/cache.h"

/* Rows that one step's cache may hold; the README's section on "cache" names it. */
#define STEP_CACHE_BYTES (32u << 20)

OWN_DEFINE(plan);

static _Atomic uint64_t last_statement_id;

const struct plan_name *
plan_find(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->n_names; i++) {
		if (strcmp(plan->names[i].name, name) == 0)
			return &plan->names[i];
	}
	return NULL;
}

tally_status
plan_add_name(struct plan *plan, const char *name, enum tally_type type, struct plan_ref ref)
{
	if (plan->n_names == plan->cap_names) {
		size_t cap = plan->cap_names ? 2 * plan->cap_names : 32;
		struct plan_name *names = reallocarray(plan->names, cap, sizeof *names);

		if (!names)
			return TALLY_NO_MEMORY;
		plan->names = names;
		plan->cap_names = cap;
	}
	plan->names[plan->n_names++] = (struct plan_name){ name, type, ref };
	return TALLY_OK;
}

size_t
plan_shape_find(const struct source_shape *shape, const char *name)
{
	for (size_t i = 0; i < shape->n_columns; i++) {
		if (strcmp(shape->columns[i].name, name) == 0)
			return i;
	}
	return SIZE_MAX;
}

static struct source *
find_source(const struct plan_sources *sources, const char *name)
{
	for (size_t i = 0; i < sources->n; i++) {
		if (strcmp(sources->items[i]->name, name) == 0)
			return sources->items[i];
	}
	return NULL;
}

/* The number of a parameter, which the definition has. */
static uint16_t
param_number(const struct definition *definition, const char *name)
{
	return (uint16_t)(definition_param_find(definition, name) - definition->params);
}

bool
plan_param_may_be_null(const struct plan *plan, size_t param)
{
	const struct definition_param *definition = &plan->definition->params[param];

	return !definition->is_required && definition->fallback.state != VALUE_SET;
}

/* A name that is no key is a parameter: an end of the period, or the same for a whole batch. */
static void
bind_param(struct plan *plan, struct plan_step *step, size_t i)
{
	const struct definition_period *period = &step->sql->period;
	const char *name = step->sql->binds[i];
	uint16_t param = param_number(plan->definition, name);

	step->binds[i].type = plan->definition->params[param].type;
	step->binds[i].may_be_null = plan_param_may_be_null(plan, param);
	step->bind_from[i].index = param;
	if (period->column && strcmp(name, period->from) == 0)
		step->bind_from[i].kind = PLAN_BIND_FROM;
	else if (period->column && strcmp(name, period->to) == 0)
		step->bind_from[i].kind = PLAN_BIND_TO;
	step->binds[i].may_be_nearest = step->bind_from[i].kind != PLAN_BIND_PARAM;
	if (step->bind_from[i].kind == PLAN_BIND_PARAM)
		plan->scalars |= UINT32_C(1) << param;
}

/* Each :name of the statement; the type of a key is known when the step is described. */
static void
bind_names(struct plan *plan, struct plan_step *step)
{
	for (size_t i = 0; i < step->sql->n_binds; i++) {
		const char *name = step->sql->binds[i];
		size_t key = definition_find_key(step->sql, name);

		step->binds[i] = (struct source_bind){ .name = name };
		if (key == SIZE_MAX) {
			bind_param(plan, step, i);
			continue;
		}
		step->binds[i].is_array = true;
		step->bind_from[i] = (struct plan_bind){ PLAN_BIND_KEY, (uint16_t)key };
	}
}

static void
bind_period(const struct plan *plan, struct plan_step *step)
{
	const struct definition_period *period = &step->sql->period;

	if (!period->column)
		return;
	step->period.from = param_number(plan->definition, period->from);
	step->period.to = param_number(plan->definition, period->to);
}

static tally_status
bind_source(const struct plan *plan, struct plan_step *step, struct tally_error *err)
{
	const struct definition_step *definition = step->definition;

	step->source = find_source(plan->sources, definition->source);
	if (!step->source)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:%d: step %s is on %s, but no such database is configured",
				  plan->definition->file, definition->line, definition->name,
				  definition->source);
	return TALLY_OK;
}

static tally_status
init_step(struct plan *plan, struct plan_step *step, const struct definition_step *definition,
	  struct tally_error *err)
{
	step->definition = definition;
	tally_status status = bind_source(plan, step, err);
	if (status != TALLY_OK)
		return status;

	const char *kind = step->source->ops->kind;
	const struct definition_sql *sql = definition_sql_for(definition, kind);
	if (!sql)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:%d: step %s has no statement for %s, the kind of %s",
				  plan->definition->file, definition->line, definition->name, kind,
				  definition->source);
	step->sql = sql;
	if (asprintf(&step->where, "%s:%d", plan->definition->file, sql->line) < 0) {
		step->where = NULL;
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	}
	step->statement = (struct source_statement){
		.sql = sql->text,
		.where = step->where,
		.binds = step->binds,
		.n_binds = sql->n_binds,
		.id = atomic_fetch_add(&last_statement_id, 1) + 1,
	};
	if (definition->cache_ms > 0) {
		step->cache = cache_new(STEP_CACHE_BYTES, definition->cache_ms);
		if (!step->cache)
			return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	}
	bind_period(plan, step);
	bind_names(plan, step);
	return TALLY_OK;
}

static bool
allocate(struct plan *plan)
{
	const struct definition *definition = plan->definition;

	/* One more than needed: calloc(0) may be NULL. */
	plan->steps = calloc(definition->n_steps + 1, sizeof *plan->steps);
	plan->outputs = calloc(definition->n_columns + 1, sizeof *plan->outputs);
	plan->sort = calloc(definition->n_columns + 1, sizeof *plan->sort);
	plan->group = calloc(definition->n_group + 1, sizeof *plan->group);
	return plan->steps && plan->outputs && plan->sort && plan->group;
}

/* The order of the file first, then every other column: a total order. */
static void
init_sort(struct plan *plan)
{
	const struct definition *definition = plan->definition;
	bool is_taken[DEFINITION_MAX_COLUMNS] = { false };
	size_t n = 0;

	for (size_t i = 0; i < definition->n_order; i++) {
		size_t column = definition->order[i].column;

		if (is_taken[column])
			continue;
		is_taken[column] = true;
		plan->sort[n++] =
		    (struct plan_sort){ (uint16_t)column, definition->order[i].is_descending };
	}
	for (size_t i = 0; i < definition->n_columns; i++) {
		if (!is_taken[i])
			plan->sort[n++] = (struct plan_sort){ (uint16_t)i, false };
	}
}

static tally_status
init_outputs(struct plan *plan)
{
	for (size_t i = 0; i < plan->definition->n_columns; i++) {
		struct plan_output *output = &plan->outputs[i];
		char first = i == 0 ? '{' : ',';

		output->column = &plan->definition->columns[i];
		output->literal_len = strlen(output->column->name) + 4;
		output->literal = calloc(1, output->literal_len + PLAN_LITERAL_BLOCK);
		if (!output->literal)
			return TALLY_NO_MEMORY;
		(void)snprintf(output->literal, output->literal_len + 1, "%c\"%s\":", first,
			       output->column->name);
	}
	init_sort(plan);
	return TALLY_OK;
}

static tally_status
init_names(struct plan *plan)
{
	for (size_t i = 0; i < plan->definition->n_params; i++) {
		const struct definition_param *param = &plan->definition->params[i];
		tally_status status = plan_add_name(plan, param->name, param->type,
						    (struct plan_ref){ 0, (uint16_t)i });
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

tally_status
plan_new(const struct definition *definition, const struct plan_sources *sources,
	 struct plan **out_plan, struct tally_error *err)
{
	OWN(plan) plan = calloc(1, sizeof *plan);

	if (!plan)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	plan->definition = definition;
	plan->sources = sources;
	if (!allocate(plan) || init_names(plan) != TALLY_OK || init_outputs(plan) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < definition->n_steps; i++) {
		tally_status status = init_step(plan, &plan->steps[i], &definition->steps[i], err);
		if (status != TALLY_OK)
			return status;
	}
	*out_plan = TAKE(plan);
	return TALLY_OK;
}

void
plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; plan->steps && i < plan->definition->n_steps; i++) {
		cache_free(plan->steps[i].cache);
		source_shape_free(plan->steps[i].shape);
		free(plan->steps[i].where);
	}
	for (size_t i = 0; plan->outputs && i < plan->definition->n_columns; i++)
		free(plan->outputs[i].literal);
	free(plan->steps);
	free(plan->outputs);
	free(plan->sort);
	free(plan->group);
	free(plan->names);
	free(plan);
}

bool
plan_is_ready(const struct plan *plan)
{
	return plan->is_ready;
}

const struct definition *
plan_definition(const struct plan *plan)
{
	return plan->definition;
}

bool
plan_same_batch(const struct plan *plan, const struct params *a, const struct params *b)
{
	for (size_t i = 0; i < plan->definition->n_params; i++) {
		bool is_scalar = plan->scalars >> i & 1;

		if (is_scalar && !params_same(a, b, i))
			return false;
	}
	return true;
}
