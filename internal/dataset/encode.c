/* JSON of a result, straight into its buffer: no printf, nothing allocated for a row.  Text is
 * looked at once: what must be escaped (", \, U+0000-1F and nothing else) and whether it is UTF-8.
 *
 * Most cells are written without a further look at the room, once there is enough for any of their
 * size; the rest (no room, escapes, what is wrong) goes the careful way. */
#include "dataset/result.h"

#include "base/utf8.h"

#define ASCII_HIGHS UINT64_C(0x8080808080808080)
#define ASCII_ONES  UINT64_C(0x0101010101010101)

/* Appends what there is mostly room for. */
static inline tally_status
put(struct buf *buf, const void *data, size_t len)
{
	if (buf->cap - buf->len < len)
		return buf_append(buf, data, len);
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return TALLY_OK;
}

/* Whether eight bytes are ASCII that stands for itself.  Each term has the high bit of every byte
 * that is in question (and maybe of a byte above one, which is then looked at singly). */
static bool
are_plain(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof word);
	uint64_t quotes = word ^ ASCII_ONES * '"';
	uint64_t slashes = word ^ ASCII_ONES * '\\';
	uint64_t found =
	    word | (word - ASCII_ONES * 0x20) | (quotes - ASCII_ONES) | (slashes - ASCII_ONES);

	return (found & ASCII_HIGHS) == 0;
}

/* How many bytes from at need no escape; *is_valid is false when they end in broken UTF-8. */
static size_t
plain_len(const unsigned char *at, size_t len, bool *is_valid)
{
	size_t i = 0;

	*is_valid = true;
	while (i < len) {
		if (len - i >= 8 && are_plain(at + i)) {
			i += 8;
			continue;
		}
		if (at[i] < 0x20 || at[i] == '"' || at[i] == '\\')
			return i;
		if (at[i] < 0x80) {
			i++;
			continue;
		}
		size_t n = utf8_sequence((const char *)at + i, len - i);
		if (n == 0) {
			*is_valid = false;
			return i;
		}
		i += n;
	}
	return i;
}

static tally_status
put_escape(struct buf *buf, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	static const char shorts[128] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
		['\t'] = 't', ['"'] = '"',  ['\\'] = '\\',
	};
	char out[6] = { '\\', shorts[c], '0', '0', digits[c >> 4], digits[c & 15] };

	if (shorts[c])
		return put(buf, out, 2);
	out[1] = 'u';
	return put(buf, out, sizeof out);
}

/* TALLY_UNSUPPORTED_VALUE: not UTF-8. */
static tally_status
put_text(struct buf *buf, const struct value *value)
{
	const unsigned char *at = (const unsigned char *)value->text;
	size_t left = value->len;
	bool is_valid = true;
	tally_status status = put(buf, "\"", 1);

	while (status == TALLY_OK && left > 0) {
		size_t n = plain_len(at, left, &is_valid);

		if (!is_valid)
			return TALLY_UNSUPPORTED_VALUE;
		status = put(buf, at, n);
		at += n;
		left -= n;
		if (status != TALLY_OK || left == 0)
			break;
		status = put_escape(buf, *at++);
		left--;
	}
	return status == TALLY_OK ? put(buf, "\"", 1) : status;
}

static tally_status
put_value(struct buf *buf, const struct value *value)
{
	char text[VALUE_FORMAT_MAX + 2];
	size_t len;

	switch ((enum tally_type)value->type) {
	case TALLY_TEXT:
		return put_text(buf, value);
	case TALLY_INT:
	case TALLY_FLOAT:
	case TALLY_BOOL:
		return put(buf, text, value_format(value, text));
	default:
		text[0] = '"';
		len = value_format(value, text + 1);
		text[len + 1] = '"';
		return put(buf, text, len + 2);
	}
}

/* ---- the quick way ---- */

/* Past the end of what is copied up to a block less one byte is written: there is room. */
static inline char *
copy_literal(char *out, const struct plan_output *output)
{
	for (size_t i = 0; i < output->literal_len; i += PLAN_LITERAL_BLOCK)
		memcpy(out + i, output->literal + i, PLAN_LITERAL_BLOCK);
	return out + output->literal_len;
}

