#include "dataset/definition_inner.h"

#include <stdlib.h>
#include <string.h>

static void
param_fini(struct definition_param *param)
{
	const struct value *values[] = { &param->fallback, &param->min, &param->max };

	for (size_t i = 0; i < 3; i++) {
		if (values[i]->type == TALLY_TEXT || values[i]->type == TALLY_DECIMAL)
			free((void *)(uintptr_t)values[i]->text);
	}
	free(param->name);
}

static void
column_fini(struct definition_column *column)
{
	if (column->fallback.type == TALLY_TEXT || column->fallback.type == TALLY_DECIMAL)
		free((void *)(uintptr_t)column->fallback.text);
	free(column->name);
	free(column->argument);
}

void
definition_step_fini(struct definition_step *step)
{
	for (size_t i = 0; i < step->n_sqls; i++) {
		struct definition_sql *sql = &step->sqls[i];
		for (size_t k = 0; k < sql->n_binds; k++)
			free(sql->binds[k]);
		for (size_t k = 0; k < sql->n_keys; k++)
			free(sql->keys[k]);
		free(sql->period.column);
		free(sql->period.from);
		free(sql->period.to);
		free(sql->kind);
		free(sql->text);
	}
	free(step->sqls);
	free(step->name);
	free(step->source);
}

void
definition_free(struct definition *definition)
{
	if (!definition)
		return;
	for (size_t i = 0; i < definition->n_params; i++)
		param_fini(&definition->params[i]);
	for (size_t i = 0; i < definition->n_columns; i++)
		column_fini(&definition->columns[i]);
	for (size_t i = 0; i < definition->n_steps; i++)
		definition_step_fini(&definition->steps[i]);
	for (size_t i = 0; i < definition->n_group; i++)
		free(definition->group[i]);
	free(definition->params);
	free(definition->columns);
	free(definition->order);
	free(definition->group);
	free(definition->steps);
	free(definition->file);
	free(definition->name);
	free(definition->title);
	free(definition);
}

const struct definition_sql *
definition_sql_for(const struct definition_step *step, const char *kind)
{
	const struct definition_sql *any = NULL;

	for (size_t i = 0; i < step->n_sqls; i++) {
		if (!step->sqls[i].kind)
			any = &step->sqls[i];
		else if (strcmp(step->sqls[i].kind, kind) == 0)
			return &step->sqls[i];
	}
	return any;
}

size_t
definition_find_key(const struct definition_sql *sql, const char *name)
{
	for (size_t i = 0; i < sql->n_keys; i++) {
		if (strcmp(sql->keys[i], name) == 0)
			return i;
	}
	return SIZE_MAX;
}
