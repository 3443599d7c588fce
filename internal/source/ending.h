/* ending.h - inside the folder only: how a query ends, whatever the database; and descriptions,
 * which wait and run as queries.  The loop's thread. */
#ifndef SOURCE_ENDING_H
#define SOURCE_ENDING_H

#include "source/source.h"

/* What became of a query. */
struct source_outcome {
	tally_status status;
	struct rows *rows;          /* owned */
	struct source_shape *shape; /* owned; of a description */
	struct tally_error err;
};

/* Tells a query that it is over, and counts it.  The outcome's rows and shape go to it. */
void
source_deliver(struct source *source, struct source_query *query, struct source_outcome *outcome);

/* Fails a query that has not begun; what: after the source's name, for people. */
void source_refuse(struct source *source, struct source_query *query, tally_status status,
		   const char *what);

#define SOURCE_SILENCE_MS 5000

/* Until when a query that begins now is waited for: its deadline, or SOURCE_SILENCE_MS past the
 * server's own limit (0: none), when nobody can be there any more who would answer. */
int64_t source_wait_until_ms(const struct source_query *query, int query_timeout_ms);

/* How a query ends that was waited for until then. */
tally_status source_late_status(const struct source_query *query, const char **out_what);

/* Describes a statement by way of source_query: as source_describe. */
void source_describe_by_query(struct source *source, const struct source_statement *statement,
			      int64_t deadline_ms, source_described_fn *done, void *ctx);

/* Whether a query is a description: its statement is to be prepared, not run. */
bool source_is_description(const struct source_query *query);

#endif
