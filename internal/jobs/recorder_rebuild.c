/* Everything that the topics hold, once more into an empty store.  In any order of the topics: the
 * rules of a projection see to that, as they do when recorders read them. */
#include "jobs/recorder_inner.h"

#include <stdlib.h>

#include "base/clock.h"
#include "kafka/browse.h"

#define NEXT_MS     1000
#define TRY_MS      30000 /* how long the store, or the broker, may be away */
#define PROGRESS_MS 500

struct rebuild {
	const struct recorder_options *options;
	struct recorder_step step;
	struct recorder_item items[PROJECTION_MAX];
	size_t n;
	size_t bytes;
	_Atomic uint64_t n_recorded;
	_Atomic uint64_t n_refused;
	struct recorder_progress progress;
	void (*on_progress)(void *ctx, const struct recorder_progress *progress);
	int64_t told_at_ms;
};

static const char *const topics[PROJECTION_TOPICS] = {
	[PROJECTION_REQUESTS] = TALLY_TOPIC_REQUESTS_JOBS,
	[PROJECTION_RESULTS] = TALLY_TOPIC_RESULTS,
	[PROJECTION_CONTROL] = TALLY_TOPIC_CONTROL,
};

static void
tell(struct rebuild *rebuild, bool is_last)
{
	int64_t now_ms = clock_mono_ms();

	if (!rebuild->on_progress || (!is_last && now_ms - rebuild->told_at_ms < PROGRESS_MS))
		return;
	rebuild->told_at_ms = now_ms;
	rebuild->on_progress(rebuild->options->ctx, &rebuild->progress);
}

/* ---- writing ----------------------------------------------------------------- */

static tally_status
step(struct rebuild *rebuild, size_t from, size_t *out_n, struct tally_error *err)
{
	const struct timespec pause = { 0, 100000000 };
	int64_t until_ms = clock_mono_ms() + TRY_MS;
	tally_status status;

	do {
		status = recorder_step(&rebuild->step, rebuild->items + from, rebuild->n - from,
				       out_n, err);
		if (status != TALLY_JOB_STORE_UNAVAILABLE)
			return status;
		nanosleep(&pause, NULL);
	} while (clock_mono_ms() < until_ms);
	return status;
}

/* Records what has been gathered; all of it is freed in any case. */
static tally_status
flush(struct rebuild *rebuild, struct tally_error *err)
{
	tally_status status = TALLY_OK;
	size_t n_done = 0;

	while (n_done < rebuild->n && status == TALLY_OK) {
		size_t n = 0;

		status = step(rebuild, n_done, &n, err);
		n_done += n;
	}
	for (size_t i = 0; i < rebuild->n; i++)
		kafka_message_free(rebuild->items[i].message);
	rebuild->progress.n_done += n_done;
	rebuild->n = 0;
	rebuild->bytes = 0;
	tell(rebuild, false);
	return status;
}

/* ---- reading ----------------------------------------------------------------- */

static tally_status
take(struct rebuild *rebuild, enum projection_topic topic, struct kafka_message *message,
     struct tally_error *err)
{
	size_t len;

	(void)kafka_message_value(message, &len);
	rebuild->bytes += len;
	rebuild->items[rebuild->n++] = (struct recorder_item){ .message = message, .topic = topic };
	if (rebuild->n < PROJECTION_MAX && rebuild->bytes < RECORDER_BATCH_BYTES)
		return TALLY_OK;
	return flush(rebuild, err);
}

static tally_status
read_messages(struct rebuild *rebuild, enum projection_topic topic, struct kafka_browse *browse,
	      struct tally_error *err)
{
	int64_t heard_ms = clock_mono_ms();

