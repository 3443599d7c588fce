#define HASH_NONFATAL_OOM 1
#include "dataset/cache.h"

#include "base/buf.h"

/* A longer key is not kept; nor is an entry that takes more than a part of the cache. */
#define KEY_BYTES_MAX  4096
#define ENTRY_PART_MAX 8

TAILQ_HEAD(entry_list, cache_entry);

struct cache {
	struct cache_entry *entries; /* by key */
	struct entry_list used;
	struct buf key; /* of the call under way */
	size_t limit_bytes;
	size_t bytes;
	uint32_t max_age_ms;
};

struct cache *
cache_new(size_t limit_bytes, uint32_t max_age_ms)
{
	struct cache *cache = calloc(1, sizeof *cache);

	if (!cache)
		return NULL;
	TAILQ_INIT(&cache->used);
	cache->key = BUF_INIT(KEY_BYTES_MAX);
	cache->limit_bytes = limit_bytes;
	cache->max_age_ms = max_age_ms;
	return cache;
}

static void
remove_entry(struct cache *cache, struct cache_entry *entry)
{
	HASH_DELETE(hh, cache->entries, entry);
	TAILQ_REMOVE(&cache->used, entry, link);
	cache->bytes -= entry->bytes;
	free(entry);
}

void
cache_free(struct cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->used))
		remove_entry(cache, TAILQ_FIRST(&cache->used));
	buf_fini(&cache->key);
	free(cache);
}

size_t
cache_bytes(const struct cache *cache)
{
	return cache->bytes;
}

static bool
has_text(const struct value *value)
{
	return value->state == VALUE_SET
	       && (value->type == TALLY_TEXT || value->type == TALLY_DECIMAL);
}

/* A tuple as bytes.  1.1 and 1.10 differ here: a miss, no harm. */
static tally_status
write_key(struct buf *key, const struct value *const *tuple, size_t n)
{
	tally_status status = TALLY_OK;

	key->len = 0;
	for (size_t i = 0; status == TALLY_OK && i < n; i++) {
		const struct value *value = tuple[i];
		struct value head = { .state = value->state };

		if (value->state == VALUE_SET)
			head = *value;
		if (has_text(value))
			head.text = NULL;
		unsigned char bytes[sizeof head.uuid + 6] = { head.type, head.state };
		memcpy(bytes + 2, &head.len, sizeof head.len);
		memcpy(bytes + 6, head.uuid, head.type == TALLY_UUID ? 16 : 8);
		status = buf_append(key, bytes, sizeof bytes);
		if (status == TALLY_OK && has_text(value) && value->len > 0)
			status = buf_append(key, value->text, value->len);
	}
	return status;
}

/* The entry of the key that was just written. */
static struct cache_entry *
find_entry(const struct cache *cache)
{
	static const char nothing = 0; /* the key of a step without "by" has no bytes */
	struct cache_entry *entry;

	HASH_FIND(hh, cache->entries, cache->key.len > 0 ? cache->key.data : &nothing,
		  (unsigned)cache->key.len, entry);
	return entry;
}

const struct cache_entry *
cache_find(struct cache *cache, const struct value *const *tuple, size_t n, int64_t now_ms)
{
	if (write_key(&cache->key, tuple, n) != TALLY_OK)
		return NULL;
	struct cache_entry *entry = find_entry(cache);
	if (!entry || now_ms - entry->read_ms >= (int64_t)cache->max_age_ms)
		return NULL;
	TAILQ_REMOVE(&cache->used, entry, link);
	TAILQ_INSERT_TAIL(&cache->used, entry, link);
	return entry;
}

static size_t
texts_bytes(const struct cache_rows *kept)
{
	size_t bytes = 0;

	for (size_t i = 0; i < kept->n_rows; i++) {
		for (size_t k = 0; k < kept->rows->n_columns; k++) {
			const struct value *value = rows_cell(kept->rows, kept->numbers[i], k);

			if (has_text(value))
				bytes += value->len;
		}
	}
	return bytes;
}

/* Copies the rows behind the entry's head: cells first, then texts; returns where they end. */
static char *
copy_rows(struct cache_entry *entry, const struct cache_rows *kept)
{
	struct value *cell = (struct value *)(entry + 1);

	entry->cells = cell;
	char *text = (char *)(cell + entry->n_rows * entry->n_columns);
	for (size_t i = 0; i < entry->n_rows; i++) {
		for (size_t k = 0; k < entry->n_columns; k++, cell++) {
			*cell = *rows_cell(kept->rows, kept->numbers[i], k);
			if (!has_text(cell))
				continue;
			if (cell->len > 0)
				memcpy(text, cell->text, cell->len);
			cell->text = text;
			text += cell->len;
		}
	}
	return text;
}

static struct cache_entry *
new_entry(const struct cache *cache, const struct cache_rows *kept, int64_t now_ms)
{
	size_t n_cells = kept->n_rows * kept->rows->n_columns;
	size_t bytes = sizeof(struct cache_entry) + n_cells * sizeof(struct value)
		       + texts_bytes(kept) + cache->key.len;

	if (bytes > cache->limit_bytes / ENTRY_PART_MAX)
		return NULL;
	struct cache_entry *entry = calloc(1, bytes);
	if (!entry)
		return NULL;
	entry->bytes = bytes;
	entry->n_rows = kept->n_rows;
	entry->n_columns = kept->rows->n_columns;
	entry->read_ms = now_ms;
	entry->as_of_ms = kept->rows->as_of_ms;
	char *key = copy_rows(entry, kept);
	if (cache->key.len > 0)
		memcpy(key, cache->key.data, cache->key.len);
	entry->key = key;
	return entry;
}

void
cache_put(struct cache *cache, const struct value *const *tuple, size_t n,
	  const struct cache_rows *kept, int64_t now_ms)
{
	if (write_key(&cache->key, tuple, n) != TALLY_OK)
		return;
	struct cache_entry *old = find_entry(cache);
	if (old)
		remove_entry(cache, old);
	struct cache_entry *entry = new_entry(cache, kept, now_ms);
	if (!entry)
		return;
	while (cache->bytes + entry->bytes > cache->limit_bytes)
		remove_entry(cache, TAILQ_FIRST(&cache->used));
	HASH_ADD_KEYPTR(hh, cache->entries, entry->key, (unsigned)cache->key.len, entry);
	if (!entry->hh.tbl) { /* uthash found no memory */
		free(entry);
		return;
	}
	TAILQ_INSERT_TAIL(&cache->used, entry, link);
	cache->bytes += entry->bytes;
}
