#include "base/hop.h"

#include <string.h>

#define DIGITS_MAX 20

/* Writes a number's digits before end; where they begin. */
static char *
write_digits(char *end, uint64_t number)
{
	do {
		*--end = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return end;
}

static char *
put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

size_t
hop_append(char *text, size_t len, size_t cap, const char *name, int64_t us)
{
	uint64_t ten_us = us > 0 ? ((uint64_t)us + 5) / 10 : 0;
	char digits[DIGITS_MAX];
	char *end = digits + sizeof digits;
	const char *ms = write_digits(end, ten_us / 100);
	const char hundredths[] = { '.', (char)('0' + ten_us / 10 % 10),
				    (char)('0' + ten_us % 10) };
	size_t name_len = strlen(name);
	size_t ms_len = (size_t)(end - ms);
	size_t need = (len > 0 ? 2 : 0) + name_len + 5 + ms_len + sizeof hundredths + 1;

	if (len + need > cap)
		return len;
	char *at = text + len;
	if (len > 0)
		at = put(at, ", ", 2);
	at = put(at, name, name_len);
	at = put(at, ";dur=", 5);
	at = put(at, ms, ms_len);
	at = put(at, hundredths, sizeof hundredths);
	*at = '\0';
	return (size_t)(at - text);
}
