/* What a run makes of requests and rows: joins, groups, order, JSON. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "support/rig.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- two databases -------------------------------------------------------------------------- */

static const char comments[] = "-- dataset t: comments of a user by post\n"
			       "-- param login text required\n"
			       "-- column user_login text\n"
			       "-- column header text null\n"
			       "-- column author text null\n"
			       "-- column total int\n"
			       "-- order total desc, header\n"
			       "-- step user on db1 by login\n"
			       "users :login;\n"
			       "-- step comment on db2 by user_id\n"
			       "comments :user_id;\n"
			       "-- step post on db1 by post_id keep\n"
			       "posts :post_id;\n"
			       "-- step author on db1 by author_id keep\n"
			       "authors :author_id;\n";

static const char *const user_rows[] = { "ann|ann|1", "bob|bob|2", "cyd|cyd|~", "dan|dan|4", NULL };
static const char *const comment_rows[] = {
	"1|10|3", "1|11|5", "1|99|4", "2|10|1", "1|12|5", "~|10|9", NULL,
};
static const char *const post_rows[] = { "10|Ten|7", "11|Eleven|8", "12|Bare|~", NULL };
static const char *const author_rows[] = { "7|root", "8|юля", NULL };

static void
fill_comments(struct canned_statement statements[4])
{
	statements[0] = (struct canned_statement){
		.tag = "users",
		.columns = "login text, user_login text, user_id int",
		.rows = user_rows,
	};
	statements[1] = (struct canned_statement){
		.tag = "comments",
		.columns = "user_id int, post_id int, total int",
		.rows = comment_rows,
	};
	statements[2] = (struct canned_statement){
		.tag = "posts",
		.columns = "post_id int, header text, author_id int",
		.rows = post_rows,
	};
	statements[3] = (struct canned_statement){
		.tag = "authors",
		.columns = "author_id int, author text",
		.rows = author_rows,
	};
}

static const char ann[] =
    "[{\"user_login\":\"ann\",\"header\":\"Bare\",\"author\":null,\"total\":5},"
    "{\"user_login\":\"ann\",\"header\":\"Eleven\",\"author\":\"юля\",\"total\":5},"
    "{\"user_login\":\"ann\",\"header\":null,\"author\":null,\"total\":4},"
    "{\"user_login\":\"ann\",\"header\":\"Ten\",\"author\":\"root\",\"total\":3}]";
static const char bob[] =
    "[{\"user_login\":\"bob\",\"header\":\"Ten\",\"author\":\"root\",\"total\":1}]";

static void
check_comments(int delay_ms, uint64_t shuffle)
{
	struct canned_statement statements[4];

	fill_comments(statements);
	for (size_t i = 0; i < COUNT(statements); i++) {
		statements[i].delay_ms = delay_ms;
		statements[i].shuffle = shuffle;
	}
	struct rig *rig = rig_new(comments, statements, COUNT(statements));
	rig_request(rig, "login=bob");
	rig_request(rig, "login=nobody");
	rig_request(rig, "login=ann");
	rig_request(rig, "login=cyd");
	rig_request(rig, "login=dan");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), bob);
	cr_expect_str_eq(rig_data(rig, 1), "[]", "an unknown login has no rows");
	cr_expect_str_eq(rig_data(rig, 2), ann);
	cr_expect_str_eq(rig_data(rig, 3), "[]", "a null key takes no part");
	cr_expect_str_eq(rig_data(rig, 4), "[]");
	for (size_t i = 0; i < COUNT(statements); i++)
		cr_expect_eq(statements[i].n_calls, 1u, "one query for all requests");
	cr_expect_eq(statements[0].n_keys, 5u);
	cr_expect_eq(statements[1].n_keys, 3u, "1, 2 and 4, not the null");
	cr_expect_eq(statements[2].n_keys, 4u, "distinct posts");
	cr_expect_eq(statements[3].n_keys, 2u, "7 and 8, not the null");
	rig_free(rig);
}

Test(engine, joins_two_databases_for_a_batch)
{
	check_comments(CANNED_AT_ONCE, 0);
	check_comments(0, 0);
	check_comments(1, 0);
}

