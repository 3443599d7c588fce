#include "source/ch_sql.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "source/ch_type.h"
#include "source/ch_value.h"

/* ---- values ------------------------------------------------------------------ */

/* Begins the next parameter of a bind; its text is what is appended from here on. */
static tally_status
begin_param(struct ch_params *params, size_t bind, size_t piece)
{
	if (params->n == params->cap) {
		size_t cap = params->cap ? 2 * params->cap : 16;
		struct ch_param *items = reallocarray(params->items, cap, sizeof *items);

		if (!items)
			return TALLY_NO_MEMORY;
		params->items = items;
		params->cap = cap;
	}
	params->items[params->n++] = (struct ch_param){ bind, piece, params->texts.len, 0 };
	return TALLY_OK;
}

static void
end_param(struct ch_params *params)
{
	struct ch_param *param = &params->items[params->n - 1];

	param->len = params->texts.len - param->at;
}

static bool
has_null(const struct source_argument *argument)
{
	for (size_t i = 0; i < argument->n; i++) {
		if (argument->values[i].state == VALUE_NULL)
			return true;
	}
	return false;
}

/* Writes elements from *at on, until the piece is full. */
static tally_status
write_piece(struct ch_params *params, const struct source_argument *argument, size_t *at)
{
	struct buf *texts = &params->texts;
	size_t begin = texts->len;
	tally_status status = buf_puts(texts, "[");
	const char *comma = "";

	while (status == TALLY_OK && *at < argument->n && texts->len - begin < CH_PIECE_BYTES) {
		status = buf_puts(texts, comma);
		if (status == TALLY_OK)
			status = ch_value_write(&argument->values[(*at)++], true, texts);
		comma = ",";
	}
	return status == TALLY_OK ? buf_puts(texts, "]") : status;
}

static tally_status
write_array(struct ch_params *params, size_t bind, const struct source_argument *argument)
{
	tally_status status;
	size_t at = 0;
	size_t piece = 0;

	do {
		status = begin_param(params, bind, piece++);
		if (status == TALLY_OK)
			status = write_piece(params, argument, &at);
		if (status == TALLY_OK)
			end_param(params);
	} while (status == TALLY_OK && at < argument->n);
	return status;
}

static tally_status
write_scalar(struct ch_params *params, size_t i, const struct source_bind *bind,
	     const struct value *value)
{
	struct value nearest = ch_value_nearest(value);
	tally_status status = begin_param(params, i, 0);

	if (status == TALLY_OK)
		status =
		    ch_value_write(bind->may_be_nearest ? &nearest : value, false, &params->texts);
	if (status == TALLY_OK)
		end_param(params);
	return status;
}

static tally_status
write_bind(struct ch_params *params, size_t i, const struct source_bind *bind,
	   const struct source_argument *arguments)
{
	/* For a description: zero, the empty text. */
	const struct value zero = { .type = (uint8_t)bind->type, .state = VALUE_SET };
	const struct value decimal = {
		.type = TALLY_DECIMAL, .state = VALUE_SET, .len = 1, .text = "0"
	};
	const struct source_argument none = { 0 };
	const struct source_argument *argument = arguments ? &arguments[i] : &none;

	params->has_nulls[i] = bind->may_be_null || has_null(argument);
	if (bind->is_array)
		return write_array(params, i, argument);
	if (arguments)
		return write_scalar(params, i, bind, argument->values);
	return write_scalar(params, i, bind, bind->type == TALLY_DECIMAL ? &decimal : &zero);
}

tally_status
ch_params_init(struct ch_params *params, const struct source_statement *statement,
	       const struct source_argument *arguments)
{
	tally_status status = TALLY_OK;

	*params = (struct ch_params){ .texts = BUF_INIT(CH_PARAMS_BYTES) };
	params->has_nulls = calloc(statement->n_binds + 1, sizeof *params->has_nulls);
	if (!params->has_nulls)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < statement->n_binds && status == TALLY_OK; i++)
		status = write_bind(params, i, &statement->binds[i], arguments);
	return status;
}

void
ch_params_fini(struct ch_params *params)
{
	buf_fini(&params->texts);
	free(params->items);
	free(params->has_nulls);
	*params = (struct ch_params){ 0 };
}

