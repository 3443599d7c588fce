#include "dataset/transcode.h"

#include <stdlib.h>
#include <string.h>

/* A cell is written as a whole or not at all into a caller's buffer; what does not fit waits here.
 * A cell of any length passes through in pieces of this size. */
#define PIECE_BYTES 512

enum place { AT_HEADER, AT_BEGIN, AT_ROW, IN_CELL, AT_END, FAILED };

/* What is left of the body. */
struct reader {
	const char *at;
	const char *end;
};

struct transcode {
	const struct definition *definition;
	enum transcode_format format;
	bool csv_safe;
	struct reader body;
	enum place place;
	size_t column;  /* of the header or the row */
	bool is_string; /* the cell that is read is a JSON string */
	bool is_quoted; /* and is written in quotes */
	char pending[PIECE_BYTES];
	size_t n_pending;
	size_t n_taken;
};

static const struct {
	const char *name;
	const char *media_type;
} formats[] = {
	[TRANSCODE_JSON] = { "json",   "application/json"        },
	[TRANSCODE_CSV] = { "csv",    "text/csv; charset=utf-8" },
	[TRANSCODE_NDJSON] = { "ndjson", "application/x-ndjson"    },
};

bool
transcode_format_parse(const char *name, size_t len, enum transcode_format *out_format)
{
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
		if (strlen(formats[i].name) == len && memcmp(formats[i].name, name, len) == 0) {
			*out_format = (enum transcode_format)i;
			return true;
		}
	}
	return false;
}

const char *
transcode_media_type(enum transcode_format format)
{
	return formats[format].media_type;
}

struct transcode *
transcode_new(const struct definition *definition, enum transcode_format format, bool csv_safe,
	      const char *body, size_t len)
{
	struct transcode *transcode = calloc(1, sizeof *transcode);

	if (!transcode)
		return NULL;
	transcode->definition = definition;
	transcode->format = format;
	transcode->csv_safe = csv_safe;
	transcode->body.at = body;
	transcode->body.end = body + len;
	transcode->place = format == TRANSCODE_CSV ? AT_HEADER : AT_BEGIN;
	return transcode;
}

void
transcode_free(struct transcode *transcode)
{
	free(transcode);
}

static void
put(struct transcode *transcode, const char *text, size_t len)
{
	memcpy(transcode->pending + transcode->n_pending, text, len);
	transcode->n_pending += len;
}

static void
put_char(struct transcode *transcode, char c)
{
	transcode->pending[transcode->n_pending++] = c;
}

static bool
has(const struct reader *reader, size_t n)
{
	return (size_t)(reader->end - reader->at) >= n;
}

