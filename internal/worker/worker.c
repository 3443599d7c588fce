#include "worker/worker.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/watchdog.h"
#include "config/program.h"

#define LANES SOLO_SEATS

static const struct lane_kind *const kinds[LANES] = { &lane_sync, &lane_jobs };

struct worker {
	struct lane_events events;
	struct solo *solo;
	struct watchdog *watchdog;
	atomic_int n_ready;
	struct lane *lanes[LANES]; /* NULL: not started */
};

static void
on_ready(void *ctx)
{
	struct worker *worker = ctx;

	if (atomic_fetch_add(&worker->n_ready, 1) + 1 == LANES)
		worker->events.on_ready(worker->events.ctx);
}

static void
on_fatal(void *ctx, const struct tally_error *err)
{
	struct worker *worker = ctx;

	worker->events.on_fatal(worker->events.ctx, err);
}

static tally_status
start_lanes(struct worker *worker, const struct worker_options *options, struct tally_error *err)
{
	for (int i = 0; i < LANES; i++) {
		const struct lane_options lane = {
			.kind = kinds[i],
			.config = options->config,
			.kafka = options->kafka,
			.catalog = options->catalog,
			.events = { on_ready, on_fatal, worker },
			.solo = worker->solo,
			.seat = i,
			.watchdog = worker->watchdog,
		};
		tally_status status = lane_start(&lane, &worker->lanes[i], err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

tally_status
worker_start(const struct worker_options *options, struct worker **out_worker,
	     struct tally_error *err)
{
	struct worker *worker = calloc(1, sizeof *worker);

	if (!worker)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	worker->events = options->events;
	worker->solo = solo_new();
	/* A lane that hangs would keep its partitions for ever: librdkafka's threads go on. */
	tally_status status =
	    worker->solo
		? watchdog_start(options->config->watchdog_ms, program_on_hang,
				 (void *)(uintptr_t)options->config, &worker->watchdog, err)
		: tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK)
		status = start_lanes(worker, options, err);
	if (status != TALLY_OK) {
		worker_stop(worker, 0);
		return status;
	}
	*out_worker = worker;
	return TALLY_OK;
}

void
worker_stop(struct worker *worker, int drain_ms)
{
	if (!worker)
		return;
	int64_t until_ms = clock_mono_ms() + drain_ms;

	/* Both stop taking, and both work on while the first is waited for. */
	for (int i = 0; i < LANES; i++)
		lane_quiesce(worker->lanes[i]);
	for (int i = 0; i < LANES; i++) {
		int64_t left_ms = until_ms - clock_mono_ms();
		lane_stop(worker->lanes[i], left_ms > 0 ? (int)left_ms : 0);
	}
	watchdog_stop(worker->watchdog);
	solo_free(worker->solo);
	free(worker);
}

bool
worker_is_ready(const struct worker *worker)
{
	for (int i = 0; i < LANES; i++) {
		if (!lane_is_ready(worker->lanes[i]))
			return false;
	}
	return true;
}
