/* What fails, and for whom: refused queries, lost databases, ceilings, deadlines, cancels. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/rig.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Users know their items: ann has two, bob one, cyd none, dan one that a database chokes on. */
static const char items[] = "-- dataset t: items of a user\n"
			    "-- param login text required\n"
			    "-- column name text\n"
			    "-- order name\n"
			    "-- step user on db1 by login\n"
			    "users :login;\n"
			    "-- step item on db2 by user_id\n"
			    "items :user_id;\n";
static const char *const user_rows[] = { "ann|1", "bob|2", "cyd|3", "dan|66", NULL };
static const char *const item_rows[] = { "1|a", "1|b", "2|c", "66|d", NULL };

static const char ann[] = "[{\"name\":\"a\"},{\"name\":\"b\"}]";
static const char bob[] = "[{\"name\":\"c\"}]";

static void
fill(struct canned_statement statements[2], int delay_ms)
{
	statements[0] = (struct canned_statement){
		.tag = "users",
		.columns = "login text, user_id int",
		.rows = user_rows,
		.delay_ms = delay_ms,
		.as_of_ms = 11,
	};
	statements[1] = (struct canned_statement){
		.tag = "items",
		.columns = "user_id int, name text",
		.rows = item_rows,
		.delay_ms = delay_ms,
		.as_of_ms = 22,
	};
}

static const int delays[] = { CANNED_AT_ONCE, 0 };

static struct rig *
rig_of(struct canned_statement statements[2], const char *const *logins)
{
	struct rig *rig = rig_new(items, statements, 2);
	char text[64];

	for (; *logins; logins++) {
		snprintf(text, sizeof text, "login=%s", *logins);
		rig_request(rig, text);
	}
	return rig;
}

static const char *const everybody[] = { "ann", "nobody", "dan", "bob", "cyd", NULL };

/* ---- a query that is refused ---------------------------------------------------------------- */

static tally_status
refuse_66(void *ctx, const struct source_query *query, struct tally_error *err)
{
	(void)ctx;
	for (size_t i = 0; i < query->arguments[0].n; i++) {
		if (query->arguments[0].values[i].i != 66)
			continue;
		(void)tally_fail(err, TALLY_SOURCE_ERROR, "invalid input");
		memcpy(err->sqlstate, "22P02", 6);
		return TALLY_SOURCE_ERROR;
	}
	return TALLY_OK;
}

Test(faults, a_refused_request_fails_alone)
{
	for (size_t i = 0; i < COUNT(delays); i++) {
		struct canned_statement statements[2];

		fill(statements, delays[i]);
		statements[1].check = refuse_66;
		struct rig *rig = rig_of(statements, everybody);
		rig_run(rig);
		cr_expect_str_eq(rig_data(rig, 0), ann);
		cr_expect_str_eq(rig_data(rig, 1), "[]");
		cr_expect_str_eq(rig_data(rig, 2), "source_error");
		cr_expect_str_eq(rig_data(rig, 3), bob);
		cr_expect_str_eq(rig_data(rig, 4), "[]");
		cr_expect_str_eq(rig_error(rig, 2)->source, "canned");
		cr_expect_str_eq(rig_error(rig, 2)->sqlstate, "22P02");
		cr_expect_str_eq(rig_error(rig, 2)->detail, "invalid input");
		rig_free(rig);
	}
}

Test(faults, one_bad_request_of_many_costs_a_logarithm_of_queries)
{
	struct canned_statement statements[2];
	char text[32];

	fill(statements, CANNED_AT_ONCE);
	statements[1].check = refuse_66;
	struct rig *rig = rig_new(items, statements, 2);
	for (int i = 0; i < 64; i++) {
		snprintf(text, sizeof text, "login=%d", i);
		rig_request(rig, i == 13 ? "login=dan" : i == 14 ? "login=ann" : text);
	}
	rig_run(rig);
	for (size_t i = 0; i < 64; i++)
		cr_expect_str_eq(rig_data(rig, i), i == 13 ? "source_error" : i == 14 ? ann : "[]");
	cr_expect_leq(statements[0].n_calls, 13u, "2 * log2(64) + 1");
	rig_free(rig);
}

