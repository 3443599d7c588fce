#include "dataset/sum.h"

#include <stdbool.h>
#include <string.h>

#define BASE        INT64_C(1000000000)
#define BASE_DIGITS 9
#define GROUPS      (SUM_FRACTION + SUM_WHOLE)
#define DIGITS_MAX  38

static const int64_t powers[BASE_DIGITS] = { 1,      10,      100,      1000,     10000,
					     100000, 1000000, 10000000, 100000000 };

/* Adds digit times ten to the power; power 0 is the digit before the point. */
static bool
add_digit(struct sum *sum, int digit, long power, int sign)
{
	long at = power + (long)SUM_FRACTION * BASE_DIGITS;

	if (at < 0 || at >= (long)GROUPS * BASE_DIGITS)
		return digit == 0;
	sum->groups[at / BASE_DIGITS] += sign * digit * powers[at % BASE_DIGITS];
	return true;
}

tally_status
sum_add(struct sum *sum, const char *text, size_t len)
{
	int sign = len > 0 && text[0] == '-' ? -1 : 1;
	size_t start = sign < 0 ? 1 : 0;
	const char *point = len > 0 ? memchr(text, '.', len) : NULL;
	size_t n_whole = (point ? (size_t)(point - text) : len) - start;
	long power = (long)n_whole - 1;

	for (size_t i = start; i < len; i++) {
		if (text[i] == '.')
			continue;
		if (!add_digit(sum, text[i] - '0', power--, sign))
			return TALLY_UNSUPPORTED_VALUE;
	}
	size_t scale = point ? len - start - n_whole - 1 : 0;
	if (scale > SUM_FRACTION * BASE_DIGITS)
		scale = SUM_FRACTION * BASE_DIGITS; /* zeros: they were accepted above */
	if (scale > sum->scale)
		sum->scale = (uint32_t)scale;
	return TALLY_OK;
}

/* Makes every group 0 .. BASE-1 and returns whether the sum is below zero. */
static bool
carry(struct sum *sum)
{
	bool is_negative = false;

	for (int turn = 0; turn < 2; turn++) {
		int64_t over = 0;

		for (int i = 0; i < GROUPS; i++) {
			int64_t group = sum->groups[i] + over;

			over = group / BASE;
			group %= BASE;
			if (group < 0) {
				group += BASE;
				over--;
			}
			sum->groups[i] = group;
		}
		if (over >= 0)
			return is_negative;
		/* Below zero: all groups are the complement.  Turn the sign and carry again. */
		is_negative = true;
		for (int i = 0; i < GROUPS; i++)
			sum->groups[i] = -sum->groups[i];
		sum->groups[GROUPS - 1] += -over * BASE;
	}
	return is_negative;
}

static int
digit_at(const struct sum *sum, long power)
{
	long at = power + (long)SUM_FRACTION * BASE_DIGITS;

	return (int)(sum->groups[at / BASE_DIGITS] / powers[at % BASE_DIGITS] % 10);
}

tally_status
sum_end(struct sum *sum, char out[SUM_TEXT_MAX], size_t *out_len)
{
	bool is_negative = carry(sum);
	long power = (long)SUM_WHOLE * BASE_DIGITS - 1;
	long scale = (long)sum->scale;
	size_t len = 0;

	while (power > -scale && digit_at(sum, power) == 0)
		power--;
	while (scale > 0 && power + scale + 1 > DIGITS_MAX && digit_at(sum, -scale) == 0)
		scale--; /* a zero at the end says nothing */
	if (power + scale + 1 > DIGITS_MAX)
		return TALLY_UNSUPPORTED_VALUE;
	if (is_negative)
		out[len++] = '-';
	for (power = power > 0 ? power : 0; power >= -scale; power--) {
		if (power == -1)
			out[len++] = '.';
		out[len++] = (char)('0' + digit_at(sum, power));
	}
	*out_len = len;
	return TALLY_OK;
}
