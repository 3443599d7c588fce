#include "source/ch_value.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "source/date.h"

#define MAX_DIGITS   38
#define NUMBER_LIMBS 8 /* of 32 bits: 256 */
#define BILLION      UINT32_C(1000000000)
#define NUMBER_CHARS 96

/* What every server's Date32 and DateTime64 have room for: 1900-01-01 to 2299-12-31. */
#define FIRST_DAY (-25567)
#define LAST_DAY  120529

/* ---- in ---------------------------------------------------------------------- */

static uint64_t
read_bits(const unsigned char *data, size_t size)
{
	uint64_t bits = 0;

	for (size_t i = size; i-- > 0;)
		bits = bits << 8 | data[i];
	return bits;
}

/* An integer of at most 64 bits; is_fit: it fits into int64. */
static int64_t
read_integer(const struct ch_type *type, const unsigned char *data, bool *is_fit)
{
	uint64_t bits = read_bits(data, type->size);
	unsigned unused = 64 - 8 * type->size;

	*is_fit = type->is_signed || bits <= INT64_MAX;
	if (!type->is_signed)
		return (int64_t)bits;
	return (int64_t)(bits << unused) >> unused;
}

static void
set_within(struct value *value, int64_t number, int64_t first, int64_t last)
{
	value->i = number;
	value->state = number >= first && number <= last ? VALUE_SET : VALUE_BAD;
}

static void
set_us(struct value *value, int64_t us)
{
	set_within(value, us, DATE_MIN_DAYS * DATE_US_OF_DAY,
		   (DATE_MAX_DAYS + 1) * DATE_US_OF_DAY - 1);
}

static void
read_ticks(const struct ch_type *type, const unsigned char *data, struct value *value)
{
	int64_t us = (int64_t)read_bits(data, 8);

	value->state = VALUE_BAD;
	for (unsigned scale = type->scale; scale > 6; scale--, us /= 10) {
		if (us % 10 != 0)
			return;
	}
	for (unsigned scale = type->scale; scale < 6; scale++) {
		if (__builtin_mul_overflow(us, 10, &us))
			return;
	}
	set_us(value, us);
}

static void
read_float(const unsigned char *data, size_t size, struct value *value)
{
	uint64_t bits = read_bits(data, size);
	uint32_t half = (uint32_t)bits;
	float narrow;

	if (size == 4) {
		memcpy(&narrow, &half, sizeof narrow);
		value->f = (double)narrow;
	} else {
		memcpy(&value->f, &bits, sizeof bits);
	}
	if (!isfinite(value->f))
		value->state = VALUE_BAD;
}

/* Each half comes with its last byte first. */
static void
read_uuid(const unsigned char *data, struct value *value)
{
	for (size_t i = 0; i < 8; i++) {
		value->uuid[i] = data[7 - i];
		value->uuid[8 + i] = data[15 - i];
	}
}

static tally_status
read_text(const char *text, size_t len, struct rows *rows, struct value *value)
{
	if (len > UINT32_MAX)
		return TALLY_TOO_LARGE;
	if (!utf8_valid(text, len, NULL)) {
		value->state = VALUE_BAD;
		return TALLY_OK;
	}
	value->len = (uint32_t)len;
	return rows_copy_text(rows, text, len, &value->text);
}

