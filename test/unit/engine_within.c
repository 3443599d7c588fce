/* "within": rows that belong to a request where they lie in its period. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/chance.h"
#include "support/rig.h"

#define STEP "-- step act on db2 by user_id within day from since to until"
#define PARAMS                                                                                     \
	"-- dataset t: what a user did by day\n"                                                   \
	"-- param user_id int required\n"                                                          \
	"-- param since date\n"                                                                    \
	"-- param until date\n"
#define HEAD                                                                                       \
	PARAMS                                                                                     \
	"-- column day date null\n"                                                                \
	"-- column n int null\n"                                                                   \
	"-- order day, n\n"

static const char acts[] = HEAD STEP "\nacts :user_id :since :until;\n";
static const char kept[] = HEAD STEP " keep\nacts :user_id :since :until;\n";

static const char *const rows[] = {
	"1|2025-01-01|10", "1|2025-01-02|11", "1|2025-01-03|12", "1|~|13",
	"2|2025-01-02|20", "3|!|30",          "3|2025-01-02|31", NULL,
};

/* The ends that the statement was last bound with. */
struct seen {
	struct value since;
	struct value until;
};

static tally_status
note_ends(void *ctx, const struct source_query *query, struct tally_error *err)
{
	struct seen *seen = ctx;

	(void)err;
	cr_assert_eq(query->arguments[1].n, 1u);
	cr_assert_eq(query->arguments[2].n, 1u);
	seen->since = *query->arguments[1].values;
	seen->until = *query->arguments[2].values;
	return TALLY_OK;
}

static struct canned_statement
statement_of(struct seen *seen)
{
	return (struct canned_statement){
		.tag = "acts",
		.columns = "user_id int, day date, n int",
		.rows = rows,
		.check = note_ends,
		.ctx = seen,
	};
}

static void
expect_day(const struct value *value, const char *day)
{
	char text[VALUE_FORMAT_MAX];

	cr_assert_eq(value->state, VALUE_SET);
	size_t len = value_format(value, text);
	cr_expect_eq(len, strlen(day));
	cr_expect_eq(memcmp(text, day, len), 0, "%.*s, not %s", (int)len, text, day);
}

Test(within, gives_each_request_the_rows_of_its_period)
{
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	struct rig *rig = rig_new(acts, &statement, 1);

	rig_request(rig, "user_id=1&since=2025-01-02&until=2025-01-02");
	rig_request(rig, "user_id=1&since=2025-01-03&until=2025-02-28");
	rig_request(rig, "user_id=2&since=2025-01-02&until=2025-01-03");
	rig_request(rig, "user_id=2&since=2025-01-03&until=2025-01-03");
	rig_request(rig, "user_id=1&since=2025-01-03&until=2025-01-02");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"day\":\"2025-01-02\",\"n\":11}]");
	cr_expect_str_eq(rig_data(rig, 1), "[{\"day\":\"2025-01-03\",\"n\":12}]");
	cr_expect_str_eq(rig_data(rig, 2), "[{\"day\":\"2025-01-02\",\"n\":20}]");
	cr_expect_str_eq(rig_data(rig, 3), "[]");
	cr_expect_str_eq(rig_data(rig, 4), "[]", "no day is in it");
	cr_expect_eq(statement.n_calls, 1u, "one query for all periods");
	cr_expect_eq(statement.n_keys, 2u, "each user once");
	expect_day(&seen.since, "2025-01-02");
	expect_day(&seen.until, "2025-02-28");
	rig_free(rig);
}

Test(within, has_open_ends)
{
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	struct rig *rig = rig_new(acts, &statement, 1);

	rig_request(rig, "user_id=1&since=2025-01-02");
	rig_request(rig, "user_id=1&until=2025-01-02");
	rig_request(rig, "user_id=1&since=2025-01-01&until=2025-01-01");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"day\":\"2025-01-02\",\"n\":11},"
					   "{\"day\":\"2025-01-03\",\"n\":12}]");
	cr_expect_str_eq(rig_data(rig, 1), "[{\"day\":\"2025-01-01\",\"n\":10},"
					   "{\"day\":\"2025-01-02\",\"n\":11}]");
	cr_expect_str_eq(rig_data(rig, 2), "[{\"day\":\"2025-01-01\",\"n\":10}]");
	cr_expect_eq(seen.since.state, VALUE_NULL, "open for one is open for the query");
	cr_expect_eq(seen.until.state, VALUE_NULL);
	rig_free(rig);
}

Test(within, a_row_without_a_day_lies_in_what_is_open_at_both_ends)
{
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	struct rig *rig = rig_new(acts, &statement, 1);

	rig_request(rig, "user_id=1");
	rig_request(rig, "user_id=1&since=2025-01-03");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"day\":\"2025-01-01\",\"n\":10},"
					   "{\"day\":\"2025-01-02\",\"n\":11},"
					   "{\"day\":\"2025-01-03\",\"n\":12},"
					   "{\"day\":null,\"n\":13}]");
	cr_expect_str_eq(rig_data(rig, 1), "[{\"day\":\"2025-01-03\",\"n\":12}]");
	rig_free(rig);
}

