#include "source/clickhouse.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "source/ch_pool.h"
#include "source/ending.h"

static void
clickhouse_query(struct source *source, struct source_query *query)
{
	struct clickhouse *clickhouse = (struct clickhouse *)source;

	query->connection = NULL;
	query->since_ms = clock_mono_ms();
	if (clickhouse->is_closing) {
		source_refuse(&clickhouse->source, query, TALLY_CANCELLED, "is being closed");
		return;
	}
	if (query->deadline_ms <= query->since_ms) {
		source_refuse(&clickhouse->source, query, TALLY_DEADLINE_EXCEEDED,
			      "was asked after the deadline");
		return;
	}
	if (clickhouse->n_waiting >= clickhouse->queue_max && !source_is_description(query)
	    && !ch_pool_has_idle(clickhouse)) {
		source_refuse(&clickhouse->source, query, TALLY_SATURATED,
			      "has too many queries waiting");
		return;
	}
	ch_pool_take(clickhouse, query);
}

static void
clickhouse_cancel(struct source *source, struct source_query *query)
{
	ch_pool_abort((struct clickhouse *)source, query, TALLY_CANCELLED);
}

static void
clickhouse_free(struct source *source)
{
	struct clickhouse *clickhouse = (struct clickhouse *)source;

	clickhouse->is_closing = true;
	ch_pool_fini(clickhouse);
	ch_settings_fini(&clickhouse->settings);
	free(clickhouse->name);
	free(clickhouse);
}

static const struct source_ops clickhouse_ops = {
	.kind = "clickhouse",
	.query = clickhouse_query,
	.cancel = clickhouse_cancel,
	.describe = source_describe_by_query,
	.free = clickhouse_free,
};

static struct clickhouse *
new_clickhouse(const struct source_options *options)
{
	struct clickhouse *clickhouse =
	    calloc(1, sizeof *clickhouse + options->connections * sizeof *clickhouse->slots);

	if (!clickhouse)
		return NULL;
	clickhouse->source.ops = &clickhouse_ops;
	clickhouse->loop = options->loop;
	clickhouse->queue_max = options->queue_max;
	clickhouse->query_timeout_ms = options->query_timeout_ms;
	clickhouse->n_slots = options->connections;
	clickhouse->patience =
	    (struct loop_timer){ .on_time = ch_pool_on_patience, .ctx = clickhouse };
	TAILQ_INIT(&clickhouse->waiting);
	clickhouse->name = strdup(options->name);
	clickhouse->source.name = clickhouse->name;
	if (getrandom(&clickhouse->instance, sizeof clickhouse->instance, GRND_NONBLOCK)
	    != sizeof clickhouse->instance)
		clickhouse->instance = options->seed;
	return clickhouse;
}

tally_status
source_clickhouse_open(const struct source_options *options, struct source **out_source,
		       struct tally_error *err)
{
	struct clickhouse *clickhouse;
	tally_status status;

	if (options->connections == 0)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: no connections", options->name);
	clickhouse = new_clickhouse(options);
	if (!clickhouse)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status =
	    ch_settings_init(&clickhouse->settings, options->name, options->url, CH_READS, err);
	if (status == TALLY_OK && (!clickhouse->name || ch_pool_init(clickhouse) != TALLY_OK))
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status != TALLY_OK) {
		clickhouse_free(&clickhouse->source);
		return status;
	}
	*out_source = &clickhouse->source;
	return TALLY_OK;
}
