/* options.h - what every kind of source is opened with. */
#ifndef SOURCE_OPTIONS_H
#define SOURCE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct source_options {
	const char *name; /* "db1"; copied */
	const char *url;  /* postgresql://..., clickhouse://...; copied */
	struct loop *loop;
	size_t connections;   /* at least 1 */
	size_t queue_max;     /* queries that may wait; descriptions always may */
	int query_timeout_ms; /* the server's own limit for a query; 0: none */
	uint64_t seed;        /* of the jitter between attempts to connect */
};

#endif
