#include "source/rows.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_FIRST  16
#define BLOCK_BYTES 16384

struct rows_block {
	struct rows_block *next;
	size_t used;
	size_t cap;
	char text[];
};

struct rows *
rows_new(size_t n_columns, size_t limit_bytes)
{
	struct rows *rows = calloc(1, sizeof *rows);

	if (!rows)
		return NULL;
	rows->n_columns = n_columns;
	rows->limit_bytes = limit_bytes;
	return rows;
}

void
rows_free(struct rows *rows)
{
	if (!rows)
		return;
	while (rows->blocks) {
		struct rows_block *block = rows->blocks;

		rows->blocks = block->next;
		free(block);
	}
	free(rows->cells);
	free(rows);
}

static tally_status
grow(struct rows *rows)
{
	size_t cap = rows->cap_rows ? rows->cap_rows * 2 : ROWS_FIRST;
	struct value *cells = realloc(rows->cells, cap * rows->n_columns * sizeof *cells + 1);

	if (!cells)
		return TALLY_NO_MEMORY;
	rows->cells = cells;
	rows->cap_rows = cap;
	return TALLY_OK;
}

tally_status
rows_add(struct rows *rows, struct value **out_cells)
{
	size_t bytes = rows->n_columns * sizeof(struct value);
	struct value *cells;

	if (bytes > rows->limit_bytes - rows->used_bytes)
		return TALLY_TOO_LARGE;
	if (rows->n_rows == rows->cap_rows && grow(rows) != TALLY_OK)
		return TALLY_NO_MEMORY;
	cells = rows->cells + rows->n_rows * rows->n_columns;
	memset(cells, 0, bytes);
	rows->n_rows++;
	rows->used_bytes += bytes;
	*out_cells = cells;
	return TALLY_OK;
}

static struct rows_block *
block_for(struct rows *rows, size_t len)
{
	size_t cap = len > BLOCK_BYTES ? len : BLOCK_BYTES;
	struct rows_block *block = rows->blocks;

	if (block && len <= block->cap - block->used)
		return block;
	block = malloc(sizeof *block + cap);
	if (!block)
		return NULL;
	block->used = 0;
	block->cap = cap;
	block->next = rows->blocks;
	rows->blocks = block;
	return block;
}

tally_status
rows_copy_text(struct rows *rows, const char *text, size_t len, const char **out_text)
{
	struct rows_block *block;
	char *copy;

	if (len > rows->limit_bytes - rows->used_bytes)
		return TALLY_TOO_LARGE;
	block = block_for(rows, len);
	if (!block)
		return TALLY_NO_MEMORY;
	copy = block->text + block->used;
	if (len > 0)
		memcpy(copy, text, len);
	block->used += len;
	rows->used_bytes += len;
	*out_text = copy;
	return TALLY_OK;
}
