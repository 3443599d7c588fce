#include <tally/seen.h>

#include <stdlib.h>
#include <string.h>

#include <tally/digest.h>

#define FIRST_SLOTS 1024

/* Open addressing with linear probing; nothing is taken out but by building the table anew. */
struct slot {
	uint64_t key[2];
	int64_t until_ms; /* INT64_MIN: the slot is free */
};

struct tally_seen {
	size_t max;
	size_t n;
	size_t n_slots; /* a power of two */
	struct slot *slots;
};

static struct slot *
new_slots(size_t n)
{
	struct slot *slots = malloc(n * sizeof *slots);

	for (size_t i = 0; slots && i < n; i++)
		slots[i].until_ms = INT64_MIN;
	return slots;
}

struct tally_seen *
tally_seen_new(size_t max)
{
	struct tally_seen *seen = calloc(1, sizeof *seen);

	if (!seen)
		return NULL;
	seen->max = max;
	seen->n_slots = FIRST_SLOTS;
	seen->slots = new_slots(seen->n_slots);
	if (!seen->slots) {
		free(seen);
		return NULL;
	}
	return seen;
}

void
tally_seen_free(struct tally_seen *seen)
{
	if (!seen)
		return;
	free(seen->slots);
	free(seen);
}

static void
make_key(const struct tally_job_id *id, uint64_t key[2])
{
	unsigned char sha256[TALLY_SHA256_BYTES] = { 0 };

	/* It fails only where libcrypto has no SHA-256, and nothing of ours works there. */
	(void)!tally_sha256(id->text, strlen(id->text), sha256);
	memcpy(key, sha256, 2 * sizeof *key);
}

/* The slot that has the key, or the free one where it belongs. */
static struct slot *
slot_of(struct slot *slots, size_t n, const uint64_t key[2])
{
	size_t i = key[0] & (n - 1);

	while (slots[i].until_ms != INT64_MIN
	       && (slots[i].key[0] != key[0] || slots[i].key[1] != key[1]))
		i = (i + 1) & (n - 1);
	return &slots[i];
}

bool
tally_seen_has(const struct tally_seen *seen, const struct tally_job_id *id)
{
	uint64_t key[2];

	make_key(id, key);
	return slot_of(seen->slots, seen->n_slots, key)->until_ms != INT64_MIN;
}

size_t
tally_seen_count(const struct tally_seen *seen)
{
	return seen->n;
}

static size_t
count_until(const struct tally_seen *seen, int64_t at_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < seen->n_slots; i++)
		n += seen->slots[i].until_ms >= at_ms;
	return n;
}

/* The time before which those end that are to be forgotten: the mean, or all of them when they end
 * at once. */
static int64_t
middle_of(const struct tally_seen *seen)
{
	int64_t first = INT64_MAX;
	int64_t last = INT64_MIN;
	double sum = 0;

	for (size_t i = 0; i < seen->n_slots; i++) {
		int64_t until_ms = seen->slots[i].until_ms;

		if (until_ms == INT64_MIN)
			continue;
		first = until_ms < first ? until_ms : first;
		last = until_ms > last ? until_ms : last;
		sum += (double)until_ms / (double)seen->n;
	}
	return (int64_t)sum > first ? (int64_t)sum : last + 1;
}

/* Builds the table anew, without those that end before at_ms. */
static tally_status
rebuild(struct tally_seen *seen, int64_t at_ms)
{
	size_t n = count_until(seen, at_ms);
	size_t n_slots = FIRST_SLOTS;
	struct slot *slots;

	while (n_slots < 4 * n)
		n_slots *= 2;
	slots = new_slots(n_slots);
	if (!slots)
		return TALLY_NO_MEMORY;
	for (size_t i = 0; i < seen->n_slots; i++) {
		const struct slot *slot = &seen->slots[i];

		if (slot->until_ms != INT64_MIN && slot->until_ms >= at_ms)
			*slot_of(slots, n_slots, slot->key) = *slot;
	}
	free(seen->slots);
	seen->slots = slots;
	seen->n_slots = n_slots;
	seen->n = n;
	return TALLY_OK;
}

static tally_status
make_room(struct tally_seen *seen, int64_t now_ms)
{
	if (seen->n < seen->max && seen->n * 4 < seen->n_slots * 3)
		return TALLY_OK;
	if (rebuild(seen, now_ms) != TALLY_OK)
		return TALLY_NO_MEMORY;
	return seen->n < seen->max ? TALLY_OK : rebuild(seen, middle_of(seen));
}

tally_status
tally_seen_add(struct tally_seen *seen, const struct tally_job_id *id, int64_t until_ms,
	       int64_t now_ms)
{
	uint64_t key[2];
	struct slot *slot;

	if (make_room(seen, now_ms) != TALLY_OK)
		return TALLY_NO_MEMORY;
	make_key(id, key);
	slot = slot_of(seen->slots, seen->n_slots, key);
	seen->n += slot->until_ms == INT64_MIN;
	*slot = (struct slot){
		{ key[0], key[1] },
                until_ms
	};
	return TALLY_OK;
}
