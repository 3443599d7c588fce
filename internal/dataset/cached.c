#include "dataset/cached.h"

#include "base/own.h"
#include "dataset/cache.h"
#include "dataset/pack.h"

OWN_DEFINE(join_index);

/* What a cached row depends on: the key tuple and the scalars of the batch. */
struct dependence {
	const struct value *values[DEFINITION_MAX_KEYS + DEFINITION_MAX_BINDS];
	size_t n;
};

static struct dependence
dependence_of(const struct batch_step *step, size_t tuple)
{
	const struct source_statement *statement = &step->plan->statement;
	struct dependence dependence = { .n = 0 };

	for (size_t i = 0; i < step->plan->sql->n_keys; i++)
		dependence.values[dependence.n++] = &step->keys.values[i * step->keys.n + tuple];
	for (size_t i = 0; i < statement->n_binds; i++) {
		if (!statement->binds[i].is_array)
			dependence.values[dependence.n++] =
			    &step->batch->working.params[step->plan->bind_from[i].index];
	}
	return dependence;
}

static tally_status
copy_cell(struct rows *rows, const struct value *from, struct value *to)
{
	*to = *from;
	if (!value_has_text(from))
		return TALLY_OK;
	return rows_copy_text(rows, from->text, from->len, &to->text);
}

static tally_status
copy_row(struct rows *rows, const struct value *from)
{
	struct value *to;
	tally_status status = rows_add(rows, &to);

	for (size_t i = 0; status == TALLY_OK && i < rows->n_columns; i++)
		status = copy_cell(rows, &from[i], &to[i]);
	return status;
}

static tally_status
copy_hit(struct rows *rows, const struct cache_hit *hit)
{
	const unsigned char *at = hit->cells;
	struct value *cells;
	struct value cell;

	if (rows->as_of_ms == 0 || hit->as_of_ms < rows->as_of_ms)
		rows->as_of_ms = hit->as_of_ms;
	for (size_t i = 0; i < hit->n_rows; i++) {
		tally_status status = rows_add(rows, &cells);

		for (size_t k = 0; status == TALLY_OK && k < rows->n_columns; k++) {
			at = unpack_value(at, &cell);
			status = copy_cell(rows, &cell, &cells[k]);
		}
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

/* Leaves only the tuples that are asked for; moves values down in place. */
static void
keep_tuples(struct join_keys *keys, size_t n_keys, const uint32_t *asked, size_t n_asked)
{
	for (size_t k = 0; k < n_keys; k++) {
		for (size_t i = 0; i < n_asked; i++)
			keys->values[k * n_asked + i] = keys->values[k * keys->n + asked[i]];
	}
	keys->n = n_asked;
}

tally_status
cached_look(struct batch_step *step, size_t budget_bytes)
{
	struct cache *cache = step->plan->cache;
	uint32_t *asked = calloc(step->keys.n + 1, sizeof *asked);
	tally_status status = TALLY_OK;
	size_t n_asked = 0;

	step->cached = rows_new(step->plan->shape->n_columns, budget_bytes);
	if (!asked || !step->cached) {
		free(asked);
		return TALLY_NO_MEMORY;
	}
	for (size_t i = 0; status == TALLY_OK && i < step->keys.n; i++) {
		struct dependence on = dependence_of(step, i);
		struct cache_hit hit;

		if (cache_find(cache, on.values, on.n, step->batch->limits->now_ms, &hit))
			status = copy_hit(step->cached, &hit);
		else
			asked[n_asked++] = (uint32_t)i;
	}
	if (status == TALLY_OK) {
		step->n_cached = step->keys.n - n_asked;
		keep_tuples(&step->keys, step->plan->sql->n_keys, asked, n_asked);
	}
	free(asked);
	return status;
}

/* Keeps the rows of each key that was asked for, none too. */
static void
fill_cache(const struct batch_step *step, const struct join_index *index, uint32_t *numbers)
{
	for (size_t i = 0; i < step->keys.n; i++) {
		struct dependence on = dependence_of(step, i);
		struct cache_rows kept = { step->rows, numbers, 0 };

		for (uint32_t row = join_index_find(index, on.values); row != TABLE_NONE;
		     row = index->next[row])
			numbers[kept.n_rows++] = row;
		cache_put(step->plan->cache, on.values, on.n, &kept, step->batch->limits->now_ms);
	}
}

/* A statement may return rows of keys that it was not asked for: those are not taken twice. */
static tally_status
add_cached(struct batch_step *step, const struct join_index *index)
{
	const struct value *tuple[DEFINITION_MAX_KEYS];
	tally_status status = TALLY_OK;

	step->rows->limit_bytes += step->cached->used_bytes; /* part of the budget already */
	for (size_t i = 0; status == TALLY_OK && i < step->cached->n_rows; i++) {
		for (size_t k = 0; k < step->plan->sql->n_keys; k++)
			tuple[k] = rows_cell(step->cached, i, step->plan->keys[k].column);
		if (join_index_find(index, tuple) == TABLE_NONE)
			status = copy_row(step->rows, rows_cell(step->cached, i, 0));
	}
	return status;
}

tally_status
cached_merge(struct batch_step *step)
{
	if (step->keys.n == 0)
		return TALLY_OK; /* nothing was asked: the rows are the cached ones */
	OWN(join_index) index = join_index_new(step->plan, step->rows);
	uint32_t *numbers = calloc(step->rows->n_rows + 1, sizeof *numbers);
	tally_status status = TALLY_NO_MEMORY;

	if (index && numbers) {
		fill_cache(step, index, numbers);
		status = step->cached ? add_cached(step, index) : TALLY_OK;
	}
	rows_free(TAKE(step->cached));
	free(numbers);
	return status;
}
