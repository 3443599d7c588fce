/* The columns of the answer: where each comes from, and whether its type is the declared one. */
#include "dataset/plan_inner.h"

#include <stdio.h>

static tally_status
bind_group(struct plan *plan, struct tally_error *err)
{
	const struct definition *definition = plan->definition;

	for (size_t i = 0; i < definition->n_group; i++) {
		const struct plan_name *name = plan_find(plan, definition->group[i]);

		if (!name)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s:%d: group by %s, but no step returns it",
					  definition->file, definition->steps[0].line,
					  definition->group[i]);
		plan->group[i] = name->ref;
	}
	return TALLY_OK;
}

static const char *
function_name(enum definition_function function)
{
	static const char *const names[] = {
		[DEFINITION_PLAIN] = "",
		[DEFINITION_COUNT] = "count",
		[DEFINITION_COUNT_DISTINCT] = "count(distinct)",
		[DEFINITION_SUM] = "sum",
		[DEFINITION_MIN] = "min",
		[DEFINITION_MAX] = "max",
	};
	return names[function];
}

static bool
is_number(enum tally_type type)
{
	return type == TALLY_INT || type == TALLY_FLOAT || type == TALLY_DECIMAL;
}

/* What a database calls a type: for the hint how to cast. */
static const char *
cast_name(enum tally_type type)
{
	switch (type) {
	case TALLY_INT:
		return "bigint";
	case TALLY_FLOAT:
		return "float8";
	case TALLY_DECIMAL:
		return "numeric";
	default:
		return tally_type_name(type);
	}
}

static tally_status
check_plain(const struct plan *plan, const struct plan_name *name,
	    const struct definition_column *column, struct tally_error *err)
{
	const char *file = plan->definition->file;

	if (name->type == column->type)
		return TALLY_OK;
	const char *example = name->type == TALLY_DECIMAL ? "sum(n)" : column->name;
	const char *by = name->ref.step == 0 ? "the parameters"
					     : plan->definition->steps[name->ref.step - 1].name;
	return tally_fail(err, TALLY_WRONG_DEFINITION,
			  "%s:%d: column %s is declared %s, but comes as %s from %s: "
			  "write %s::%s, or declare it %s",
			  file, column->line, column->name, tally_type_name(column->type),
			  tally_type_name(name->type), by, example, cast_name(column->type),
			  tally_type_name(name->type));
}

static tally_status
check_function(const struct plan *plan, enum tally_type argument,
	       const struct definition_column *column, struct tally_error *err)
{
	const char *file = plan->definition->file;
	bool is_count =
	    column->function == DEFINITION_COUNT || column->function == DEFINITION_COUNT_DISTINCT;
	enum tally_type type = is_count ? TALLY_INT : argument;

	if (column->function == DEFINITION_SUM && !is_number(argument))
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:%d: sum(%s) needs int, float or decimal, and %s is %s", file,
				  column->line, column->argument, column->argument,
				  tally_type_name(argument));
	if (type != column->type)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:%d: column %s is declared %s, but %s(%s) is %s", file,
				  column->line, column->name, tally_type_name(column->type),
				  function_name(column->function),
				  column->argument ? column->argument : "*", tally_type_name(type));
	return TALLY_OK;
}

static tally_status
bind_output(struct plan *plan, struct plan_output *output, struct tally_error *err)
{
	const struct definition_column *column = output->column;
	bool is_plain = column->function == DEFINITION_PLAIN;
	const char *wanted = is_plain ? column->name : column->argument;

	output->argument_type = TALLY_ABSENT;
	if (!wanted) /* count(*) */
		return check_function(plan, TALLY_ABSENT, column, err);
	const struct plan_name *name = plan_find(plan, wanted);
	if (!name)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:%d: column %s: no step returns %s", plan->definition->file,
				  column->line, column->name, wanted);
	output->ref = name->ref;
	output->argument_type = name->type;
	return is_plain ? check_plain(plan, name, column, err)
			: check_function(plan, name->type, column, err);
}