struct limit {
	tally_status status;
	const char *code;
};

/* The server's own limits for a query, which many requests pass together, and 66 alone. */
static tally_status
take_too_long(void *ctx, const struct source_query *query, struct tally_error *err)
{
	if (query->arguments[0].n <= 2 && refuse_66(ctx, query, err) == TALLY_OK)
		return TALLY_OK;
	const struct limit *limit = ctx;
	(void)tally_fail(err, limit->status, "past a limit");
	(void)snprintf(err->sqlstate, sizeof err->sqlstate, "%s", limit->code);
	return limit->status;
}

Test(faults, a_query_past_the_servers_limits_fails_nobody_else)
{
	static const char *const logins[] = { "ann", "bob", "cyd", "dan", NULL };
	static const struct limit limits[] = {
		{ TALLY_DEADLINE_EXCEEDED,  "57014" },
		{ TALLY_SOURCE_UNAVAILABLE, "53400" },
		{ TALLY_SOURCE_UNAVAILABLE, "241"   },
	};

	for (size_t i = 0; i < COUNT(limits); i++) {
		struct canned_statement statements[2];
		struct limit limit = limits[i];

		fill(statements, 0);
		statements[1].check = take_too_long;
		statements[1].ctx = &limit;
		struct rig *rig = rig_of(statements, logins);
		rig_run(rig);
		cr_expect_str_eq(rig_data(rig, 0), ann);
		cr_expect_str_eq(rig_data(rig, 1), bob);
		cr_expect_str_eq(rig_data(rig, 2), "[]");
		cr_expect_str_eq(rig_data(rig, 3), tally_status_code(limit.status));
		rig_free(rig);
	}
}

static tally_status
refuse_all(void *ctx, const struct source_query *query, struct tally_error *err)
{
	(void)query;
	return tally_fail(err, *(tally_status *)ctx, "%s", tally_status_code(*(tally_status *)ctx));
}

Test(faults, a_refusal_of_all_spares_those_who_do_not_depend)
{
	static const char *const two[] = { "ann", "nobody", NULL };
	tally_status status = TALLY_SOURCE_ERROR;
	struct canned_statement statements[2];

	fill(statements, 0);
	statements[1].check = refuse_all;
	statements[1].ctx = &status;
	struct rig *rig = rig_of(statements, two);
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "source_error");
	cr_expect_str_eq(rig_data(rig, 1), "[]");
	rig_free(rig);
}

/* ---- a database that is away ---------------------------------------------------------------- */

static const tally_status nobodys_fault[] = {
	TALLY_SOURCE_UNAVAILABLE,
	TALLY_DEADLINE_EXCEEDED,
	TALLY_SATURATED,
	TALLY_NO_MEMORY,
};

Test(faults, a_database_that_is_away_fails_those_who_depend_on_it_at_once)
{
	for (size_t i = 0; i < COUNT(nobodys_fault) * COUNT(delays); i++) {
		tally_status status = nobodys_fault[i / COUNT(delays)];
		struct canned_statement statements[2];

		fill(statements, delays[i % COUNT(delays)]);
		statements[1].check = refuse_all;
		statements[1].ctx = &status;
		struct rig *rig = rig_of(statements, everybody);
		rig_run(rig);
		cr_expect_str_eq(rig_data(rig, 0), tally_status_code(status));
		cr_expect_str_eq(rig_data(rig, 2), tally_status_code(status));
		cr_expect_str_eq(rig_data(rig, 3), tally_status_code(status));
		cr_expect_str_eq(rig_data(rig, 1), "[]", "nothing was asked for nobody");
		cr_expect_str_eq(rig_data(rig, 4), tally_status_code(status), "items may exist");
		cr_expect_eq(statements[1].n_calls, 1u, "not asked again");
		cr_expect_eq(rig->n_as_of, 1u);
		cr_expect_eq(rig->as_of[0].at_ms, 11);
		rig_free(rig);
	}
}