Test(within, a_day_that_cannot_be_represented_fails_its_user_alone)
{
	static const char without_day[] =
	    PARAMS "-- column n int\n" STEP "\nacts :user_id :since :until;\n";
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	struct rig *rig = rig_new(without_day, &statement, 1);

	rig_request(rig, "user_id=3&since=2025-01-02");
	rig_request(rig, "user_id=2");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "unsupported_value", "it may lie in the period");
	cr_expect_str_eq(rig_data(rig, 1), "[{\"n\":20}]");
	rig_free(rig);
}

Test(within, keep_stays_where_nothing_lies_in_the_period)
{
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	struct rig *rig = rig_new(kept, &statement, 1);

	rig_request(rig, "user_id=2&since=2026-01-01");
	rig_request(rig, "user_id=2&until=2025-01-02");
	rig_request(rig, "user_id=4");
	rig_run(rig);
	cr_expect_str_eq(rig_data(rig, 0), "[{\"day\":null,\"n\":null}]");
	cr_expect_str_eq(rig_data(rig, 1), "[{\"day\":\"2025-01-02\",\"n\":20}]");
	cr_expect_str_eq(rig_data(rig, 2), "[{\"day\":null,\"n\":null}]");
	rig_free(rig);
}

/* ---- at random -------------------------------------------------------------------------------- */

#define N_ROWS     60
#define N_REQUESTS 40
#define DAYS       9 /* of January */

struct act {
	unsigned user;
	unsigned day;
};

static uint64_t state = 2026;

static unsigned
chance(unsigned n)
{
	return (unsigned)(chance_next(&state) >> 33) % n;
}

/* A request of these ends, 0 open; and what it is to get, counted one by one. */
static void
ask(struct rig *rig, const struct act *table, const struct act *from, unsigned until,
    unsigned *out_expected)
{
	char text[96];
	int len = snprintf(text, sizeof text, "user_id=%u", from->user);

	if (from->day > 0)
		len += snprintf(text + len, sizeof text - (size_t)len, "&since=2025-01-0%u",
				from->day);
	if (until > 0)
		snprintf(text + len, sizeof text - (size_t)len, "&until=2025-01-0%u", until);
	rig_request(rig, text);
	*out_expected = 0;
	for (size_t i = 0; i < N_ROWS; i++)
		*out_expected += table[i].user == from->user && table[i].day >= from->day
				 && (until == 0 || table[i].day <= until);
}

static void
check_table(const struct act *table, const char *const *texts)
{
	static const char counts[] =
	    PARAMS "-- column n int = count(day)\n" STEP "\nacts :user_id :since :until;\n";
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	unsigned expected[N_REQUESTS];
	char text[32];

	statement.rows = texts;
	statement.columns = "user_id int, day date";
	struct rig *rig = rig_new(counts, &statement, 1);
	for (size_t i = 0; i < N_REQUESTS; i++) {
		struct act from = { 1 + chance(4), chance(DAYS + 1) };
		ask(rig, table, &from, chance(DAYS + 1), &expected[i]);
	}
	rig_run(rig);
	for (size_t i = 0; i < N_REQUESTS; i++) {
		snprintf(text, sizeof text, "[{\"n\":%u}]", expected[i]);
		cr_expect_str_eq(rig_data(rig, i), text, "request %zu", i);
	}
	cr_expect_eq(statement.n_calls, 1u);
	rig_free(rig);
}

Test(within, counts_as_one_by_one)
{
	struct act table[N_ROWS];
	char texts[N_ROWS][24];
	const char *lines[N_ROWS + 1] = { NULL };

	for (int round = 0; round < 100; round++) {
		for (size_t i = 0; i < N_ROWS; i++) {
			table[i] = (struct act){ 1 + chance(4), 1 + chance(DAYS) };
			snprintf(texts[i], sizeof texts[i], "%u|2025-01-0%u", table[i].user,
				 table[i].day);
			lines[i] = texts[i];
		}
		check_table(table, lines);
	}
}

/* ---- what a database shows --------------------------------------------------------------------- */

static void
note_error(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	(void)plan;
	cr_assert_eq(status, TALLY_WRONG_DEFINITION);
	*(struct tally_error *)ctx = *err;
}

static void
expect_refused(const char *columns, const char *expected)
{
	struct seen seen = { 0 };
	struct canned_statement statement = statement_of(&seen);
	struct tally_error err = { 0 };
	struct definition *definition = NULL;
	struct loop *loop = NULL;
	struct plan *plan = NULL;

	statement.columns = columns;
	cr_assert_eq(loop_new(NULL, NULL, &loop, &err), TALLY_OK);
	cr_assert_eq(definition_parse("t.sql", acts, strlen(acts), &definition, &err), TALLY_OK);
	struct source *source = canned_new("db2", loop, &statement, 1);
	struct plan_sources sources = { &source, 1 };
	cr_assert_eq(plan_new(definition, &sources, &plan, &err), TALLY_OK);
	plan_describe(plan, INT64_MAX, note_error, &err);
	cr_expect_str_eq(err.detail, expected);
	plan_free(plan);
	source_free(source);
	definition_free(definition);
	loop_free(loop);
}

Test(within, its_column_comes_back_with_the_type_of_its_ends)
{
	expect_refused("user_id int, n int",
		       "t.sql:8: step act is within day, but returns no column of that name");
	expect_refused("user_id int, day timestamp, n int",
		       "t.sql:8: step act is within day, which comes as timestamp, while since is "
		       "date: cast the column");
}
