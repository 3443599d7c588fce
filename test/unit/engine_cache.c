/* Cached steps: what is asked again, for how long rows are kept, and how much memory they take. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "dataset/cache.h"
#include "dataset/pack.h"
#include "support/rig.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- the engine ----------------------------------------------------------------------------- */

static const char names[] = "-- dataset t: names of items\n"
			    "-- param login text required\n"
			    "-- param lang text\n"
			    "-- column name text null\n"
			    "-- order name\n"
			    "-- step item on db1 by login\n"
			    "items :login;\n"
			    "-- step name on db2 by item_id keep cache 10s\n"
			    "names :item_id :lang;\n";

static const char *const item_rows[] = { "ann|1", "ann|2", "bob|2", "bob|3", "cyd|3", NULL };
static const char *const name_rows[] = { "1|one|en", "2|two|en", "2|zwei|en", "1|eins|de", NULL };

static void
fill(struct canned_statement statements[2])
{
	statements[0] = (struct canned_statement){
		.tag = "items",
		.columns = "login text, item_id int",
		.rows = item_rows,
		.as_of_ms = 500,
	};
	statements[1] = (struct canned_statement){
		.tag = "names",
		.columns = "item_id int, name text, lang_ text",
		.rows = name_rows,
		.as_of_ms = 100,
	};
}

/* Runs a batch of one request at a time and compares its answer. */
static void
check(struct rig *rig, const char *request, int64_t now_ms, const char *wanted)
{
	rig_clear(rig);
	rig_request(rig, request);
	rig->limits.now_ms = now_ms;
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), wanted, "%s at %d", request, (int)now_ms);
}

static const char ann[] = "[{\"name\":\"one\"},{\"name\":\"two\"},{\"name\":\"zwei\"}]";
static const char bob[] = "[{\"name\":\"two\"},{\"name\":\"zwei\"},{\"name\":null}]";

Test(cache, asks_only_for_keys_that_it_does_not_know)
{
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 0, ann);
	cr_expect_eq(statements[1].n_keys, 2u);
	cr_expect_eq(rig->steps[1].n_cached, 0u);
	check(rig, "login=bob&lang=en", 1000, bob);
	cr_expect_eq(statements[1].n_keys, 1u, "only 3");
	cr_expect_eq(rig->steps[1].n_keys, 2u);
	cr_expect_eq(rig->steps[1].n_cached, 1u);
	check(rig, "login=cyd&lang=en", 2000, "[{\"name\":null}]");
	cr_expect_eq(statements[1].n_calls, 2u, "that there is no 3 is known too");
	check(rig, "login=ann&lang=en", 3000, ann);
	cr_expect_eq(statements[1].n_calls, 2u);
	cr_expect_eq(statements[0].n_calls, 4u, "the other step is not cached");
	rig_free(rig);
}

Test(cache, tells_when_the_rows_were_read)
{
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 0, ann);
	cr_expect_eq(rig->as_of[1].at_ms, 100);
	statements[1].as_of_ms = 9000;
	check(rig, "login=ann&lang=en", 1000, ann);
	cr_assert_eq(rig->n_as_of, 2u);
	cr_expect_eq(rig->as_of[1].at_ms, 100, "all from the cache");
	check(rig, "login=bob&lang=en", 1000, bob);
	cr_expect_eq(rig->as_of[1].at_ms, 100, "the earlier of both");
	check(rig, "login=cyd&lang=en", 1000, "[{\"name\":null}]");
	cr_expect_eq(rig->as_of[1].at_ms, 9000);
	rig_free(rig);
}

Test(cache, forgets_after_its_age)
{
	static const char *const changed[] = { "1|uno|en", NULL };
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 5000, ann);
	statements[1].rows = changed;
	check(rig, "login=ann&lang=en", 14999, ann);
	check(rig, "login=ann&lang=en", 15000, "[{\"name\":\"uno\"},{\"name\":null}]");
	check(rig, "login=ann&lang=en", 24999, "[{\"name\":\"uno\"},{\"name\":null}]");
	cr_expect_eq(statements[1].n_calls, 2u);
	rig_free(rig);
}

