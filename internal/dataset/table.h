/* table.h - numbers by hash: an open-addressing table in one allocation, sized once.
 *
 * It stores ids and the upper half of their hashes; what an id means and when two are equal is the
 * caller's.  At most half full, so a probe is short. */
#ifndef DATASET_TABLE_H
#define DATASET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#define TABLE_NONE UINT32_MAX

struct table {
	uint64_t *slots; /* upper half of the hash, then 1 + id; 0: free */
	size_t mask;
};

/* Whether the entry of id is the one that ctx describes. */
typedef bool table_equal_fn(const void *ctx, uint32_t id);

/* An empty table for at most n entries.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status table_init(struct table *table, size_t n);

/* Releases the table.  Accepts one that is all zeros. */
void table_fini(struct table *table);

/* Finds the id of an equal entry; TABLE_NONE without one. */
uint32_t
table_find(const struct table *table, uint64_t hash, table_equal_fn *equal, const void *ctx);

/* Adds an id that is not there; ids are below TABLE_NONE. */
void table_add(struct table *table, uint64_t hash, uint32_t id);

#endif
