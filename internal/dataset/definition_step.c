/* "-- step NAME on SOURCE [by NAME, ...] [within COLUMN from PARAM to PARAM] [keep]
 * [cache DURATION] [for KIND]" */
#include <stdlib.h>
#include <string.h>

#include "dataset/definition_inner.h"

static tally_status
read_key(struct builder *builder, struct directive *directive, struct definition_sql *sql)
{
	if (sql->n_keys == DEFINITION_MAX_KEYS)
		return builder_wrong(builder, directive->line, "more than %d names after \"by\"",
				     DEFINITION_MAX_KEYS);
	tally_status status = builder_name(builder, directive, "column", &sql->keys[sql->n_keys]);
	if (status != TALLY_OK)
		return status;
	sql->n_keys++;
	for (size_t i = 0; i + 1 < sql->n_keys; i++) {
		if (strcmp(sql->keys[i], sql->keys[sql->n_keys - 1]) == 0)
			return builder_wrong(builder, directive->line, "by %s twice", sql->keys[i]);
	}
	return TALLY_OK;
}

static tally_status
read_keys(struct builder *builder, struct directive *directive, struct definition_sql *sql)
{
	tally_status status;

	do {
		status = read_key(builder, directive, sql);
	} while (status == TALLY_OK && builder_takes(directive, ","));
	return status;
}

static tally_status
read_period(struct builder *builder, struct directive *directive, struct definition_period *period)
{
	tally_status status = builder_name(builder, directive, "column", &period->column);

	if (status == TALLY_OK)
		status = builder_mark(builder, directive, "from");
	if (status == TALLY_OK)
		status = builder_name(builder, directive, "parameter", &period->from);
	if (status == TALLY_OK)
		status = builder_mark(builder, directive, "to");
	if (status == TALLY_OK)
		status = builder_name(builder, directive, "parameter", &period->to);
	return status;
}

/* Everything of the line into step, whose sqls has room for one, the kind. */
static tally_status
read_step(struct builder *builder, struct directive *directive, struct definition_step *step)
{
	tally_status status = builder_name(builder, directive, "step", &step->name);

	if (status == TALLY_OK)
		status = builder_mark(builder, directive, "on");
	if (status == TALLY_OK)
		status = builder_name(builder, directive, "source", &step->source);
	if (status == TALLY_OK && builder_takes(directive, "by"))
		status = read_keys(builder, directive, &step->sqls[0]);
	if (status == TALLY_OK && builder_takes(directive, "within"))
		status = read_period(builder, directive, &step->sqls[0].period);
	step->is_kept = status == TALLY_OK && builder_takes(directive, "keep");
	if (status == TALLY_OK && builder_takes(directive, "cache"))
		status = builder_duration(builder, directive, &step->cache_ms);
	if (status == TALLY_OK && builder_takes(directive, "for"))
		status = builder_name(builder, directive, "kind", &step->sqls[0].kind);
	if (status == TALLY_OK)
		status = builder_end(builder, directive);
	return status;
}

static bool
are_same_steps(const struct definition_step *a, const struct definition_step *b)
{
	return strcmp(a->source, b->source) == 0 && a->is_kept == b->is_kept
	       && a->cache_ms == b->cache_ms;
}

/* Gives the step of this name one more statement, for another kind. */
static tally_status
add_kind(struct builder *builder, struct definition_step *step, struct definition_step *more)
{
	struct definition_sql *sql = &more->sqls[0];

	if (!are_same_steps(step, more))
		return builder_wrong(builder, more->line,
				     "step %s is there already, in line %d; for another kind of "
				     "database it must not differ in source, keep and cache",
				     step->name, step->line);
	for (size_t i = 0; i < step->n_sqls; i++) {
		const char *kind = step->sqls[i].kind;
		if ((!kind && !sql->kind) || (kind && sql->kind && strcmp(kind, sql->kind) == 0))
			return builder_wrong(builder, more->line, "a second step %s%s%s",
					     step->name, kind ? " for " : "", kind ? kind : "");
	}
	if (step->n_sqls == DEFINITION_MAX_KINDS)
		return builder_wrong(builder, more->line, "step %s is for more than %d kinds",
				     step->name, DEFINITION_MAX_KINDS);
	builder->open = &step->sqls[step->n_sqls++];
	*builder->open = *sql;
	*sql = (struct definition_sql){ 0 }; /* moved */
	return TALLY_OK;
}

/* Whether the words after "-- step" name a step that is there. */
static struct definition_step *
find_step(struct definition *definition, const char *name)
{
	for (size_t i = 0; i + 1 < definition->n_steps; i++) {
		if (strcmp(definition->steps[i].name, name) == 0)
			return &definition->steps[i];
	}
	return NULL;
}

tally_status
builder_step(struct builder *builder, struct directive *directive)
{
	struct definition *definition = builder->definition;
	struct definition_step *step = &definition->steps[definition->n_steps];

	/* There is room for one more than the most: it may be another kind of one that is there. */
	*step = (struct definition_step){ .line = directive->line, .n_sqls = 1 };
	step->sqls = calloc(DEFINITION_MAX_KINDS, sizeof *step->sqls);
	if (!step->sqls)
		return builder_no_memory(builder);
	step->sqls[0].line = directive->line;
	definition->n_steps++; /* from here on definition_free frees it */
	tally_status status = read_step(builder, directive, step);
	if (status != TALLY_OK)
		return status;
	struct definition_step *same = find_step(definition, step->name);
	if (!same && definition->n_steps > DEFINITION_MAX_STEPS)
		return builder_wrong(builder, directive->line, "more than %d steps",
				     DEFINITION_MAX_STEPS);
	if (!same) {
		builder->open = &step->sqls[0];
		return TALLY_OK;
	}
	status = add_kind(builder, same, step);
	if (status != TALLY_OK)
		return status;
	definition_step_fini(step);
	definition->n_steps--;
	return TALLY_OK;
}