Test(cache, knows_scalars_apart)
{
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 0, ann);
	check(rig, "login=ann&lang=de", 0, "[{\"name\":\"eins\"},{\"name\":null}]");
	check(rig, "login=ann", 0, "[{\"name\":null},{\"name\":null}]");
	check(rig, "login=ann&lang=", 0, "[{\"name\":null},{\"name\":null}]");
	cr_expect_eq(statements[1].n_calls, 4u, "null and empty are two");
	check(rig, "login=ann&lang=de", 0, "[{\"name\":\"eins\"},{\"name\":null}]");
	cr_expect_eq(statements[1].n_calls, 4u);
	rig_free(rig);
}

Test(cache, is_left_alone_when_asked_to_and_filled_anew)
{
	static const char *const changed[] = { "1|uno|en", NULL };
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 0, ann);
	statements[1].rows = changed;
	rig->limits.no_cache = true;
	check(rig, "login=ann&lang=en", 1, "[{\"name\":\"uno\"},{\"name\":null}]");
	rig->limits.no_cache = false;
	check(rig, "login=ann&lang=en", 2, "[{\"name\":\"uno\"},{\"name\":null}]");
	cr_expect_eq(statements[1].n_calls, 2u, "the later rows are kept");
	rig_free(rig);
}

static tally_status
refuse(void *ctx, const struct source_query *query, struct tally_error *err)
{
	(void)ctx;
	(void)query;
	return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "away");
}

Test(cache, keeps_no_failure_and_needs_no_database_for_what_it_knows)
{
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	statements[1].check = refuse;
	check(rig, "login=ann&lang=en", 0, "source_unavailable");
	statements[1].check = NULL;
	check(rig, "login=ann&lang=en", 0, ann);
	statements[1].check = refuse;
	check(rig, "login=ann&lang=en", 0, ann);
	check(rig, "login=bob&lang=en", 0, "source_unavailable");
	rig_free(rig);
}

static tally_status
answer_all(void *ctx, const struct source_query *query, struct rows *rows)
{
	static const char *const texts[] = { "one", "two", "zwei" };
	tally_status status = TALLY_OK;

	(void)ctx;
	(void)query;
	for (size_t i = 0; status == TALLY_OK && i < COUNT(texts); i++) {
		struct value *cells;

		status = rows_add(rows, &cells);
		if (status != TALLY_OK)
			return status;
		cells[0] = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i ? 2 : 1 };
		cells[1] = (struct value){ .type = TALLY_TEXT, .state = VALUE_SET };
		cells[1].len = (uint32_t)strlen(texts[i]);
		cells[2] = (struct value){ .type = TALLY_TEXT };
		status = rows_copy_text(rows, texts[i], cells[1].len, &cells[1].text);
	}
	return status;
}

Test(cache, takes_rows_that_come_unasked_once)
{
	struct canned_statement statements[2];

	fill(statements);
	statements[1].answer = answer_all;
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 0, ann);
	check(rig, "login=bob&lang=en", 0, bob);
	cr_expect_eq(statements[1].n_calls, 2u, "for 3, and 2 came with it");
	rig_free(rig);
}

Test(cache, serves_a_batch_in_part)
{
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=bob&lang=en", 0, bob);
	rig_clear(rig);
	rig_request(rig, "login=ann&lang=en");
	rig_request(rig, "login=bob&lang=en");
	rig_request(rig, "login=nobody&lang=en");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), ann);
	cr_expect_str_eq(rig_data(rig, 1), bob);
	cr_expect_str_eq(rig_data(rig, 2), "[]");
	cr_expect_eq(statements[1].n_keys, 1u, "only 1");
	rig_free(rig);
}

Test(cache, counts_against_the_row_budget)
{
	struct canned_statement statements[2];

	fill(statements);
	struct rig *rig = rig_new(names, statements, 2);
	check(rig, "login=ann&lang=en", 0, ann);
	rig->limits.batch_bytes = 150;
	check(rig, "login=ann&lang=en", 0, "result_too_large");
	rig->limits.batch_bytes = 1000;
	check(rig, "login=ann&lang=en", 0, ann);
	rig_free(rig);
}

