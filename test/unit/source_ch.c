/* What of the ClickHouse source needs no server: types, rows, statements, URLs, errors. */
#include <criterion/criterion.h>

#include "source/ch_error.h"
#include "source/ch_request.h"
#include "source/ch_rows.h"
#include "source/ch_settings.h"
#include "source/ch_sql.h"
#include "source/ch_value.h"

/* ---- types --------------------------------------------------------------------------------- */

Test(ch_type, knows_what_tally_can_represent)
{
	static const struct {
		const char *name;
		enum tally_type type;
		uint32_t size;
		uint8_t scale;
		bool is_nullable;
	} known[] = {
		{ "String",                           TALLY_TEXT,        0,    0,  false },
		{ "LowCardinality(String)",           TALLY_TEXT,        0,    0,  false },
		{ "LowCardinality(Nullable(String))", TALLY_TEXT,        0,    0,  true  },
		{ "FixedString(7)",                   TALLY_TEXT,        7,    0,  false },
		{ "Nullable(FixedString(1000))",      TALLY_TEXT,        1000, 0,  true  },
		{ "Bool",			     TALLY_BOOL,        1,    0,  false },
		{ "Int8",			     TALLY_INT,         1,    0,  false },
		{ "UInt16",                           TALLY_INT,         2,    0,  false },
		{ "Int32",			    TALLY_INT,         4,    0,  false },
		{ "Nullable(UInt64)",                 TALLY_INT,         8,    0,  true  },
		{ "Int128",                           TALLY_DECIMAL,     16,   0,  false },
		{ "UInt256",                          TALLY_DECIMAL,     32,   0,  false },
		{ "Float32",                          TALLY_FLOAT,       4,    0,  false },
		{ "Float64",                          TALLY_FLOAT,       8,    0,  false },
		{ "Date",			     TALLY_DATE,        2,    0,  false },
		{ "Nullable(Date32)",                 TALLY_DATE,        4,    0,  true  },
		{ "DateTime",                         TALLY_TIMESTAMP,   4,    0,  false },
		{ "DateTime('UTC')",                  TALLY_TIMESTAMPTZ, 4,    0,  false },
		{ "DateTime64(3)",                    TALLY_TIMESTAMP,   8,    3,  false },
		{ "DateTime64(6, 'Europe/Berlin')",   TALLY_TIMESTAMPTZ, 8,    6,  false },
		{ "UUID",			     TALLY_UUID,        16,   0,  false },
		{ "Decimal(9, 4)",                    TALLY_DECIMAL,     4,    4,  false },
		{ "Decimal(18, 0)",                   TALLY_DECIMAL,     8,    0,  false },
		{ "Decimal(38, 38)",                  TALLY_DECIMAL,     16,   38, false },
		{ "Nullable(Decimal(76, 38))",        TALLY_DECIMAL,     32,   38, true  },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct ch_type type = { 0 };

		cr_assert(ch_type_parse(known[i].name, strlen(known[i].name), &type), "%s",
			  known[i].name);
		cr_expect(type.type == known[i].type && type.size == known[i].size
			      && type.scale == known[i].scale
			      && type.is_nullable == known[i].is_nullable,
			  "%s", known[i].name);
	}
}

