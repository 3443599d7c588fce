/* What only a whole file shows: order, groups, keys and binds.  What only a database knows (columns
 * and their types) is the plan's to check. */
#include <stdlib.h>
#include <string.h>

#include "dataset/definition_inner.h"

static tally_status
check_is_whole(struct builder *builder)
{
	struct definition *definition = builder->definition;

	if (!definition->name)
		return builder_wrong(builder, 1, "there is no -- dataset NAME: title");
	if (definition->n_columns == 0)
		return builder_wrong(builder, 1, "there is no -- column");
	if (definition->n_steps == 0)
		return builder_wrong(builder, 1, "there is no -- step");
	return TALLY_OK;
}

/* Moves the order's names to indexes of columns. */
static tally_status
bind_order(struct builder *builder)
{
	struct definition *definition = builder->definition;

	for (size_t i = 0; i < builder->n_order; i++) {
		size_t column = 0;
		while (column < definition->n_columns
		       && strcmp(definition->columns[column].name, builder->order[i].name) != 0)
			column++;
		if (column == definition->n_columns)
			return builder_wrong(builder, builder->order_line,
					     "order %s: there is no such column",
					     builder->order[i].name);
		for (size_t k = 0; k < definition->n_order; k++) {
			if (definition->order[k].column == column)
				return builder_wrong(builder, builder->order_line, "order %s twice",
						     builder->order[i].name);
		}
		definition->order[definition->n_order++] =
		    (struct definition_order){ column, builder->order[i].is_descending };
	}
	return TALLY_OK;
}

static bool
is_in_group(const struct definition *definition, const char *name)
{
	for (size_t i = 0; i < definition->n_group; i++) {
		if (strcmp(definition->group[i], name) == 0)
			return true;
	}
	return false;
}

static tally_status
check_groups(struct builder *builder)
{
	struct definition *definition = builder->definition;

	definition->is_grouped = definition->n_group > 0;
	for (size_t i = 0; i < definition->n_columns; i++)
		definition->is_grouped |= definition->columns[i].function != DEFINITION_PLAIN;
	if (!definition->is_grouped)
		return TALLY_OK;
	for (size_t i = 0; i < definition->n_columns; i++) {
		const struct definition_column *column = &definition->columns[i];
		if (column->function == DEFINITION_PLAIN && !is_in_group(definition, column->name))
			return builder_wrong(builder, column->line,
					     "column %s is neither grouped nor aggregated",
					     column->name);
	}
	return TALLY_OK;
}

static bool
is_bound(const struct definition_sql *sql, const char *name)
{
	for (size_t i = 0; i < sql->n_binds; i++) {
		if (strcmp(sql->binds[i], name) == 0)
			return true;
	}
	return false;
}

/* An end of a period: a parameter that has an order, and is not a key at the same time. */
static tally_status
check_end(struct builder *builder, const struct definition_sql *sql, const char *end,
	  const struct definition_param **out_param)
{
	const struct definition_param *param = definition_param_find(builder->definition, end);

	if (!param)
		return builder_wrong(builder, sql->line, "within %s: %s is no parameter",
				     sql->period.column, end);
	if (!definition_has_range(param->type))
		return builder_wrong(builder, sql->line, "within %s: %s is %s, which has no range",
				     sql->period.column, end, tally_type_name(param->type));
	if (definition_find_key(sql, end) != SIZE_MAX)
		return builder_wrong(builder, sql->line, "within %s: %s is after \"by\" too",
				     sql->period.column, end);
	*out_param = param;
	return TALLY_OK;
}

static tally_status
check_period(struct builder *builder, const struct definition_step *step,
	     const struct definition_sql *sql)
{
	const struct definition_period *period = &sql->period;
	const struct definition_param *from = NULL;
	const struct definition_param *to = NULL;

	if (!period->column)
		return TALLY_OK;
	tally_status status = check_end(builder, sql, period->from, &from);
	if (status == TALLY_OK)
		status = check_end(builder, sql, period->to, &to);
	if (status != TALLY_OK)
		return status;
	if (from == to)
		return builder_wrong(builder, sql->line,
				     "within %s: %s cannot be both ends of a period",
				     period->column, period->from);
	if (from->type != to->type)
		return builder_wrong(builder, sql->line, "within %s: %s is %s, and %s is %s",
				     period->column, period->from, tally_type_name(from->type),
				     period->to, tally_type_name(to->type));
	if (definition_find_key(sql, period->column) != SIZE_MAX)
		return builder_wrong(builder, sql->line, "within %s, which is after \"by\" too",
				     period->column);
	/* What comes depends on who else asks. */
	if (step->cache_ms > 0)
		return builder_wrong(builder, sql->line, "a step with \"within\" has no cache");
	return TALLY_OK;
}

static tally_status
check_sql(struct builder *builder, const struct definition_step *step,
	  const struct definition_sql *sql)
{
	if (!sql->text)
		return builder_wrong(builder, sql->line, "step %s has no statement", step->name);
	for (size_t i = 0; i < sql->n_keys; i++) {
		if (!is_bound(sql, sql->keys[i]))
			return builder_wrong(builder, sql->line,
					     "step %s is by %s, but its statement does not use :%s",
					     step->name, sql->keys[i], sql->keys[i]);
	}
	for (size_t i = 0; i < sql->n_binds; i++) {
		if (definition_find_key(sql, sql->binds[i]) == SIZE_MAX
		    && !definition_param_find(builder->definition, sql->binds[i]))
			return builder_wrong(
			    builder, sql->line,
			    "step %s uses :%s, which is neither after \"by\" nor a "
			    "parameter",
			    step->name, sql->binds[i]);
	}
	return check_period(builder, step, sql);
}

/* No step is before the first one. */
static tally_status
check_first_keys(struct builder *builder, const struct definition_step *step,
		 const struct definition_sql *sql)
{
	for (size_t i = 0; i < sql->n_keys; i++) {
		if (!definition_param_find(builder->definition, sql->keys[i]))
			return builder_wrong(builder, sql->line,
					     "step %s is by %s, which is no parameter, and no step "
					     "is before it",
					     step->name, sql->keys[i]);
	}
	return TALLY_OK;
}

static tally_status
check_steps(struct builder *builder)
{
	const struct definition *definition = builder->definition;

	for (size_t i = 0; i < definition->n_steps; i++) {
		const struct definition_step *step = &definition->steps[i];
		for (size_t k = 0; k < step->n_sqls; k++) {
			tally_status status = check_sql(builder, step, &step->sqls[k]);
			if (status == TALLY_OK && i == 0)
				status = check_first_keys(builder, step, &step->sqls[k]);
			if (status != TALLY_OK)
				return status;
		}
	}
	return TALLY_OK;
}

tally_status
builder_check(struct builder *builder)
{
	tally_status (*const checks[])(struct builder *) = { check_is_whole, bind_order,
							     check_groups, check_steps };

	for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
		tally_status status = checks[i](builder);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}
