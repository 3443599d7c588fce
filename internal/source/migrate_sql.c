/* The number of the lock, and just enough of SQL's lexer to tell words from quotes and comments. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "source/migrate_files.h"

#define LOCK_SALT  UINT32_C(1486364155)
#define NAME_BYTES 64 /* of PostgreSQL, the end included */

static uint32_t
crc32_of(const char *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
	}
	return ~crc;
}

uint32_t
migrate_lock_number(const char *schema, const char *database)
{
	char text[2 * NAME_BYTES + sizeof MIGRATE_TABLE];
	int len = snprintf(text, sizeof text, "%s%c" MIGRATE_TABLE "%c%s", schema, 0, 0, database);

	return crc32_of(text, (size_t)len) * LOCK_SALT;
}

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* The end of a comment, a quote or a dollar quote that begins at at; at itself when none does. */
static const char *
skip_comment(const char *at)
{
	int depth = 0;

	if (at[0] == '-' && at[1] == '-')
		return at + strcspn(at, "\n");
	if (at[0] != '/' || at[1] != '*')
		return at;
	do {
		if (at[0] == '/' && at[1] == '*') {
			depth++;
			at += 2;
		} else if (at[0] == '*' && at[1] == '/') {
			depth--;
			at += 2;
		} else {
			at++;
		}
	} while (*at && depth > 0);
	return at;
}

/* is_escaped: E'...', where a backslash takes the next byte with it. */
static const char *
skip_quote(const char *at, bool is_escaped)
{
	char quote = *at++;

	for (; *at; at++) {
		if (is_escaped && *at == '\\' && at[1])
			at++;
		else if (*at == quote)
			return at + 1; /* '' is two quotes in a row: no matter here */
	}
	return at;
}

static const char *
skip_dollars(const char *at)
{
	const char *end = at + 1;
	const char *found;
	size_t len;

	while (is_word(*end))
		end++;
	if (*end != '$' || isdigit((unsigned char)at[1]))
		return at + 1; /* $1 */
	len = (size_t)(end + 1 - at);
	for (found = end + 1; *found; found++) {
		if (strncmp(found, at, len) == 0)
			return found + len;
	}
	return found;
}

static bool
is_one_of(const char *word, size_t len, bool is_first)
{
	static const char *const words[] = { "concurrently", "begin", "start", "vacuum" };

	/* The first of these counts anywhere in a statement. */
	for (size_t i = 0; i < (is_first ? sizeof words / sizeof *words : 1); i++) {
		if (strlen(words[i]) == len && strncasecmp(word, words[i], len) == 0)
			return true;
	}
	return false;
}

/* Past a word; *is_own when it is one that we look for. */
static const char *
take_word(const char *at, bool is_first, bool *is_own)
{
	const char *end = at;

	while (is_word(*end) || *end == '$')
		end++;
	if ((*at == 'e' || *at == 'E') && end == at + 1 && *end == '\'')
		return skip_quote(end, true);
	*is_own = is_one_of(at, (size_t)(end - at), is_first);
	return end;
}

bool
migrate_is_own_transaction(const char *text)
{
	bool is_first = true; /* the next word begins a statement */
	bool is_own = false;

	for (const char *at = text; *at && !is_own;) {
		const char *next = skip_comment(at);

		if (next != at) {
			at = next;
		} else if (*at == '\'' || *at == '"') {
			at = skip_quote(at, false);
		} else if (*at == '$') {
			at = skip_dollars(at);
		} else if (is_word(*at)) {
			at = take_word(at, is_first, &is_own);
			is_first = false;
		} else {
			is_first = *at == ';' || (is_first && isspace((unsigned char)*at));
			at++;
		}
	}
	return is_own;
}
