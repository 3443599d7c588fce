#include "jobs/recorder_inner.h"

#include <string.h>

#include "base/clock.h"

#define FULL_ITEMS  (INTAKE_ITEMS / 2)
#define FULL_BYTES  ((size_t)4 << 20)
#define MORE_MS     20  /* how long the first message of a batch waits for others */
#define OTHER_BYTES 512 /* headers and bookkeeping of a message, about */

void
recorder_intake_init(struct recorder_intake *intake)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&intake->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&intake->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void
recorder_intake_fini(struct recorder_intake *intake)
{
	for (; intake->n > 0; intake->n--) {
		kafka_message_free(intake->items[intake->first].message);
		intake->first = (intake->first + 1) % INTAKE_ITEMS;
	}
	pthread_cond_destroy(&intake->changed);
	pthread_mutex_destroy(&intake->lock);
}

static size_t
bytes_of(const struct recorder_item *item)
{
	size_t len;

	(void)kafka_message_value(item->message, &len);
	return len + OTHER_BYTES;
}

/* Whether there is as much as the writer takes at once. */
static bool
is_batch(const struct recorder_intake *intake)
{
	return intake->n >= PROJECTION_MAX || intake->bytes >= RECORDER_BATCH_BYTES;
}

bool
recorder_intake_add(struct recorder_intake *intake, const struct recorder_item *item)
{
	bool has_room;

	pthread_mutex_lock(&intake->lock);
	if (intake->is_closed || intake->n == INTAKE_ITEMS) {
		/* It is not recorded, so it is not committed either. */
		pthread_mutex_unlock(&intake->lock);
		kafka_message_free(item->message);
		return false;
	}
	intake->items[(intake->first + intake->n++) % INTAKE_ITEMS] = *item;
	intake->bytes += bytes_of(item);
	has_room = intake->n < FULL_ITEMS && intake->bytes < FULL_BYTES;
	if (!has_room)
		intake->is_full[item->topic] = true;
	/* Not for each: the writer waits for many. */
	if (intake->n == 1 || is_batch(intake))
		pthread_cond_signal(&intake->changed);
	pthread_mutex_unlock(&intake->lock);
	return has_room;
}

/* Waits, with the lock held, until at_ms or a change. */
static void
wait_until(struct recorder_intake *intake, int64_t at_ms)
{
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };

	(void)pthread_cond_timedwait(&intake->changed, &intake->lock, &at);
}

/* Waits, with the lock held, for the first message and then for company. */
static void
wait_for_batch(struct recorder_intake *intake)
{
	int64_t until_ms;

	while (intake->n == 0 && !intake->is_closed)
		pthread_cond_wait(&intake->changed, &intake->lock);
	until_ms = clock_mono_ms() + MORE_MS;
	while (!is_batch(intake) && !intake->is_closed && clock_mono_ms() < until_ms)
		wait_until(intake, until_ms);
}

static void
resume(struct recorder_intake *intake, bool resumes[PROJECTION_TOPICS])
{
	bool has_room = intake->n < FULL_ITEMS / 2 && intake->bytes < FULL_BYTES / 2;

	for (int i = 0; i < PROJECTION_TOPICS; i++) {
		resumes[i] = has_room && intake->is_full[i];
		if (resumes[i])
			intake->is_full[i] = false;
	}
}

size_t
recorder_intake_take(struct recorder_intake *intake, struct recorder_item *items, size_t max,
		     bool resumes[PROJECTION_TOPICS])
{
	size_t bytes = 0;
	size_t n = 0;

	pthread_mutex_lock(&intake->lock);
	wait_for_batch(intake);
	while (n < max && bytes < RECORDER_BATCH_BYTES && intake->n > 0 && !intake->is_abandoned) {
		items[n] = intake->items[intake->first];
		bytes += bytes_of(&items[n++]);
		intake->first = (intake->first + 1) % INTAKE_ITEMS;
		intake->n--;
	}
	intake->bytes -= bytes;
	resume(intake, resumes);
	pthread_mutex_unlock(&intake->lock);
	return n;
}

void
recorder_intake_close(struct recorder_intake *intake, bool abandon)
{
	pthread_mutex_lock(&intake->lock);
	intake->is_closed = true;
	intake->is_abandoned = intake->is_abandoned || abandon;
	pthread_cond_broadcast(&intake->changed);
	pthread_mutex_unlock(&intake->lock);
}

bool
recorder_intake_pause(struct recorder_intake *intake, int ms)
{
	int64_t until_ms = clock_mono_ms() + ms;
	bool is_abandoned;

	pthread_mutex_lock(&intake->lock);
	while (!intake->is_abandoned && clock_mono_ms() < until_ms)
		wait_until(intake, until_ms);
	is_abandoned = intake->is_abandoned;
	pthread_mutex_unlock(&intake->lock);
	return is_abandoned;
}