Test(ch_type, refuses_everything_else)
{
	static const char *const unknown[] = {
		"",
		"Array(Int64)",
		"Map(String, Int64)",
		"Tuple(Int64, String)",
		"Enum8('a' = 1)",
		"Nothing",
		"Nullable(Nothing)",
		"IPv4",
		"Int64 ",
		"int64",
		"Nullable(Int64",
		"Nullable()",
		"FixedString()",
		"FixedString(0)",
		"FixedString(9999999999)",
		"Decimal(77, 0)",
		"Decimal(5, 6)",
		"Decimal(0, 0)",
		"Decimal(5)",
		"Decimal(5,2)",
		"DateTime64(10)",
		"DateTime64()",
		"DateTime64(3, UTC)",
		"DateTime64(3, 'a'b')",
		"DateTime(UTC)",
		"AggregateFunction(sum, Int64)",
		"JSON",
		"Nullable(Nullable(Int64))",
		"BFloat16",
		"Time",
		"LowCardinality(LowCardinality(String))",
	};

	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		struct ch_type type;

		cr_expect_not(ch_type_parse(unknown[i], strlen(unknown[i]), &type), "%s",
			      unknown[i]);
	}
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Bytes of a value, and what it is in its public form; NULL: null, "bad": VALUE_BAD. */
#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *type;
	const char *bytes;
	size_t len;
	const char *expected;
} values[] = {
	{ "Int8",			     BYTES("\x80"),							     "-128"                       },
	{ "UInt8",			    BYTES("\xff"),							     "255"                        },
	{ "Int16",			    BYTES("\xfe\xff"),							 "-2"                         },
	{ "UInt16",			   BYTES("\xfe\xff"),							 "65534"                      },
	{ "Int32",			    BYTES("\0\0\0\x80"),						       "-2147483648"                },
	{ "UInt32",			   BYTES("\xff\xff\xff\xff"),						 "4294967295"                 },
	{ "Int64",			    BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),                                 "-1"                         },
	{ "Int64",			    BYTES("\xff\xff\xff\xff\xff\xff\xff\x7f"),                                 "9223372036854775807"        },
	{ "UInt64",			   BYTES("\x2a\0\0\0\0\0\0\0"),                                               "42"                         },
	{ "UInt64",			   BYTES("\0\0\0\0\0\0\0\x80"),                                               "bad"                        },
	{ "Bool",			     BYTES("\1"),							       "true"                       },
	{ "Bool",			     BYTES("\0"),							       "false"                      },
	{ "Float32",			  BYTES("\0\0\xc0\x3f"),						     "1.5"                        },
	{ "Float64",			  BYTES("\0\0\0\0\0\0\xf0\xbf"),                                             "-1"                         },
	{ "Float64",			  BYTES("\0\0\0\0\0\0\xf0\x7f"),                                             "bad"                        },
	{ "Float64",			  BYTES("\0\0\0\0\0\0\xf8\x7f"),                                             "bad"                        },
	{ "Date",			     BYTES("\0\0"),							     "1970-01-01"                 },
	{ "Date",			     BYTES("\xff\xff"),							 "2149-06-06"                 },
	{ "Date32",			   BYTES("\xff\xff\xff\xff"),						 "1969-12-31"                 },
	{ "Date32",			   BYTES("\0\0\0\x7f"),						       "bad"                        },
	{ "DateTime",			 BYTES("\1\0\0\0"),							 "1970-01-01T00:00:01"        },
	{ "DateTime('UTC')",                  BYTES("\1\0\0\0"),							 "1970-01-01T00:00:01Z"       },
	{ "DateTime64(3)",                    BYTES("\xdc\x05\0\0\0\0\0\0"),                                             "1970-01-01T00:00:01.5"      },
	{ "DateTime64(0)",                    BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),                                 "1969-12-31T23:59:59"        },
	{ "DateTime64(9)",                    BYTES("\xe8\x03\0\0\0\0\0\0"),                                             "1970-01-01T00:00:00.000001" },
	{ "DateTime64(9)",                    BYTES("\1\0\0\0\0\0\0\0"),                                                 "bad"                        },
	{ "DateTime64(0)",                    BYTES("\xff\xff\xff\xff\xff\xff\xff\x7f"),                                 "bad"                        },
	{ "DateTime64(6, 'UTC')",             BYTES("\0\0\0\0\0\0\0\0"),                                                 "1970-01-01T00:00:00Z"       },
	{ "UUID",			     BYTES("\xd3\x12\x9b\xe8\x67\x45\x3e\x12\x00\x40\x17\x14\x66\x42\x56\xa4"),
         "123e4567-e89b-12d3-a456-426614174000"												       },
	{ "Decimal(9, 2)",                    BYTES("\x1e\xfb\xff\xff"),                                                 "-12.50"                     },
	{ "Decimal(9, 4)",                    BYTES("\5\0\0\0"),							 "0.0005"                     },
	{ "Decimal(9, 0)",                    BYTES("\0\0\0\0"),							 "0"                          },
	{ "Decimal(18, 1)",                   BYTES("\0\xca\x9a\x3b\0\0\0\0"),                                           "100000000.0"                },
	{ "Int128",			   BYTES("\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"),                                 "18446744073709551616"       },
	{ "UInt128",			  BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
         "bad"																	},
	{ "Int256",
         BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
         "-1"																	 },
	/* 1.5 with 38 places: what does not fit are zeros */
	{ "Decimal(76, 38)",
         BYTES("\000\000\000\000\140\063\117\016\267\046\312\207\374\362\330\160"
		"\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"),
         "1.5000000000000000000000000000000000000"												    },
	{ "String",			   BYTES("\0"),							       ""                           },
	{ "String",			   BYTES("\5a\0\xc3\xa9z"),						   "a\0\xc3\xa9z"               },
	{ "String",			   BYTES("\2\xc3("),							  "bad"                        },
	{ "LowCardinality(String)",           BYTES("\3abc"),							    "abc"                        },
	{ "FixedString(5)",                   BYTES("abc\0\0"),							  "abc"                        },
	{ "FixedString(2)",                   BYTES("\0\0"),							     ""                           },
	{ "Nullable(Int8)",                   BYTES("\1"),							       NULL                         },
	{ "Nullable(Int8)",                   BYTES("\0\7"),							     "7"                          },
	{ "LowCardinality(Nullable(String))", BYTES("\1"),							       NULL                         },
	{ "LowCardinality(Nullable(String))", BYTES("\0\2ok"),                                                           "ok"                         },
};

