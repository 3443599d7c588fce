/* A source against a real PostgreSQL: values, many queries, errors, settings. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include "base/clock.h"
#include "source/postgres.h"
#include "support/postgres_source.h"

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	postgres_before_all();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	postgres_after_all();
}

TestSuite(postgres, .init = postgres_begin, .fini = postgres_end, .timeout = 60);

static struct value
parsed(enum tally_type type, const char *text)
{
	struct value value = { 0 };
	struct tally_error err;

	if (!text) {
		value.type = (uint8_t)type;
		return value;
	}
	cr_assert_eq(value_parse(type, text, strlen(text), &value, &err), TALLY_OK, "%s: %s", text,
		     err.detail);
	return value;
}

static void
expect_answer(const char *sql, int64_t expected)
{
	struct asking asking;

	asking_init(&asking, sql, NULL, 0, NULL);
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_expect_eq(rows_cell(asking.rows, 0, 0)->i, expected);
	asking_fini(&asking);
}

/* ---- values -------------------------------------------------------------------------------- */

/* Two values of each type: both must come back as they went. */
static const struct {
	enum tally_type type;
	const char *texts[6];
} both_ways[] = {
	{ TALLY_TEXT,        { "", "a'b\"c\\{},NULL", "\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80", " x\n" } },
	{ TALLY_INT,         { "0", "-1", "9223372036854775807", "-9223372036854775808" }              },
	{ TALLY_FLOAT,       { "0", "-0.1", "1.7976931348623157e308", "5e-324" }                       },
	{ TALLY_BOOL,        { "true", "false" }						       },
	{ TALLY_DATE,        { "0001-01-01", "9999-12-31", "1970-01-01", "2024-02-29" }                },
	{ TALLY_TIMESTAMP,
         { "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "1999-12-31T23:59:59.5" }              },
	{ TALLY_TIMESTAMPTZ,
         { "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2024-06-01T12:00:00.25Z" }          },
	{ TALLY_UUID,        { "123e4567-e89b-12d3-a456-426614174000" }                                },
	{ TALLY_DECIMAL,
         { "0", "-12.50", "0.0001", "10000", "99999999999999999999999999999999999999",
	    "-0.00000000000000000000000000000000000001" }                                              },
};

#define BOTH_WAYS (sizeof both_ways / sizeof *both_ways)

static void
expect_same(const struct value *got, const struct value *sent)
{
	char text[VALUE_FORMAT_MAX];

	cr_expect_eq(got->state, VALUE_SET);
	cr_expect_eq(got->type, sent->type);
	cr_expect(value_equal(got, sent), "%s: %.*s", tally_type_name(sent->type),
		  sent->type == TALLY_TEXT ? 0 : (int)value_format(got, text), text);
	/* A decimal keeps its places, too. */
	if (sent->type == TALLY_DECIMAL) {
		cr_expect_eq(got->len, sent->len);
		cr_expect_arr_eq(got->text, sent->text, sent->len);
	}
}

static void
send_scalar(enum tally_type type, const char *text)
{
	struct source_bind bind = { .name = "v", .type = type };
	struct value value = parsed(type, text);
	struct source_argument argument = { .values = &value, .n = 1 };
	struct asking asking;

	asking_init(&asking, "SELECT $1, $1 IS NULL", &bind, 1, &argument);
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_assert_eq(asking.rows->n_rows, 1);
	cr_expect_eq(rows_cell(asking.rows, 0, 1)->i, !text);
	if (text)
		expect_same(rows_cell(asking.rows, 0, 0), &value);
	else
		cr_expect_eq(rows_cell(asking.rows, 0, 0)->state, VALUE_NULL);
	asking_fini(&asking);
}

Test(postgres, takes_and_returns_a_scalar_of_every_type)
{
	open_at(postgres_url(), 1, 10, 0);
	for (size_t i = 0; i < BOTH_WAYS; i++) {
		for (size_t j = 0; j < 6 && both_ways[i].texts[j]; j++)
			send_scalar(both_ways[i].type, both_ways[i].texts[j]);
		send_scalar(both_ways[i].type, NULL);
	}
}

static void
send_array(enum tally_type type, const struct value *values, size_t n)
{
	struct source_bind bind = { .name = "v", .type = type, .is_array = true };
	struct source_argument argument = { .values = values, .n = n };
	struct asking asking;

	asking_init(&asking, "SELECT v, i FROM unnest($1) WITH ORDINALITY AS u (v, i) ORDER BY i",
		    &bind, 1, &argument);
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_assert_eq(asking.rows->n_rows, n);
	for (size_t i = 0; i < n; i++) {
		cr_expect_eq(rows_cell(asking.rows, i, 1)->i, (int64_t)i + 1);
		if (values[i].state == VALUE_SET)
			expect_same(rows_cell(asking.rows, i, 0), &values[i]);
		else
			cr_expect_eq(rows_cell(asking.rows, i, 0)->state, VALUE_NULL);
	}
	asking_fini(&asking);
}

Test(postgres, takes_an_array_of_every_type_with_nulls_and_an_empty_one)
{
	open_at(postgres_url(), 1, 10, 0);
	for (size_t i = 0; i < BOTH_WAYS; i++) {
		struct value values[7];
		size_t n = 0;

		for (; n < 6 && both_ways[i].texts[n]; n++)
			values[n] = parsed(both_ways[i].type, both_ways[i].texts[n]);
		send_array(both_ways[i].type, values, n);
		values[n] = parsed(both_ways[i].type, NULL);
		send_array(both_ways[i].type, values, n + 1);
		send_array(both_ways[i].type, values, 0);
	}
}

Test(postgres, takes_aligned_arrays_and_scalars_in_one_statement)
{
	struct source_bind binds[] = {
		{ .name = "a", .type = TALLY_TEXT, .is_array = true },
		{ .name = "b", .type = TALLY_INT, .is_array = true },
		{ .name = "c", .type = TALLY_TEXT }
	};
	struct value texts[] = { parsed(TALLY_TEXT, "one"), parsed(TALLY_TEXT, "two") };
	struct value ints[] = { parsed(TALLY_INT, "1"), parsed(TALLY_INT, "2") };
	struct value more = parsed(TALLY_TEXT, "!");
	struct source_argument arguments[] = {
		{ texts, 2 },
                { ints,  2 },
                { &more, 1 }
	};
	struct asking asking;

	open_at(postgres_url(), 1, 10, 0);
	asking_init(&asking, "SELECT a || b::text || $3 FROM unnest($1, $2) AS u (a, b)", binds, 3,
		    arguments);
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_assert_eq(asking.rows->n_rows, 2);
	cr_expect_arr_eq(rows_cell(asking.rows, 1, 0)->text, "two2!", 5);
	asking_fini(&asking);
}

/* Literals of every type that the server may return, and how Tally writes it. */
static const struct {
	const char *sql;
	enum tally_type type;
	const char *text; /* NULL: VALUE_BAD */
} literals[] = {
	{ "(-3)::int2",			 TALLY_INT,         "-3"					},
	{ "(-3)::int4",			 TALLY_INT,         "-3"					},
	{ "1.5::float4",                        TALLY_FLOAT,       "1.5"                                       },
	{ "'x'::varchar(3)",                    TALLY_TEXT,        "x"                                         },
	{ "'x'::bpchar(3)",                     TALLY_TEXT,        "x  "                                       },
	{ "'x'::name",			  TALLY_TEXT,        "x"					 },
	{ "'aB'::tally_source.citext",          TALLY_TEXT,        "aB"                                        },
	{ "'glad'::tally_source.mood",          TALLY_TEXT,        "glad"                                      },
	{ "'sad'::tally_source.feeling",        TALLY_TEXT,        "sad"                                       },
	{ "5::tally_source.positive",           TALLY_INT,         "5"                                         },
	{ "'2024-06-01 12:00+02'::timestamptz", TALLY_TIMESTAMPTZ, "2024-06-01T10:00:00Z"                      },
	{ "1e10::numeric",                      TALLY_DECIMAL,     "10000000000"                               },
	{ "12345.00000000000000000000",         TALLY_DECIMAL,     "12345.00000000000000000000"                },
	{ "0.000",			      TALLY_DECIMAL,     "0.000"                                     },
	{ "'NaN'::float8",                      TALLY_FLOAT,       NULL                                        },
	{ "'-infinity'::float4",                TALLY_FLOAT,       NULL                                        },
	{ "'NaN'::numeric",                     TALLY_DECIMAL,     NULL                                        },
	{ "'infinity'::numeric",                TALLY_DECIMAL,     NULL                                        },
	{ "1e38::numeric",                      TALLY_DECIMAL,     NULL                                        },
	{ "1e-39::numeric",                     TALLY_DECIMAL,     "0.000000000000000000000000000000000000001" },
	{ "1e-300::numeric",                    TALLY_DECIMAL,     NULL                                        },
	{ "1e300::numeric",                     TALLY_DECIMAL,     NULL                                        },
	{ "'infinity'::date",                   TALLY_DATE,        NULL                                        },
	{ "'-infinity'::timestamp",             TALLY_TIMESTAMP,   NULL                                        },
	{ "'infinity'::timestamptz",            TALLY_TIMESTAMPTZ, NULL                                        },
	{ "'10000-01-01'::date",                TALLY_DATE,        NULL                                        },
	{ "'0001-12-31 BC'::date",              TALLY_DATE,        NULL                                        },
	{ "'10000-01-01'::timestamp",           TALLY_TIMESTAMP,   NULL                                        },
};

static void
expect_literal(size_t i)
{
	struct asking described, asking;
	char sql[128];
	const struct value *got;

	(void)snprintf(sql, sizeof sql, "SELECT %s AS x", literals[i].sql);
	asking_init(&described, sql, NULL, 0, NULL);
	asking_describe(&described, source);
	cr_assert(asking_wait(&described, loop));
	cr_assert_eq(described.status, TALLY_OK, "%s: %s", sql, described.err.detail);
	cr_assert_eq(described.described->n_columns, 1);
	cr_expect_str_eq(described.described->columns[0].name, "x");
	cr_expect_eq(described.described->columns[0].type, literals[i].type, "%s", sql);
	asking_init(&asking, sql, NULL, 0, NULL);
	asking.statement.shape = described.described;
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	got = rows_cell(asking.rows, 0, 0);
	if (literals[i].text) {
		struct value expected = parsed(literals[i].type, literals[i].text);

		expect_same(got, &expected);
	} else {
		cr_expect_eq(got->state, VALUE_BAD, "%s", sql);
		cr_expect_eq(got->type, literals[i].type);
	}
	asking_fini(&asking);
	asking_fini(&described);
}

Test(postgres, describes_and_reads_every_type_and_marks_what_it_cannot_represent)
{
	open_at(postgres_url(), 1, 10, 0);
	for (size_t i = 0; i < sizeof literals / sizeof *literals; i++)
		expect_literal(i);
}

/* ---- many, large --------------------------------------------------------------------------- */

Test(postgres, runs_many_queries_over_few_connections)
{
	enum { N = 300 };
	static struct asking askings[N];
	struct source_bind bind = { .name = "n", .type = TALLY_INT };
	struct value values[N];
	struct source_argument arguments[N];

	open_at(postgres_url(), 4, N, 0);
	for (int i = 0; i < N; i++) {
		values[i] = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i };
		arguments[i] = (struct source_argument){ &values[i], 1 };
		asking_init(&askings[i], "SELECT $1 * 2 FROM generate_series(1, 3)", &bind, 1,
			    &arguments[i]);
		askings[i].statement.id = 1000000 + (uint64_t)i % 7;
		asking_start(&askings[i], source);
	}
	for (int i = 0; i < N; i++) {
		cr_assert(asking_wait(&askings[i], loop));
		cr_assert_eq(askings[i].status, TALLY_OK, "%s", askings[i].err.detail);
		cr_expect_eq(askings[i].n_done, 1);
		cr_expect_eq(askings[i].rows->n_rows, 3);
		cr_expect_eq(rows_cell(askings[i].rows, 2, 0)->i, i * 2);
		cr_expect_geq(askings[i].rows->took_us, 0);
		cr_expect_lt(clock_unix_ms() - askings[i].rows->as_of_ms, 60000);
		asking_fini(&askings[i]);
	}
	cr_expect_eq(source->stats.queries, N);
	cr_expect_eq(source->stats.errors, 0);
	cr_expect_eq(source->stats.waiting, 0);
}

Test(postgres, refuses_what_does_not_fit_the_queue)
{
	struct asking askings[4];

	open_at(postgres_url(), 1, 2, 0);
	cr_assert(await_connected(1));
	for (int i = 0; i < 4; i++) {
		asking_init(&askings[i], "SELECT 1 FROM pg_sleep(0.05)", NULL, 0, NULL);
		asking_start(&askings[i], source);
	}
	cr_expect(askings[3].is_over, "one runs, two wait, one is too many");
	cr_expect_eq(askings[3].status, TALLY_SATURATED);
	for (int i = 0; i < 3; i++) {
		cr_assert(asking_wait(&askings[i], loop));
		cr_expect_eq(askings[i].status, TALLY_OK);
		asking_fini(&askings[i]);
	}
}

Test(postgres, stops_reading_at_the_budget_and_goes_on_afterwards)
{
	struct asking asking;
	int64_t from_ms = clock_mono_ms();

	open_at(postgres_url(), 1, 10, 0);
	asking_init(&asking, "SELECT repeat('x', 1000), generate_series(1, 100000000)", NULL, 0,
		    NULL);
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_TOO_LARGE);
	cr_expect_null(asking.rows);
	cr_expect_str_eq(asking.err.source, "db1");
	cr_expect_lt(clock_mono_ms() - from_ms, 8000);
	expect_answer("SELECT 8::int8", 8);
}

