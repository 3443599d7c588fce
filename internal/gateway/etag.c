#include "gateway/etag.h"

#include <string.h>

static const char *
skip_weak(const char *tag)
{
	return strncmp(tag, "W/", 2) == 0 ? tag + 2 : tag;
}

bool
etag_is_listed(const char *list, const char *tag)
{
	const char *opaque = skip_weak(tag);
	size_t opaque_len = strlen(opaque);

	for (const char *at = list + strspn(list, " \t,"); *at; at += strspn(at, " \t,")) {
		if (*at == '*')
			return true;
		at = skip_weak(at);
		const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
		if (!end)
			return false;
		size_t len = (size_t)(end + 1 - at);
		if (len == opaque_len && memcmp(at, opaque, len) == 0)
			return true;
		at = end + 1;
	}
	return false;
}

struct search {
	const char *tag;
	bool is_found;
};

static void
look_at(const char *value, void *ctx)
{
	struct search *search = ctx;

	search->is_found = search->is_found || etag_is_listed(value, search->tag);
}

bool
etag_is_held(const struct http_request *request, const char *tag)
{
	struct search search = { .tag = tag };

	if (tag[0] != '\0')
		http_request_each_header(request, "If-None-Match", look_at, &search);
	return search.is_found;
}
