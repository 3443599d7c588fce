#include "source/ending.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/own.h"

struct description {
	struct source_query query; /* first: the one is found by the other */
	source_described_fn *done;
	void *ctx;
	struct source_shape *shape;
};

static void
on_described(void *ctx, struct source_query *query, tally_status status, struct rows *rows,
	     const struct tally_error *err)
{
	struct description *description = ctx;
	struct description over = *description;

	(void)query;
	(void)rows;
	free(description);
	over.done(over.ctx, status, over.shape, err);
}

bool
source_is_description(const struct source_query *query)
{
	return query->done == on_described;
}

int64_t
source_wait_until_ms(const struct source_query *query, int query_timeout_ms)
{
	int64_t silent_ms = clock_mono_ms() + query_timeout_ms + SOURCE_SILENCE_MS;

	return query_timeout_ms > 0 && silent_ms < query->deadline_ms ? silent_ms
								      : query->deadline_ms;
}

tally_status
source_late_status(const struct source_query *query, const char **out_what)
{
	if (clock_mono_ms() >= query->deadline_ms) {
		*out_what = "no answer before the deadline";
		return TALLY_DEADLINE_EXCEEDED;
	}
	*out_what = "no answer, though the server's own limit for a query is over";
	return TALLY_SOURCE_UNAVAILABLE;
}

void
source_deliver(struct source *source, struct source_query *query, struct source_outcome *outcome)
{
	outcome->err.status = outcome->status;
	(void)snprintf(outcome->err.source, sizeof outcome->err.source, "%s", source->name);
	source->stats.queries++;
	source->stats.errors += outcome->status != TALLY_OK;
	if (source_is_description(query))
		((struct description *)query->ctx)->shape = TAKE(outcome->shape);
	query->done(query->ctx, query, outcome->status, TAKE(outcome->rows), &outcome->err);
}

void
source_refuse(struct source *source, struct source_query *query, tally_status status,
	      const char *what)
{
	struct source_outcome outcome = { .status = status };

	(void)tally_fail(&outcome.err, status, "%s %s", source->name, what);
	source_deliver(source, query, &outcome);
}

void
source_describe_by_query(struct source *source, const struct source_statement *statement,
			 int64_t deadline_ms, source_described_fn *done, void *ctx)
{
	struct description *description = calloc(1, sizeof *description);
	struct tally_error err;

	if (!description) {
		done(ctx, tally_fail(&err, TALLY_NO_MEMORY, "out of memory"), NULL, &err);
		return;
	}
	description->query = (struct source_query){
		.statement = statement,
		.deadline_ms = deadline_ms,
		.done = on_described,
		.ctx = description,
	};
	description->done = done;
	description->ctx = ctx;
	source_query(source, &description->query);
}