#define VALUES (sizeof values / sizeof *values)

static void
put(struct buf *buf, const void *data, size_t len)
{
	cr_assert_eq(buf_append(buf, data, len), TALLY_OK);
}

static void
put_text(struct buf *buf, const char *text)
{
	unsigned char len = (unsigned char)strlen(text);

	put(buf, &len, 1);
	put(buf, text, len);
}

/* One column for each value; the row twice. */
static void
make_answer(struct buf *buf)
{
	unsigned char n = VALUES;
	char name[8];

	put(buf, &n, 1);
	for (size_t i = 0; i < VALUES; i++) {
		(void)snprintf(name, sizeof name, "c%zu", i);
		put_text(buf, name);
	}
	for (size_t i = 0; i < VALUES; i++)
		put_text(buf, values[i].type);
	for (size_t i = 0; i < 2 * VALUES; i++)
		put(buf, values[i % VALUES].bytes, values[i % VALUES].len);
}

static void
expect_value(size_t i, const struct value *value)
{
	const char *expected = values[i].expected;
	char text[VALUE_FORMAT_MAX];

	if (!expected || strcmp(expected, "bad") == 0) {
		cr_expect_eq(value->state, expected ? VALUE_BAD : VALUE_NULL, "%s %zu",
			     values[i].type, i);
		return;
	}
	cr_assert_eq(value->state, VALUE_SET, "%s %s", values[i].type, expected);
	if (value->type == TALLY_TEXT) {
		cr_expect_arr_eq(value->text, expected, value->len);
		cr_expect(expected[0] || value->len == 0, "%s", values[i].type);
	} else {
		size_t len = value_format(value, text);

		cr_expect(len == strlen(expected) && memcmp(text, expected, len) == 0,
			  "%s: %.*s, not %s", values[i].type, (int)len, text, expected);
	}
}

static void
expect_rows(struct ch_rows *answer)
{
	struct rows *rows;

	cr_assert(ch_rows_is_whole(answer));
	rows = ch_rows_take(answer);
	cr_assert_eq(rows->n_rows, 2);
	for (size_t i = 0; i < 2 * VALUES; i++)
		expect_value(i % VALUES, rows_cell(rows, i / VALUES, i % VALUES));
	rows_free(rows);
}

Test(ch_rows, reads_every_type_whole_and_byte_by_byte)
{
	struct buf buf = BUF_INIT(65536);
	struct tally_error err;

	make_answer(&buf);
	for (size_t slice = 1; slice <= buf.len; slice = slice < 40 ? slice + 1 : buf.len * 2) {
		struct ch_rows answer;

		ch_rows_init(&answer, NULL, "test.sql:1", 1 << 20);
		for (size_t at = 0; at < buf.len; at += slice)
			cr_assert_eq(ch_rows_feed(&answer, buf.data + at,
						  buf.len - at < slice ? buf.len - at : slice,
						  &err),
				     TALLY_OK, "%s", err.detail);
		expect_rows(&answer);
		ch_rows_fini(&answer);
	}
	buf_fini(&buf);
}