Test(engine, does_not_care_in_which_order_rows_come)
{
	for (uint64_t seed = 1; seed < 50; seed += 3)
		check_comments(CANNED_AT_ONCE, seed * 0x9E3779B97F4A7C15);
}

Test(engine, tells_of_each_step)
{
	struct canned_statement statements[4];

	fill_comments(statements);
	statements[0].as_of_ms = 3000;
	statements[1].as_of_ms = 2000;
	statements[2].as_of_ms = 1000;
	statements[3].as_of_ms = 4000;
	struct rig *rig = rig_new(comments, statements, COUNT(statements));
	rig_request(rig, "login=ann");
	rig_run(rig);
	cr_assert_eq(rig->n_steps, 4u);
	cr_expect_str_eq(rig->steps[1].step->name, "comment");
	cr_expect_eq(rig->steps[1].n_keys, 1u);
	cr_expect_eq(rig->steps[1].n_rows, 4u);
	cr_expect_eq(rig->steps[1].n_cached, 0u);
	cr_expect_eq(rig->answers[0].n_rows, 4u);
	cr_assert_eq(rig->n_as_of, 2u);
	cr_expect_str_eq(rig->as_of[0].source, "db1");
	cr_expect_eq(rig->as_of[0].at_ms, 1000, "the earliest of its steps");
	cr_expect_eq(rig->as_of[1].at_ms, 2000);
	rig_free(rig);
}

Test(engine, of_no_requests_only_ends)
{
	struct canned_statement statements[4];

	fill_comments(statements);
	struct rig *rig = rig_new(comments, statements, COUNT(statements));
	rig_run(rig);
	cr_expect(rig->has_ended);
	cr_expect_eq(statements[0].n_calls, 0u);
	rig_free(rig);
}

/* ---- one step ------------------------------------------------------------------------------- */

/* Runs a dataset of one table for requests, "a=1;a=2", and compares "rows;rows". */
struct single {
	const char *head; /* directives after the dataset's name */
	const char *step; /* after "-- step s on db1 ", with the binds of its statement */
	const char *columns;
	const char *rows[8];
	const char *requests[4];
	const char *wanted[4];
};

static void
check_single(const struct single *single)
{
	struct canned_statement table = {
		.tag = "table",
		.columns = single->columns,
		.rows = single->rows,
		.delay_ms = CANNED_AT_ONCE,
	};
	char text[2048];

	snprintf(text, sizeof text, "-- dataset t: test\n%s-- step s on db1 %s\n", single->head,
		 single->step);
	struct rig *rig = rig_new(text, &table, 1);
	for (size_t i = 0; i < 4 && single->requests[i]; i++)
		rig_request(rig, single->requests[i]);
	rig_run(rig);
	for (size_t i = 0; i < rig->n_requests; i++)
		cr_expect_str_eq(rig_data(rig, i), single->wanted[i], "%s, %s: %s", single->head,
				 single->requests[i], rig_error(rig, i)->detail);
	rig_free(rig);
}

#define ONE_PARAM "-- param k text\n"
#define BY_K      "by k\ntable :k;"

