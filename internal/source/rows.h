/* rows.h - a set of rows with typed columns, filled by a source and read by the engine.
 *
 * Shape: n_rows x n_columns values, row by row.  Text lives in the set's own memory.  Cells and
 * text together never pass limit_bytes.  One thread at a time. */
#ifndef SOURCE_ROWS_H
#define SOURCE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "source/value.h"

struct rows_block; /* memory of texts */

struct rows {
	size_t n_columns;
	size_t n_rows;
	struct value *cells; /* n_rows * n_columns */
	int64_t as_of_ms;    /* Unix time at which the query began: the earliest any row was read */
	int64_t took_us;     /* from sending the query to its last row */
	/* rows.c's own */
	size_t cap_rows;
	size_t used_bytes;
	size_t limit_bytes;
	struct rows_block *blocks;
};

/* An empty set; NULL when out of memory.  The caller frees it. */
struct rows *rows_new(size_t n_columns, size_t limit_bytes);

/* Frees the set and every text in it.  Accepts NULL. */
void rows_free(struct rows *rows);

/* Adds a row of nulls (of type TALLY_ABSENT) and points *out_cells at its n_columns values, valid
 * until the next rows_add.  TALLY_TOO_LARGE past the limit, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status rows_add(struct rows *rows, struct value **out_cells);

/* Copies len bytes of text into the set's memory and points *out_text at the copy.
 * TALLY_TOO_LARGE past the limit, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status rows_copy_text(struct rows *rows, const char *text, size_t len,
					     const char **out_text);

/* The value in a row and column; borrowed. */
static inline const struct value *
rows_cell(const struct rows *rows, size_t row, size_t column)
{
	return &rows->cells[row * rows->n_columns + column];
}

#endif