Test(postgres, sends_and_reads_megabytes)
{
	enum { N = 200000 };
	struct value *values = calloc(N, sizeof *values);
	struct source_bind bind = { .name = "v", .type = TALLY_INT, .is_array = true };
	struct source_argument argument = { values, N };
	struct asking asking;

	open_at(postgres_url(), 1, 10, 0);
	for (int i = 0; i < N; i++)
		values[i] = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i };
	asking_init(&asking, "SELECT v FROM unnest($1) WITH ORDINALITY AS u (v, i) ORDER BY i",
		    &bind, 1, &argument);
	asking.query.budget_bytes = (size_t)64 << 20;
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_assert_eq(asking.rows->n_rows, N);
	cr_expect_eq(rows_cell(asking.rows, N - 1, 0)->i, N - 1);
	asking_fini(&asking);
	free(values);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void
expect_error(const char *sql, tally_status status, const char *detail)
{
	struct asking asking;

	asking_init(&asking, sql, NULL, 0, NULL);
	cr_expect_eq(asking_run(&asking, source, loop), status, "%s", sql);
	cr_expect_str_eq(asking.err.detail, detail);
	cr_expect_eq(asking.err.status, status);
	cr_expect_str_eq(asking.err.source, "db1");
	asking_fini(&asking);
}

