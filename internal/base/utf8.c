#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define ASCII_HIGHS UINT64_C(0x8080808080808080)

static bool
are_ascii(const char *text)
{
	uint64_t word;

	memcpy(&word, text, sizeof word);
	return (word & ASCII_HIGHS) == 0;
}

bool
utf8_valid(const char *text, size_t len, size_t *out_points)
{
	size_t points = 0;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		if (len - i >= 8 && are_ascii(text + i)) {
			n = 8;
			points += 8;
			continue;
		}
		n = utf8_sequence(text + i, len - i);
		if (n == 0)
			return false;
		points++;
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