/* Names of binds are in small letters, so that no piece takes the name of another bind. */
void
ch_param_name(const struct source_statement *statement, const struct ch_param *param,
	      char out[CH_NAME_BYTES])
{
	const char *name = statement->binds[param->bind].name;

	if (param->piece == 0)
		(void)snprintf(out, CH_NAME_BYTES, "%.63s", name);
	else
		(void)snprintf(out, CH_NAME_BYTES, "%.63s_P%zu", name, param->piece);
}

/* ---- statements -------------------------------------------------------------- */

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* A backslash takes the next byte with it; a quote doubled is two pieces in a row. */
static size_t
quote_len(const char *at)
{
	size_t n = 1;

	while (at[n] && at[n] != at[0])
		n += at[n] == '\\' && at[n + 1] ? 2 : 1;
	return at[n] ? n + 1 : n;
}

static size_t
block_len(const char *at)
{
	const char *end = strstr(at + 2, "*/");

	return end ? (size_t)(end + 2 - at) : strlen(at);
}

/* $tag$ ... $tag$ */
static size_t
heredoc_len(const char *at)
{
	size_t tag = 1;
	const char *end;

	while (is_word(at[tag]))
		tag++;
	if (at[tag++] != '$' || isdigit((unsigned char)at[1]))
		return 0;
	end = memmem(at + tag, strlen(at + tag), at, tag);
	return end ? (size_t)(end - at) + tag : strlen(at);
}

size_t
ch_sql_opaque(const char *at)
{
	switch (*at) {
	case '\'':
	case '"':
	case '`':
		return quote_len(at);
	case '-':
		return at[1] == '-' ? strcspn(at, "\n") : 0;
	case '/':
		return at[1] == '*' ? block_len(at) : 0;
	case '$':
		return heredoc_len(at);
	default:
		return 0;
	}
}

static tally_status
write_param(const struct source_statement *statement, const struct ch_params *params,
	    const struct ch_param *param, struct buf *buf)
{
	const struct source_bind *bind = &statement->binds[param->bind];
	const char *type = ch_type_name(bind->type);
	bool is_nullable = params->has_nulls[param->bind];
	char name[CH_NAME_BYTES];

	ch_param_name(statement, param, name);
	return buf_printf(buf, "{%s:%s%s%s%s%s}", name, bind->is_array ? "Array(" : "",
			  is_nullable ? "Nullable(" : "", type, is_nullable ? ")" : "",
			  bind->is_array ? ")" : "");
}

/* The expression that stands for a bind. */
static tally_status
write_expression(const struct source_statement *statement, const struct ch_params *params,
		 size_t bind, struct buf *buf)
{
	tally_status status = TALLY_OK;
	size_t first = 0, n = 0;

	while (first < params->n && params->items[first].bind != bind)
		first++;
	while (first + n < params->n && params->items[first + n].bind == bind)
		n++;
	if (n > 1)
		status = buf_puts(buf, "arrayConcat(");
	for (size_t i = 0; i < n && status == TALLY_OK; i++) {
		if (i > 0)
			status = buf_puts(buf, ",");
		if (status == TALLY_OK)
			status = write_param(statement, params, &params->items[first + i], buf);
	}
	return status == TALLY_OK && n > 1 ? buf_puts(buf, ")") : status;
}

/* The bind that $1 at at stands for; 0 when that is none. */
static size_t
bind_number(const struct source_statement *statement, const char *at, char before, char **out_end)
{
	unsigned long number;

	if (*at != '$' || is_word(before) || !isdigit((unsigned char)at[1]))
		return 0;
	number = strtoul(at + 1, out_end, 10);
	return number <= statement->n_binds ? number : 0;
}

tally_status
ch_sql_write(const struct source_statement *statement, const struct ch_params *params,
	     struct buf *buf)
{
	tally_status status = TALLY_OK;
	char before = '\0';

	for (const char *at = statement->sql; *at && status == TALLY_OK;) {
		size_t opaque = ch_sql_opaque(at);
		size_t len = opaque > 0 ? opaque : 1;
		char *end = NULL;
		size_t bind = opaque > 0 ? 0 : bind_number(statement, at, before, &end);

		if (bind > 0) {
			status = write_expression(statement, params, bind - 1, buf);
			len = (size_t)(end - at);
		} else {
			status = buf_append(buf, at, len);
		}
		before = at[len - 1];
		at += len;
	}
	return status;
}
