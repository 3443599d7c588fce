#include "source/pg_numeric.h"

#include <stdint.h>
#include <string.h>

#include "source/pg_wire.h"

#define HEAD     8
#define POSITIVE 0x0000
#define NEGATIVE 0x4000

/* ---- out --------------------------------------------------------------------- */

struct decimal_text {
	bool is_negative;
	const char *whole;
	size_t n_whole;
	const char *fraction;
	size_t n_fraction;
};

static struct decimal_text
split(const char *text, size_t len)
{
	struct decimal_text decimal = { 0 };
	const char *end = text + len;
	const char *point;

	if (text < end && *text == '-') {
		decimal.is_negative = true;
		text++;
	}
	point = memchr(text, '.', (size_t)(end - text));
	decimal.whole = text;
	decimal.n_whole = (size_t)((point ? point : end) - text);
	decimal.fraction = point ? point + 1 : end;
	decimal.n_fraction = (size_t)(end - decimal.fraction);
	return decimal;
}

/* The decimal digit at a position: 0 is the first after the point, -1 the last before it. */
static unsigned
digit_at(const struct decimal_text *decimal, long position)
{
	if (position >= 0)
		return (size_t)position < decimal->n_fraction
			   ? (unsigned)(decimal->fraction[position] - '0')
			   : 0;
	position += (long)decimal->n_whole;
	return position >= 0 ? (unsigned)(decimal->whole[position] - '0') : 0;
}

tally_status
pg_numeric_encode(const char *text, size_t len, struct buf *buf)
{
	struct decimal_text decimal = split(text, len);
	long n_before = (long)(decimal.n_whole + 3) / 4;
	long n_after = (long)(decimal.n_fraction + 3) / 4;
	unsigned char head[HEAD];
	tally_status status;

	/* Zero digits at either end are fine: the server strips them. */
	pg_put16(head, (uint16_t)(n_before + n_after));
	pg_put16(head + 2, (uint16_t)(n_before - 1));
	pg_put16(head + 4, decimal.is_negative ? NEGATIVE : POSITIVE);
	pg_put16(head + 6, (uint16_t)decimal.n_fraction);
	status = buf_append(buf, head, sizeof head);
	for (long i = -n_before; i < n_after && status == TALLY_OK; i++) {
		unsigned char digit[2];
		unsigned group = 0;

		for (long j = i * 4; j < i * 4 + 4; j++)
			group = group * 10 + digit_at(&decimal, j);
		pg_put16(digit, (uint16_t)group);
		status = buf_append(buf, digit, sizeof digit);
	}
	return status;
}

/* ---- in ---------------------------------------------------------------------- */

struct numeric {
	const unsigned char *digits;
	int n_digits;
	int weight;
	unsigned scale;
};

/* The digit of base 10,000 with that weight. */
static unsigned
group_at(const struct numeric *numeric, int weight)
{
	int i = numeric->weight - weight;

	return i >= 0 && i < numeric->n_digits ? pg_get16(numeric->digits + 2 * i) : 0;
}

/* The four decimal digits of the group with that weight. */
static void
write_group(const struct numeric *numeric, int weight, char out[4])
{
	unsigned group = group_at(numeric, weight);

	for (int i = 3; i >= 0; i--, group /= 10)
		out[i] = (char)('0' + group % 10);
}

/* Writes the digits before the point and returns how many. */
static size_t
write_whole(const struct numeric *numeric, char *out)
{
	char digits[PG_NUMERIC_DIGITS + 4];
	size_t n = 0;
	size_t n_written = 0;

	for (int weight = numeric->weight; weight >= 0; weight--, n += 4)
		write_group(numeric, weight, digits + n);
	for (size_t i = 0; i < n; i++) {
		if (n_written > 0 || digits[i] != '0')
			out[n_written++] = digits[i];
	}
	if (n_written == 0)
		out[n_written++] = '0';
	return n_written;
}

static bool
is_short_enough(const char *digits, size_t n_whole, size_t n_fraction)
{
	size_t n = n_whole + n_fraction;
	size_t zeros = 0;

	if (n_whole > PG_NUMERIC_DIGITS || n > PG_NUMERIC_DIGITS)
		return false;
	while (zeros < n && digits[zeros] == '0')
		zeros++;
	return n - zeros <= PG_NUMERIC_SIGNIFICANT;
}

static size_t
write_number(const struct numeric *numeric, bool is_negative, char out[PG_NUMERIC_CHARS])
{
	/* Room for a group more than a number may have on each side of the point. */
	char digits[2 * PG_NUMERIC_DIGITS + 16];
	size_t n_fraction = (size_t)numeric->scale;
	size_t n_whole;
	size_t at = 0;

	if (numeric->weight >= PG_NUMERIC_DIGITS / 4 || numeric->scale >= PG_NUMERIC_DIGITS)
		return 0;
	n_whole = write_whole(numeric, digits);
	for (size_t i = 0; i < n_fraction; i += 4)
		write_group(numeric, -1 - (int)(i / 4), digits + n_whole + i);
	if (!is_short_enough(digits, n_whole, n_fraction))
		return 0;
	if (is_negative)
		out[at++] = '-';
	memcpy(out + at, digits, n_whole);
	at += n_whole;
	if (n_fraction > 0) {
		out[at++] = '.';
		memcpy(out + at, digits + n_whole, n_fraction);
	}
	return at + n_fraction;
}

bool
pg_numeric_decode(const unsigned char *data, size_t len, char out[PG_NUMERIC_CHARS],
		  size_t *out_len)
{
	struct numeric numeric = { .digits = data + HEAD };
	unsigned sign;

	if (len < HEAD)
		return false;
	numeric.n_digits = pg_get16(data);
	numeric.weight = (int16_t)pg_get16(data + 2);
	sign = pg_get16(data + 4);
	numeric.scale = pg_get16(data + 6);
	if (len != HEAD + 2 * (size_t)numeric.n_digits)
		return false;
	*out_len = 0;
	if (sign == POSITIVE || sign == NEGATIVE)
		*out_len = write_number(&numeric, sign == NEGATIVE, out);
	return true;
}
