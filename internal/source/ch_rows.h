/* ch_rows.h - an answer in RowBinaryWithNamesAndTypes, read piece by piece as it comes.
 *
 *   number of columns | their names | their types | rows, one value after the other
 *
 * Numbers of columns and lengths of text are LEB128.  A piece may end anywhere, also inside a
 * number; what is not whole yet is kept.  Nothing is trusted: a length is looked at before anything
 * is kept for it, and an answer that ends anywhere but between two rows is none.  One thread. */
#ifndef SOURCE_CH_ROWS_H
#define SOURCE_CH_ROWS_H

#include "base/buf.h"
#include "source/ch_type.h"
#include "source/source.h"

enum ch_stage { CH_STAGE_COUNT, CH_STAGE_NAMES, CH_STAGE_TYPES, CH_STAGE_CELLS };

struct ch_rows {
	const char *where;                   /* "comments.sql:14", for errors; borrowed */
	const struct source_shape *expected; /* what the columns must be; NULL: any known types */
	enum ch_stage stage;
	size_t n_columns;
	size_t at;             /* the column whose name, type or value is next */
	char **names;          /* n_columns, owned */
	struct ch_type *types; /* n_columns, owned */
	size_t budget_bytes;
	struct rows *rows;   /* owned; there from the first row on */
	struct value *cells; /* of the row that is being read */
	struct buf rest;     /* the beginning of what is not whole yet */
};

/* Begins an answer; fini also after a failure. */
void ch_rows_init(struct ch_rows *answer, const struct source_shape *expected, const char *where,
		  size_t budget_bytes);

/* Frees what is there.  Accepts a zeroed one. */
void ch_rows_fini(struct ch_rows *answer);

/* Reads the next piece.  TALLY_SOURCE_ERROR: not this format, a type that Tally does not know, or
 * other columns than expected; TALLY_TOO_LARGE: past budget_bytes; TALLY_NO_MEMORY.  Nothing may be
 * fed after a failure. */
TALLY_MUST_CHECK tally_status ch_rows_feed(struct ch_rows *answer, const char *data, size_t len,
					   struct tally_error *err);

/* Whether the answer may end here: after the columns' types, between two rows. */
bool ch_rows_is_whole(const struct ch_rows *answer);

/* Moves the rows of a whole answer out; the caller frees them.  NULL when out of memory. */
struct rows *ch_rows_take(struct ch_rows *answer);

#endif
