/* A ring of entries, oldest first, and an open hash table of their places.  An entry that was
 * replaced stays in the ring, without a slot, until it is the oldest. */
#include "dataset/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "dataset/pack.h"

/* A longer key is not kept; nor is an entry that takes more than a part of the cache. */
#define KEY_BYTES_MAX   4096
#define ENTRY_PART_MAX  8
#define UNIT            8 /* bytes: entries begin at multiples of it */
#define SLOTS_MIN       256
#define EXPIRED_AT_ONCE 4 /* how many old entries one cache_put lets go */
#define NOT_FOUND       SIZE_MAX

/* One key and its rows; behind it the key's length and bytes, the number of rows, the cells.  The
 * last entry before the ring's end may be a gap of as little as a UNIT: only len is there. */
struct entry {
	uint32_t len; /* with what is behind it, in bytes */
	uint32_t hash;
	int64_t read_ms; /* now_ms of the run that read it */
	int64_t as_of_ms;
};

struct cache {
	unsigned char *ring;
	size_t limit_bytes; /* of the ring */
	size_t first;       /* the oldest entry's place */
	size_t end;         /* the next entry's place */
	size_t used;        /* bytes from first to end, around the ring's end */
	uint32_t *slots;    /* place / UNIT + 1; 0: free */
	size_t mask;
	size_t n;       /* slots in use */
	struct buf key; /* of the call under way */
	uint32_t max_age_ms;
};

struct cache *
cache_new(size_t limit_bytes, uint32_t max_age_ms)
{
	struct cache *cache = calloc(1, sizeof *cache);

	if (!cache)
		return NULL;
	cache->limit_bytes = limit_bytes / UNIT * UNIT;
	cache->ring = malloc(cache->limit_bytes);
	cache->slots = calloc(SLOTS_MIN, sizeof *cache->slots);
	cache->mask = SLOTS_MIN - 1;
	cache->key = BUF_INIT(KEY_BYTES_MAX);
	cache->max_age_ms = max_age_ms;
	if (!cache->ring || !cache->slots) {
		cache_free(cache);
		return NULL;
	}
	return cache;
}

void
cache_free(struct cache *cache)
{
	if (!cache)
		return;
	free(cache->ring);
	free(cache->slots);
	buf_fini(&cache->key);
	free(cache);
}

size_t
cache_bytes(const struct cache *cache)
{
	return cache->used;
}

static struct entry *
entry_at(const struct cache *cache, size_t place)
{
	return (struct entry *)(void *)(cache->ring + place);
}

/* ---- keys ---- */

/* A tuple as bytes, in cache->key.  1.1 and 1.10 differ here: a miss, no harm. */
static tally_status
write_key(struct cache *cache, const struct value *const *tuple, size_t n, uint32_t *out_hash)
{
	struct buf *key = &cache->key;
	uint64_t hash = n;

	key->len = 0;
	for (size_t i = 0; i < n; i++) {
		tally_status status = buf_reserve(key, pack_bound(tuple[i]));

		if (status != TALLY_OK)
			return status;
		unsigned char *at = (unsigned char *)key->data + key->len;
		key->len += (size_t)(pack_value(at, tuple[i]) - at);
		hash = value_hash(tuple[i], hash);
	}
	*out_hash = (uint32_t)(hash ^ hash >> 32);
	return TALLY_OK;
}

/* Whether an entry has the key that was just written; then *out_rows is what is behind it. */
static bool
has_key(const struct cache *cache, const struct entry *entry, const unsigned char **out_rows)
{
	uint64_t len;
	const unsigned char *key = unpack_number((const unsigned char *)(entry + 1), &len);

	if (len != cache->key.len || (len > 0 && memcmp(key, cache->key.data, len) != 0))
		return false;
	*out_rows = key + len;
	return true;
}

/* ---- slots: linear probing ---- */

static void
set_slot(struct cache *cache, uint32_t hash, size_t place)
{
	size_t slot = hash & cache->mask;

	while (cache->slots[slot] != 0)
		slot = (slot + 1) & cache->mask;
	cache->slots[slot] = (uint32_t)(place / UNIT) + 1;
}

static size_t
slot_place(const struct cache *cache, size_t slot)
{
	return (size_t)(cache->slots[slot] - 1) * UNIT;
}

/* The slot of the key that was just written. */
static size_t
find_slot(const struct cache *cache, uint32_t hash, const unsigned char **out_rows)
{
	for (size_t slot = hash & cache->mask; cache->slots[slot] != 0;
	     slot = (slot + 1) & cache->mask) {
		const struct entry *entry = entry_at(cache, slot_place(cache, slot));

		if (entry->hash == hash && has_key(cache, entry, out_rows))
			return slot;
	}
	return NOT_FOUND;
}

/* The slot of the entry at a place; NOT_FOUND when it was replaced. */
static size_t
slot_of(const struct cache *cache, uint32_t hash, size_t place)
{
	for (size_t slot = hash & cache->mask; cache->slots[slot] != 0;
	     slot = (slot + 1) & cache->mask) {
		if (slot_place(cache, slot) == place)
			return slot;
	}
	return NOT_FOUND;
}

/* Frees a slot and moves up what was pushed past it (Knuth, The Art of Computer Programming 6.4,
 * algorithm R). */
static void
clear_slot(struct cache *cache, size_t slot)
{
	size_t free = slot;

	cache->n--;
	for (;;) {
		cache->slots[free] = 0;
		size_t home;
		do {
			slot = (slot + 1) & cache->mask;
			if (cache->slots[slot] == 0)
				return;
			home = entry_at(cache, slot_place(cache, slot))->hash & cache->mask;
		} while (((slot - home) & cache->mask) < ((slot - free) & cache->mask));
		cache->slots[free] = cache->slots[slot];
		free = slot;
	}
}

