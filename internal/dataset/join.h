/* join.h - the two halves of a step: which keys to ask for, and joining the rows that came back.
 *
 * Nulls: a null parameter equals null; a line whose null key came from an earlier step takes no
 * part (null-extended under "keep", else dropped).  A key that cannot be represented is a fault of
 * its request, as is such a value of the column that a step is within. */
#ifndef DATASET_JOIN_H
#define DATASET_JOIN_H

#include "dataset/table.h"
#include "dataset/working.h"

/* The distinct key tuples of a working set. */
struct join_keys {
	struct value *values; /* key by key: values[key * n + tuple]; texts are borrowed */
	size_t n;
	/* "within": the widest period of all lines; null: an open end.  Texts are borrowed. */
	struct value from;
	struct value to;
};

/* Gathers the distinct tuples that a step is to be asked for; one empty tuple without "by".
 * Requests with a key that cannot be represented are marked in working->faults.  The caller
 * releases the result with join_keys_fini.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status join_gather(struct working *working, const struct plan_step *step,
					  struct join_keys *out_keys);

/* Releases the tuples.  Accepts all zeros. */
void join_keys_fini(struct join_keys *keys);

/* Joins rows to the working set, which owns them from here on, also on failure.  Lines of requests
 * with a fault are dropped.  TALLY_TOO_LARGE past limit_bytes for the working set with all its
 * rows (it is unchanged then, but for the rows), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status join_rows(struct working *working, const struct plan_step *step,
					struct rows *rows, size_t limit_bytes);

/* Rows by key: for finding those of a tuple. */
struct join_index {
	struct table table;
	uint32_t *next;  /* of the same key, in any order; TABLE_NONE at the end */
	uint32_t *count; /* by the first row of a key: how many there are */
	const struct plan_step *step;
	const struct rows *rows;
};

/* Indexes a step's rows by its keys.  rows is borrowed.  The caller frees the result.
 * NULL when out of memory. */
struct join_index *join_index_new(const struct plan_step *step, const struct rows *rows);

/* Frees the index.  Accepts NULL. */
void join_index_free(struct join_index *index);

/* The first row of a tuple: tuple[i] is the value of the i-th key.  TABLE_NONE without one. */
uint32_t join_index_find(const struct join_index *index, const struct value *const *tuple);

#endif
