#include "source/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/date.h"

static const char digit_pairs[] = "00010203040506070809"
				  "10111213141516171819"
				  "20212223242526272829"
				  "30313233343536373839"
				  "40414243444546474849"
				  "50515253545556575859"
				  "60616263646566676869"
				  "70717273747576777879"
				  "80818283848586878889"
				  "90919293949596979899";

static char *
put_pair(char *out, unsigned two_digits)
{
	memcpy(out, digit_pairs + (size_t)two_digits * 2, 2);
	return out + 2;
}

static size_t
count_digits(uint64_t number)
{
	size_t n = 1;

	for (; number >= 10000; number /= 10000)
		n += 4;
	return n + (number >= 10) + (number >= 100) + (number >= 1000);
}

/* From its last digits on, where they belong. */
static char *
put_int(char *out, int64_t number)
{
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	if (number < 0)
		*out++ = '-';
	char *end = out + count_digits(rest);
	char *at = end;
	for (; rest >= 100; rest /= 100)
		put_pair(at -= 2, (unsigned)(rest % 100));
	if (rest >= 10)
		put_pair(at - 2, (unsigned)rest);
	else
		at[-1] = (char)('0' + rest);
	return end;
}

/* The shortest of 15 to 17 digits that reads back as the same number. */
static char *
put_float(char *out, double number)
{
	int len = 0;

	for (int digits = 15; digits <= 17; digits++) {
		len = snprintf(out, VALUE_FORMAT_MAX, "%.*g", digits, number);
		if (strtod(out, NULL) == number)
			break;
	}
	return out + len;
}

static char *
put_date(char *out, int64_t days)
{
	struct date date = date_from_days(days);

	out = put_pair(out, (unsigned)date.year / 100);
	out = put_pair(out, (unsigned)date.year % 100);
	*out++ = '-';
	out = put_pair(out, (unsigned)date.month);
	*out++ = '-';
	return put_pair(out, (unsigned)date.day);
}

static char *
put_fraction(char *out, unsigned us)
{
	char *end;

	if (us == 0)
		return out;
	*out++ = '.';
	out = put_pair(out, us / 10000);
	out = put_pair(out, us / 100 % 100);
	end = put_pair(out, us % 100);
	while (end[-1] == '0')
		end--;
	return end;
}

static char *
put_timestamp(char *out, int64_t us)
{
	int64_t days = us / DATE_US_OF_DAY;
	int64_t rest = us % DATE_US_OF_DAY;
	unsigned seconds;

	if (rest < 0) {
		rest += DATE_US_OF_DAY;
		days--;
	}
	seconds = (unsigned)(rest / 1000000);
	out = put_date(out, days);
	*out++ = 'T';
	out = put_pair(out, seconds / 3600);
	*out++ = ':';
	out = put_pair(out, seconds / 60 % 60);
	*out++ = ':';
	out = put_pair(out, seconds % 60);
	return put_fraction(out, (unsigned)(rest % 1000000));
}

static char *
put_uuid(char *out, const unsigned char uuid[16])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = hex[uuid[i] >> 4];
		*out++ = hex[uuid[i] & 15];
	}
	return out;
}

static char *
put_text(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

size_t
value_format(const struct value *value, char out[VALUE_FORMAT_MAX])
{
	char *end = out;

	switch ((enum tally_type)value->type) {
	case TALLY_INT:
		end = put_int(out, value->i);
		break;
	case TALLY_FLOAT:
		end = put_float(out, value->f);
		break;
	case TALLY_BOOL:
		end = value->i ? put_text(out, "true", 4) : put_text(out, "false", 5);
		break;
	case TALLY_DATE:
		end = put_date(out, value->i);
		break;
	case TALLY_TIMESTAMP:
		end = put_timestamp(out, value->i);
		break;
	case TALLY_TIMESTAMPTZ:
		end = put_timestamp(out, value->i);
		*end++ = 'Z';
		break;
	case TALLY_UUID:
		end = put_uuid(out, value->uuid);
		break;
	case TALLY_DECIMAL:
		end = put_text(out, value->text, value->len);
		break;
	case TALLY_TEXT:
	case TALLY_ABSENT:
		break;
	}
	return (size_t)(end - out);
}
