#include "base/utf8.h"

/* The well-formed sequences (RFC 3629, section 4): first byte, range of the second, length. */
static const struct {
	unsigned char first, last, low, high, len;
} forms[] = {
	{ 0xC2, 0xDF, 0x80, 0xBF, 2 },
        { 0xE0, 0xE0, 0xA0, 0xBF, 3 },
        { 0xE1, 0xEC, 0x80, 0xBF, 3 },
	{ 0xED, 0xED, 0x80, 0x9F, 3 },
        { 0xEE, 0xEF, 0x80, 0xBF, 3 },
        { 0xF0, 0xF0, 0x90, 0xBF, 4 },
	{ 0xF1, 0xF3, 0x80, 0xBF, 4 },
        { 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

size_t
utf8_sequence(const char *text, size_t left)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t i = 0;

	if (at[0] < 0x80)
		return 1;
	while (i < sizeof forms / sizeof forms[0] && at[0] > forms[i].last)
		i++;
	if (i == sizeof forms / sizeof forms[0] || at[0] < forms[i].first || forms[i].len > left)
		return 0;
	if (at[1] < forms[i].low || at[1] > forms[i].high)
		return 0;
	for (size_t k = 2; k < forms[i].len; k++) {
		if ((at[k] & 0xC0) != 0x80)
			return 0;
	}
	return forms[i].len;
}

bool
utf8_valid(const char *text, size_t len, size_t *out_points)
{
	size_t points = 0;

	for (size_t i = 0; i < len; points++) {
		size_t n = utf8_sequence(text + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	if (out_points)
		*out_points = points;
	return true;
}

size_t
utf8_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xC0) == 0x80)
		max--;
	return max;
}
