/* "-- column NAME TYPE [null] [= function(argument) [default V]]" */
#include <stdlib.h>
#include <string.h>

#include "dataset/definition_inner.h"

static tally_status
read_function_name(struct builder *builder, struct directive *directive,
		   enum definition_function *out_function)
{
	static const struct {
		const char *name;
		enum definition_function function;
	} functions[] = {
		{ "count", DEFINITION_COUNT },
		{ "sum",   DEFINITION_SUM   },
		{ "min",   DEFINITION_MIN   },
		{ "max",   DEFINITION_MAX   }
	};

	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		if (builder_takes(directive, functions[i].name)) {
			*out_function = functions[i].function;
			return TALLY_OK;
		}
	}
	return builder_wrong(builder, directive->line,
			     "after = comes count(*), count(c), count(distinct c), sum(c), min(c) "
			     "or max(c)");
}

static tally_status
read_function(struct builder *builder, struct directive *directive,
	      struct definition_column *column)
{
	tally_status status = read_function_name(builder, directive, &column->function);

	if (status == TALLY_OK)
		status = builder_mark(builder, directive, "(");
	if (status != TALLY_OK)
		return status;
	if (column->function == DEFINITION_COUNT && builder_takes(directive, "*"))
		return builder_mark(builder, directive, ")");
	if (column->function == DEFINITION_COUNT && builder_takes(directive, "distinct"))
		column->function = DEFINITION_COUNT_DISTINCT;
	status = builder_name(builder, directive, "column", &column->argument);
	return status == TALLY_OK ? builder_mark(builder, directive, ")") : status;
}

static tally_status
read_column_options(struct builder *builder, struct directive *directive,
		    struct definition_column *column)
{
	tally_status status = TALLY_OK;

	column->may_be_null = builder_takes(directive, "null");
	if (builder_takes(directive, "="))
		status = read_function(builder, directive, column);
	if (status == TALLY_OK && builder_takes(directive, "default"))
		status = builder_literal(builder, directive, column->type, &column->fallback);
	return status == TALLY_OK ? builder_end(builder, directive) : status;
}

tally_status
builder_column(struct builder *builder, struct directive *directive)
{
	struct definition *definition = builder->definition;
	struct definition_column *column = &definition->columns[definition->n_columns];

	if (definition->n_columns == DEFINITION_MAX_COLUMNS)
		return builder_wrong(builder, directive->line, "more than %d columns",
				     DEFINITION_MAX_COLUMNS);
	*column = (struct definition_column){ .line = directive->line };
	tally_status status = builder_name(builder, directive, "column", &column->name);
	if (status != TALLY_OK)
		return status;
	definition->n_columns++;
	for (size_t i = 0; i + 1 < definition->n_columns; i++) {
		if (strcmp(definition->columns[i].name, column->name) == 0)
			return builder_wrong(builder, directive->line, "a second column %s",
					     column->name);
	}
	status = builder_type(builder, directive, &column->type);
	return status == TALLY_OK ? read_column_options(builder, directive, column) : status;
}