Test(postgres, tells_what_the_database_refused_without_quoting_values)
{
	open_at(postgres_url(), 1, 10, 0);
	expect_error("SELECT 1 / (random() * 0)::int", TALLY_SOURCE_ERROR,
		     "test.sql:14: division by zero (22012)");
	expect_error("SELECT (x || 'secret')::int FROM (VALUES ('a')) AS v (x)", TALLY_SOURCE_ERROR,
		     "test.sql:14: the database refused a value (22P02)");
	expect_error("SELECT * FROM nowhere", TALLY_SOURCE_ERROR,
		     "test.sql:14: relation \"nowhere\" does not exist (42P01)");
	expect_error("SELECT '{}'::jsonb AS x", TALLY_SOURCE_ERROR,
		     "test.sql:14: the type of column x is not what it was at the start");
	expect_error("DELETE FROM tally_source.changing RETURNING n", TALLY_SOURCE_ERROR,
		     "test.sql:14: cannot execute DELETE in a read-only transaction (25006)");
	expect_answer("SELECT 4::int8", 4);
	cr_expect_eq(source->stats.errors, 5);
	cr_expect_eq(source->stats.reconnects, 1, "only rows that nobody reads cost a connection");
}

static void
expect_wrong(const char *sql, const char *detail)
{
	struct asking asking;

	asking_init(&asking, sql, NULL, 0, NULL);
	asking_describe(&asking, source);
	cr_assert(asking_wait(&asking, loop));
	cr_expect_eq(asking.status, TALLY_WRONG_DEFINITION, "%s", sql);
	cr_expect_str_eq(asking.err.detail, detail);
	cr_expect_null(asking.described);
}