tally_status
plan_bind_outputs(struct plan *plan, struct tally_error *err)
{
	tally_status status = bind_group(plan, err);

	for (size_t i = 0; status == TALLY_OK && i < plan->definition->n_columns; i++)
		status = bind_output(plan, &plan->outputs[i], err);
	return status;
}

/* The steps (bit 1 + index) that a step's keys are columns of. */
static uint32_t
parents(const struct plan *plan, size_t step)
{
	uint32_t found = 0;

	for (size_t i = 0; i < plan->steps[step].sql->n_keys; i++)
		found |= UINT32_C(1) << plan->steps[step].keys[i].ref.step;
	return found & ~UINT32_C(1); /* 0 is the parameters */
}

/* The steps that a step's keys come from, directly or not: all of them before it. */
static uint32_t
ancestors(const struct plan *plan, size_t step)
{
	uint32_t found = parents(plan, step);

	for (size_t i = step; i-- > 0;) {
		if (found >> (i + 1) & 1)
			found |= parents(plan, i);
	}
	return found;
}

/* The steps that no other depends on: with two of them, count(*) counts pairs of their rows. */
static uint32_t
leaves(const struct plan *plan)
{
	uint32_t found = 0;
	uint32_t inner = 0;

	for (size_t i = 0; i < plan->definition->n_steps; i++) {
		found |= UINT32_C(1) << (i + 1);
		inner |= ancestors(plan, i);
	}
	return found & ~inner;
}

static void
warn_doubled(const struct plan *plan, const struct plan_output *output, plan_warning_fn *warn,
	     void *ctx)
{
	const struct definition *definition = plan->definition;
	const struct definition_column *column = output->column;
	uint16_t from = output->ref.step;
	uint32_t others = leaves(plan);
	char text[512];

	if (output->argument_type == TALLY_ABSENT) {
		if ((others & (others - 1)) == 0)
			return;
		from = (uint16_t)(__builtin_ctz(others));
	}
	uint32_t fine = from > 0 ? UINT32_C(1) << from | ancestors(plan, from - 1u) : 0;
	for (size_t i = 0; i < definition->n_steps; i++) {
		if (fine >> (i + 1) & 1)
			continue;
		(void)snprintf(
		    text, sizeof text, /* cut off is fine */
		    "%s:%d: column %s: %s(%s) counts a row once for each row that step "
		    "%s returns for it; if it may return several, use "
		    "count(distinct ...) or group inside a step",
		    definition->file, column->line, column->name, function_name(column->function),
		    column->argument ? column->argument : "*", definition->steps[i].name);
		warn(ctx, text);
	}
}

static void
warn_scalars(const struct plan *plan, const struct plan_step *step, plan_warning_fn *warn,
	     void *ctx)
{
	char text[512];

	for (size_t i = 0; i < step->statement.n_binds; i++) {
		if (step->bind_from[i].kind != PLAN_BIND_PARAM)
			continue;
		(void)snprintf(text, sizeof text, /* cut off is fine */
			       "%s: step %s uses :%s, which is not after \"by\": requests with "
			       "different values of it cannot share a batch",
			       step->where, plan->definition->steps[step - plan->steps].name,
			       step->binds[i].name);
		warn(ctx, text);
	}
}

void
plan_warnings(const struct plan *plan, plan_warning_fn *warn, void *ctx)
{
	for (size_t i = 0; i < plan->definition->n_steps; i++)
		warn_scalars(plan, &plan->steps[i], warn, ctx);
	for (size_t i = 0; i < plan->definition->n_columns; i++) {
		enum definition_function function = plan->outputs[i].column->function;

		if (function == DEFINITION_COUNT || function == DEFINITION_SUM)
			warn_doubled(plan, &plan->outputs[i], warn, ctx);
	}
}
