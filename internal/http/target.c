#include "http/target.h"

#include <stdlib.h>
#include <string.h>

/* How many bytes follow a lead byte, and the least code point that needs them; -1: not a lead. */
static int
followers(unsigned char lead, unsigned *out_bits, unsigned *out_least)
{
	if (lead < 0x80) {
		*out_bits = lead;
		*out_least = 0;
		return 0;
	}
	if (lead >= 0xc2 && lead <= 0xdf) {
		*out_bits = lead & 0x1f;
		*out_least = 0x80;
		return 1;
	}
	if (lead >= 0xe0 && lead <= 0xef) {
		*out_bits = lead & 0x0f;
		*out_least = 0x800;
		return 2;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		*out_bits = lead & 0x07;
		*out_least = 0x10000;
		return 3;
	}
	return -1;
}

bool
http_is_utf8(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned code, least;
		int n = followers((unsigned char)text[i++], &code, &least);

		if (n < 0 || len - i < (size_t)n)
			return false;
		for (; n > 0; n--, i++) {
			if (((unsigned char)text[i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | ((unsigned char)text[i] & 0x3f);
		}
		if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes text in place, which ends it earlier or where it was; *out_len is the new length. */
static tally_status
decode(char *text, bool is_query, size_t *out_len, struct tally_error *err)
{
	const char *from = text;
	char *to = text;

	while (*from) {
		int high, low;

		if (*from != '%') {
			*to++ = is_query && *from == '+' ? ' ' : *from;
			from++;
			continue;
		}
		high = hex_value(from[1]);
		low = high < 0 ? -1 : hex_value(from[2]);
		if (low < 0)
			return tally_fail(err, TALLY_BAD_REQUEST,
					  "the URL has a %% without two hexadecimal digits");
		if ((high << 4 | low) == 0)
			return tally_fail(err, TALLY_BAD_REQUEST, "the URL has a NUL byte (%%00)");
		*to++ = (char)(high << 4 | low);
		from += 3;
	}
	*to = '\0';
	*out_len = (size_t)(to - text);
	if (!http_is_utf8(text, *out_len))
		return tally_fail(err, TALLY_BAD_REQUEST, "the URL is not UTF-8");
	return TALLY_OK;
}

static tally_status
read_argument(char *text, struct http_target *target, struct tally_error *err)
{
	struct http_argument *argument = &target->arguments[target->n_arguments];
	char *equals = strchr(text, '=');
	char *value = equals ? equals + 1 : text + strlen(text);
	tally_status status;
	size_t name_len;

	if (target->n_arguments == TARGET_MAX_ARGUMENTS)
		return tally_fail(err, TALLY_BAD_REQUEST, "more than %d query parameters",
				  TARGET_MAX_ARGUMENTS);
	if (equals)
		*equals = '\0';
	status = decode(text, true, &name_len, err);
	if (status != TALLY_OK)
		return status;
	argument->name = text;
	argument->value = value;
	target->n_arguments++;
	return decode(value, true, &argument->len, err);
}

static tally_status
read_query(char *query, struct http_target *target, struct tally_error *err)
{
	while (query) {
		char *next = strchr(query, '&');
		tally_status status = TALLY_OK;

		if (next)
			*next++ = '\0';
		if (*query)
			status = read_argument(query, target, err);
		if (status != TALLY_OK)
			return status;
		query = next;
	}
	return TALLY_OK;
}

tally_status
http_target_parse(const char *raw, struct http_target *out_target, struct tally_error *err)
{
	char *query;
	size_t len;
	tally_status status;

	*out_target = (struct http_target){ .text = strdup(raw) };
	if (!out_target->text)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (raw[0] != '/')
		return tally_fail(err, TALLY_BAD_REQUEST, "the request target must begin with /");
	query = strchr(out_target->text, '?');
	if (query)
		*query++ = '\0';
	status = decode(out_target->text, false, &len, err);
	out_target->path = out_target->text;
	return status == TALLY_OK ? read_query(query, out_target, err) : status;
}

void
http_target_fini(struct http_target *target)
{
	free(target->text);
	*target = (struct http_target){ 0 };
}