Test(postgres, says_what_is_wrong_with_a_definition)
{
	open_at(postgres_url(), 1, 10, 0);
	expect_wrong("SELECT * FROM x", "test.sql:14: relation \"x\" does not exist (42P01)");
	expect_wrong("SELEC 1", "test.sql:14: syntax error at or near \"SELEC\" (42601)");
	expect_wrong("SELECT 1 AS n, '{}'::jsonb AS x",
		     "test.sql:14: column x has type jsonb, which Tally does not know; "
		     "cast it, for example to text");
	expect_wrong("SELECT '{1}'::int[] AS x",
		     "test.sql:14: column x has type integer[], which Tally does not know; "
		     "cast it, for example to text");
	expect_wrong("DELETE FROM tally_source.changing",
		     "test.sql:14: the statement returns no columns");
	expect_answer("SELECT 4::int8", 4);
}

Test(postgres, prepares_anew_when_a_table_has_changed)
{
	struct asking asking;

	open_at(postgres_url(), 1, 10, 0);
	asking_init(&asking, "SELECT * FROM tally_source.changing", NULL, 0, NULL);
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	asking_fini(&asking);
	postgres_execute("ALTER TABLE tally_source.changing ALTER n TYPE bigint");
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_expect_eq(rows_cell(asking.rows, 0, 0)->i, 7);
	asking_fini(&asking);
	cr_expect_eq(source->stats.reconnects, 0);
}

