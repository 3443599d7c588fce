#include "gateway/route.h"

#include <string.h>

/* Compares a path with the route's; what stands for {...} goes to *match. */
static bool
fits(const struct route *route, const char *path, struct route_match *match)
{
	const char *at = route->path;

	while (*at) {
		if (*at != '{') {
			if (*at++ != *path++)
				return false;
			continue;
		}
		size_t len = strcspn(path, "/");
		if (len == 0)
			return false;
		match->variable = path;
		match->variable_len = len;
		path += len;
		at += strcspn(at, "}") + 1;
	}
	if (route->may_end_in_slash && *path == '/')
		path++;
	return *path == '\0';
}

static bool
takes(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0
	       || (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

struct route_match
route_find(const struct route *routes, size_t n, const char *method, const char *path)
{
	struct route_match found = { .route = NULL };

	for (size_t i = 0; i < n; i++) {
		struct route_match match = { .route = &routes[i], .is_path = true };

		if (!fits(&routes[i], path, &match))
			continue;
		if (takes(&routes[i], method))
			return match;
		found.is_path = true;
	}
	return found;
}

static void
add(char out[ROUTE_ALLOW_BYTES], const char *method)
{
	size_t len = strlen(out);

	snprintf(out + len, ROUTE_ALLOW_BYTES - len, "%s%s%s", len > 0 ? ", " : "", method,
		 strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

void
route_allow(const struct route *routes, size_t n, const char *path, char out[ROUTE_ALLOW_BYTES])
{
	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		struct route_match match;

		if (fits(&routes[i], path, &match))
			add(out, routes[i].method);
	}
}
