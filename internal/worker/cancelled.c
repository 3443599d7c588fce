#include "worker/cancelled.h"

#include <stdlib.h>
#include <string.h>

/* An allocation that fails must not end the process: uthash then leaves the element out. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define SWEEP_MS 60000

struct entry {
	char id[TALLY_JOB_ID_CHARS];
	int64_t deadline_ms;
	UT_hash_handle hh;
};

struct cancelled {
	size_t max;
	int64_t swept_ms;
	struct entry *entries; /* uthash keeps the order of arrival: the first is the oldest */
};

struct cancelled *
cancelled_new(size_t max)
{
	struct cancelled *cancelled = calloc(1, sizeof *cancelled);

	if (cancelled)
		cancelled->max = max;
	return cancelled;
}

static void
drop(struct cancelled *cancelled, struct entry *entry)
{
	HASH_DEL(cancelled->entries, entry);
	free(entry);
}

void
cancelled_free(struct cancelled *cancelled)
{
	struct entry *entry, *next;

	if (!cancelled)
		return;
	HASH_ITER (hh, cancelled->entries, entry, next)
		drop(cancelled, entry);
	free(cancelled);
}

void
cancelled_drop_late(struct cancelled *cancelled, int64_t now_ms)
{
	struct entry *entry, *next;

	cancelled->swept_ms = now_ms;
	HASH_ITER (hh, cancelled->entries, entry, next) {
		if (entry->deadline_ms <= now_ms)
			drop(cancelled, entry);
	}
}

static struct entry *
find(const struct cancelled *cancelled, const struct tally_job_id *id)
{
	struct entry *entry = NULL;

	HASH_FIND(hh, cancelled->entries, id->text, TALLY_JOB_ID_CHARS, entry);
	return entry;
}

static tally_status
insert(struct cancelled *cancelled, const struct tally_job_id *id, int64_t deadline_ms)
{
	struct entry *entry = calloc(1, sizeof *entry);

	if (!entry)
		return TALLY_NO_MEMORY;
	memcpy(entry->id, id->text, sizeof entry->id);
	entry->deadline_ms = deadline_ms;
	HASH_ADD(hh, cancelled->entries, id, TALLY_JOB_ID_CHARS, entry);
	if (entry->hh.tbl)
		return TALLY_OK;
	free(entry);
	return TALLY_NO_MEMORY;
}

tally_status
cancelled_add(struct cancelled *cancelled, const struct tally_job_id *id, int64_t deadline_ms,
	      int64_t now_ms)
{
	struct entry *entry;

	/* A clock that was set back sweeps too. */
	if (now_ms >= cancelled->swept_ms + SWEEP_MS || now_ms < cancelled->swept_ms)
		cancelled_drop_late(cancelled, now_ms);
	if (deadline_ms <= now_ms)
		return TALLY_OK;
	entry = find(cancelled, id);
	if (entry) {
		entry->deadline_ms = deadline_ms;
		return TALLY_OK;
	}
	while (cancelled_count(cancelled) >= cancelled->max)
		drop(cancelled, cancelled->entries);
	return insert(cancelled, id, deadline_ms);
}

bool
cancelled_has(const struct cancelled *cancelled, const struct tally_job_id *id)
{
	return find(cancelled, id) != NULL;
}

size_t
cancelled_count(const struct cancelled *cancelled)
{
	return HASH_COUNT(cancelled->entries);
}