Test(faults, of_the_first_step_are_everybodys)
{
	tally_status status = TALLY_SOURCE_UNAVAILABLE;
	struct canned_statement statements[2];

	fill(statements, 0);
	statements[0].check = refuse_all;
	statements[0].ctx = &status;
	struct rig *rig = rig_of(statements, everybody);
	rig_run(rig);
	for (size_t i = 0; i < rig->n_requests; i++)
		cr_expect_str_eq(rig_data(rig, i), "source_unavailable");
	cr_expect_eq(statements[1].n_calls, 0u);
	rig_free(rig);
}

Test(faults, of_a_step_that_nobody_needs_any_more_are_nobodys)
{
	static const char *const none[] = { NULL };
	tally_status status = TALLY_SOURCE_UNAVAILABLE;
	struct canned_statement tables[] = {
		{ .tag = "first", .columns = "k text, a int", .rows = none },
		{ .tag = "second",
                 .columns = "k text, b int",
                 .delay_ms = 3,
                 .check = refuse_all,
                 .ctx = &status },
	};
	struct rig *rig = rig_new("-- dataset t: t\n-- param k text\n-- column a int\n"
				  "-- step a on db1 by k\nfirst :k;\n"
				  "-- step b on db2 by k\nsecond :k;\n",
				  tables, COUNT(tables));

	rig_request(rig, "k=a");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[]");
	rig_free(rig);
}

Test(faults, of_one_step_end_the_others)
{
	static const char *const rows[] = { "a|1", NULL };
	tally_status status = TALLY_SOURCE_UNAVAILABLE;
	struct canned_statement tables[] = {
		{ .tag = "first",  .columns = "k text, a int", .rows = rows, .delay_ms = 5000 },
		{ .tag = "second",
                 .columns = "k text, b int",
                 .check = refuse_all,
                 .ctx = &status							       },
	};
	struct rig *rig = rig_new("-- dataset t: t\n-- param k text\n-- column a int\n"
				  "-- step a on db1 by k\nfirst :k;\n"
				  "-- step b on db2 by k\nsecond :k;\n",
				  tables, COUNT(tables));
	int64_t start_ms = clock_mono_ms();

	rig_request(rig, "k=a");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "source_unavailable");
	cr_expect_eq(tables[0].n_cancelled, 1u);
	cr_expect_lt(clock_mono_ms() - start_ms, 4000);
	rig_free(rig);
}

Test(faults, a_source_that_closes_is_unavailable)
{
	struct canned_statement statements[2];

	fill(statements, 5000);
	struct rig *rig = rig_of(statements, everybody);
	rig_start(rig);
	source_free(rig->sources[0]);
	rig->sources[0] = NULL;
	rig_wait(rig);
	for (size_t i = 0; i < rig->n_requests; i++)
		cr_expect_str_eq(rig_data(rig, i), "source_unavailable");
	rig_free(rig);
}

/* ---- ceilings ------------------------------------------------------------------------------- */

/* A key k has k rows. */
static tally_status
answer_by_key(void *ctx, const struct source_query *query, struct rows *rows)
{
	const struct source_argument *keys = &query->arguments[0];

	(void)ctx;
	for (size_t i = 0; i < keys->n; i++) {
		for (int64_t k = 0; k < keys->values[i].i; k++) {
			struct value *cells;
			tally_status status = rows_add(rows, &cells);

			if (status != TALLY_OK)
				return status;
			cells[0] = keys->values[i];
			cells[1] = cells[0];
			cells[1].i = k;
		}
	}
	return TALLY_OK;
}

static const char counted[] = "-- dataset t: t\n-- param k int\n-- column n int = count(v)\n"
			      "-- step a on db1 by k\ntable :k;\n";