	for (;;) {
		struct kafka_message *message = NULL;
		tally_status status = kafka_browse_next(browse, NEXT_MS, &message);

		if (status == TALLY_CLOSED)
			return flush(rebuild, err);
		if (status == TALLY_DEADLINE_EXCEEDED && clock_mono_ms() - heard_ms < TRY_MS)
			continue;
		if (status == TALLY_DEADLINE_EXCEEDED)
			return tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "nothing more of %s comes",
					  topics[topic]);
		if (status == TALLY_OK)
			status = take(rebuild, topic, message, err);
		if (status != TALLY_OK)
			return status;
		heard_ms = clock_mono_ms();
	}
}

static tally_status
read_topic(struct rebuild *rebuild, enum projection_topic topic, struct tally_error *err)
{
	const struct kafka_browse_options options = { .topic = topics[topic] };
	struct kafka_browse *browse = NULL;
	tally_status status = kafka_browse_open(rebuild->options->kafka, &options, &browse, err);

	if (status == TALLY_OK)
		status = read_messages(rebuild, topic, browse, err);
	/* Of a failure: librdkafka waits for its messages. */
	while (rebuild->n > 0)
		kafka_message_free(rebuild->items[--rebuild->n].message);
	kafka_browse_close(browse);
	return status;
}

/* How many messages there are, for the progress. */
static tally_status
count_messages(struct rebuild *rebuild, struct tally_error *err)
{
	struct kafka_ranges *ranges = NULL;
	tally_status status = kafka_ranges_start(rebuild->options->kafka, &ranges, err);

	for (int i = 0; i < PROJECTION_TOPICS && status == TALLY_OK; i++) {
		const struct kafka_range *all;
		size_t n = 0;

		status = kafka_ranges_ask(ranges, topics[i], 10 * RECORDER_ASK_MS, &all, &n, err);
		for (size_t j = 0; j < n; j++)
			rebuild->progress.n_all += (uint64_t)(all[j].end - all[j].begin);
	}
	kafka_ranges_stop(ranges);
	return status;
}

/* ---- all of it --------------------------------------------------------------- */

static tally_status
check_store(struct rebuild *rebuild, struct tally_error *err)
{
	bool is_empty = false;
	tally_status status = record_is_empty(rebuild->step.record, &is_empty, err);

	if (status == TALLY_OK && !is_empty)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "the job store is not empty: tally migrate down jobs --all, then "
				  "up jobs");
	if (status == TALLY_INTERNAL_ERROR) /* it has no such tables */
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "the job store has no tables: tally migrate up jobs");
	return status;
}

static tally_status
rebuild_all(struct rebuild *rebuild, struct tally_error *err)
{
	const struct record_options record = {
		.url = rebuild->options->url,
		.timeout_ms = rebuild->options->timeout_ms,
		.stop_fd = -1,
		.is_rebuild = true,
	};
	tally_status status = recorder_step_init(&rebuild->step, rebuild->options, &record, err);

	if (status == TALLY_OK)
		status = check_store(rebuild, err);
	if (status == TALLY_OK)
		status = count_messages(rebuild, err);
	if (status == TALLY_OK)
		status = recorder_step_begin(&rebuild->step, rebuild->options->kafka, err);
	for (int i = 0; i < PROJECTION_TOPICS && status == TALLY_OK; i++)
		status = read_topic(rebuild, (enum projection_topic)i, err);
	if (status == TALLY_OK)
		tell(rebuild, true);
	return status;
}

tally_status
recorder_rebuild(const struct recorder_options *options,
		 void (*on_progress)(void *ctx, const struct recorder_progress *progress),
		 struct tally_error *err)
{
	struct rebuild *rebuild = calloc(1, sizeof *rebuild);
	tally_status status;

	if (!rebuild)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	rebuild->options = options;
	rebuild->on_progress = on_progress;
	rebuild->step.n_recorded = &rebuild->n_recorded;
	rebuild->step.n_refused = &rebuild->n_refused;
	status = rebuild_all(rebuild, err);
	recorder_step_fini(&rebuild->step);
	free(rebuild);
	return status;
}