/* Not formatted: its columns would be as wide as the longest string. */
/* clang-format off */
static const struct single singles[] = {
	{ ONE_PARAM "-- column k text null\n-- column n int\n",
	  BY_K, "k text, n int",
	  { "a|1", "~|2", "|3", "A|4" },
	  { "k=a", "k", "k=", "k=b" },
	  { "[{\"k\":\"a\",\"n\":1}]", "[{\"k\":null,\"n\":2}]", "[{\"k\":\"\",\"n\":3}]", "[]" } },
	{ ONE_PARAM "-- column n int\n",
	  "\ntable;", "n int",
	  { "2", "1" },
	  { "k=a", "k=b" },
	  { "[{\"n\":1},{\"n\":2}]", "[{\"n\":1},{\"n\":2}]" } },
	{ ONE_PARAM "-- param day date\n-- column n int\n",
	  "by k\ntable :k :day;", "k text, day_ date, n int",
	  { "a|2024-02-29|1", "a|~|2", "b|2024-02-29|3" },
	  { "k=a&day=2024-02-29", "k=b&day=2024-02-29" },
	  { "[{\"n\":1}]", "[{\"n\":3}]" } },
	{ ONE_PARAM "-- param day date\n-- column n int\n",
	  "by k, day\ntable :day :k;", "k text, day date, n int",
	  { "a|2024-02-29|1", "a|~|2", "b|2024-02-29|3", "b|~|4" },
	  { "k=a&day=2024-02-29", "k=b&day=2024-02-29", "k=a", "day=2024-02-29" },
	  { "[{\"n\":1}]", "[{\"n\":3}]", "[{\"n\":2}]", "[]" } },
	{ ONE_PARAM "-- column n int null\n-- column m text null\n-- order n desc\n-- limit 3\n",
	  BY_K, "k text, n int, m text",
	  { "a|1|x", "a|~|y", "a|3|z", "a|3|~", "b|~|~", "b|~|a" },
	  { "k=a", "k=b" },
	  { "[{\"n\":3,\"m\":\"z\"},{\"n\":3,\"m\":null},{\"n\":1,\"m\":\"x\"}]",
	  "[{\"n\":null,\"m\":\"a\"},{\"n\":null,\"m\":null}]" } },
	/* in place of null, also where "keep" found nothing and in the order */
	{ ONE_PARAM "-- column n int default 5\n-- column m text null default 'none'\n-- order n\n",
	  "by k keep\ntable :k;", "k text, n int, m text",
	  { "a|9|x", "a|~|~", "a|1|z" },
	  { "k=a", "k=b" },
	  { "[{\"n\":1,\"m\":\"z\"},{\"n\":5,\"m\":\"none\"},{\"n\":9,\"m\":\"x\"}]",
	  "[{\"n\":5,\"m\":\"none\"}]" } },
	/* types */
	{ ONE_PARAM "-- column a float\n-- column b bool\n-- column c date\n-- column d timestamp\n"
	  "-- column e timestamptz\n-- column f uuid\n-- column g decimal\n", BY_K,
	  "k text, a float, b bool, c date, d timestamp, e timestamptz, f uuid, g decimal",
	  { "a|0.1|true|0001-01-01|9999-12-31T23:59:59.999999|2024-02-29T00:00:00+01:00|"
	  "ABCDEF01-2345-6789-abcd-EF0123456789|-12.50" },
	  { "k=a" },
	  { "[{\"a\":0.1,\"b\":true,\"c\":\"0001-01-01\",\"d\":\"9999-12-31T23:59:59.999999\","
	  "\"e\":\"2024-02-28T23:00:00Z\",\"f\":\"abcdef01-2345-6789-abcd-ef0123456789\","
	  "\"g\":\"-12.50\"}]" } },
	/* what cannot be represented fails its own request, cut off or not */
	{ ONE_PARAM "-- column n int\n-- limit 1\n",
	  BY_K, "k text, n int",
	  { "a|1", "b|!", "b|1" },
	  { "k=a", "k=b", "k=c" },
	  { "[{\"n\":1}]", "unsupported_value", "[]" } },
	{ ONE_PARAM "-- column n int\n",
	  BY_K, "k text, n int, unused decimal",
	  { "a|1|!" },
	  { "k=a" },
	  { "[{\"n\":1}]" } },
	{ ONE_PARAM "-- column n int\n",
	  BY_K, "k text, n int",
	  { "a|~", "b|2" },
	  { "k=a", "k=b" },
	  { "unsupported_value", "[{\"n\":2}]" } },
	{ ONE_PARAM "-- column t text\n",
	  BY_K, "k text, t text",
	  { "a|caf\xe9", "b|\xed\xa0\x80", "c|ok", "d|12345678\xf0\x9f\x98" },
	  { "k=a", "k=b", "k=c", "k=d" },
	  { "unsupported_value", "unsupported_value", "[{\"t\":\"ok\"}]", "unsupported_value" } },
	/* groups */
	{ ONE_PARAM "-- column g text null\n-- column n int = count(*)\n-- column d int = "
	  "count(distinct v)\n-- column c int = count(v)\n-- column s int null = sum(v)\n"
	  "-- column lo int null = min(v)\n-- column hi int = max(v) default 0\n-- group by g\n", BY_K,
	  "k text, g text, v int",
	  { "a|x|1", "a|x|1", "a|~|5", "a|x|-3", "a|~|~", "a|y|~", "b|x|7" },
	  { "k=a", "k=b", "k=c" },
	  { "[{\"g\":\"x\",\"n\":3,\"d\":2,\"c\":3,\"s\":-1,\"lo\":-3,\"hi\":1},"
	  "{\"g\":\"y\",\"n\":1,\"d\":0,\"c\":0,\"s\":null,\"lo\":null,\"hi\":0},"
	  "{\"g\":null,\"n\":2,\"d\":1,\"c\":1,\"s\":5,\"lo\":5,\"hi\":5}]",
	  "[{\"g\":\"x\",\"n\":1,\"d\":1,\"c\":1,\"s\":7,\"lo\":7,\"hi\":7}]", "[]" } },
	{ ONE_PARAM "-- column n int = count(*)\n-- column s int null = sum(v)\n"
	  "-- column m text = max(t) default 'none'\n", BY_K,
	  "k text, v int, t text",
	  { "a|1|ж", "a|2|b" },
	  { "k=a", "k=nobody" },
	  { "[{\"n\":2,\"s\":3,\"m\":\"ж\"}]", "[{\"n\":0,\"s\":null,\"m\":\"none\"}]" } },
	/* a total that no row has: a null where none is declared */
	{ ONE_PARAM "-- column s int = sum(v)\n",
	  BY_K, "k text, v int",
	  { "a|1", "b|~" },
	  { "k=a", "k=b", "k=c" },
	  { "[{\"s\":1}]", "unsupported_value", "unsupported_value" } },
	{ ONE_PARAM "-- column s int = sum(v)\n",
	  BY_K, "k text, v int",
	  { "a|9223372036854775807", "a|1", "a|-1", "b|9223372036854775807", "b|1",
	  "c|-9223372036854775808", "c|-1" },
	  { "k=a", "k=b", "k=c" },
	  { "[{\"s\":9223372036854775807}]", "unsupported_value", "unsupported_value" } },
	{ ONE_PARAM "-- column s decimal = sum(v)\n-- column d int = count(distinct v)\n",
	  BY_K, "k text, v decimal",
	  { "a|0.1", "a|0.20", "a|-0.3", "a|0.2", "b|99999999999999999999999999999999999999", "b|1",
	  "b|-1" },
	  { "k=a", "k=b" },
	  { "[{\"s\":\"0.20\",\"d\":3}]",
	  "[{\"s\":\"99999999999999999999999999999999999999\",\"d\":3}]" } },
	{ ONE_PARAM "-- column s decimal = sum(v)\n",
	  BY_K, "k text, v decimal",
	  { "a|99999999999999999999999999999999999999", "a|1", "b|-1.5", "b|1", "c|-0.01" },
	  { "k=a", "k=b", "k=c" },
	  { "unsupported_value", "[{\"s\":\"-0.5\"}]", "[{\"s\":\"-0.01\"}]" } },
	{ ONE_PARAM "-- column s float = sum(v)\n",
	  BY_K, "k text, v float",
	  { "a|1e308", "a|1e308", "b|0.1", "b|0.2", "b|0.3", "c|-0", "c|-0" },
	  { "k=a", "k=b", "k=c" },
	  { "unsupported_value", "[{\"s\":0.6000000000000001}]", "[{\"s\":0}]" } },
	{ ONE_PARAM "-- column n int = count(*)\n-- column g decimal\n-- group by g\n",
	  BY_K, "k text, g decimal",
	  { "a|1.10", "a|1.1", "a|1.100", "a|2", "b|!" },
	  { "k=a", "k=b" },
	  { "[{\"n\":1,\"g\":\"2\"},{\"n\":3,\"g\":\"1.1\"}]", "unsupported_value" } },
	{ ONE_PARAM "-- column n int = count(v)\n",
	  BY_K, "k text, v int",
	  { "a|!", "b|1" },
	  { "k=a", "k=b" },
	  { "unsupported_value", "[{\"n\":1}]" } },
};
/* clang-format on */

