#include "gateway/prefer.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Larger waits mean "as long as you can". */
#define WAIT_CEILING_S 86400

/* One preference: name[=value], optional parameters after ';' left out. */
struct piece {
	const char *name;
	size_t name_len;
	const char *value;
	size_t value_len;
};

static const char *
skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Reads "value" in quotes or as a token; returns the first character after it. */
static const char *
read_value(const char *at, struct piece *piece)
{
	if (*at == '"') {
		piece->value = ++at;
		at += strcspn(at, "\"");
		piece->value_len = (size_t)(at - piece->value);
		return *at ? at + 1 : at;
	}
	piece->value = at;
	at += strcspn(at, " \t,;");
	piece->value_len = (size_t)(at - piece->value);
	return at;
}

/* Reads the next preference; NULL at the end. */
static const char *
next_piece(const char *at, struct piece *piece)
{
	*piece = (struct piece){ 0 };
	at += strspn(at, " \t,");
	if (!*at)
		return NULL;
	piece->name = at;
	at += strcspn(at, " \t,;=");
	piece->name_len = (size_t)(at - piece->name);
	at = skip_space(at);
	if (*at == '=')
		at = read_value(skip_space(at + 1), piece);
	return at + strcspn(at, ",");
}

static bool
is_named(const struct piece *piece, const char *name)
{
	return strlen(name) == piece->name_len
	       && strncasecmp(piece->name, name, piece->name_len) == 0;
}

static bool
read_seconds(const struct piece *piece, uint32_t *out_seconds)
{
	uint32_t seconds = 0;

	if (piece->value_len == 0)
		return false;
	for (size_t i = 0; i < piece->value_len; i++) {
		if (!isdigit((unsigned char)piece->value[i]))
			return false;
		seconds = seconds * 10 + (uint32_t)(piece->value[i] - '0');
		if (seconds > WAIT_CEILING_S)
			seconds = WAIT_CEILING_S;
	}
	*out_seconds = seconds;
	return true;
}

void
prefer_read(const char *value, struct prefer *prefer)
{
	struct piece piece;

	for (const char *at = next_piece(value, &piece); at; at = next_piece(at, &piece)) {
		if (is_named(&piece, "respond-async"))
			prefer->is_async = true;
		else if (is_named(&piece, "wait") && !prefer->has_wait)
			prefer->has_wait = read_seconds(&piece, &prefer->wait_s);
	}
}
