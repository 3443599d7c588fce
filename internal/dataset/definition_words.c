/* The words that directives are made of: names, types, literals, durations. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "dataset/definition_inner.h"

/* What is quoted of a file goes to terminals, and may be cut off anywhere. */
static void
make_plain(char *text, size_t size)
{
	size_t len = strlen(text);

	if (len == size - 1)
		text[utf8_cut(text, len, size - 4)] = '\0';
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

tally_status
builder_wrong(struct builder *builder, int line, const char *format, ...)
{
	char what[400];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	make_plain(what, sizeof what);
	return tally_fail(builder->err, TALLY_WRONG_DEFINITION, "%s:%d: %s",
			  builder->definition->file, line, what);
}

tally_status
builder_no_memory(struct builder *builder)
{
	return tally_fail(builder->err, TALLY_NO_MEMORY, "out of memory");
}

bool
builder_takes(struct directive *directive, const char *text)
{
	const char *at = directive->at;
	struct lexer_word word;

	if (!lexer_word(&at, directive->end, &word) || !lexer_is(&word, text))
		return false;
	directive->at = at;
	return true;
}

tally_status
builder_end(struct builder *builder, struct directive *directive)
{
	struct lexer_word word;

	if (!lexer_word(&directive->at, directive->end, &word))
		return TALLY_OK;
	return builder_wrong(builder, directive->line, "\"%.*s\" is not expected in -- %s",
			     (int)word.len, word.text, directive->word);
}

tally_status
builder_mark(struct builder *builder, struct directive *directive, const char *mark)
{
	if (builder_takes(directive, mark))
		return TALLY_OK;
	while (directive->at < directive->end && (*directive->at == ' ' || *directive->at == '\t'))
		directive->at++;
	return builder_wrong(builder, directive->line, "-- %s needs a \"%s\" here: %.*s",
			     directive->word, mark, (int)(directive->end - directive->at),
			     directive->at);
}

static bool
is_name(const struct lexer_word *word)
{
	if (word->is_quoted || word->len == 0 || word->len > DEFINITION_NAME_MAX)
		return false;
	for (size_t i = 0; i < word->len; i++) {
		char c = word->text[i];
		bool is_letter = (c >= 'a' && c <= 'z') || c == '_';
		if (!is_letter && !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return true;
}

tally_status
builder_name(struct builder *builder, struct directive *directive, const char *what,
	     char **out_name)
{
	struct lexer_word word;

	if (!lexer_word(&directive->at, directive->end, &word))
		return builder_wrong(builder, directive->line, "-- %s needs the name of a %s",
				     directive->word, what);
	if (!is_name(&word))
		return builder_wrong(builder, directive->line,
				     "\"%.*s\" is no name of a %s: a-z, 0-9 and _, at most %d, not "
				     "a digit first",
				     (int)word.len, word.text, what, DEFINITION_NAME_MAX);
	*out_name = strndup(word.text, word.len);
	return *out_name ? TALLY_OK : builder_no_memory(builder);
}

tally_status
builder_type(struct builder *builder, struct directive *directive, enum tally_type *out_type)
{
	struct lexer_word word;

	if (!lexer_word(&directive->at, directive->end, &word))
		return builder_wrong(builder, directive->line, "-- %s needs a type",
				     directive->word);
	if (tally_type_parse(word.text, word.len, out_type))
		return TALLY_OK;
	return builder_wrong(builder, directive->line,
			     "\"%.*s\" is no type: text, int, float, bool, date, timestamp, "
			     "timestamptz, uuid or decimal",
			     (int)word.len, word.text);
}

/* Copies a literal's characters; two quotes inside '...' become one. */
static char *
unquote(const struct lexer_word *word, size_t *out_len)
{
	char *copy = malloc(word->len + 1);
	size_t n = 0;

	for (size_t i = 0; copy && i < word->len; i++) {
		copy[n++] = word->text[i];
		if (word->is_quoted && word->text[i] == '\'')
			i++;
	}
	*out_len = n;
	return copy;
}

tally_status
builder_literal(struct builder *builder, struct directive *directive, enum tally_type type,
		struct value *out_value)
{
	struct lexer_word word;
	struct tally_error why = { 0 };
	struct value value;
	size_t len;

	if (!lexer_word(&directive->at, directive->end, &word))
		return builder_wrong(builder, directive->line,
				     "-- %s: a value of type %s is missing", directive->word,
				     tally_type_name(type));
	if (word.is_open)
		return builder_wrong(builder, directive->line,
				     "-- %s: the quote of '%.*s is not ended", directive->word,
				     (int)word.len, word.text);
	char *text = unquote(&word, &len);
	if (!text)
		return builder_no_memory(builder);
	if (value_parse(type, text, len, &value, &why) != TALLY_OK) {
		free(text);
		return builder_wrong(builder, directive->line, "\"%.*s\" %s", (int)word.len,
				     word.text, why.detail);
	}
	/* Text and decimals lie in the copy, which the definition now owns. */
	if (type == TALLY_TEXT || type == TALLY_DECIMAL)
		value.text = memmove(text, value.text, value.len);
	else
		free(text);
	*out_value = value;
	return TALLY_OK;
}

tally_status
builder_duration(struct builder *builder, struct directive *directive, uint32_t *out_ms)
{
	static const struct {
		const char *unit;
		uint32_t ms;
	} units[] = {
		{ "ms", 1       },
                { "s",  1000    },
                { "m",  60000   },
                { "h",  3600000 }
	};
	struct lexer_word word;
	uint32_t number = 0;
	size_t digits = 0;

	if (!lexer_word(&directive->at, directive->end, &word))
		word = (struct lexer_word){ .text = "" };
	while (digits < word.len && digits < 8 && word.text[digits] >= '0'
	       && word.text[digits] <= '9')
		number = number * 10 + (uint32_t)(word.text[digits++] - '0');
	for (size_t i = 0; i < 4; i++) {
		bool is_unit = strlen(units[i].unit) == word.len - digits
			       && memcmp(word.text + digits, units[i].unit, word.len - digits) == 0;
		if (is_unit && number > 0 && number <= 24u * 3600000 / units[i].ms) {
			*out_ms = number * units[i].ms;
			return TALLY_OK;
		}
	}
	return builder_wrong(builder, directive->line,
			     "\"%.*s\" is no duration: 500ms, 5s, 1m or 1h, at most 24h",
			     (int)word.len, word.text);
}
