#include "dataset/table.h"

tally_status
table_init(struct table *table, size_t n)
{
	size_t n_slots = 8;

	while (n_slots < 2 * n)
		n_slots *= 2;
	table->slots = calloc(n_slots, sizeof *table->slots);
	table->mask = n_slots - 1;
	return table->slots ? TALLY_OK : TALLY_NO_MEMORY;
}

void
table_fini(struct table *table)
{
	free(table->slots);
	*table = (struct table){ 0 };
}

uint32_t
table_find(const struct table *table, uint64_t hash, table_equal_fn *equal, const void *ctx)
{
	for (size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
		uint64_t slot = table->slots[at];

		if (slot == 0)
			return TABLE_NONE;
		if (slot >> 32 == hash >> 32 && equal(ctx, (uint32_t)slot - 1))
			return (uint32_t)slot - 1;
	}
}

void
table_add(struct table *table, uint64_t hash, uint32_t id)
{
	size_t at = hash & table->mask;

	while (table->slots[at] != 0)
		at = (at + 1) & table->mask;
	table->slots[at] = (hash >> 32 << 32) | (id + 1u);
}
