/* Describing a plan: step by step, because the types of a step's keys are those of the columns that
 * the steps before it return. */
#include "dataset/plan_inner.h"

#include <assert.h>

static void describe_next(struct plan *plan);

static void
describe_end(struct plan *plan, tally_status status, const struct tally_error *err)
{
	plan_described_fn *done = plan->done;

	plan->done = NULL;
	plan->is_ready = status == TALLY_OK;
	done(plan->done_ctx, plan, status, status == TALLY_OK ? NULL : err);
}

/* Rows whose key is null take no part, but a parameter may be. */
static void
bind_key(const struct plan *plan, struct source_bind *bind, const struct plan_key *key)
{
	bind->type = key->type;
	bind->may_be_null = key->ref.step == 0 && plan_param_may_be_null(plan, key->ref.column);
}

/* The values that a step is bound by, and their types: known now that the steps before it are. */
static tally_status
bind_keys(struct plan *plan, struct plan_step *step, struct tally_error *err)
{
	const struct definition_sql *sql = step->sql;

	step->n_needed = 0;
	for (size_t i = 0; i < sql->n_keys; i++) {
		const struct plan_name *name = plan_find(plan, sql->keys[i]);

		if (!name)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: step %s is by %s, which is neither a parameter nor "
					  "a column of a step before it",
					  step->where, step->definition->name, sql->keys[i]);
		step->keys[i].ref = name->ref;
		step->keys[i].type = name->type;
		if (name->ref.step > step->n_needed)
			step->n_needed = name->ref.step;
	}
	for (size_t i = 0; i < step->statement.n_binds; i++) {
		if (step->binds[i].is_array)
			bind_key(plan, &step->binds[i], &step->keys[step->bind_from[i].index]);
	}
	return TALLY_OK;
}

/* Every key comes back, with the type it was bound with: rows are joined on it. */
static tally_status
check_keys(struct plan_step *step, const struct source_shape *shape, struct tally_error *err)
{
	const struct definition_sql *sql = step->sql;

	for (size_t i = 0; i < sql->n_keys; i++) {
		struct plan_key *key = &step->keys[i];
		size_t column = plan_shape_find(shape, sql->keys[i]);

		if (column == SIZE_MAX)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: step %s is by %s, but returns no column of that "
					  "name: its rows are joined on it",
					  step->where, step->definition->name, sql->keys[i]);
		if (shape->columns[column].type != key->type)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: step %s is by %s of type %s, but returns it as %s: "
					  "return the bound value, or cast the column",
					  step->where, step->definition->name, sql->keys[i],
					  tally_type_name(key->type),
					  tally_type_name(shape->columns[column].type));
		key->column = (uint16_t)column;
	}
	return TALLY_OK;
}

/* The column of a period comes back, with the type of the parameters that it lies between. */
static tally_status
check_period(const struct plan *plan, struct plan_step *step, const struct source_shape *shape,
	     struct tally_error *err)
{
	const char *name = step->sql->period.column;

	if (!name)
		return TALLY_OK;
	const struct definition_param *from = &plan->definition->params[step->period.from];
	size_t column = plan_shape_find(shape, name);

	if (column == SIZE_MAX)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s: step %s is within %s, but returns no column of that name",
				  step->where, step->definition->name, name);
	if (shape->columns[column].type != from->type)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s: step %s is within %s, which comes as %s, while %s is %s: "
				  "cast the column",
				  step->where, step->definition->name, name,
				  tally_type_name(shape->columns[column].type), from->name,
				  tally_type_name(from->type));
	step->period.column = (uint16_t)column;
	return TALLY_OK;
}

/* Adds what the step returns beside its keys; a name may stand for one column only. */
static tally_status
add_columns(struct plan *plan, struct plan_step *step, const struct source_shape *shape,
	    struct tally_error *err)
{
	size_t index = (size_t)(step - plan->steps);

	for (size_t i = 0; i < shape->n_columns; i++) {
		const struct source_column *column = &shape->columns[i];

		if (plan_shape_find(shape, column->name) != i)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: step %s returns two columns named %s", step->where,
					  step->definition->name, column->name);
		if (definition_find_key(step->sql, column->name) != SIZE_MAX)
			continue;
		if (plan_find(plan, column->name))
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: step %s returns %s, which exists already: name it "
					  "otherwise, or put it after \"by\"",
					  step->where, step->definition->name, column->name);
		struct plan_ref ref = { (uint16_t)(index + 1), (uint16_t)i };
		if (plan_add_name(plan, column->name, column->type, ref) != TALLY_OK)
			return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	}
	return TALLY_OK;
}

static void
on_described(void *ctx, tally_status status, struct source_shape *shape,
	     const struct tally_error *source_err)
{
	struct plan *plan = ctx;
	struct plan_step *step = &plan->steps[plan->n_described];
	size_t n_names = plan->n_names;
	struct tally_error err = { .status = TALLY_OK };

	if (status != TALLY_OK) {
		describe_end(plan, status, source_err);
		return;
	}
	assert(shape->n_columns <= UINT16_MAX);
	status = check_keys(step, shape, &err);
	if (status == TALLY_OK)
		status = check_period(plan, step, shape, &err);
	if (status == TALLY_OK)
		status = add_columns(plan, step, shape, &err);
	if (status != TALLY_OK) {
		plan->n_names = n_names;
		source_shape_free(shape);
		describe_end(plan, status, &err);
		return;
	}
	step->shape = shape;
	step->statement.shape = shape;
	plan->n_described++;
	describe_next(plan);
}

/* Calls itself through a source that answers at once: DEFINITION_MAX_STEPS deep at most. */
static void
describe_next(struct plan *plan)
{
	struct tally_error err = { .status = TALLY_OK };

	if (plan->n_described == plan->definition->n_steps) {
		tally_status status = plan_bind_outputs(plan, &err);

		describe_end(plan, status, &err);
		return;
	}
	struct plan_step *step = &plan->steps[plan->n_described];
	tally_status status = bind_keys(plan, step, &err);
	if (status != TALLY_OK) {
		describe_end(plan, status, &err);
		return;
	}
	source_describe(step->source, &step->statement, plan->deadline_ms, on_described, plan);
}

void
plan_describe(struct plan *plan, int64_t deadline_ms, plan_described_fn *done, void *ctx)
{
	assert(!plan->done);
	plan->deadline_ms = deadline_ms;
	plan->done = done;
	plan->done_ctx = ctx;
	describe_next(plan);
}
