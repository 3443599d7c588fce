/* utf8.h - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence at text, which has left (> 0) bytes: 1 to 4; 0 when it is none. */
size_t utf8_sequence(const char *text, size_t left);

/* Whether len bytes are UTF-8; *out_points (may be NULL) is then the number of code points. */
bool utf8_valid(const char *text, size_t len, size_t *out_points);

/* The longest length of at most max bytes that cuts no sequence of valid UTF-8. */
size_t utf8_cut(const char *text, size_t len, size_t max);

#endif