static void
load_limbs(const unsigned char *data, size_t size, uint32_t limbs[NUMBER_LIMBS], bool is_negative)
{
	uint64_t carry = is_negative;

	memset(limbs, is_negative ? 0xff : 0, NUMBER_LIMBS * sizeof *limbs);
	for (size_t i = 0; i * 4 < size; i++)
		limbs[i] = (uint32_t)read_bits(data + i * 4, 4);
	for (size_t i = 0; is_negative && i < NUMBER_LIMBS; i++) {
		carry += (uint32_t)~limbs[i];
		limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

/* Divides by a billion; returns what remains. */
static uint32_t
divide(uint32_t limbs[NUMBER_LIMBS])
{
	uint64_t rest = 0;

	for (size_t i = NUMBER_LIMBS; i-- > 0;) {
		rest = rest << 32 | limbs[i];
		limbs[i] = (uint32_t)(rest / BILLION);
		rest %= BILLION;
	}
	return (uint32_t)rest;
}

static bool
is_zero(const uint32_t limbs[NUMBER_LIMBS])
{
	for (size_t i = 0; i < NUMBER_LIMBS; i++) {
		if (limbs[i])
			return false;
	}
	return true;
}

/* The digits of a number, the last one first, at least one more than there are decimal places. */
static size_t
take_digits(uint32_t limbs[NUMBER_LIMBS], unsigned scale, char digits[NUMBER_CHARS])
{
	size_t n = 0;

	while (!is_zero(limbs)) {
		uint32_t rest = divide(limbs);

		for (int i = 0; i < 9; i++, rest /= 10)
			digits[n++] = (char)('0' + rest % 10);
	}
	while (n > scale + 1 && digits[n - 1] == '0')
		n--;
	while (n < scale + 1)
		digits[n++] = '0';
	return n;
}

/* A decimal's text.  Past 38 digits the zeros at its end go, and what is left must fit. */
static tally_status
read_number(const struct ch_type *type, const unsigned char *data, struct rows *rows,
	    struct value *value)
{
	bool is_negative = type->is_signed && data[type->size - 1] & 0x80;
	uint32_t limbs[NUMBER_LIMBS];
	char digits[NUMBER_CHARS], text[NUMBER_CHARS];
	size_t first = 0, len = 0, scale = type->scale, n, n_shown;

	load_limbs(data, type->size, limbs, is_negative);
	n = take_digits(limbs, type->scale, digits);
	n_shown = digits[n - 1] == '0' ? n - 1 : n; /* but for the zero before the point */
	while (n_shown - first > MAX_DIGITS && scale > 0 && digits[first] == '0') {
		first++;
		scale--;
	}
	if (n_shown > first + MAX_DIGITS) {
		value->state = VALUE_BAD;
		return TALLY_OK;
	}
	if (is_negative)
		text[len++] = '-';
	for (size_t i = n; i-- > first;) {
		text[len++] = digits[i];
		if (i == first + scale && scale > 0)
			text[len++] = '.';
	}
	return read_text(text, len, rows, value);
}

static tally_status
read_bool(const unsigned char *data, struct value *value)
{
	value->i = data[0];
	return data[0] <= 1 ? TALLY_OK : TALLY_SOURCE_ERROR;
}

static tally_status
read_fixed(const char *text, size_t len, struct rows *rows, struct value *value)
{
	while (len > 0 && text[len - 1] == '\0')
		len--;
	return read_text(text, len, rows, value);
}

tally_status
ch_value_read(const struct ch_type *type, const unsigned char *data, size_t len, struct rows *rows,
	      struct value *out_value)
{
	bool is_fit;

	out_value->type = (uint8_t)type->type;
	out_value->state = VALUE_SET;
	switch (type->kind) {
	case CH_STRING:
		return read_text((const char *)data, len, rows, out_value);
	case CH_FIXED_STRING:
		return read_fixed((const char *)data, len, rows, out_value);
	case CH_NUMBER:
		return read_number(type, data, rows, out_value);
	case CH_BOOL:
		return read_bool(data, out_value);
	case CH_INTEGER:
		out_value->i = read_integer(type, data, &is_fit);
		out_value->state = is_fit ? VALUE_SET : VALUE_BAD;
		break;
	case CH_DAYS:
		set_within(out_value, read_integer(type, data, &is_fit), DATE_MIN_DAYS,
			   DATE_MAX_DAYS);
		break;
	case CH_SECONDS:
		set_us(out_value, read_integer(type, data, &is_fit) * 1000000);
		break;
	case CH_TICKS:
		read_ticks(type, data, out_value);
		break;
	case CH_FLOAT:
		read_float(data, type->size, out_value);
		break;
	case CH_UUID:
		read_uuid(data, out_value);
		break;
	}
	return TALLY_OK;
}

/* ---- out --------------------------------------------------------------------- */

/* Both in quotes and outside of them a backslash takes the next byte. */
static tally_status
write_escaped(const char *text, size_t len, struct buf *buf)
{
	static const char hex[] = "0123456789abcdef";
	tally_status status = TALLY_OK;

	for (size_t i = 0; i < len && status == TALLY_OK; i++) {
		unsigned char c = (unsigned char)text[i];
		const char escape[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };

		if (c < 0x20)
			status = buf_append(buf, escape, sizeof escape);
		else if (c == '\\' || c == '\'')
			status = buf_append(buf, (const char[]){ '\\', (char)c }, 2);
		else
			status = buf_append(buf, &c, 1);
	}
	return status;
}

static int64_t
nearest_between(int64_t number, int64_t first, int64_t last)
{
	if (number < first)
		return first;
	return number > last ? last : number;
}

struct value
ch_value_nearest(const struct value *value)
{
	struct value nearest = *value;

	switch ((enum tally_type)value->type) {
	case TALLY_TIMESTAMP:
	case TALLY_TIMESTAMPTZ:
		nearest.i = nearest_between(value->i, FIRST_DAY * DATE_US_OF_DAY,
					    (LAST_DAY + 1) * DATE_US_OF_DAY - 1);
		return nearest;
	case TALLY_DATE:
		nearest.i = nearest_between(value->i, FIRST_DAY, LAST_DAY);
		return nearest;
	default:
		return nearest;
	}
}

static bool
is_writable(const struct value *value)
{
	return ch_value_nearest(value).i == value->i;
}

/* 2025-06-29 12:30:00.5 is what every server reads; T and Z not. */
static tally_status
write_formatted(const struct value *value, struct buf *buf)
{
	char text[VALUE_FORMAT_MAX];
	size_t len = value_format(value, text);

	if (value->type == TALLY_TIMESTAMP || value->type == TALLY_TIMESTAMPTZ)
		text[10] = ' ';
	if (value->type == TALLY_TIMESTAMPTZ)
		len--;
	return buf_append(buf, text, len);
}

static bool
is_quoted(const struct value *value)
{
	switch ((enum tally_type)value->type) {
	case TALLY_INT:
	case TALLY_FLOAT:
	case TALLY_BOOL:
	case TALLY_DECIMAL:
		return false;
	default:
		return true;
	}
}

tally_status
ch_value_write(const struct value *value, bool is_element, struct buf *buf)
{
	const char *quote = is_element && is_quoted(value) ? "'" : "";
	tally_status status;

	if (value->state == VALUE_NULL)
		return buf_puts(buf, is_element ? "NULL" : "\\N");
	if (value->state == VALUE_BAD || !is_writable(value))
		return TALLY_SOURCE_ERROR;
	status = buf_puts(buf, quote);
	if (status == TALLY_OK)
		status = value->type == TALLY_TEXT ? write_escaped(value->text, value->len, buf)
						   : write_formatted(value, buf);
	return status == TALLY_OK ? buf_puts(buf, quote) : status;
}