/* Cut anywhere, the two halves are the whole; and a half alone is never taken for one. */
Test(ch_rows, may_be_cut_anywhere_and_is_whole_only_between_rows)
{
	struct buf buf = BUF_INIT(65536);
	size_t row_len = 0;
	struct tally_error err;

	make_answer(&buf);
	for (size_t i = 0; i < VALUES; i++)
		row_len += values[i].len;
	for (size_t cut = 0; cut <= buf.len; cut++) {
		struct ch_rows answer;
		bool is_between =
		    cut == buf.len || cut == buf.len - row_len || cut == buf.len - 2 * row_len;

		ch_rows_init(&answer, NULL, "test.sql:1", 1 << 20);
		cr_assert_eq(ch_rows_feed(&answer, buf.data, cut, &err), TALLY_OK);
		cr_expect_eq(ch_rows_is_whole(&answer), is_between, "cut at %zu", cut);
		cr_assert_eq(ch_rows_feed(&answer, buf.data + cut, buf.len - cut, &err), TALLY_OK);
		expect_rows(&answer);
		ch_rows_fini(&answer);
	}
	buf_fini(&buf);
}

#define HEAD "\1\1n\5Int64"

static struct source_column expected_columns[] = {
	{ (char[]){ "n" }, TALLY_INT }
};
static const struct source_shape expected_shape = { expected_columns, 1 };

Test(ch_rows, refuses_what_is_not_the_format_or_not_what_was_described)
{
	static const struct {
		const char *bytes;
		size_t len;
		tally_status status;
		const char *detail;
	} refused[] = {
		{ BYTES("\0"),				   TALLY_SOURCE_ERROR, "not in RowBinary"                                          },
		{ BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), TALLY_SOURCE_ERROR, "not in Row"                                                },
		{ BYTES("\x81\x40"),                             TALLY_SOURCE_ERROR, "not in RowBinary"                                          },
		{ BYTES("\1\xff\xff\xff\x7f"),                   TALLY_SOURCE_ERROR, "not in RowBinary"                                          },
		{ BYTES("\1\1n\x0c"
			"Array(Int64)"),
                 TALLY_SOURCE_ERROR,						 "column n has type Array(Int64), which Tally does not know" },
		{ BYTES("\1\1m\5Int64"),                         TALLY_SOURCE_ERROR, "other columns"                                             },
		{ BYTES("\1\1n\6String"),                        TALLY_SOURCE_ERROR, "other columns"                                             },
		{ BYTES("\2\1n\1o\5Int64\5Int64"),               TALLY_SOURCE_ERROR, "other columns"                                             },
		{ BYTES("\1\1n\x0fNullable(Int64)\2"),           TALLY_SOURCE_ERROR, "not in RowBinary"                                          },
	};
	struct tally_error err;

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct ch_rows answer;

		ch_rows_init(&answer, &expected_shape, "test.sql:1", 1 << 20);
		cr_expect_eq(ch_rows_feed(&answer, refused[i].bytes, refused[i].len, &err),
			     refused[i].status, "case %zu", i);
		cr_expect(strstr(err.detail, refused[i].detail), "case %zu: %s", i, err.detail);
		ch_rows_fini(&answer);
	}
}

Test(ch_rows, keeps_to_its_budget_before_it_takes_memory)
{
	static const char long_text[] = "\1\1s\6String\xff\xff\xff\xff\x7f";
	static const char bad_bool[] = "\1\1b\4Bool\2";
	struct ch_rows answer;
	struct tally_error err;

	ch_rows_init(&answer, NULL, "test.sql:1", 1000);
	cr_expect_eq(ch_rows_feed(&answer, BYTES(long_text), &err), TALLY_TOO_LARGE);
	cr_expect_leq(answer.rest.cap, 4096);
	ch_rows_fini(&answer);

	ch_rows_init(&answer, NULL, "test.sql:1", 1000);
	cr_assert_eq(ch_rows_feed(&answer, BYTES(HEAD), &err), TALLY_OK);
	for (int i = 0; i < 41; i++)
		cr_assert_eq(ch_rows_feed(&answer, "12345678", 8, &err), TALLY_OK);
	cr_expect_eq(ch_rows_feed(&answer, "12345678", 8, &err), TALLY_TOO_LARGE);
	cr_expect(strstr(err.detail, "test.sql:1: the rows take more than 1000 bytes"));
	ch_rows_fini(&answer);

	ch_rows_init(&answer, NULL, "test.sql:1", 1000);
	cr_expect_eq(ch_rows_feed(&answer, BYTES(bad_bool), &err), TALLY_SOURCE_ERROR);
	ch_rows_fini(&answer);
}

