/* utf8.h - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF.
 * Pure functions; any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The rest of utf8_sequence, for three and four bytes (len) that begin with 0xE0 to 0xF4. */
static inline bool
utf8_is_long(const unsigned char *at, size_t len)
{
	unsigned char low = at[0] == 0xE0 ? 0xA0 : at[0] == 0xF0 ? 0x90 : 0x80;
	unsigned char high = at[0] == 0xED ? 0x9F : at[0] == 0xF4 ? 0x8F : 0xBF;

	if (at[1] < low || at[1] > high || (at[2] & 0xC0) != 0x80)
		return false;
	return len == 3 || (at[3] & 0xC0) == 0x80;
}

/* The length of the sequence at text, which has left (> 0) bytes: 1 to 4; 0 when it is none.
 * Inline: it runs for each letter of a result that is not ASCII. */
static inline size_t
utf8_sequence(const char *text, size_t left)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len;

	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xE0)
		return at[0] >= 0xC2 && left >= 2 && (at[1] & 0xC0) == 0x80 ? 2 : 0;
	len = at[0] < 0xF0 ? 3 : 4;
	if (at[0] > 0xF4 || left < len)
		return 0;
	return utf8_is_long(at, len) ? len : 0;
}

/* Whether len bytes are UTF-8; *out_points (may be NULL) is then the number of code points. */
bool utf8_valid(const char *text, size_t len, size_t *out_points);

/* The longest length of at most max bytes that cuts no sequence of valid UTF-8. */
size_t utf8_cut(const char *text, size_t len, size_t max);

#endif