static const char listed[] = "-- dataset t: t\n-- param k int\n-- column v int\n"
			     "-- step a on db1 by k\ntable :k;\n";

Test(faults, a_request_past_the_row_budget_fails_alone)
{
	for (size_t d = 0; d < COUNT(delays); d++) {
		struct canned_statement table = { .tag = "table",
						  .columns = "k int, v int",
						  .answer = answer_by_key,
						  .delay_ms = delays[d] };
		struct rig *rig = rig_new(counted, &table, 1);

		rig->limits.batch_bytes = 100 * (2 * sizeof(struct value) + 8) + 64;
		rig_request(rig, "k=1");
		rig_request(rig, "k=60");
		rig_request(rig, "k=1000");
		rig_request(rig, "k=90");
		rig_request(rig, "k=0");
		rig_run(rig);
		cr_expect_str_eq(rig_data(rig, 0), "[{\"n\":1}]");
		cr_expect_str_eq(rig_data(rig, 1), "[{\"n\":60}]", "together too many, not alone");
		cr_expect_str_eq(rig_data(rig, 2), "result_too_large");
		cr_expect_str_eq(rig_data(rig, 3), "[{\"n\":90}]");
		cr_expect_str_eq(rig_data(rig, 4), "[{\"n\":0}]");
		cr_expect(strstr(rig_error(rig, 2)->detail, "narrow"), "%s",
			  rig_error(rig, 2)->detail);
		rig_free(rig);
	}
}

/* Asks for keys of a hundred rows and some, and once for one of far too many; the queries it took. */
static unsigned
ask_for_hundreds(struct rig *rig, struct canned_statement *table, bool with_outlier)
{
	char text[16];

	rig_clear(rig);
	table->n_calls = 0;
	for (int k = 100; k < 132; k++) {
		(void)snprintf(text, sizeof text, "k=%d", k == 115 && with_outlier ? 5000 : k);
		rig_request(rig, text);
	}
	rig_run(rig);
	for (size_t i = 0; i < 32; i++) {
		bool is_outlier = i == 15 && with_outlier;
		(void)snprintf(text, sizeof text, "[{\"n\":%zu}]", 100 + i);
		cr_expect_str_eq(rig_data(rig, i), is_outlier ? "result_too_large" : text);
	}
	return table->n_calls;
}

Test(faults, a_batch_is_no_larger_than_what_lately_fitted)
{
	struct canned_statement table = { .tag = "table",
					  .columns = "k int, v int",
					  .answer = answer_by_key };
	struct rig *rig = rig_new(counted, &table, 1);

	rig->limits.batch_bytes = 1200 * (2 * sizeof(struct value) + 8) + 64;
	cr_expect_eq(ask_for_hundreds(rig, &table, false), 6u, "32, 16, 8 that fit, 8, 8 and 8");
	cr_expect_eq(ask_for_hundreds(rig, &table, false), 4u, "8 each");
	cr_expect_gt(ask_for_hundreds(rig, &table, true), 4u);
	cr_expect_eq(ask_for_hundreds(rig, &table, false), 5u,
		     "one that never fits counts for none");
	rig_free(rig);
}

/* Asks for one key of so many rows. */
static void
ask_for(struct rig *rig, int k)
{
	char text[16];

	rig_clear(rig);
	(void)snprintf(text, sizeof text, "k=%d", k);
	rig_request(rig, text);
	rig_run(rig);
}

Test(faults, one_large_request_makes_the_batches_of_others_no_smaller)
{
	struct canned_statement table = { .tag = "table",
					  .columns = "k int, v int",
					  .answer = answer_by_key };
	struct rig *rig = rig_new(counted, &table, 1);

	rig->limits.batch_bytes = 4000 * (2 * sizeof(struct value) + 8) + 64;
	ask_for(rig, 3900);
	cr_expect_eq(ask_for_hundreds(rig, &table, false), 2u, "16 that fit, and their like");
	ask_for(rig, 3900);
	cr_expect_leq(ask_for_hundreds(rig, &table, false), 3u);
	rig_free(rig);
}