/* ---- statements ---------------------------------------------------------------------------- */

static struct value
parsed(enum tally_type type, const char *text)
{
	struct value value = { .type = (uint8_t)type };
	struct tally_error err;

	if (text)
		cr_assert_eq(value_parse(type, text, strlen(text), &value, &err), TALLY_OK, "%s",
			     text);
	return value;
}

Test(ch_sql, puts_parameters_where_binds_are_and_nowhere_else)
{
	static const struct source_bind binds[] = {
		{ "user_id", TALLY_INT,     true,  false, false },
		{ "since",   TALLY_DATE,    true,  true,  false },
		{ "n",       TALLY_DECIMAL, false, false, false },
		{ "nick",    TALLY_TEXT,    false, true,  false },
	};
	static const struct source_statement statement = {
		.sql =
		    "SELECT $1, a$1, '$1 \\'$1', \"$1\", `$1` -- $1\n, $2 /* $1 */ $h$ $1 $h$, $3+$4",
		.binds = binds,
		.n_binds = 4,
	};
	struct ch_params params;
	struct buf buf = BUF_INIT(4096);

	cr_assert_eq(ch_params_init(&params, &statement, NULL), TALLY_OK);
	cr_assert_eq(ch_sql_write(&statement, &params, &buf), TALLY_OK);
	cr_assert_eq(buf_append(&buf, "", 1), TALLY_OK);
	cr_expect_str_eq(buf.data,
			 "SELECT {user_id:Array(Int64)}, a$1, '$1 \\'$1', \"$1\", `$1` -- $1\n,"
			 " {since:Array(Nullable(Date32))} /* $1 */ $h$ $1 $h$,"
			 " {n:Decimal(76, 38)}+{nick:Nullable(String)}");
	cr_assert_eq(params.n, 4);
	cr_expect_arr_eq(params.texts.data, "[][]0", 5);
	buf_fini(&buf);
	ch_params_fini(&params);
}

Test(ch_sql, writes_values_that_no_byte_of_can_break_out)
{
	static const struct {
		enum tally_type type;
		const char *text;
		const char *element; /* NULL: refused */
	} written[] = {
		{ TALLY_TEXT,        "",				     "''"                      },
		{ TALLY_TEXT,        "a'b\\c\n\t\1\x7f\xd0\x96",
                 "'a\\'b\\\\c\\x0a\\x09\\x01\x7f\xd0\x96'"                                             },
		{ TALLY_TEXT,        NULL,                                   "NULL"                    },
		{ TALLY_TEXT,        "NULL",                                 "'NULL'"                  },
		{ TALLY_INT,         "-9223372036854775808",                 "-9223372036854775808"    },
		{ TALLY_FLOAT,       "0.1",                                  "0.1"                     },
		{ TALLY_BOOL,        "true",                                 "true"                    },
		{ TALLY_DATE,        "2024-02-29",                           "'2024-02-29'"            },
		{ TALLY_DATE,        "1900-01-01",                           "'1900-01-01'"            },
		{ TALLY_DATE,        "2299-12-31",                           "'2299-12-31'"            },
		{ TALLY_DATE,        "1899-12-31",                           NULL                      },
		{ TALLY_DATE,        "2300-01-01",                           NULL                      },
		{ TALLY_TIMESTAMP,   "2024-02-29T01:02:03.5",                "'2024-02-29 01:02:03.5'" },
		{ TALLY_TIMESTAMP,   "1899-12-31T23:59:59.999999",           NULL                      },
		{ TALLY_TIMESTAMPTZ, "2024-02-29T01:02:03Z",                 "'2024-02-29 01:02:03'"   },
		{ TALLY_UUID,        "123e4567-e89b-12d3-a456-426614174000",
                 "'123e4567-e89b-12d3-a456-426614174000'"                                              },
		{ TALLY_DECIMAL,     "-12.50",                               "-12.50"                  },
	};

	for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
		struct value value = parsed(written[i].type, written[i].text);
		struct buf buf = BUF_INIT(4096);

		if (!written[i].element) {
			cr_expect_eq(ch_value_write(&value, true, &buf), TALLY_SOURCE_ERROR, "%s",
				     written[i].text);
		} else {
			cr_expect_eq(ch_value_write(&value, true, &buf), TALLY_OK);
			cr_expect(buf.len == strlen(written[i].element)
				      && memcmp(buf.data, written[i].element, buf.len) == 0,
				  "%.*s, not %s", (int)buf.len, buf.data, written[i].element);
		}
		buf_fini(&buf);
	}
}

