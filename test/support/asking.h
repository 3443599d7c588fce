/* asking.h - a source on its own loop, asked one thing at a time or many, for the tests. */
#ifndef SUPPORT_ASKING_H
#define SUPPORT_ASKING_H

#include <stdbool.h>

#include "base/loop.h"
#include "source/source.h"

#define ASKING_PATIENCE_MS 20000

/* A query or description, and how it ended. */
struct asking {
	struct source_statement statement;
	struct source_shape shape; /* borrowed by the statement when it has columns */
	struct source_query query;
	bool is_over;
	int n_done;
	tally_status status;
	struct rows *rows;
	struct source_shape *described;
	struct tally_error err;
	int64_t ended_ms;
};

/* Prepares a query of a statement with binds (n_binds, may be 0): a new id, 10 s, 1 MiB. */
void asking_init(struct asking *asking, const char *sql, const struct source_bind *binds,
		 size_t n_binds, const struct source_argument *arguments);

/* Asks; the loop must run for the answer. */
void asking_start(struct asking *asking, struct source *source);
void asking_describe(struct asking *asking, struct source *source);

/* Runs the loop until it is over; false after ASKING_PATIENCE_MS. */
bool asking_wait(struct asking *asking, struct loop *loop);

/* Asks and waits. */
tally_status asking_run(struct asking *asking, struct source *source, struct loop *loop);

/* Frees the rows and the shape. */
void asking_fini(struct asking *asking);

#endif
