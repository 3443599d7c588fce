#include "dataset/transcode.h"

#include <stdlib.h>
#include <string.h>

/* What was made and not yet taken by the caller; a cell of any length passes through in pieces of
 * this size.  The longest that is made without looking is a column's name and its comma. */
#define PIECE_BYTES 512

enum place { AT_HEADER, AT_BEGIN, AT_ROW, IN_CELL, AT_END, FAILED };

/* What of the body is left. */
struct reader {
	const char *at;
	const char *end;
};

struct transcode {
	const struct definition *definition;
	enum transcode_format format;
	bool csv_safe;
	struct reader in;
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
	transcode->in = (struct reader){ body, body + len };
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

static size_t
left(const struct reader *in)
{
	return (size_t)(in->end - in->at);
}

/* Whether the next byte is c. */
static bool
is_next(const struct reader *in, char c)
{
	return in->at < in->end && *in->at == c;
}

static bool
take(struct reader *in, char c)
{
	if (!is_next(in, c))
		return false;
	in->at++;
	return true;
}

static bool
take_text(struct reader *in, const char *text, size_t len)
{
	if (left(in) < len || memcmp(in->at, text, len) != 0)
		return false;
	in->at += len;
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

	transcode->place = AT_ROW;
	return take_text(&transcode->in, head, sizeof head - 1)
	       && (is_next(&transcode->in, '{') || is_next(&transcode->in, ']'));
}

/* The end of the array and of the document. */
static bool
end_of_rows(struct transcode *transcode)
{
	transcode->place = AT_END;
	return take_text(&transcode->in, "]}", 2) && left(&transcode->in) == 0;
}

/* After a row comes another, or the end. */
static bool
end_of_row(struct transcode *transcode)
{
	struct reader *in = &transcode->in;

	transcode->column = 0;
	return take(in, ',') ? is_next(in, '{') : is_next(in, ']');
}

/* Goes past "name": which must be the column's. */
static bool
skip_name(struct transcode *transcode)
{
	const char *name = transcode->definition->columns[transcode->column].name;
	struct reader *in = &transcode->in;

	return take(in, transcode->column == 0 ? '{' : ',') && take(in, '"')
	       && take_text(in, name, strlen(name)) && take_text(in, "\":", 2);
}

static int
hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* Takes one character of a JSON string; the encoder escapes only ", \ and U+0000-1F. */
static bool
take_char(struct reader *in, char *out)
{
	static const char escapes[] = "\"\\bfnrt";
	static const char meanings[] = "\"\\\b\f\n\r\t";

	if (left(in) == 0 || (unsigned char)*in->at < 0x20)
		return false;
	if (*in->at != '\\') {
		*out = *in->at++;
		return true;
	}
	if (left(in) < 2)
		return false;
	const char *found = in->at[1] ? strchr(escapes, in->at[1]) : NULL;
	if (found) {
		*out = meanings[found - escapes];
		in->at += 2;
		return true;
	}
	if (!take_text(in, "\\u00", 4) || left(in) < 2)
		return false;
	int high = hex_digit(in->at[0]);
	int low = hex_digit(in->at[1]);
	if (high < 0 || high > 1 || low < 0)
		return false;
	*out = (char)(high * 16 + low);
	in->at += 2;
	return true;
}

static size_t
count_digits(const struct reader *in)
{
	size_t n = 0;

	while (n < left(in) && in->at[n] >= '0' && in->at[n] <= '9')
		n++;
	return n;
}

/* Takes a JSON number (RFC 8259, section 6). */
static bool
take_number(struct reader *in)
{
	(void)take(in, '-');
	size_t n = count_digits(in);
	if (n == 0 || (n > 1 && *in->at == '0'))
		return false;
	in->at += n;
	if (take(in, '.')) {
		n = count_digits(in);
		in->at += n;
		if (n == 0)
			return false;
	}
	if (!take(in, 'e') && !take(in, 'E'))
		return true;
	if (!take(in, '-'))
		(void)take(in, '+');
	n = count_digits(in);
	in->at += n;
	return n > 0;
}

/* Whether a spreadsheet would take the rest of a string for a formula.  A number as a whole, such
 * as the decimal -12.50, is none. */
static bool
is_formula(struct reader ahead)
{
	struct reader number = ahead;
	char first;

	if (is_next(&ahead, '"') || !take_char(&ahead, &first) || !first
	    || !strchr("=+-@\t\r", first))
		return false;
	return !take_number(&number) || !is_next(&number, '"');
}

/* Whether a string needs quotes in CSV (RFC 4180, section 2.6), or to differ from null. */
static bool
needs_quotes(struct reader ahead)
{
	char c;

	if (is_next(&ahead, '"'))
		return true;
	while (!is_next(&ahead, '"') && take_char(&ahead, &c)) {
		if (c == '"' || c == ',' || c == '\r' || c == '\n')
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
	transcode->is_string = take(&transcode->in, '"');
	transcode->place = IN_CELL;
	if (!transcode->is_string)
		return true;
	transcode->is_quoted = needs_quotes(transcode->in);
	if (transcode->is_quoted)
		put_char(transcode, '"');
	if (transcode->csv_safe && is_formula(transcode->in))
		put_char(transcode, '\'');
	return true;
}

static bool
end_of_cell(struct transcode *transcode)
{
	transcode->place = AT_ROW;
	next_column(transcode, AT_ROW);
	return transcode->column > 0 || (take(&transcode->in, '}') && end_of_row(transcode));
}

static bool
string_cell(struct transcode *transcode)
{
	char c;

	while (transcode->n_pending + 4 <= PIECE_BYTES) {
		if (take(&transcode->in, '"')) {
			if (transcode->is_quoted)
				put_char(transcode, '"');
			return end_of_cell(transcode);
		}
		if (!take_char(&transcode->in, &c))
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
	struct reader *in = &transcode->in;
	const char *begin_at = in->at;

	if (take_text(in, "null", 4))
		return end_of_cell(transcode);
	if (!take_text(in, "true", 4) && !take_text(in, "false", 5) && !take_number(in))
		return false;
	size_t len = (size_t)(in->at - begin_at);
	if (len > VALUE_FORMAT_MAX)
		return false;
	put(transcode, begin_at, len);
	return end_of_cell(transcode);
}

static bool
csv_row(struct transcode *transcode)
{
	if (transcode->column == 0 && is_next(&transcode->in, ']'))
		return end_of_rows(transcode);
	return cell(transcode);
}

/* One row of NDJSON is the row of the array as it stands; braces only end it outside strings. */
static bool
json_row(struct transcode *transcode)
{
	struct reader *in = &transcode->in;

	if (transcode->column == 0 && is_next(in, ']'))
		return end_of_rows(transcode);
	transcode->column = 1; /* inside a row */
	while (transcode->n_pending + 4 <= PIECE_BYTES) {
		if (left(in) < 2 || (unsigned char)*in->at < 0x20)
			return false;
		char c = *in->at++;
		put_char(transcode, c);
		if (transcode->is_string && c == '\\')
			put_char(transcode, *in->at++);
		else if (c == '"')
			transcode->is_string = !transcode->is_string;
		else if (c == '}' && !transcode->is_string) {
			put_char(transcode, '\n');
			return end_of_row(transcode);
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
	struct reader *in = &transcode->in;
	size_t len = left(in) < max ? left(in) : max;

	memcpy(out, in->at, len);
	in->at += len;
	return len;
}

static size_t
drain(struct transcode *transcode, char *out, size_t max)
{
	size_t ready = transcode->n_pending - transcode->n_taken;
	size_t len = ready < max ? ready : max;

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
			transcode->n_pending = transcode->n_taken = 0;
			return TALLY_INTERNAL_ERROR;
		}
	}
}
