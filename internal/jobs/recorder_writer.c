#include "jobs/recorder_inner.h"

#include <stdlib.h>
#include <sys/random.h>

#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 2000

enum { WARNING = 4, NOTICE = 5 };

/* The messages that are being recorded. */
struct batch {
	struct recorder_item items[PROJECTION_MAX];
	size_t n;
	size_t n_done;
	int pause_ms; /* before the next attempt; 0: the last one was successful */
};

static void
finish(struct recorder *recorder, struct batch *batch, size_t n)
{
	for (; n > 0; n--) {
		const struct recorder_item *item = &batch->items[batch->n_done++];

		kafka_group_done(recorder->groups[item->topic],
				 kafka_message_partition(item->message),
				 kafka_message_offset(item->message), item->epoch);
		kafka_message_free(item->message);
	}
}

/* Says once that the store is away, and once that it is back. */
static void
note(struct recorder *recorder, struct batch *batch, tally_status status,
     const struct tally_error *err)
{
	if (status == TALLY_OK && batch->pause_ms > 0)
		recorder_log(recorder, NOTICE, "recording again");
	if (status != TALLY_OK && status != TALLY_CLOSED && batch->pause_ms == 0)
		recorder_log(recorder, WARNING, "recording stands still, trying again code=%s: %s",
			     tally_status_code(status), err->detail);
	atomic_store(&recorder->is_up, status == TALLY_OK);
}

/* Puts the next attempt off; with jitter, so that recorders do not come back together.  False when
 * the writer is to give up. */
static bool
put_off(struct recorder *recorder, struct batch *batch)
{
	uint32_t random = UINT32_MAX / 2;

	batch->pause_ms = batch->pause_ms == 0 ? PAUSE_MIN_MS : batch->pause_ms * 2;
	if (batch->pause_ms > PAUSE_MAX_MS)
		batch->pause_ms = PAUSE_MAX_MS;
	(void)!getrandom(&random, sizeof random, GRND_NONBLOCK); /* only the jitter is lost */
	return !recorder_intake_pause(
	    &recorder->intake, batch->pause_ms / 2 + (int)(random % (unsigned)batch->pause_ms) / 2);
}

/* Records the batch, however long the store is away.  False when the writer is to give up. */
static bool
record_batch(struct recorder *recorder, struct batch *batch, bool *has_begun)
{
	while (batch->n_done < batch->n) {
		struct tally_error err = { 0 };
		size_t n = 0;
		tally_status status = TALLY_OK;

		if (!*has_begun)
			status =
			    recorder_step_begin(&recorder->step, recorder->options.kafka, &err);
		*has_begun = *has_begun || status == TALLY_OK;
		if (status == TALLY_OK)
			status = recorder_step(&recorder->step, batch->items + batch->n_done,
					       batch->n - batch->n_done, &n, &err);
		note(recorder, batch, status, &err);
		if (status == TALLY_OK) {
			batch->pause_ms = 0;
			finish(recorder, batch, n);
		} else if (status == TALLY_CLOSED || !put_off(recorder, batch)) {
			return false;
		}
	}
	return true;
}

static void
write_batches(struct recorder *recorder, struct batch *batch)
{
	bool has_begun = false;
	bool goes_on = true;

	while (goes_on) {
		bool resumes[PROJECTION_TOPICS];

		batch->n_done = 0;
		batch->n =
		    recorder_intake_take(&recorder->intake, batch->items, PROJECTION_MAX, resumes);
		for (int i = 0; i < PROJECTION_TOPICS; i++) {
			if (resumes[i])
				kafka_group_resume(recorder->groups[i]);
		}
		goes_on = batch->n > 0 && record_batch(recorder, batch, &has_begun);
	}
	/* Not recorded, hence not committed. */
	while (batch->n_done < batch->n)
		kafka_message_free(batch->items[batch->n_done++].message);
}

void *
recorder_run_writer(void *arg)
{
	struct recorder *recorder = arg;
	struct batch *batch = calloc(1, sizeof *batch);

	if (batch)
		write_batches(recorder, batch);
	else
		recorder_log(recorder, WARNING, "no memory to record");
	free(batch);
	atomic_store(&recorder->has_written, true);
	return NULL;
}