/* Rows that come whoever asks: 900 of them. */
static tally_status
answer_all_alike(void *ctx, const struct source_query *query, struct rows *rows)
{
	struct value *cells;

	(void)ctx;
	(void)query;
	for (int i = 0; i < 900; i++) {
		if (rows_add(rows, &cells) != TALLY_OK)
			return TALLY_NO_MEMORY;
		cells[0] = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i };
	}
	return TALLY_OK;
}

Test(faults, rows_that_all_share_make_no_batch_smaller)
{
	struct canned_statement tables[] = {
		{ .tag = "table", .columns = "k int, v int", .answer = answer_by_key    },
		{ .tag = "all",   .columns = "w int",        .answer = answer_all_alike },
	};
	struct rig *rig = rig_new("-- dataset t: t\n-- param k int\n-- column n int = count(*)\n"
				  "-- step a on db1 by k\ntable :k;\n-- step b on db2\nall;\n",
				  tables, COUNT(tables));

	/* Half as much again as they take. */
	rig->limits.batch_bytes = 900 * (sizeof(struct value) + 8) / 2 * 3;
	for (int i = 0; i < 8; i++)
		rig_request(rig, i == 3 ? "k=1" : "k=0");
	for (unsigned i = 1; i <= 8; i++) {
		rig_run(rig);
		cr_expect_str_eq(rig_data(rig, 3), "[{\"n\":900}]");
		cr_expect_eq(tables[1].n_calls, i);
	}
	rig_free(rig);
}

Test(faults, a_join_past_the_budget_fails_alone)
{
	struct canned_statement tables[] = {
		{ .tag = "table", .columns = "k int, v int", .answer = answer_by_key },
		{ .tag = "other", .columns = "k int, w int", .answer = answer_by_key },
	};
	struct rig *rig = rig_new("-- dataset t: t\n-- param k int\n-- column n int = count(*)\n"
				  "-- step a on db1 by k\ntable :k;\n-- step b on db2 by k\n"
				  "other :k;\n",
				  tables, COUNT(tables));

	rig->limits.batch_bytes = 300000;
	rig_request(rig, "k=20");
	rig_request(rig, "k=1000"); /* a million lines of two thousand rows */
	rig_request(rig, "k=30");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"n\":400}]");
	cr_expect_str_eq(rig_data(rig, 1), "result_too_large");
	cr_expect_str_eq(rig_data(rig, 2), "[{\"n\":900}]");
	rig_free(rig);
}

Test(faults, a_body_past_its_ceiling_fails_alone)
{
	struct canned_statement table = { .tag = "table",
					  .columns = "k int, v int",
					  .answer = answer_by_key };
	struct rig *rig = rig_new(listed, &table, 1);

	rig->limits.result_bytes = 100;
	rig_request(rig, "k=2");
	rig_request(rig, "k=20");
	rig_request(rig, "k=0");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"v\":0},{\"v\":1}]");
	cr_expect_str_eq(rig_data(rig, 1), "result_too_large");
	cr_expect_str_eq(rig_data(rig, 2), "[]");
	cr_expect_eq(table.n_calls, 1u);
	rig_free(rig);
}

Test(faults, a_body_may_be_as_long_as_its_ceiling)
{
	struct canned_statement table = { .tag = "table",
					  .columns = "k int, v int",
					  .answer = answer_by_key };

	for (size_t spare = 0; spare < 2; spare++) {
		struct rig *rig = rig_new(listed, &table, 1);

		rig->limits.result_bytes =
		    strlen("{\"status\":\"ok\",\"data\":[{\"v\":0}]}") - 1 + spare;
		rig_request(rig, "k=1");
		rig_run(rig);
		cr_expect_str_eq(rig_data(rig, 0), spare ? "[{\"v\":0}]" : "result_too_large");
		rig_free(rig);
	}
}

/* ---- time and cancels ----------------------------------------------------------------------- */