Test(engine, of_one_table_answers_as_sql_would)
{
	for (size_t i = 0; i < COUNT(singles); i++)
		check_single(&singles[i]);
}

/* ---- text ----------------------------------------------------------------------------------- */

static tally_status
answer_bytes(void *ctx, const struct source_query *query, struct rows *rows)
{
	const char *bytes = ctx;
	tally_status status = TALLY_OK;

	(void)query;
	/* One text for each length and place, so that every path of the encoder sees it. */
	for (size_t at = 0; status == TALLY_OK && at < 20; at++) {
		char text[64];
		struct value *cells;
		size_t len = at;

		memset(text, 'x', at);
		memcpy(text + at, bytes, strlen(bytes) + 1);
		len += *bytes ? strlen(bytes) : 1;
		memset(text + len, 'y', 20 - at);
		len += 20 - at;
		status = rows_add(rows, &cells);
		if (status != TALLY_OK)
			return status;
		cells[0] = (struct value){ .type = TALLY_TEXT, .state = VALUE_SET };
		cells[0].len = (uint32_t)len;
		status = rows_copy_text(rows, text, len, &cells[0].text);
	}
	return status;
}

/* The answer when the text is written as JSON like this. */
static void
check_text(const char *bytes, const char *written)
{
	union {
		const char *text;
		void *ctx;
	} borrowed = { bytes };
	struct canned_statement table = {
		.tag = "table",
		.columns = "t text",
		.answer = answer_bytes,
		.ctx = borrowed.ctx,
		.delay_ms = CANNED_AT_ONCE,
	};
	char wanted[64];
	struct rig *rig =
	    rig_new("-- dataset t: t\n-- column t text\n-- step s on db1\ntable;\n", &table, 1);

	rig_request(rig, "");
	rig_run(rig);
	const char *data = rig_data(rig, 0);
	for (size_t at = 0; at < 20; at++) {
		snprintf(wanted, sizeof wanted, "{\"t\":\"%.*s%s%.*s\"}", (int)at,
			 "xxxxxxxxxxxxxxxxxxxx", written, (int)(20 - at), "yyyyyyyyyyyyyyyyyyyy");
		cr_expect(strstr(data, wanted), "%s in %.200s", wanted, data);
	}
	rig_free(rig);
}

