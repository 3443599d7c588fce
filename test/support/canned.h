/* canned.h - a source of canned rows, for tests of the engine without a database.
 *
 * It does what a well-behaved statement does: of its table it returns the rows whose columns are
 * equal to the binds of the same names (of a scalar: and an underscore; null equals null), each
 * once.  It answers at once or through a loop, fails as it is told to, and counts.  One thread: the
 * loop's. */
#ifndef SUPPORT_CANNED_H
#define SUPPORT_CANNED_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "source/source.h"

#define CANNED_AT_ONCE (-1)

/* May refuse a query: any status but TALLY_OK is how it ends, with err. */
typedef tally_status
canned_check_fn(void *ctx, const struct source_query *query, struct tally_error *err);

/* Adds rows of its own making in place of a table's. */
typedef tally_status canned_rows_fn(void *ctx, const struct source_query *query, struct rows *rows);

/* A statement that the source knows: the first whose tag is in the SQL text.  The caller owns it
 * and may change it between queries. */
struct canned_statement {
	const char *tag;
	const char *columns;     /* "login text, id int" */
	const char *const *rows; /* "ann|1", NULL-ended; cells in public form, ~ null, ! bad */
	canned_rows_fn *answer;  /* NULL: rows */
	canned_check_fn *check;  /* NULL: accepts all */
	void *ctx;               /* of both */
	int delay_ms;            /* CANNED_AT_ONCE: before source_query returns */
	tally_status described;  /* how descriptions end */
	int64_t as_of_ms;
	uint64_t shuffle; /* a seed: rows come in another order; 0: as they stand */
	/* what happened */
	unsigned n_calls;
	size_t n_keys; /* of the last query */
	unsigned n_cancelled;
};

/* A source of kind "canned"; name, loop and the n statements are borrowed.  NULL when out of
 * memory.  Freed by source_free. */
struct source *
canned_new(const char *name, struct loop *loop, struct canned_statement *statements, size_t n);

#endif