Test(ch_sql, knows_the_nearest_value_that_every_server_has_room_for)
{
	static const struct {
		enum tally_type type;
		const char *text;
		const char *nearest;
	} cases[] = {
		{ TALLY_DATE,        "0001-01-01",                 "1900-01-01"                  },
		{ TALLY_DATE,        "1900-01-01",                 "1900-01-01"                  },
		{ TALLY_DATE,        "2299-12-31",                 "2299-12-31"                  },
		{ TALLY_DATE,        "9999-12-31",                 "2299-12-31"                  },
		{ TALLY_TIMESTAMP,   "1899-12-31T23:59:59.999999", "1900-01-01T00:00:00"         },
		{ TALLY_TIMESTAMPTZ, "2300-01-01T00:00:00Z",       "2299-12-31T23:59:59.999999Z" },
		{ TALLY_INT,         "-9223372036854775808",       "-9223372036854775808"        },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct value value = parsed(cases[i].type, cases[i].text);
		struct value nearest = parsed(cases[i].type, cases[i].nearest);
		struct value found = ch_value_nearest(&value);

		cr_expect(value_equal(&found, &nearest), "%s", cases[i].text);
	}
}

Test(ch_sql, writes_the_nearest_only_for_an_end_that_may_be_it)
{
	struct source_bind bind = { "since", TALLY_DATE, false, false, true };
	const struct source_statement statement = { .sql = "SELECT $1",
						    .binds = &bind,
						    .n_binds = 1 };
	const struct value value = parsed(TALLY_DATE, "0001-01-01");
	const struct source_argument argument = { &value, 1 };
	struct ch_params params;

	cr_assert_eq(ch_params_init(&params, &statement, &argument), TALLY_OK);
	cr_expect(memmem(params.texts.data, params.texts.len, "1900-01-01", 10));
	ch_params_fini(&params);
	bind.may_be_nearest = false;
	cr_expect_eq(ch_params_init(&params, &statement, &argument), TALLY_SOURCE_ERROR);
	ch_params_fini(&params);
}

#define MANY 20000

Test(ch_sql, sends_a_long_array_in_pieces_that_a_server_takes)
{
	static const struct source_bind binds[] = {
		{ "id", TALLY_INT, true, false, false }
	};
	static const struct source_statement statement = {
		.sql = "SELECT $1", .where = "test.sql:1", .binds = binds, .n_binds = 1
	};
	struct value *ids = calloc(MANY, sizeof *ids);
	struct source_argument argument = { ids, MANY };
	struct ch_settings settings;
	struct ch_request request;
	struct tally_error err;

	for (int i = 0; i < MANY; i++)
		ids[i] =
		    (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = 1000000000 + i };
	cr_assert_eq(ch_settings_init(&settings, "db2", "clickhouse://h/d", CH_READS, &err),
		     TALLY_OK);
	cr_assert_eq(ch_request_init(&request, &(struct ch_asking){ .settings = &settings,
								    .statement = &statement,
								    .arguments = &argument,
								    .query_id = "q" }),
		     TALLY_OK);
	cr_expect(strstr(request.content_type, "multipart/form-data"));
	cr_assert_eq(buf_append(&request.body, "", 1), TALLY_OK);
	cr_expect(strstr(request.body.data, "SELECT arrayConcat({id:Array(Int64)},"
					    "{id_P1:Array(Int64)},{id_P2:Array(Int64)},"
					    "{id_P3:Array(Int64)})"));
	cr_expect(strstr(request.body.data, "name=\"param_id\"\r\n\r\n[1000000000,1000000001,"));
	cr_expect(strstr(request.body.data, ",1000019999]\r\n--tally-form-end-of-part--\r\n"));
	ch_request_fini(&request);
	ch_settings_fini(&settings);
	free(ids);
}

/* ---- settings ------------------------------------------------------------------------------ */