Test(engine, escapes_what_json_asks_for_and_nothing_else)
{
	static const char *const as_is[] = {
		"/",      "\x7f",       "<>&'",   "é", "юникод", "日本", "👩‍👩‍👧",
		"\uffff", "\U0010ffff", "\u2028",
	};

	for (char c = 0; c < 0x20; c++) {
		static const char shorts[] = "\b\f\n\r\t";
		const char *found = c ? strchr(shorts, c) : NULL;
		char written[8];

		if (found)
			snprintf(written, sizeof written, "\\%c", "bfnrt"[found - shorts]);
		else
			snprintf(written, sizeof written, "\\u%04x", c);
		check_text((char[]){ c, '\0' }, written);
	}
	check_text("\"", "\\\"");
	check_text("\\", "\\\\");
	check_text("\"\\\"", "\\\"\\\\\\\"");
	for (size_t i = 0; i < COUNT(as_is); i++)
		check_text(as_is[i], as_is[i]);
}

/* ---- many ----------------------------------------------------------------------------------- */

static tally_status
answer_many(void *ctx, const struct source_query *query, struct rows *rows)
{
	const struct source_argument *keys = &query->arguments[0];
	tally_status status = TALLY_OK;

	(void)ctx;
	for (size_t i = 0; i < keys->n * 50; i++) {
		struct value *cells;

		status = rows_add(rows, &cells);
		if (status != TALLY_OK)
			return status;
		cells[0] = keys->values[i % keys->n];
		cells[1] = cells[0];
		cells[1].i = cells[0].i * 1000 + (int64_t)(i / keys->n);
	}
	return status;
}

Test(engine, keeps_a_thousand_requests_apart)
{
	struct canned_statement tables[] = {
		{ .tag = "table", .columns = "k int, v int", .answer = answer_many },
		{ .tag = "other", .columns = "v int, w int", .answer = answer_many },
	};
	struct rig *rig =
	    rig_new("-- dataset t: t\n-- param k int\n-- column n int = count(*)\n"
		    "-- column lo int = min(v)\n-- column hi int = max(w)\n"
		    "-- step a on db1 by k\ntable :k;\n-- step b on db2 by v\nother :v;\n",
		    tables, COUNT(tables));
	char text[128];

	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof text, "k=%d", i);
		rig_request(rig, text);
	}
	rig_run(rig);
	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof text, "[{\"n\":2500,\"lo\":%d,\"hi\":%d}]", i * 1000,
			 (i * 1000 + 49) * 1000 + 49);
		cr_expect_str_eq(rig_data(rig, (size_t)i), text);
	}
	rig_free(rig);
}

