/* cache.h - the rows of a step by key, for at most so long and so many bytes ("cache 5s" of a
 * dataset file).  Keys without rows are kept too.  The least recently used go first.
 *
 * Belongs to a plan and its thread.  Out of memory it keeps less; that is no error. */
#ifndef DATASET_CACHE_H
#define DATASET_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uthash.h>

#include "source/rows.h"

/* The rows of one key, in one allocation. */
struct cache_entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(cache_entry) link; /* by last use, oldest first */
	int64_t read_ms;               /* now_ms of the run that read it */
	int64_t as_of_ms;              /* of the rows, Unix time */
	size_t bytes;
	size_t n_rows;
	size_t n_columns;
	struct value *cells;
	const char *key;
};

struct cache;

/* A cache of at most limit_bytes and entries of less than max_age_ms; the caller frees it.  NULL
 * when out of memory. */
struct cache *cache_new(size_t limit_bytes, uint32_t max_age_ms);

/* Frees the cache.  Accepts NULL. */
void cache_free(struct cache *cache);

/* The rows of a tuple of n values, or NULL; valid until the next cache_put. */
const struct cache_entry *
cache_find(struct cache *cache, const struct value *const *tuple, size_t n, int64_t now_ms);

/* The rows that cache_put is to keep: n_rows of a set, by their numbers. */
struct cache_rows {
	const struct rows *rows;
	const uint32_t *numbers;
	size_t n_rows;
};

/* Keeps copies of the rows of a tuple of n values, in place of what was there. */
void cache_put(struct cache *cache, const struct value *const *tuple, size_t n,
	       const struct cache_rows *kept, int64_t now_ms);

/* What the entries take. */
size_t cache_bytes(const struct cache *cache);

#endif
