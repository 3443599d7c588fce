/* The directives before the steps. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "dataset/definition_inner.h"

#define LIMIT_MAX  10000000
#define TEXT_LIMIT 256 /* code points of a text parameter without max= */
#define TEXT_MAX   16384

static const char *
skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	return at;
}

/* The length of the dataset's name that begins here. */
static size_t
name_len(const char *at, const char *end)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	static const char others[] = "0123456789_-";
	size_t len = 0;

	while (at + len < end
	       && (memchr(letters, at[len], sizeof letters - 1)
		   || (len > 0 && memchr(others, at[len], sizeof others - 1))))
		len++;
	return len;
}

/* "-- dataset NAME: title" */
static tally_status
read_dataset(struct builder *builder, struct directive *directive)
{
	struct definition *definition = builder->definition;
	const char *end = directive->end;
	const char *at = skip_blanks(directive->at, end);
	size_t len = name_len(at, end);
	const char *rest = skip_blanks(at + len, end);

	if (definition->name)
		return builder_wrong(builder, directive->line, "a second -- dataset");
	if (len == 0 || len > DEFINITION_NAME_MAX || (rest < end && *rest != ':'))
		return builder_wrong(
		    builder, directive->line,
		    "-- dataset needs a name of a-z, 0-9, _ and -, a letter first, "
		    "at most %d, and may have a title: -- dataset NAME: title",
		    DEFINITION_NAME_MAX);
	if (rest < end)
		rest = skip_blanks(rest + 1, end);
	definition->name = strndup(at, len);
	definition->title = strndup(rest, (size_t)(end - rest));
	if (!definition->name || !definition->title)
		return builder_no_memory(builder);
	return TALLY_OK;
}

const struct definition_param *
definition_param_find(const struct definition *definition, const char *name)
{
	for (size_t i = 0; i < definition->n_params; i++) {
		if (strcmp(definition->params[i].name, name) == 0)
			return &definition->params[i];
	}
	return NULL;
}

bool
definition_has_range(enum tally_type type)
{
	return type != TALLY_BOOL && type != TALLY_UUID && type != TALLY_TEXT;
}

/* "max=" of text: a length. */
static tally_status
read_max_length(struct builder *builder, struct directive *directive, uint32_t *out_max)
{
	struct value value;
	tally_status status = builder_literal(builder, directive, TALLY_INT, &value);

	if (status != TALLY_OK)
		return status;
	if (value.i < 1 || value.i > TEXT_MAX)
		return builder_wrong(builder, directive->line,
				     "max= of text is its length in characters, 1 to %d", TEXT_MAX);
	*out_max = (uint32_t)value.i;
	return TALLY_OK;
}

static tally_status
read_bound(struct builder *builder, struct directive *directive, struct definition_param *param,
	   bool is_max)
{
	struct value *bound = is_max ? &param->max : &param->min;

	tally_status status = builder_mark(builder, directive, "=");
	if (status != TALLY_OK)
		return status;
	bool is_length = is_max && param->type == TALLY_TEXT;
	if (!is_length && !definition_has_range(param->type))
		return builder_wrong(builder, directive->line, "%s= does not go with type %s",
				     is_max ? "max" : "min", tally_type_name(param->type));
	if (bound->state == VALUE_SET || (is_length && param->max_length > 0))
		return builder_wrong(builder, directive->line, "%s= twice", is_max ? "max" : "min");
	if (is_length)
		return read_max_length(builder, directive, &param->max_length);
	return builder_literal(builder, directive, param->type, bound);
}

/* Options until the line ends. */
static tally_status
read_param_options(struct builder *builder, struct directive *directive,
		   struct definition_param *param)
{
	tally_status status = TALLY_OK;

	while (status == TALLY_OK) {
		if (builder_takes(directive, "required")) {
			param->is_required = true;
		} else if (builder_takes(directive, "default")) {
			if (param->fallback.state == VALUE_SET)
				return builder_wrong(builder, directive->line, "default= twice");
			status = builder_mark(builder, directive, "=");
			if (status == TALLY_OK)
				status = builder_literal(builder, directive, param->type,
							 &param->fallback);
		} else if (builder_takes(directive, "min")) {
			status = read_bound(builder, directive, param, false);
		} else if (builder_takes(directive, "max")) {
			status = read_bound(builder, directive, param, true);
		} else {
			return builder_end(builder, directive);
		}
	}
	return status;
}

/* A default that its own limits refuse would be a request that can never be made. */
static tally_status
check_param(struct builder *builder, const struct definition_param *param)
{
	const struct value *fallback = &param->fallback;
	size_t points = 0;

	if (param->is_required && fallback->state == VALUE_SET)
		return builder_wrong(builder, param->line,
				     "parameter %s is required and has a default", param->name);
	if (param->min.state == VALUE_SET && param->max.state == VALUE_SET
	    && value_compare(&param->min, &param->max) > 0)
		return builder_wrong(builder, param->line, "parameter %s: min is above max",
				     param->name);
	if (fallback->state != VALUE_SET)
		return TALLY_OK;
	bool is_fit = true;
	if (param->type == TALLY_TEXT)
		is_fit = utf8_valid(fallback->text, fallback->len, &points)
			 && points <= param->max_length;
	if (param->min.state == VALUE_SET)
		is_fit = is_fit && value_compare(fallback, &param->min) >= 0;
	if (param->max.state == VALUE_SET)
		is_fit = is_fit && value_compare(fallback, &param->max) <= 0;
	if (!is_fit)
		return builder_wrong(builder, param->line,
				     "parameter %s: the default is outside its limits",
				     param->name);
	return TALLY_OK;
}

