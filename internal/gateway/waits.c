#include "gateway/waits.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* An allocation that fails must not end the process: uthash then leaves the element out. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Of its own, so that the header needs no uthash. */
struct waits_entry {
	struct wait *wait;
	UT_hash_handle hh;
};

struct waits {
	size_t max_waits;
	pthread_mutex_t lock; /* guards everything below */
	bool is_closed;
	size_t n;
	struct waits_entry *ids;
	/* Sorted by deadline: waits of equal length end in the order in which they began. */
	struct wait_list by_wait[WAITS_MAX_WAIT_S + 1];
};

struct waits *
waits_new(size_t max_waits)
{
	struct waits *waits = calloc(1, sizeof *waits);

	if (!waits)
		return NULL;
	waits->max_waits = max_waits;
	pthread_mutex_init(&waits->lock, NULL);
	for (size_t i = 0; i <= WAITS_MAX_WAIT_S; i++)
		TAILQ_INIT(&waits->by_wait[i]);
	return waits;
}

void
waits_free(struct waits *waits)
{
	if (!waits)
		return;
	assert(waits->n == 0);
	pthread_mutex_destroy(&waits->lock);
	free(waits);
}

/* ---- under the lock ---------------------------------------------------------- */

static struct waits_entry *
find(struct waits *waits, const char *id)
{
	struct waits_entry *entry;

	HASH_FIND(hh, waits->ids, id, TALLY_JOB_ID_CHARS, entry);
	return entry;
}

/* Nearly always the last; two threads may have read the clock in another order. */
static void
attach(struct wait_list *list, struct wait *wait)
{
	struct wait *before = TAILQ_LAST(list, wait_list);

	while (before && before->deadline_ms > wait->deadline_ms)
		before = TAILQ_PREV(before, wait_list, link);
	if (before)
		TAILQ_INSERT_AFTER(list, before, wait, link);
	else
		TAILQ_INSERT_HEAD(list, wait, link);
}

static void
detach(struct waits *waits, struct wait *wait)
{
	struct waits_entry *entry = wait->entry;

	HASH_DELETE(hh, waits->ids, entry);
	TAILQ_REMOVE(&waits->by_wait[wait->wait_s], wait, link);
	wait->entry = NULL;
	waits->n--;
	free(entry);
}

static tally_status
add_locked(struct waits *waits, struct wait *wait)
{
	if (waits->is_closed)
		return TALLY_CLOSED;
	if (waits->n >= waits->max_waits)
		return TALLY_SATURATED;
	struct waits_entry *entry = calloc(1, sizeof *entry);
	if (!entry)
		return TALLY_NO_MEMORY;
	assert(!find(waits, wait->id.text));
	entry->wait = wait;
	HASH_ADD_KEYPTR(hh, waits->ids, wait->id.text, TALLY_JOB_ID_CHARS, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return TALLY_NO_MEMORY;
	}
	wait->entry = entry;
	attach(&waits->by_wait[wait->wait_s], wait);
	waits->n++;
	return TALLY_OK;
}

/* ---- with the lock ----------------------------------------------------------- */

tally_status
waits_add(struct waits *waits, struct wait *wait)
{
	tally_status status;

	assert(wait->wait_s >= 1 && wait->wait_s <= WAITS_MAX_WAIT_S);
	pthread_mutex_lock(&waits->lock);
	status = add_locked(waits, wait);
	pthread_mutex_unlock(&waits->lock);
	return status;
}

bool
waits_has(struct waits *waits, const char *id)
{
	bool has;

	pthread_mutex_lock(&waits->lock);
	has = find(waits, id) != NULL;
	pthread_mutex_unlock(&waits->lock);
	return has;
}

struct wait *
waits_take(struct waits *waits, const struct tally_job_id *id)
{
	struct wait *wait = NULL;

	pthread_mutex_lock(&waits->lock);
	struct waits_entry *entry = find(waits, id->text);
	if (entry) {
		wait = entry->wait;
		detach(waits, wait);
	}
	pthread_mutex_unlock(&waits->lock);
	return wait;
}

bool
waits_leave(struct waits *waits, struct wait *wait)
{
	bool was_waiting;

	pthread_mutex_lock(&waits->lock);
	was_waiting = wait->entry != NULL;
	if (was_waiting)
		detach(waits, wait);
	pthread_mutex_unlock(&waits->lock);
	return was_waiting;
}

void
waits_expire(struct waits *waits, int64_t now_ms, struct wait_list *list)
{
	struct wait *wait;

	pthread_mutex_lock(&waits->lock);
	for (size_t i = 1; i <= WAITS_MAX_WAIT_S; i++) {
		while ((wait = TAILQ_FIRST(&waits->by_wait[i])) && wait->deadline_ms <= now_ms) {
			detach(waits, wait);
			TAILQ_INSERT_TAIL(list, wait, link);
		}
	}
	pthread_mutex_unlock(&waits->lock);
}

int64_t
waits_next_deadline(struct waits *waits)
{
	int64_t earliest = INT64_MAX;

	pthread_mutex_lock(&waits->lock);
	for (size_t i = 1; i <= WAITS_MAX_WAIT_S; i++) {
		const struct wait *wait = TAILQ_FIRST(&waits->by_wait[i]);

		if (wait && wait->deadline_ms < earliest)
			earliest = wait->deadline_ms;
	}
	pthread_mutex_unlock(&waits->lock);
	return earliest;
}

void
waits_close(struct waits *waits)
{
	pthread_mutex_lock(&waits->lock);
	waits->is_closed = true;
	pthread_mutex_unlock(&waits->lock);
}

size_t
waits_count(struct waits *waits)
{
	size_t n;

	pthread_mutex_lock(&waits->lock);
	n = waits->n;
	pthread_mutex_unlock(&waits->lock);
	return n;
}