static bool
take(struct reader *reader, char c)
{
	if (!has(reader, 1) || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* Ends a row of CSV, or goes on to the next column. */
static void
next_column(struct transcode *transcode, enum place after_row)
{
	transcode->column++;
	if (transcode->column < transcode->definition->n_columns) {
		put_char(transcode, ',');
		return;
	}
	put(transcode, "\r\n", 2);
	transcode->column = 0;
	transcode->place = after_row;
}

/* Column names need no quotes: a-z, 0-9 and _. */
static bool
header(struct transcode *transcode)
{
	const char *name = transcode->definition->columns[transcode->column].name;

	put(transcode, name, strlen(name));
	next_column(transcode, AT_BEGIN);
	return true;
}

static bool
begin(struct transcode *transcode)
{
	static const char head[] = "{\"status\":\"ok\",\"data\":[";

	if (!has(&transcode->body, sizeof head - 1)
	    || memcmp(transcode->body.at, head, sizeof head - 1) != 0)
		return false;
	transcode->body.at += sizeof head - 1;
	transcode->place = AT_ROW;
	return true;
}

/* The end of the array and of the document. */
static bool
end_of_rows(struct transcode *transcode)
{
	if (!take(&transcode->body, ']') || !take(&transcode->body, '}'))
		return false;
	transcode->place = AT_END;
	return transcode->body.at == transcode->body.end;
}

/* Goes past "name": which must be the column's. */
static bool
skip_name(struct transcode *transcode)
{
	const char *name = transcode->definition->columns[transcode->column].name;
	size_t len = strlen(name);

	if (!take(&transcode->body, transcode->column == 0 ? '{' : ',')
	    || !has(&transcode->body, len + 3) || transcode->body.at[0] != '"'
	    || memcmp(transcode->body.at + 1, name, len) != 0
	    || memcmp(transcode->body.at + 1 + len, "\":", 2) != 0)
		return false;
	transcode->body.at += len + 3;
	return true;
}

static int
hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c | 0x20) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* Takes one character of a JSON string; the encoder escapes only ", \ and U+0000-1F. */
static bool
take_char(struct reader *reader, char *out)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";

	if (*reader->at != '\\') {
		*out = *reader->at++;
		return true;
	}
	if (!has(reader, 2))
		return false;
	const char *found = strchr(escapes, reader->at[1]);
	if (found && *found) {
		*out = meanings[found - escapes];
		reader->at += 2;
		return true;
	}
	if (!has(reader, 6) || memcmp(reader->at, "\\u00", 4) != 0)
		return false;
	int high = hex_digit(reader->at[4]);
	int low = hex_digit(reader->at[5]);
	*out = (char)(high * 16 + low);
	reader->at += 6;
	return high >= 0 && low >= 0;
}

static size_t
skip_digits(struct reader *reader)
{
	size_t n = 0;

	while (has(reader, 1) && *reader->at >= '0' && *reader->at <= '9') {
		reader->at++;
		n++;
	}
	return n;
}

/* Whether the string is a JSON number as a whole (RFC 8259, section 6): that is no formula. */
static bool
is_number(struct reader reader)
{
	take(&reader, '-');
	if (!take(&reader, '0') && skip_digits(&reader) == 0)
		return false;
	if (take(&reader, '.') && skip_digits(&reader) == 0)
		return false;
	if (take(&reader, 'e') || take(&reader, 'E')) {
		if (!take(&reader, '+'))
			take(&reader, '-');
		if (skip_digits(&reader) == 0)
			return false;
	}
	return take(&reader, '"');
}

/* Whether a spreadsheet would take the string for a formula. */
static bool
is_formula(const struct reader *reader)
{
	struct reader ahead = *reader;
	char first;

	if (!has(&ahead, 1) || *ahead.at == '"' || !take_char(&ahead, &first))
		return false;
	return first && strchr("=+-@\t\r", first) && !is_number(*reader);
}

/* Whether the string needs quotes in CSV (RFC 4180, section 2.6), or to differ from null. */
static bool
needs_quotes(const struct reader *reader)
{
	struct reader ahead = *reader;
	char c;

	if (has(&ahead, 1) && *ahead.at == '"')
		return true;
	while (has(&ahead, 1) && *ahead.at != '"' && take_char(&ahead, &c)) {
		if (c && strchr("\",\r\n", c))
			return true;
	}
	return false;
}

/* Begins a cell. */
static bool
cell(struct transcode *transcode)
{
	if (!skip_name(transcode))
		return false;
	transcode->is_string = take(&transcode->body, '"');
	transcode->place = IN_CELL;
	if (!transcode->is_string)
		return true;
	transcode->is_quoted = needs_quotes(&transcode->body);
	if (transcode->is_quoted)
		put_char(transcode, '"');
	if (transcode->csv_safe && is_formula(&transcode->body))
		put_char(transcode, '\'');
	return true;
}

static bool
end_of_cell(struct transcode *transcode)
{
	bool is_last = transcode->column + 1 == transcode->definition->n_columns;

	transcode->place = AT_ROW;
	next_column(transcode, AT_ROW);
	if (!is_last)
		return true;
	if (!take(&transcode->body, '}'))
		return false;
	take(&transcode->body, ',');
	return true;
}

