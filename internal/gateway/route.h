/* route.h - which handler a method and a path belong to.
 *
 * A table of routes is the truth about the API: the dispatch, the header Allow and the check of the
 * OpenAPI document read it.  Pure functions over a table; any thread. */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#define ROUTE_PLAIN_MAX   4
#define ROUTE_ALLOW_BYTES 64

/* A set of outcomes: ROUTE_CAN(NOT_FOUND) | ROUTE_CAN(EXPIRED). */
#define ROUTE_CAN(name) (UINT64_C(1) << TALLY_##name)
_Static_assert(TALLY_STATUSES <= 64, "a set of outcomes is 64 bits");

struct exchange;

typedef void route_fn(const struct exchange *exchange);

struct route {
	const char *method;    /* GET answers HEAD, too */
	const char *path;      /* "/v1/jobs/{id}/result": {...} is one segment that is not empty */
	bool may_end_in_slash; /* the same with a slash at the end */
	bool needs_key;        /* an API key, where there are any */
	unsigned short plain[ROUTE_PLAIN_MAX]; /* HTTP statuses of what is no problem document */
	uint64_t problems;                     /* the problems it can answer with */
	route_fn *handle;
};

struct route_match {
	const struct route *route; /* NULL: none has this method; see is_path */
	bool is_path;              /* some route has the path */
	const char *variable;      /* in the path; NULL without one */
	size_t variable_len;
};

/* Finds the route of a request among n. */
struct route_match
route_find(const struct route *routes, size_t n, const char *method, const char *path);

/* Writes the methods that a path allows, as in the header Allow: "GET, HEAD, DELETE". */
void
route_allow(const struct route *routes, size_t n, const char *path, char out[ROUTE_ALLOW_BYTES]);

#endif