Test(cache, of_a_step_without_keys_keeps_all_of_its_rows)
{
	static const char *const rows[] = { "1|a", "2|b", NULL };
	struct canned_statement table = { .tag = "table",
					  .columns = "n int, t text",
					  .rows = rows };
	struct rig *rig = rig_new("-- dataset t: t\n-- column n int\n-- column t text\n"
				  "-- step s on db1 cache 1s\ntable;\n",
				  &table, 1);

	for (int i = 0; i < 3; i++)
		check(rig, "", 0, "[{\"n\":1,\"t\":\"a\"},{\"n\":2,\"t\":\"b\"}]");
	cr_expect_eq(table.n_calls, 1u);
	rig_free(rig);
}

/* ---- the cache itself ------------------------------------------------------------------------ */

static struct value
number(int64_t i)
{
	return (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i };
}

/* A set of one row of one text. */
static struct rows *
one_text(size_t len)
{
	struct rows *rows = rows_new(1, 1u << 20);
	char *text = calloc(1, len + 1);
	struct value *cells;

	cr_assert(rows && text);
	memset(text, 'x', len);
	cr_assert_eq(rows_add(rows, &cells), TALLY_OK);
	cells[0] = (struct value){ .type = TALLY_TEXT, .state = VALUE_SET, .len = (uint32_t)len };
	cr_assert_eq(rows_copy_text(rows, text, len, &cells[0].text), TALLY_OK);
	free(text);
	return rows;
}

static void
put_at(struct cache *cache, int64_t key, size_t len, int64_t now_ms)
{
	struct rows *rows = one_text(len);
	struct value value = number(key);
	uint32_t first = 0;

	cache_put(cache, (const struct value *const[]){ &value }, 1,
		  &(struct cache_rows){ rows, &first, 1 }, now_ms);
	rows_free(rows);
}

static void
put(struct cache *cache, int64_t key, size_t len)
{
	put_at(cache, key, len, 0);
}

static bool
has_at(struct cache *cache, int64_t key, int64_t now_ms)
{
	struct value value = number(key);
	struct cache_hit hit;
	struct value cell;

	if (!cache_find(cache, (const struct value *const[]){ &value }, 1, now_ms, &hit))
		return false;
	cr_assert_eq(hit.n_rows, 1u);
	(void)unpack_value(hit.cells, &cell);
	cr_assert(cell.len > 0 && cell.text[0] == 'x' && cell.text[cell.len - 1] == 'x');
	return true;
}

static bool
has(struct cache *cache, int64_t key)
{
	return has_at(cache, key, 0);
}

Test(cache, never_passes_its_ceiling_and_drops_what_was_read_first)
{
	/* Lengths of all kinds, so that the ring's end falls everywhere. */
	for (size_t len = 1; len < 3000; len += 41) {
		struct cache *cache = cache_new(100000, 1000);
		int64_t n = 0;

		cr_assert(cache);
		for (int64_t i = 0; i < 1000; i++) {
			put(cache, i, len + (size_t)(i * i) % 97);
			cr_assert_leq(cache_bytes(cache), 100000u);
			cr_assert(has(cache, i));
		}
		for (int64_t i = 0; i < 1000; i++) {
			n += has(cache, i);
			cr_assert(n == 0 || has(cache, i), "%d is there, the newer %d is not",
				  (int)(i - 1), (int)i);
		}
		/* At least what fits beside one gap at the ring's end. */
		cr_expect_geq((size_t)n * (len + 136), len < 40 ? 1 : 100000 - 2 * (len + 136));
		cache_free(cache);
	}
}

