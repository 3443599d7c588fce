/* cache.h - the rows of a step by key, for at most so long and so many bytes ("cache 5s" of a
 * dataset file).  Keys without rows are kept too.  What was read first goes first: with one age for
 * all it is what would be of no use first.
 *
 * Belongs to a plan and its thread.  Out of memory it keeps less; that is no error. */
#ifndef DATASET_CACHE_H
#define DATASET_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/rows.h"

struct cache;

/* The rows of one key; valid until the next cache_put. */
struct cache_hit {
	int64_t as_of_ms; /* of the rows, Unix time */
	size_t n_rows;
	const unsigned char *cells; /* row by row, to be read by unpack_value */
};

/* The rows that cache_put is to keep: n_rows of a set, by their numbers. */
struct cache_rows {
	const struct rows *rows;
	const uint32_t *numbers;
	size_t n_rows;
};

/* A cache of at most limit_bytes of entries (and a quarter of it for finding them), each of less
 * than max_age_ms; the caller frees it.  Its memory is the system's until it is used.  NULL when
 * out of memory. */
struct cache *cache_new(size_t limit_bytes, uint32_t max_age_ms);

/* Frees the cache.  Accepts NULL. */
void cache_free(struct cache *cache);

/* Finds the rows of a tuple of n values; false when they are not known, or too old. */
bool cache_find(struct cache *cache, const struct value *const *tuple, size_t n, int64_t now_ms,
		struct cache_hit *out_hit);

/* Keeps copies of the rows of a tuple of n values, in place of what was there.  now_ms, of a clock
 * that never goes back, is their age's beginning. */
void cache_put(struct cache *cache, const struct value *const *tuple, size_t n,
	       const struct cache_rows *kept, int64_t now_ms);

/* What the entries take, with those replaced or too old that are not gone yet. */
size_t cache_bytes(const struct cache *cache);

#endif
