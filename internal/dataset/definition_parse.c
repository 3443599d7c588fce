/* A dataset file, line by line: directives and comments outside of statements, SQL inside them. */
#include <stdlib.h>
#include <string.h>

#include <tally/digest.h>

#include "base/own.h"
#include "base/utf8.h"
#include "dataset/definition_inner.h"

OWN_DEFINE(definition);

/* Takes the rest of the line, without its end; the lexer is then at the next line. */
static struct directive
take_line(struct lexer *lexer)
{
	const char *begin = lexer->at;
	const char *newline = memchr(begin, '\n', (size_t)(lexer->end - begin));
	struct directive line = { .at = begin, .line = lexer->line };

	line.end = newline ? newline : lexer->end;
	lexer->at = newline ? newline + 1 : lexer->end;
	lexer->line += newline != NULL;
	while (line.end > line.at && memchr(" \t\r", line.end[-1], 3))
		line.end--;
	while (line.at < line.end && (*line.at == ' ' || *line.at == '\t'))
		line.at++;
	return line;
}

static bool
begins_with(const struct directive *line, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(line->end - line->at) >= len && memcmp(line->at, text, len) == 0;
}

/* "-- word ...": not blank, not "---". */
static tally_status
read_directive(struct builder *builder, struct directive *line)
{
	struct lexer_word word;
	char text[32];
	bool is_known = false;

	line->at += 2;
	if (!lexer_word(&line->at, line->end, &word))
		return TALLY_OK;
	snprintf(text, sizeof text, "%.*s", (int)utf8_cut(word.text, word.len, sizeof text - 1),
		 word.text);
	line->word = text;
	if (builder->open && !builder->open->text)
		return builder_wrong(builder, line->line,
				     "-- %s comes before the statement of the step in line %d",
				     text, builder->open->line);
	if (strcmp(text, "step") == 0)
		return builder_step(builder, line);
	tally_status status = builder_head(builder, line, &is_known);
	if (status != TALLY_OK || is_known)
		return status;
	return builder_wrong(
	    builder, line->line,
	    "unknown directive \"-- %s\": dataset, param, column, order, group by, "
	    "limit or step; a comment begins with ---",
	    text);
}

/* The statement of the open step; after its ';' only a comment may follow. */
static tally_status
read_statement(struct builder *builder)
{
	struct lexer *lexer = &builder->lexer;

	if (!builder->open)
		return builder_wrong(builder, lexer->line, "a statement stands before any -- step");
	if (builder->open->text)
		return builder_wrong(builder, lexer->line,
				     "a second statement in the step of line %d",
				     builder->open->line);
	tally_status status = lexer_statement(lexer, builder->open, builder->err);
	if (status != TALLY_OK)
		return status;
	struct directive rest = take_line(lexer);
	if (rest.at < rest.end && !begins_with(&rest, "--"))
		return builder_wrong(builder, rest.line,
				     "after the ; of a statement its line must end");
	return TALLY_OK;
}

static tally_status
read_file(struct builder *builder)
{
	struct lexer *lexer = &builder->lexer;
	tally_status status = TALLY_OK;

	while (status == TALLY_OK && lexer->at < lexer->end) {
		struct lexer begin = *lexer;
		struct directive line = take_line(lexer);
		if (line.at == line.end || begins_with(&line, "---"))
			continue;
		if (begins_with(&line, "--")) {
			status = read_directive(builder, &line);
		} else {
			*lexer = begin;
			status = read_statement(builder);
		}
	}
	return status;
}

static struct definition *
new_definition(const char *file)
{
	OWN(definition) definition = calloc(1, sizeof *definition);

	if (!definition)
		return NULL;
	definition->file = strdup(file);
	definition->params = calloc(DEFINITION_MAX_PARAMS, sizeof *definition->params);
	definition->columns = calloc(DEFINITION_MAX_COLUMNS, sizeof *definition->columns);
	definition->order = calloc(DEFINITION_MAX_COLUMNS, sizeof *definition->order);
	definition->group = calloc(DEFINITION_MAX_COLUMNS, sizeof *definition->group);
	definition->steps = calloc(DEFINITION_MAX_STEPS + 1, sizeof *definition->steps);
	if (!definition->file || !definition->params || !definition->columns || !definition->order
	    || !definition->group || !definition->steps)
		return NULL;
	return TAKE(definition);
}

/* What a file must be before it is read: small, UTF-8, without NUL. */
static tally_status
check_text(struct builder *builder, const char *text, size_t len)
{
	if (len > DEFINITION_MAX_BYTES)
		return builder_wrong(builder, 1, "the file is larger than %d KiB",
				     DEFINITION_MAX_BYTES / 1024);
	for (size_t i = 0, line = 1; i < len; line += text[i] == '\n', i++) {
		size_t n = utf8_sequence(text + i, len - i);
		if (n == 0 || text[i] == '\0')
			return builder_wrong(builder, (int)line, "the file is not UTF-8 text");
		i += n - 1;
	}
	return TALLY_OK;
}

static tally_status
build(struct builder *builder, const char *text, size_t len)
{
	tally_status status = check_text(builder, text, len);

	if (status != TALLY_OK)
		return status;
	builder->lexer = (struct lexer){ builder->definition->file, text, text + len, 1 };
	status = read_file(builder);
	if (status == TALLY_OK)
		status = builder_check(builder);
	for (size_t i = 0; i < builder->n_order; i++)
		free(builder->order[i].name);
	if (status == TALLY_OK && tally_sha256(text, len, builder->definition->hash) != TALLY_OK)
		status = tally_fail(builder->err, TALLY_INTERNAL_ERROR, "SHA-256 is not available");
	return status;
}

tally_status
definition_parse(const char *file, const char *text, size_t len, struct definition **out_definition,
		 struct tally_error *err)
{
	OWN(definition) definition = new_definition(file);
	struct builder builder = { .definition = definition, .err = err };

	if (!definition)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	tally_status status = build(&builder, text, len);
	if (status == TALLY_OK)
		*out_definition = TAKE(definition);
	return status;
}