/* ---- in flight ------------------------------------------------------------------------------ */

Test(engine, asks_a_step_as_soon_as_its_keys_are_there)
{
	static const char *const rows[] = { "a|1", NULL };
	static const char *const more[] = { "1|2", NULL };
	struct canned_statement tables[] = {
		{ .tag = "first", .columns = "k text, a int", .rows = rows, .delay_ms = 5 },
		{ .tag = "second", .columns = "k text, b int", .rows = rows, .delay_ms = 5 },
		{ .tag = "third", .columns = "a int, c int", .rows = more },
	};
	struct rig *rig = rig_new("-- dataset t: t\n-- param k text\n-- column b int\n"
				  "-- column c int\n-- step a on db1 by k\nfirst :k;\n"
				  "-- step b on db2 by k\nsecond :k;\n"
				  "-- step c on db2 by a\nthird :a;\n",
				  tables, COUNT(tables));

	rig_request(rig, "k=a");
	rig_start(rig);
	cr_expect_eq(tables[0].n_calls, 1u);
	cr_expect_eq(tables[1].n_calls, 1u, "it needs nothing of the first");
	cr_expect_eq(tables[2].n_calls, 0u);
	rig_wait(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"b\":1,\"c\":2}]");
	rig_free(rig);
}

Test(engine, asks_nothing_more_when_nobody_is_left)
{
	static const char *const none[] = { NULL };
	struct canned_statement statements[4];

	fill_comments(statements);
	statements[0].rows = none;
	struct rig *rig = rig_new(comments, statements, COUNT(statements));
	rig_request(rig, "login=ann");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[]");
	cr_expect_eq(statements[1].n_calls, 0u);
	rig_free(rig);
}

static tally_status
answer_unasked(void *ctx, const struct source_query *query, struct rows *rows)
{
	(void)ctx;
	for (int64_t i = 0; i < 5; i++) {
		struct value *cells;
		tally_status status = rows_add(rows, &cells);

		if (status != TALLY_OK)
			return status;
		cells[0] = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i };
		cells[1] = cells[0];
	}
	(void)query;
	return TALLY_OK;
}

Test(engine, leaves_rows_that_were_not_asked_for)
{
	struct canned_statement table = { .tag = "table",
					  .columns = "k int, v int",
					  .answer = answer_unasked };
	struct rig *rig = rig_new("-- dataset t: t\n-- param k int\n-- column v int\n"
				  "-- step a on db1 by k\ntable :k;\n",
				  &table, 1);

	rig_request(rig, "k=3");
	rig_request(rig, "k=9");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"v\":3}]");
	cr_expect_str_eq(rig_data(rig, 1), "[]");
	rig_free(rig);
}

Test(engine, fails_a_request_whose_key_cannot_be_represented)
{
	static const char *const first[] = { "a|1", "b|!", "c|~", NULL };
	static const char *const second[] = { "1|x", NULL };
	struct canned_statement tables[] = {
		{ .tag = "first",  .columns = "k text, a int", .rows = first  },
		{ .tag = "second", .columns = "a int, t text", .rows = second },
	};
	struct rig *rig = rig_new("-- dataset t: t\n-- param k text\n-- column t text null\n"
				  "-- step a on db1 by k\nfirst :k;\n"
				  "-- step b on db2 by a keep\nsecond :a;\n",
				  tables, COUNT(tables));

	rig_request(rig, "k=a");
	rig_request(rig, "k=b");
	rig_request(rig, "k=c");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"t\":\"x\"}]");
	cr_expect_str_eq(rig_data(rig, 1), "unsupported_value");
	cr_expect_str_eq(rig_data(rig, 2), "[{\"t\":null}]");
	rig_free(rig);
}