tally_status
builder_param(struct builder *builder, struct directive *directive)
{
	struct definition *definition = builder->definition;
	struct definition_param *param = &definition->params[definition->n_params];
	char *name = NULL;

	if (definition->n_params == DEFINITION_MAX_PARAMS)
		return builder_wrong(builder, directive->line, "more than %d parameters",
				     DEFINITION_MAX_PARAMS);
	tally_status status = builder_name(builder, directive, "parameter", &name);
	if (status != TALLY_OK)
		return status;
	if (definition_param_find(definition, name) || strcmp(name, "format") == 0
	    || strcmp(name, "csv_safe") == 0) {
		status = builder_wrong(builder, directive->line,
				       definition_param_find(definition, name)
					   ? "a second parameter %s"
					   : "parameter %s: the name is Tally's own",
				       name);
		free(name);
		return status;
	}
	*param = (struct definition_param){ .name = name, .line = directive->line };
	definition->n_params++;
	status = builder_type(builder, directive, &param->type);
	if (status == TALLY_OK)
		status = read_param_options(builder, directive, param);
	if (param->max_length == 0)
		param->max_length = TEXT_LIMIT;
	if (status == TALLY_OK)
		status = check_param(builder, param);
	return status;
}

static tally_status
read_order_item(struct builder *builder, struct directive *directive)
{
	struct builder_order *order = &builder->order[builder->n_order];

	if (builder->n_order == DEFINITION_MAX_COLUMNS)
		return builder_wrong(builder, directive->line, "more than %d columns to order by",
				     DEFINITION_MAX_COLUMNS);
	tally_status status = builder_name(builder, directive, "column", &order->name);
	if (status != TALLY_OK)
		return status;
	builder->n_order++;
	order->is_descending = builder_takes(directive, "desc");
	if (!order->is_descending)
		builder_takes(directive, "asc");
	return TALLY_OK;
}

/* "-- order NAME [desc], ..." */
static tally_status
read_order(struct builder *builder, struct directive *directive)
{
	if (builder->order_line > 0)
		return builder_wrong(builder, directive->line, "a second -- order");
	builder->order_line = directive->line;
	do {
		tally_status status = read_order_item(builder, directive);
		if (status != TALLY_OK)
			return status;
	} while (builder_takes(directive, ","));
	return builder_end(builder, directive);
}

static tally_status
read_group_item(struct builder *builder, struct directive *directive)
{
	struct definition *definition = builder->definition;
	char *name = NULL;

	tally_status status = builder_name(builder, directive, "column", &name);
	if (status != TALLY_OK)
		return status;
	for (size_t i = 0; i < definition->n_group; i++) {
		if (strcmp(definition->group[i], name) == 0)
			status = builder_wrong(builder, directive->line, "group by %s twice", name);
	}
	if (status == TALLY_OK && definition->n_group == DEFINITION_MAX_COLUMNS)
		status = builder_wrong(builder, directive->line, "more than %d columns to group by",
				       DEFINITION_MAX_COLUMNS);
	if (status == TALLY_OK)
		definition->group[definition->n_group++] = name;
	else
		free(name);
	return status;
}

/* "-- group by NAME, ..." */
static tally_status
read_group(struct builder *builder, struct directive *directive)
{
	if (builder->group_line > 0)
		return builder_wrong(builder, directive->line, "a second -- group by");
	builder->group_line = directive->line;
	tally_status status = builder_mark(builder, directive, "by");
	if (status != TALLY_OK)
		return status;
	do {
		status = read_group_item(builder, directive);
		if (status != TALLY_OK)
			return status;
	} while (builder_takes(directive, ","));
	return builder_end(builder, directive);
}

/* "-- limit N" */
static tally_status
read_limit(struct builder *builder, struct directive *directive)
{
	struct value value;

	if (builder->limit_line > 0)
		return builder_wrong(builder, directive->line, "a second -- limit");
	builder->limit_line = directive->line;
	tally_status status = builder_literal(builder, directive, TALLY_INT, &value);
	if (status != TALLY_OK)
		return status;
	if (value.i < 1 || value.i > LIMIT_MAX)
		return builder_wrong(builder, directive->line, "-- limit is 1 to %d rows",
				     LIMIT_MAX);
	builder->definition->limit = (uint64_t)value.i;
	return builder_end(builder, directive);
}

tally_status
builder_head(struct builder *builder, struct directive *directive, bool *out_known)
{
	static const struct {
		const char *word;
		tally_status (*read)(struct builder *, struct directive *);
	} heads[] = {
		{ "dataset", read_dataset   },
                { "param",   builder_param  },
		{ "column",  builder_column },
                { "order",   read_order     },
		{ "group",   read_group     },
                { "limit",   read_limit     },
	};

	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		if (strcmp(directive->word, heads[i].word) != 0)
			continue;
		*out_known = true;
		if (builder->definition->n_steps > 0)
			return builder_wrong(builder, directive->line,
					     "-- %s stands before the first step", directive->word);
		return heads[i].read(builder, directive);
	}
	*out_known = false;
	return TALLY_OK;
}
