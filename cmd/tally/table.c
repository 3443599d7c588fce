#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* A column wider than this is cut off, so that a long text does not ruin the table. */
#define CELL_MAX_WIDTH 60

/* Reads one UTF-8 character; *out_len is its length in bytes.  Input is valid: jansson checked. */
static wchar_t
read_character(const char *text, size_t *out_len)
{
	static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned char first = (unsigned char)text[0];
	size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	wchar_t character = first & masks[len];

	for (size_t i = 1; i < len; i++)
		character = (wchar_t)(character << 6 | ((unsigned char)text[i] & 0x3f));
	*out_len = len;
	return character;
}

static int
character_width(wchar_t character)
{
	int width = wcwidth(character);

	return width < 0 ? 1 : width; /* shown as "?" */
}

static int
text_width(const char *text)
{
	int width = 0;
	size_t len;

	for (; *text; text += len)
		width += character_width(read_character(text, &len));
	return width < CELL_MAX_WIDTH ? width : CELL_MAX_WIDTH;
}

/* The text of a cell; the caller frees it.  NULL when out of memory. */
static char *
cell_text(const json_t *value)
{
	if (!value || json_is_null(value))
		return strdup("");
	if (json_is_string(value))
		return strdup(json_string_value(value));
	return json_dumps(value, JSON_ENCODE_ANY);
}

static void
print_cell(FILE *out, const char *text, int width, bool is_right)
{
	int own = text_width(text);
	int at = 0;
	size_t len;

	if (is_right)
		(void)fprintf(out, "%*s", width - own, "");
	for (; *text; text += len) {
		wchar_t character = read_character(text, &len);

		at += character_width(character);
		if (at > CELL_MAX_WIDTH)
			break;
		if (wcwidth(character) < 0)
			(void)fputc('?', out);
		else
			(void)fwrite(text, 1, len, out);
	}
	if (!is_right)
		(void)fprintf(out, "%*s", width - own, "");
}

static tally_status
measure(const struct table_column *columns, size_t n, const json_t *rows, int *widths)
{
	size_t index;
	json_t *row;

	for (size_t i = 0; i < n; i++)
		widths[i] = text_width(columns[i].name);
	json_array_foreach(rows, index, row)
	{
		for (size_t i = 0; i < n; i++) {
			char *text = cell_text(json_object_get(row, columns[i].name));

			if (!text)
				return TALLY_NO_MEMORY;
			if (text_width(text) > widths[i])
				widths[i] = text_width(text);
			free(text);
		}
	}
	return TALLY_OK;
}

static tally_status
print_row(FILE *out, const struct table_column *columns, size_t n, const json_t *row,
	  const int *widths)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = columns[i].name;
		char *text = row ? cell_text(json_object_get(row, name)) : strdup(name);

		if (!text)
			return TALLY_NO_MEMORY;
		(void)fputs(i > 0 ? "  " : "", out);
		print_cell(out, text, widths[i], columns[i].is_number);
		free(text);
	}
	(void)fputc('\n', out);
	return TALLY_OK;
}

static void
print_rule(FILE *out, size_t n, const int *widths)
{
	for (size_t i = 0; i < n; i++) {
		(void)fputs(i > 0 ? "  " : "", out);
		for (int at = 0; at < widths[i]; at++)
			(void)fputc('-', out);
	}
	(void)fputc('\n', out);
}

tally_status
table_print_rows(FILE *out, const struct table_column *columns, size_t n, const json_t *rows)
{
	int widths[DEFINITION_MAX_COLUMNS];
	tally_status status = measure(columns, n, rows, widths);
	size_t index;
	json_t *row;

	if (status == TALLY_OK)
		status = print_row(out, columns, n, NULL, widths);
	if (status == TALLY_OK)
		print_rule(out, n, widths);
	json_array_foreach(rows, index, row)
	{
		if (status == TALLY_OK)
			status = print_row(out, columns, n, row, widths);
	}
	return status;
}

tally_status
table_print(FILE *out, const struct definition *definition, const char *body, size_t len)
{
	struct table_column columns[DEFINITION_MAX_COLUMNS];
	json_auto_t *document = json_loadb(body, len, 0, NULL);
	const json_t *data = json_object_get(document, "data");

	if (!json_is_array(data))
		return TALLY_INTERNAL_ERROR;
	for (size_t i = 0; i < definition->n_columns; i++) {
		enum tally_type type = definition->columns[i].type;

		columns[i] = (struct table_column){
			.name = definition->columns[i].name,
			.is_number =
			    type == TALLY_INT || type == TALLY_FLOAT || type == TALLY_DECIMAL,
		};
	}
	return table_print_rows(out, columns, definition->n_columns, data);
}