/* Makes room for one more; false when out of memory. */
static bool
grow_slots(struct cache *cache)
{
	size_t n_slots = cache->mask + 1;
	uint32_t *old = cache->slots;

	if ((cache->n + 1) * 4 <= n_slots * 3)
		return true;
	cache->slots = calloc(2 * n_slots, sizeof *cache->slots);
	if (!cache->slots) {
		cache->slots = old;
		return false;
	}
	cache->mask = 2 * n_slots - 1;
	for (size_t i = 0; i < n_slots; i++) {
		size_t place = old[i] == 0 ? 0 : (size_t)(old[i] - 1) * UNIT;

		if (old[i] != 0)
			set_slot(cache, entry_at(cache, place)->hash, place);
	}
	free(old);
	return true;
}

/* ---- the ring ---- */

static void
drop_oldest(struct cache *cache)
{
	const struct entry *entry = entry_at(cache, cache->first);
	size_t slot =
	    entry->len < sizeof *entry ? NOT_FOUND : slot_of(cache, entry->hash, cache->first);

	if (slot != NOT_FOUND)
		clear_slot(cache, slot);
	cache->used -= entry->len;
	cache->first += entry->len;
	if (cache->first == cache->limit_bytes)
		cache->first = 0;
	if (cache->used == 0)
		cache->first = cache->end = 0;
}

static bool
is_old(const struct cache *cache, const struct entry *entry, int64_t now_ms)
{
	return entry->len < sizeof *entry || now_ms - entry->read_ms >= (int64_t)cache->max_age_ms;
}

/* Room for len bytes in one piece, at the cost of the oldest; its place. */
static size_t
make_room(struct cache *cache, size_t len)
{
	if (cache->end + len > cache->limit_bytes) {
		size_t gap = cache->limit_bytes - cache->end;

		while (cache->used > 0 && cache->first >= cache->end)
			drop_oldest(cache);
		if (cache->used > 0) {
			struct entry *entry = entry_at(cache, cache->end);

			entry->len = (uint32_t)gap;
			if (gap >= sizeof *entry)
				*entry = (struct entry){ .len = (uint32_t)gap,
							 .read_ms = INT64_MIN / 2 };
			cache->used += gap;
			cache->end = 0;
		}
	}
	while (cache->used > 0 && cache->first >= cache->end && cache->first < cache->end + len)
		drop_oldest(cache);
	return cache->end;
}

/* ---- entries ---- */

static size_t
entry_bound(const struct cache *cache, const struct cache_rows *kept)
{
	size_t bytes = sizeof(struct entry) + 2 * PACK_NUMBER_MAX + cache->key.len;

	for (size_t i = 0; i < kept->n_rows; i++) {
		for (size_t k = 0; k < kept->rows->n_columns; k++)
			bytes += pack_bound(rows_cell(kept->rows, kept->numbers[i], k));
	}
	return bytes + UNIT;
}

/* Writes an entry at the ring's end; there is room. */
static void
write_entry(struct cache *cache, const struct cache_rows *kept, uint32_t hash, int64_t now_ms)
{
	struct entry *entry = entry_at(cache, cache->end);
	unsigned char *at = pack_number((unsigned char *)(entry + 1), cache->key.len);

	if (cache->key.len > 0)
		memcpy(at, cache->key.data, cache->key.len);
	at = pack_number(at + cache->key.len, kept->n_rows);
	for (size_t i = 0; i < kept->n_rows; i++) {
		for (size_t k = 0; k < kept->rows->n_columns; k++)
			at = pack_value(at, rows_cell(kept->rows, kept->numbers[i], k));
	}
	size_t len = (size_t)(at - (unsigned char *)entry);
	len = (len + UNIT - 1) / UNIT * UNIT;
	*entry = (struct entry){ (uint32_t)len, hash, now_ms, kept->rows->as_of_ms };
	cache->used += len;
	cache->end += len;
	if (cache->end == cache->limit_bytes)
		cache->end = 0;
}

bool
cache_find(struct cache *cache, const struct value *const *tuple, size_t n, int64_t now_ms,
	   struct cache_hit *out_hit)
{
	const unsigned char *rows;
	uint32_t hash;
	uint64_t n_rows;

	if (write_key(cache, tuple, n, &hash) != TALLY_OK)
		return false;
	size_t slot = find_slot(cache, hash, &rows);
	if (slot == NOT_FOUND)
		return false;
	const struct entry *entry = entry_at(cache, slot_place(cache, slot));
	if (is_old(cache, entry, now_ms))
		return false;
	out_hit->cells = unpack_number(rows, &n_rows);
	out_hit->n_rows = n_rows;
	out_hit->as_of_ms = entry->as_of_ms;
	return true;
}

void
cache_put(struct cache *cache, const struct value *const *tuple, size_t n,
	  const struct cache_rows *kept, int64_t now_ms)
{
	const unsigned char *rows;
	uint32_t hash;

	if (write_key(cache, tuple, n, &hash) != TALLY_OK)
		return;
	for (int i = 0; i < EXPIRED_AT_ONCE && cache->used > 0; i++) {
		if (!is_old(cache, entry_at(cache, cache->first), now_ms))
			break;
		drop_oldest(cache);
	}
	size_t old = find_slot(cache, hash, &rows);
	if (old != NOT_FOUND)
		clear_slot(cache, old);
	size_t bound = entry_bound(cache, kept);
	if (bound > cache->limit_bytes / ENTRY_PART_MAX || !grow_slots(cache))
		return;
	size_t place = make_room(cache, bound);
	write_entry(cache, kept, hash, now_ms);
	set_slot(cache, hash, place);
	cache->n++;
}