Test(faults, past_the_deadline_are_everybodys)
{
	struct canned_statement statements[2];

	fill(statements, 5000);
	statements[0].delay_ms = 0;
	struct rig *rig = rig_of(statements, everybody);
	rig->limits.deadline_ms = clock_mono_ms() + 10;
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "deadline_exceeded");
	cr_expect_str_eq(rig_data(rig, 1), "[]");
	cr_expect_str_eq(rig_data(rig, 4), "deadline_exceeded");
	rig_free(rig);
}

Test(faults, a_cancel_answers_everybody_and_stops_the_queries)
{
	for (size_t step = 0; step < 2; step++) {
		struct canned_statement statements[2];

		fill(statements, 0);
		statements[step].delay_ms = 5000;
		struct rig *rig = rig_of(statements, everybody);
		rig_start(rig);
		while (statements[step].n_calls == 0)
			loop_step(rig->loop, 100);
		cr_assert(rig->run);
		engine_cancel(rig->run);
		cr_assert(rig->has_ended, "before it returns");
		for (size_t i = 0; i < rig->n_requests; i++)
			cr_expect_str_eq(rig_data(rig, i), "cancelled");
		cr_expect_eq(statements[step].n_cancelled, 1u);
		rig_free(rig);
	}
}

static void
cancel_at(struct rig *rig, struct engine_run *run, size_t index)
{
	if (index == *(size_t *)rig->ctx)
		engine_cancel(run);
}

Test(faults, a_cancel_may_come_from_an_answer)
{
	for (size_t at = 0; at < 5; at++) {
		for (size_t d = 0; d < COUNT(delays); d++) {
			struct canned_statement statements[2];

			fill(statements, delays[d]);
			struct rig *rig = rig_of(statements, everybody);
			rig->on_answer = cancel_at;
			rig->ctx = &at;
			rig_run(rig);
			cr_expect_str_eq(rig_data(rig, 0), ann);
			for (size_t i = 0; i < rig->n_requests; i++)
				cr_expect_eq(rig->answers[i].status,
					     i > at ? TALLY_CANCELLED : TALLY_OK, "%zu", i);
			rig_free(rig);
		}
	}
}

Test(faults, a_cancel_may_come_from_a_failure)
{
	tally_status status = TALLY_SOURCE_UNAVAILABLE;
	struct canned_statement statements[2];
	size_t at = 0;

	fill(statements, 0);
	statements[0].check = refuse_all;
	statements[0].ctx = &status;
	struct rig *rig = rig_of(statements, everybody);
	rig->on_answer = cancel_at;
	rig->ctx = &at;
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "source_unavailable");
	for (size_t i = 1; i < rig->n_requests; i++)
		cr_expect_str_eq(rig_data(rig, i), "cancelled");
	rig_free(rig);
}

Test(faults, a_cancel_may_come_from_a_step)
{
	for (size_t at = 0; at < 2; at++) {
		for (size_t d = 0; d < COUNT(delays); d++) {
			struct canned_statement statements[2];

			fill(statements, delays[d]);
			struct rig *rig = rig_of(statements, everybody);
			rig->on_step = cancel_at;
			rig->ctx = &at;
			rig_run(rig);
			for (size_t i = 0; i < rig->n_requests; i++)
				cr_expect_str_eq(rig_data(rig, i), "cancelled");
			cr_expect_eq(statements[1].n_calls, (unsigned)at);
			rig_free(rig);
		}
	}
}

Test(faults, a_cancel_while_halves_run_leaves_answers_as_they_are)
{
	struct canned_statement statements[2];
	size_t at = 0;

	fill(statements, 0);
	statements[1].check = refuse_66;
	struct rig *rig = rig_of(statements, everybody);
	rig->on_answer = cancel_at;
	rig->ctx = &at;
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), ann);
	cr_expect_str_eq(rig_data(rig, 2), "cancelled");
	cr_expect_str_eq(rig_data(rig, 4), "cancelled");
	rig_free(rig);
}