/* ---- settings ------------------------------------------------------------------------------ */

Test(postgres, ignores_the_driver_of_a_url_and_refuses_other_urls_without_quoting_them)
{
	static const char *const wrong[] = { "mysql://u:secret@h/d", "postgresqlx://u:secret@h/d",
					     "postgresql://u:secret%zz@h/d", "host=secret", "" };
	struct source_options options = { .name = "db1", .loop = loop, .connections = 1 };
	struct tally_error err;
	char at[512];

	(void)snprintf(at, sizeof at, "postgresql+psycopg2%s", strstr(postgres_url(), "://"));
	open_at(at, 1, 10, 0);
	expect_answer("SELECT 4::int8", 4);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct source *none = NULL;

		options.url = wrong[i];
		cr_expect_eq(source_postgres_open(&options, &none, &err), TALLY_WRONG_SETTING, "%s",
			     wrong[i]);
		cr_expect_null(strstr(err.detail, "secret"));
		cr_expect_null(none);
	}
}

Test(postgres, sets_its_session)
{
	open_at(postgres_url(), 1, 10, 1500);
	expect_answer("SELECT (current_setting('statement_timeout') = '1500ms'"
		      " AND current_setting('default_transaction_read_only') = 'on'"
		      " AND current_setting('TimeZone') = 'UTC' AND current_setting('jit') = 'off'"
		      " AND current_setting('client_connection_check_interval') = '1s'"
		      " AND current_setting('client_encoding') = 'UTF8'"
		      " AND current_setting('application_name') = 'tally db1')::int::int8",
		      1);
}