Test(cache, finds_what_was_put_in_any_order)
{
	enum { N_KEYS = 500 };
	struct cache *cache = cache_new(100000, 1000);
	int64_t put_ms[N_KEYS];
	uint32_t random = 1;

	cr_assert(cache);
	for (int i = 0; i < N_KEYS; i++)
		put_ms[i] = -1;
	for (int64_t now_ms = 0; now_ms < 20000; now_ms++) {
		random = random * 1664525 + 1013904223; /* Numerical Recipes */
		int key = (int)(random >> 8) % N_KEYS;
		put_at(cache, key, 1 + (random >> 28), now_ms);
		put_ms[key] = now_ms;
		key = (int)(random >> 16) % N_KEYS;
		bool is_fresh = put_ms[key] >= 0 && now_ms - put_ms[key] < 1000;
		cr_assert_eq(has_at(cache, key, now_ms), is_fresh, "%d at %d", key, (int)now_ms);
	}
	cache_free(cache);
}

Test(cache, keeps_no_entry_that_would_push_out_the_others)
{
	struct cache *cache = cache_new(100000, 1000);

	cr_assert(cache);
	put(cache, 1, 100);
	put(cache, 2, 99000);
	put(cache, 3, 200000);
	cr_expect(has(cache, 1));
	cr_expect_not(has(cache, 2));
	cr_expect_not(has(cache, 3));
	put(cache, 1, 99000);
	cr_expect_not(has(cache, 1), "the old rows are gone, though the new ones are not kept");
	cache_free(cache);
}

Test(cache, lets_go_of_what_was_replaced_or_is_too_old)
{
	struct cache *cache = cache_new(100000, 1000);

	cr_assert(cache);
	put_at(cache, 1, 500, 0);
	size_t bytes = cache_bytes(cache);
	put_at(cache, 1, 500, 1);
	cr_expect_eq(cache_bytes(cache), 2 * bytes);
	put_at(cache, 2, 500, 1000);
	cr_expect_eq(cache_bytes(cache), 2 * bytes, "the first is too old");
	cr_expect(has_at(cache, 1, 1000));
	put_at(cache, 3, 500, 2000);
	cr_expect_eq(cache_bytes(cache), bytes);
	cr_expect_not(has_at(cache, 1, 2000));
	cr_expect_not(has_at(cache, 2, 2000));
	cr_expect(has_at(cache, 3, 2000));
	cache_free(cache);
	cache_free(NULL);
}

Test(cache, does_not_confuse_tuples)
{
	struct cache *cache = cache_new(100000, 1000);
	struct value a[2] = {
		{ .type = TALLY_TEXT, .state = VALUE_SET, .len = 2, .text = "ab" },
		{ .type = TALLY_TEXT, .state = VALUE_SET, .len = 1, .text = "c"  }
	};
	struct value b[2] = {
		{ .type = TALLY_TEXT, .state = VALUE_SET, .len = 1, .text = "a"  },
		{ .type = TALLY_TEXT, .state = VALUE_SET, .len = 2, .text = "bc" }
	};
	struct value null[2] = { { .type = TALLY_TEXT }, a[1] };
	struct rows *rows = one_text(3);
	struct cache_hit hit;
	uint32_t first = 0;

	cr_assert(cache);
	cache_put(cache, (const struct value *const[]){ &a[0], &a[1] }, 2,
		  &(struct cache_rows){ rows, &first, 1 }, 0);
	rows_free(rows);
	cr_expect(cache_find(cache, (const struct value *const[]){ &a[0], &a[1] }, 2, 999, &hit));
	cr_expect_not(
	    cache_find(cache, (const struct value *const[]){ &a[0], &a[1] }, 2, 1000, &hit));
	cr_expect_not(cache_find(cache, (const struct value *const[]){ &b[0], &b[1] }, 2, 0, &hit));
	cr_expect_not(
	    cache_find(cache, (const struct value *const[]){ &null[0], &null[1] }, 2, 0, &hit));
	cr_expect_not(cache_find(cache, (const struct value *const[]){ &a[1], &a[0] }, 2, 0, &hit));
	cr_expect_not(cache_find(cache, (const struct value *const[]){ &a[0] }, 1, 0, &hit));
	cache_free(cache);
}