Test(ch_settings, reads_a_url)
{
	static const struct {
		const char *url;
		const char *expected; /* the beginning of the URL that is asked */
		const char *headers;
	} right[] = {
		{ "clickhouse://h",					  "http://h:8123/?readonly=2&max_threads=2&cancel", ""                          },
		{ "clickhouse://h:9/d",                                      "http://h:9/?readonly=2&",                        "X-ClickHouse-Database: d|" },
		{ "clickhouse+http://u:p%40:x@h/d?secure=1",                 "https://h:8443/?readonly=2&",
                 "X-ClickHouse-User: u|X-ClickHouse-Key: p@:x|X-ClickHouse-Database: d|"                                                                   },
		{ "clickhouse://[::1]:1/?secure=0&max_threads=8&readonly=1",
                 "http://[::1]:1/?max_threads=8&readonly=1&cancel_http",                                                       ""                          },
	};
	struct tally_error err;

	for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
		struct ch_settings settings;
		char headers[256] = "";

		cr_assert_eq(ch_settings_init(&settings, "db2", right[i].url, CH_READS, &err),
			     TALLY_OK, "%s: %s", right[i].url, err.detail);
		cr_expect_eq(strncmp(settings.url, right[i].expected, strlen(right[i].expected)), 0,
			     "%s", settings.url);
		for (struct curl_slist *line = settings.headers; line; line = line->next) {
			size_t len = strlen(headers);

			if (!strstr(line->data, "Format") && strncmp(line->data, "X-", 2) == 0)
				(void)snprintf(headers + len, sizeof headers - len, "%s|",
					       line->data);
		}
		cr_expect_str_eq(headers, right[i].headers);
		ch_settings_fini(&settings);
	}
}

Test(ch_settings, refuses_what_is_no_url_and_quotes_no_password)
{
	static const char *const wrong[] = {
		"",
		"postgresql://u:secret@h/d",
		"clickhouse:u:secret@h",
		"clickhouse://",
		"clickhouse://u:secret@h:x/d",
		"clickhouse://u:secret@h?a",
		"clickhouse://u:secret@h?=1",
		"clickhouse://u:secret@h?secure=yes",
		"clickhouse://u:secret%0d@h",
	};
	struct tally_error err;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct ch_settings settings;

		cr_expect_eq(ch_settings_init(&settings, "db2", wrong[i], CH_READS, &err),
			     TALLY_WRONG_SETTING, "%s", wrong[i]);
		cr_expect_null(strstr(err.detail, "secret"), "%s", err.detail);
		ch_settings_fini(&settings);
	}
}

/* ---- errors -------------------------------------------------------------------------------- */

Test(ch_error, tells_what_may_pass_from_what_will_not)
{
	static const int transient[] = { 202, 209, 210, 236, 241, 394, 516, 0 };
	static const int permanent[] = { 6, 47, 60, 62, 164, 386, 1002 };

	for (size_t i = 0; i < sizeof transient / sizeof *transient; i++)
		cr_expect_eq(ch_error_status(&(struct ch_refusal){ .code = transient[i] }),
			     TALLY_SOURCE_UNAVAILABLE);
	for (size_t i = 0; i < sizeof permanent / sizeof *permanent; i++)
		cr_expect_eq(ch_error_status(&(struct ch_refusal){ .code = permanent[i] }),
			     TALLY_SOURCE_ERROR);
	cr_expect_eq(ch_error_status(&(struct ch_refusal){ .code = 159 }), TALLY_DEADLINE_EXCEEDED);
}

Test(ch_error, quotes_the_server_to_writers_of_datasets_only)
{
	static const char text[] = "Code: 6. DB::Exception: Cannot parse 'secret' as Int64: value "
				   "(SECRET) there. (CANNOT_PARSE_TEXT) (version 26.9.2.1)\n";
	const struct ch_refusal refusal = { 500, 6, text, sizeof text - 1 };
	struct tally_error err = { 0 };

	cr_expect_eq(ch_error_of(&refusal, "a.sql:3", true, &err), TALLY_WRONG_DEFINITION);
	cr_expect_str_eq(err.detail,
			 "a.sql:3: Cannot parse 'secret' as Int64: value (SECRET) there. "
			 "(CANNOT_PARSE_TEXT) (6)");
	cr_expect_eq(ch_error_of(&refusal, "a.sql:3", false, &err), TALLY_SOURCE_ERROR);
	cr_expect_str_eq(err.detail,
			 "a.sql:3: the database refused the query: CANNOT_PARSE_TEXT (6)");
	cr_expect_str_eq(err.sqlstate, "6");
}
