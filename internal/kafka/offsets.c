#include "kafka/offsets.h"

#include <stdlib.h>

struct entry {
	int64_t offset;
	bool is_done;
};

/* A ring of what was taken, oldest first; what is done at the front leaves it. */
struct offsets {
	size_t capacity;
	size_t first;
	size_t n;
	size_t n_open;     /* of them not done */
	int64_t to_commit; /* -1: nothing new */
	struct entry entries[];
};

struct offsets *
offsets_new(size_t capacity)
{
	struct offsets *offsets = calloc(1, sizeof *offsets + capacity * sizeof *offsets->entries);

	if (!offsets)
		return NULL;
	offsets->capacity = capacity;
	offsets->to_commit = -1;
	return offsets;
}

void
offsets_free(struct offsets *offsets)
{
	free(offsets);
}

static struct entry *
at(struct offsets *offsets, size_t index)
{
	return &offsets->entries[(offsets->first + index) % offsets->capacity];
}

tally_status
offsets_take(struct offsets *offsets, int64_t offset)
{
	if (offsets->n == offsets->capacity)
		return TALLY_FULL;
	*at(offsets, offsets->n++) = (struct entry){ .offset = offset };
	offsets->n_open++;
	return TALLY_OK;
}

/* The entry of an offset, by halving; NULL when it is not under way. */
static struct entry *
find(struct offsets *offsets, int64_t offset)
{
	size_t low = 0;
	size_t high = offsets->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (at(offsets, middle)->offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < offsets->n && at(offsets, low)->offset == offset ? at(offsets, low) : NULL;
}

void
offsets_done(struct offsets *offsets, int64_t offset)
{
	struct entry *entry = find(offsets, offset);

	if (!entry || entry->is_done)
		return;
	entry->is_done = true;
	offsets->n_open--;
	while (offsets->n > 0 && at(offsets, 0)->is_done) {
		offsets->to_commit = at(offsets, 0)->offset + 1;
		offsets->first = (offsets->first + 1) % offsets->capacity;
		offsets->n--;
	}
}

int64_t
offsets_to_commit(struct offsets *offsets)
{
	int64_t offset = offsets->to_commit;

	offsets->to_commit = -1;
	return offset;
}

size_t
offsets_count(const struct offsets *offsets)
{
	return offsets->n;
}

size_t
offsets_open(const struct offsets *offsets)
{
	return offsets->n_open;
}

int64_t
offsets_first(const struct offsets *offsets)
{
	return offsets->n > 0 ? offsets->entries[offsets->first].offset : -1;
}

bool
offsets_is_full(const struct offsets *offsets)
{
	return offsets->n == offsets->capacity;
}