static bool
string_cell(struct transcode *transcode)
{
	char c;

	while (transcode->n_pending + 4 <= PIECE_BYTES) {
		if (!has(&transcode->body, 1))
			return false;
		if (take(&transcode->body, '"')) {
			if (transcode->is_quoted)
				put_char(transcode, '"');
			return end_of_cell(transcode);
		}
		if (!take_char(&transcode->body, &c))
			return false;
		if (c == '"')
			put_char(transcode, '"');
		put_char(transcode, c);
	}
	return true;
}

/* A number, true, false or null: at most a number's length. */
static bool
bare_cell(struct transcode *transcode)
{
	const char *begin_at = transcode->body.at;
	size_t len = 0;

	while (has(&transcode->body, len + 1) && !strchr(",}", begin_at[len]))
		len++;
	if (len == 0 || len > VALUE_FORMAT_MAX)
		return false;
	transcode->body.at += len;
	if (len != 4 || memcmp(begin_at, "null", 4) != 0)
		put(transcode, begin_at, len);
	return end_of_cell(transcode);
}

static bool
csv_row(struct transcode *transcode)
{
	if (transcode->column == 0 && has(&transcode->body, 1) && *transcode->body.at == ']')
		return end_of_rows(transcode);
	return cell(transcode);
}

/* One row of NDJSON is the row of the array as it stands; braces only end it outside strings. */
static bool
json_row(struct transcode *transcode)
{
	if (transcode->column == 0 && has(&transcode->body, 1) && *transcode->body.at == ']')
		return end_of_rows(transcode);
	transcode->column = 1; /* inside a row */
	while (transcode->n_pending + 4 <= PIECE_BYTES) {
		if (!has(&transcode->body, 2))
			return false;
		char c = *transcode->body.at++;
		put_char(transcode, c);
		if (transcode->is_string && c == '\\')
			put_char(transcode, *transcode->body.at++);
		else if (c == '"')
			transcode->is_string = !transcode->is_string;
		else if (c == '}' && !transcode->is_string) {
			put_char(transcode, '\n');
			transcode->column = 0;
			take(&transcode->body, ',');
			return true;
		}
	}
	return true;
}

/* Fills pending with the next piece, at most half of it. */
static bool
step(struct transcode *transcode)
{
	switch (transcode->place) {
	case AT_HEADER:
		return header(transcode);
	case AT_BEGIN:
		return begin(transcode);
	case AT_ROW:
		return transcode->format == TRANSCODE_CSV ? csv_row(transcode)
							  : json_row(transcode);
	case IN_CELL:
		return transcode->is_string ? string_cell(transcode) : bare_cell(transcode);
	default:
		return false;
	}
}

/* JSON is passed on as it is. */
static size_t
pass(struct transcode *transcode, char *out, size_t max)
{
	size_t left = (size_t)(transcode->body.end - transcode->body.at);
	size_t len = left < max ? left : max;

	memcpy(out, transcode->body.at, len);
	transcode->body.at += len;
	return len;
}

static size_t
drain(struct transcode *transcode, char *out, size_t max)
{
	size_t left = transcode->n_pending - transcode->n_taken;
	size_t len = left < max ? left : max;

	memcpy(out, transcode->pending + transcode->n_taken, len);
	transcode->n_taken += len;
	if (transcode->n_taken == transcode->n_pending)
		transcode->n_taken = transcode->n_pending = 0;
	return len;
}

tally_status
transcode_read(struct transcode *transcode, char *out, size_t max, size_t *out_len)
{
	size_t len = 0;

	*out_len = 0;
	if (transcode->format == TRANSCODE_JSON) {
		*out_len = pass(transcode, out, max);
		return TALLY_OK;
	}
	for (;;) {
		len += drain(transcode, out + len, max - len);
		*out_len = len;
		if (len == max || transcode->place == AT_END)
			return TALLY_OK;
		if (!step(transcode)) {
			transcode->place = FAILED;
			return TALLY_INTERNAL_ERROR;
		}
	}
}
