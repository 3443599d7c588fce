#include "gateway/accept.h"

#include <string.h>
#include <strings.h>

#define QUALITY_FULL 1000

static const struct {
	const char *type; /* with the slash */
	const char *subtype;
} media[ACCEPT_FORMATS] = {
	[TRANSCODE_JSON] = { "application/", "json"     },
	[TRANSCODE_CSV] = { "text/",        "csv"      },
	[TRANSCODE_NDJSON] = { "application/", "x-ndjson" },
};

static bool
is_text(const char *at, size_t len, const char *text)
{
	return strlen(text) == len && strncasecmp(at, text, len) == 0;
}

/* How precisely a range of len bytes names a format; 0: not at all. */
static unsigned
precision(const char *range, size_t len, int format)
{
	const char *slash = memchr(range, '/', len);
	size_t type_len = slash ? (size_t)(slash + 1 - range) : 0;

	if (is_text(range, len, "*/*"))
		return 1;
	if (!slash || !is_text(range, type_len, media[format].type))
		return 0;
	if (is_text(slash + 1, len - type_len, "*"))
		return 2;
	return is_text(slash + 1, len - type_len, media[format].subtype) ? 3 : 0;
}

/* Reads "0.5"; what is no quality is 1, as if there were none. */
static unsigned
read_quality(const char *at, const char *end)
{
	unsigned quality = *at == '1' ? QUALITY_FULL : 0;

	if (at == end || (*at != '0' && *at != '1'))
		return QUALITY_FULL;
	if (++at == end || *at != '.')
		return quality;
	for (unsigned unit = 100; unit > 0 && ++at < end && *at >= '0' && *at <= '9'; unit /= 10)
		quality += (unsigned)(*at - '0') * unit;
	return quality > QUALITY_FULL ? QUALITY_FULL : quality;
}

/* The q among the parameters of a range, from its first ';'. */
static unsigned
find_quality(const char *at, const char *end)
{
	while (at < end && (at = memchr(at, ';', (size_t)(end - at))) != NULL) {
		at++;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (end - at > 2 && (*at == 'q' || *at == 'Q') && at[1] == '=')
			return read_quality(at + 2, end);
	}
	return QUALITY_FULL;
}

static void
read_range(const char *at, const char *end, struct accept *accept)
{
	size_t len = 0;

	while (at + len < end && !strchr("; \t", at[len]))
		len++;
	for (int i = 0; i < ACCEPT_FORMATS; i++) {
		unsigned precise = precision(at, len, i);
		if (precise <= accept->formats[i].precise)
			continue;
		accept->formats[i].precise = precise;
		accept->formats[i].quality = find_quality(at + len, end);
	}
}

void
accept_read(const char *value, struct accept *accept)
{
	for (const char *at = value + strspn(value, " \t,"); *at; at += strspn(at, " \t,")) {
		const char *end = at + strcspn(at, ",");

		accept->is_given = true;
		read_range(at, end, accept);
		at = end;
	}
}

static void
read_line(const char *value, void *ctx)
{
	accept_read(value, ctx);
}

void
accept_read_request(const struct http_request *request, struct accept *out_accept)
{
	*out_accept = (struct accept){ .is_given = false };
	http_request_each_header(request, "Accept", read_line, out_accept);
}

bool
accept_choose(const struct accept *accept, enum transcode_format preferred,
	      enum transcode_format *out_format)
{
	int best = preferred;

	if (!accept->is_given) {
		*out_format = preferred;
		return true;
	}
	for (int i = 0; i < ACCEPT_FORMATS; i++) {
		if (accept->formats[i].quality > accept->formats[best].quality)
			best = i;
	}
	if (accept->formats[best].quality == 0)
		return false;
	*out_format = (enum transcode_format)best;
	return true;
}