/* Name and value of a cell that is neither text nor null. */
static char *
write_cell(char *out, const struct plan_output *output, const struct value *value)
{
	bool is_bare =
	    value->type == TALLY_INT || value->type == TALLY_FLOAT || value->type == TALLY_BOOL;

	out = copy_literal(out, output);
	if (is_bare)
		return out + value_format(value, out);
	*out++ = '"';
	out += value_format(value, out);
	*out++ = '"';
	return out;
}

/* Name and value of text that stands for itself; NULL: it does not. */
static char *
write_text(char *out, const struct plan_output *output, const struct value *value)
{
	bool is_valid;

	if (plain_len((const unsigned char *)value->text, value->len, &is_valid) < value->len)
		return NULL;
	out = copy_literal(out, output);
	*out++ = '"';
	if (value->len > 0)
		memcpy(out, value->text, value->len);
	out += value->len;
	*out++ = '"';
	return out;
}

/* False: the cell is to be put with care. */
static inline bool
put_quickly(struct buf *buf, const struct plan_output *output, const struct value *value)
{
	bool is_text = value->type == TALLY_TEXT;
	size_t room = output->literal_len + PLAN_LITERAL_BLOCK + 2
		      + (is_text ? value->len : VALUE_FORMAT_MAX);

	if (value->state != VALUE_SET || buf->cap - buf->len < room)
		return false;
	char *out = buf->data + buf->len;
	out = is_text ? write_text(out, output, value) : write_cell(out, output, value);
	if (!out)
		return false;
	buf->len = (size_t)(out - buf->data);
	return true;
}

/* ---- the careful way ---- */

static tally_status
put_column(struct buf *buf, const struct plan_output *output, const struct value *value,
	   struct tally_error *err)
{
	if (put_quickly(buf, output, value))
		return TALLY_OK;
	tally_status status = put(buf, output->literal, output->literal_len);
	if (status != TALLY_OK)
		return status;
	if (value->state == VALUE_BAD)
		return result_fail_bad(output->column->name, err);
	if (value->state == VALUE_NULL && !output->column->may_be_null)
		return tally_fail(err, TALLY_UNSUPPORTED_VALUE,
				  "%s is null, but its column is not declared null",
				  output->column->name);
	if (value->state == VALUE_NULL)
		return put(buf, "null", 4);
	status = put_value(buf, value);
	if (status == TALLY_UNSUPPORTED_VALUE)
		return tally_fail(err, status, "%s has text that is not UTF-8",
				  output->column->name);
	return status;
}

static tally_status
put_rows(const struct result *result, struct buf *buf, struct tally_error *err)
{
	const struct plan *plan = result->plan;
	size_t n_columns = plan->definition->n_columns;

	for (size_t i = 0; i < result->n_rows; i++) {
		size_t row = result->order[i];
		tally_status status = i > 0 ? put(buf, ",", 1) : TALLY_OK;

		for (size_t k = 0; status == TALLY_OK && k < n_columns; k++)
			status =
			    put_column(buf, &plan->outputs[k], result_value(result, row, k), err);
		if (status == TALLY_OK)
			status = put(buf, "}", 1);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

/* Names, and values of a character each. */
static size_t
least_bytes(const struct result *result)
{
	const struct plan *plan = result->plan;
	size_t row_bytes = 1;

	for (size_t i = 0; i < plan->definition->n_columns; i++)
		row_bytes += plan->outputs[i].literal_len + 1;
	return result->n_rows * row_bytes;
}

tally_status
result_encode(const struct result *result, struct buf *buf, struct tally_error *err)
{
	static const char head[] = "{\"status\":\"ok\",\"data\":[";

	/* So that it seldom has to grow; where that is too much, what is really written decides. */
	(void)!buf_reserve(buf, least_bytes(result) + sizeof head + 2);
	tally_status status = put(buf, head, sizeof head - 1);

	if (status == TALLY_OK)
		status = put_rows(result, buf, err);
	if (status == TALLY_OK)
		status = put(buf, "]}", 2);
	if (status == TALLY_TOO_LARGE)
		return tally_fail(err, TALLY_RESULT_TOO_LARGE,
				  "the result is past %zu bytes: narrow the request",
				  buf->limit_bytes);
	if (status == TALLY_NO_MEMORY)
		return tally_fail(err, status, "out of memory");
	return status;
}
