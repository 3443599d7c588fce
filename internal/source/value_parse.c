#include "source/value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "source/date.h"

/* What is left of the text; every reader moves at, or leaves ok false. */
struct reader {
	const char *at;
	const char *end;
	bool ok;
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly n digits. */
static int
read_digits(struct reader *reader, int n)
{
	int number = 0;

	for (int i = 0; i < n; i++) {
		if (reader->at == reader->end || !is_digit(*reader->at)) {
			reader->ok = false;
			return 0;
		}
		number = number * 10 + (*reader->at++ - '0');
	}
	return number;
}

static void
read_character(struct reader *reader, char c)
{
	if (reader->at < reader->end && *reader->at == c)
		reader->at++;
	else
		reader->ok = false;
}

static int64_t
read_date(struct reader *reader)
{
	struct date date;

	date.year = read_digits(reader, 4);
	read_character(reader, '-');
	date.month = read_digits(reader, 2);
	read_character(reader, '-');
	date.day = read_digits(reader, 2);
	if (!reader->ok || !date_is_valid(&date)) {
		reader->ok = false;
		return 0;
	}
	return date_to_days(&date);
}

/* Microseconds after the point, of 1 to 6 digits. */
static int64_t
read_fraction(struct reader *reader)
{
	int64_t us = 0;
	int n = 0;

	for (reader->at++; reader->at < reader->end && is_digit(*reader->at) && n < 6; n++)
		us = us * 10 + (*reader->at++ - '0');
	if (n == 0)
		reader->ok = false;
	for (; n < 6; n++)
		us *= 10;
	return us;
}

static int64_t
read_timestamp(struct reader *reader)
{
	int64_t days = read_date(reader);
	int hours, minutes, seconds;
	int64_t us = 0;

	read_character(reader, 'T');
	hours = read_digits(reader, 2);
	read_character(reader, ':');
	minutes = read_digits(reader, 2);
	read_character(reader, ':');
	seconds = read_digits(reader, 2);
	if (hours > 23 || minutes > 59 || seconds > 59)
		reader->ok = false;
	if (reader->ok && reader->at < reader->end && *reader->at == '.')
		us = read_fraction(reader);
	return days * DATE_US_OF_DAY + ((hours * 60 + minutes) * INT64_C(60) + seconds) * 1000000
	       + us;
}

/* Z, +HH:MM or -HH:MM, in microseconds. */
static int64_t
read_offset(struct reader *reader)
{
	bool is_west = reader->at < reader->end && *reader->at == '-';
	int hours, minutes;
	int64_t us;

	if (reader->at < reader->end && *reader->at == 'Z') {
		reader->at++;
		return 0;
	}
	read_character(reader, is_west ? '-' : '+');
	hours = read_digits(reader, 2);
	read_character(reader, ':');
	minutes = read_digits(reader, 2);
	if (hours > 15 || minutes > 59)
		reader->ok = false;
	us = (hours * 60 + minutes) * INT64_C(60000000);
	return is_west ? -us : us;
}

static int64_t
read_timestamptz(struct reader *reader)
{
	int64_t us = read_timestamp(reader);

	us -= read_offset(reader);
	if (us < DATE_MIN_DAYS * DATE_US_OF_DAY || us >= (DATE_MAX_DAYS + 1) * DATE_US_OF_DAY)
		reader->ok = false;
	return us;
}

static int64_t
read_int(struct reader *reader)
{
	bool is_negative = reader->at < reader->end && *reader->at == '-';
	int64_t number = 0;

	reader->at += is_negative;
	if (reader->at == reader->end)
		reader->ok = false;
	/* Below zero, where there is one more number. */
	while (reader->at < reader->end && is_digit(*reader->at)) {
		if (__builtin_mul_overflow(number, 10, &number)
		    || __builtin_sub_overflow(number, *reader->at++ - '0', &number))
			reader->ok = false;
	}
	if (!is_negative && __builtin_sub_overflow(0, number, &number))
		reader->ok = false;
	return number;
}

static double
read_float(struct reader *reader)
{
	char copy[64];
	size_t len = (size_t)(reader->end - reader->at);
	char *end;
	double number;

	if (len == 0 || len >= sizeof copy) {
		reader->ok = false;
		return 0;
	}
	memcpy(copy, reader->at, len);
	copy[len] = '\0';
	number = strtod(copy, &end);
	/* strtod alone would take spaces, hexadecimal digits, "inf" and "nan". */
	if (copy[strspn(copy, "+-.0123456789eE")] || end != copy + len || !isfinite(number))
		reader->ok = false;
	reader->at = reader->end;
	return number;
}

static void
read_decimal(struct reader *reader)
{
	int n_digits = 0;
	int n_significant = 0;
	int n_points = 0;

	if (reader->at < reader->end && *reader->at == '-')
		reader->at++;
	for (; reader->at < reader->end; reader->at++) {
		if (*reader->at == '.' && n_digits > 0 && n_points == 0) {
			n_points++;
			continue;
		}
		if (!is_digit(*reader->at))
			break;
		n_digits++;
		n_significant += n_significant > 0 || *reader->at != '0';
	}
	if (n_digits == 0 || n_significant > 38 || n_digits > 40 || reader->at[-1] == '.')
		reader->ok = false;
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
read_uuid(struct reader *reader, unsigned char uuid[16])
{
	for (int i = 0; i < 16; i++) {
		int high, low;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			read_character(reader, '-');
		if (!reader->ok || reader->end - reader->at < 2) {
			reader->ok = false;
			return;
		}
		high = hex_value(reader->at[0]);
		low = hex_value(reader->at[1]);
		if (high < 0 || low < 0) {
			reader->ok = false;
			return;
		}
		uuid[i] = (unsigned char)(high << 4 | low);
		reader->at += 2;
	}
}

static int64_t
read_bool(struct reader *reader)
{
	size_t len = (size_t)(reader->end - reader->at);
	bool is_true = len == 4 && memcmp(reader->at, "true", 4) == 0;

	if (!is_true && (len != 5 || memcmp(reader->at, "false", 5) != 0))
		reader->ok = false;
	reader->at = reader->end;
	return is_true;
}

static void
read_value(struct reader *reader, struct value *value)
{
	const char *start = reader->at;

	switch ((enum tally_type)value->type) {
	case TALLY_INT:
		value->i = read_int(reader);
		break;
	case TALLY_FLOAT:
		value->f = read_float(reader);
		break;
	case TALLY_BOOL:
		value->i = read_bool(reader);
		break;
	case TALLY_DATE:
		value->i = read_date(reader);
		break;
	case TALLY_TIMESTAMP:
		value->i = read_timestamp(reader);
		break;
	case TALLY_TIMESTAMPTZ:
		value->i = read_timestamptz(reader);
		break;
	case TALLY_UUID:
		read_uuid(reader, value->uuid);
		break;
	case TALLY_DECIMAL:
		read_decimal(reader);
		value->text = start;
		value->len = (uint32_t)(reader->end - start);
		break;
	case TALLY_TEXT:
		reader->at = reader->end;
		value->text = start;
		value->len = (uint32_t)(reader->end - start);
		break;
	case TALLY_ABSENT:
		reader->ok = false;
	}
}

/* What a value of the type looks like, for the person who sent another. */
static const char *const expected[] = {
	[TALLY_ABSENT] = "must not be there",
	[TALLY_TEXT] = "must be text",
	[TALLY_INT] = "must be a whole number from -9223372036854775808 to 9223372036854775807",
	[TALLY_FLOAT] = "must be a number such as 2.5",
	[TALLY_BOOL] = "must be true or false",
	[TALLY_DATE] = "must be a date such as 2025-06-29",
	[TALLY_TIMESTAMP] = "must be a time such as 2025-06-29T12:30:00",
	[TALLY_TIMESTAMPTZ] = "must be a time with its zone such as 2025-06-29T12:30:00Z",
	[TALLY_UUID] = "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000",
	[TALLY_DECIMAL] = "must be a decimal number such as 12.50, of at most 38 digits",
};

tally_status
value_parse(enum tally_type type, const char *text, size_t len, struct value *out_value,
	    struct tally_error *err)
{
	struct reader reader = { .at = text, .end = text + len, .ok = true };
	struct value value = { .type = (uint8_t)type, .state = VALUE_SET };

	if (len > UINT32_MAX)
		return tally_fail(err, TALLY_INVALID_PARAMETER, "is too long");
	read_value(&reader, &value);
	if (!reader.ok || reader.at != reader.end)
		return tally_fail(err, TALLY_INVALID_PARAMETER, "%s", expected[type]);
	*out_value = value;
	return TALLY_OK;
}
