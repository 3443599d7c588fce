/* Values, dates and row sets: what goes in comes out, and nothing else goes in. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "source/date.h"
#include "source/rows.h"
#include "source/value.h"
#include "support/chance.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define NINES_38 "99999999999999999999999999999999999999"

static struct value
parse(enum tally_type type, const char *text)
{
	struct value value = { .state = VALUE_BAD };
	struct tally_error err = { .status = TALLY_OK };
	tally_status status = value_parse(type, text, strlen(text), &value, &err);

	cr_assert_eq(status, TALLY_OK, "%s as %s: %s", text, tally_type_name(type), err.detail);
	return value;
}

static const char *
format(const struct value *value)
{
	static char text[VALUE_FORMAT_MAX + 1];
	size_t len = value_format(value, text);

	cr_assert_leq(len, (size_t)VALUE_FORMAT_MAX);
	text[len] = '\0';
	return text;
}

static const struct {
	enum tally_type type;
	const char *text;
	const char *formatted; /* NULL: as it was */
} accepted[] = {
	{ TALLY_INT,         "0",					NULL                     },
	{ TALLY_INT,         "-0",				       "0"                      },
	{ TALLY_INT,         "007",				      "7"                      },
	{ TALLY_INT,         "9",					NULL                     },
	{ TALLY_INT,         "10",				       NULL                     },
	{ TALLY_INT,         "-99",				      NULL                     },
	{ TALLY_INT,         "100",				      NULL                     },
	{ TALLY_INT,         "9223372036854775807",                      NULL                     },
	{ TALLY_INT,         "-9223372036854775808",                     NULL                     },
	{ TALLY_FLOAT,       "0",					NULL                     },
	{ TALLY_FLOAT,       "-0",				       NULL                     },
	{ TALLY_FLOAT,       "2.50",				     "2.5"                    },
	{ TALLY_FLOAT,       "0.1",				      NULL                     },
	{ TALLY_FLOAT,       "0.30000000000000004",                      NULL                     },
	{ TALLY_FLOAT,       "1e22",				     "1e+22"                  },
	{ TALLY_FLOAT,       "-1.7976931348623157e+308",                 NULL                     },
	{ TALLY_FLOAT,       "2.2250738585072014e-308",                  NULL                     },
	{ TALLY_FLOAT,       "9007199254740993",                         "9007199254740992"       },
	{ TALLY_BOOL,        "true",				     NULL                     },
	{ TALLY_BOOL,        "false",				    NULL                     },
	{ TALLY_DATE,        "0001-01-01",                               NULL                     },
	{ TALLY_DATE,        "9999-12-31",                               NULL                     },
	{ TALLY_DATE,        "2024-02-29",                               NULL                     },
	{ TALLY_DATE,        "2000-02-29",                               NULL                     },
	{ TALLY_DATE,        "1969-12-31",                               NULL                     },
	{ TALLY_TIMESTAMP,   "0001-01-01T00:00:00",                      NULL                     },
	{ TALLY_TIMESTAMP,   "9999-12-31T23:59:59.999999",               NULL                     },
	{ TALLY_TIMESTAMP,   "1969-12-31T23:59:59.999999",               NULL                     },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:00.120",                  "2025-06-29T12:30:00.12" },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:00.000000",               "2025-06-29T12:30:00"    },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:00.000001",               NULL                     },
	{ TALLY_TIMESTAMPTZ, "2025-06-29T12:30:00Z",                     NULL                     },
	{ TALLY_TIMESTAMPTZ, "2024-03-01T01:00:00+02:00",                "2024-02-29T23:00:00Z"   },
	{ TALLY_TIMESTAMPTZ, "2024-02-29T23:30:00.5-05:45",              "2024-03-01T05:15:00.5Z" },
	{ TALLY_TIMESTAMPTZ, "0001-01-01T00:00:00-00:01",                "0001-01-01T00:01:00Z"   },
	{ TALLY_TIMESTAMPTZ, "9999-12-31T23:59:59.999999Z",              NULL                     },
	{ TALLY_UUID,        "123e4567-e89b-12d3-a456-426614174000",     NULL                     },
	{ TALLY_UUID,        "ABCDEF01-2345-6789-abcd-EF0123456789",
         "abcdef01-2345-6789-abcd-ef0123456789"						   },
	{ TALLY_DECIMAL,     "0",					NULL                     },
	{ TALLY_DECIMAL,     "-12.50",				   NULL                     },
	{ TALLY_DECIMAL,     "0.00",				     NULL                     },
	{ TALLY_DECIMAL,     NINES_38,				   NULL                     },
	{ TALLY_DECIMAL,     "-0." NINES_38,                             NULL                     },
	{ TALLY_DECIMAL,     "00000000000000000000000000000000000000.1", NULL                     },
};

Test(value, comes_back_as_it_was_written)
{
	for (size_t i = 0; i < COUNT(accepted); i++) {
		const char *wanted =
		    accepted[i].formatted ? accepted[i].formatted : accepted[i].text;
		struct value value = parse(accepted[i].type, accepted[i].text);

		cr_expect_eq(value.type, accepted[i].type);
		cr_expect_eq(value.state, VALUE_SET);
		cr_expect_str_eq(format(&value), wanted, "case %zu: %s", i, accepted[i].text);
	}
}

static const struct {
	enum tally_type type;
	const char *text;
} refused[] = {
	{ TALLY_INT,         ""									 },
	{ TALLY_INT,         "-"									},
	{ TALLY_INT,         "+1"								       },
	{ TALLY_INT,         " 1"								       },
	{ TALLY_INT,         "1 "								       },
	{ TALLY_INT,         "1.0"								      },
	{ TALLY_INT,         "1e3"								      },
	{ TALLY_INT,         "9223372036854775808"						      },
	{ TALLY_INT,         "-9223372036854775809"						     },
	{ TALLY_INT,         "92233720368547758070"						     },
	{ TALLY_INT,         "18446744073709551617"						     },
	{ TALLY_INT,         "\u0661"								   },
	{ TALLY_FLOAT,       ""									 },
	{ TALLY_FLOAT,       "nan"								      },
	{ TALLY_FLOAT,       "inf"								      },
	{ TALLY_FLOAT,       "Infinity"								 },
	{ TALLY_FLOAT,       "1e309"								    },
	{ TALLY_FLOAT,       "0x10"								     },
	{ TALLY_FLOAT,       "1,5"								      },
	{ TALLY_FLOAT,       " 1"								       },
	{ TALLY_FLOAT,       "1e"								       },
	{ TALLY_FLOAT,       "0.0000000000000000000000000000000000000000000000000000000000000000000000" },
	{ TALLY_BOOL,        ""									 },
	{ TALLY_BOOL,        "True"								     },
	{ TALLY_BOOL,        "1"									},
	{ TALLY_BOOL,        "falsee"								   },
	{ TALLY_DATE,        "0000-01-01"							       },
	{ TALLY_DATE,        "10000-01-01"							      },
	{ TALLY_DATE,        "2023-02-29"							       },
	{ TALLY_DATE,        "1900-02-29"							       },
	{ TALLY_DATE,        "2024-02-30"							       },
	{ TALLY_DATE,        "2024-04-31"							       },
	{ TALLY_DATE,        "2024-13-01"							       },
	{ TALLY_DATE,        "2024-00-01"							       },
	{ TALLY_DATE,        "2024-01-00"							       },
	{ TALLY_DATE,        "2024-1-1"								 },
	{ TALLY_DATE,        "2024-01-01 "							      },
	{ TALLY_DATE,        "2024/01/01"							       },
	{ TALLY_DATE,        "-001-01-01"							       },
	{ TALLY_DATE,        "2024-01-01T00:00:00"						      },
	{ TALLY_TIMESTAMP,   "2025-06-29"							       },
	{ TALLY_TIMESTAMP,   "2025-06-29 12:30:00"						      },
	{ TALLY_TIMESTAMP,   "2025-06-29T24:00:00"						      },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:60:00"						      },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:60"						      },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:00."						     },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:00.1234567"                                              },
	{ TALLY_TIMESTAMP,   "2025-06-29T12:30:00Z"						     },
	{ TALLY_TIMESTAMPTZ, "2025-06-29T12:30:00"						      },
	{ TALLY_TIMESTAMPTZ, "2025-06-29T12:30:00z"						     },
	{ TALLY_TIMESTAMPTZ, "2025-06-29T12:30:00+2"                                                    },
	{ TALLY_TIMESTAMPTZ, "2025-06-29T12:30:00+16:00"                                                },
	{ TALLY_TIMESTAMPTZ, "2025-06-29T12:30:00+02:60"                                                },
	{ TALLY_TIMESTAMPTZ, "0001-01-01T00:00:00+00:01"                                                },
	{ TALLY_TIMESTAMPTZ, "9999-12-31T23:59:59-00:01"                                                },
	{ TALLY_UUID,        ""									 },
	{ TALLY_UUID,        "123e4567e89b12d3a456426614174000"                                         },
	{ TALLY_UUID,        "123e4567-e89b-12d3-a456-42661417400"                                      },
	{ TALLY_UUID,        "123e4567-e89b-12d3-a456-4266141740000"                                    },
	{ TALLY_UUID,        "123e4567-e89b-12d3-a456-42661417400g"                                     },
	{ TALLY_UUID,        "{23e4567-e89b-12d3-a456-426614174000}"                                    },
	{ TALLY_DECIMAL,     ""									 },
	{ TALLY_DECIMAL,     "-"									},
	{ TALLY_DECIMAL,     "."									},
	{ TALLY_DECIMAL,     ".5"								       },
	{ TALLY_DECIMAL,     "5."								       },
	{ TALLY_DECIMAL,     "1.2.3"								    },
	{ TALLY_DECIMAL,     "1e5"								      },
	{ TALLY_DECIMAL,     "+1"								       },
	{ TALLY_DECIMAL,     "NaN"								      },
	{ TALLY_DECIMAL,     "1" NINES_38							       },
	{ TALLY_DECIMAL,     "1." NINES_38							      },
};

Test(value, refuses_what_is_not_its_public_form_and_says_what_is)
{
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct value value = { .state = VALUE_BAD };
		struct tally_error err = { .status = TALLY_OK };
		const char *text = refused[i].text;

		cr_expect_eq(value_parse(refused[i].type, text, strlen(text), &value, &err),
			     TALLY_INVALID_PARAMETER, "case %zu: %s", i, text);
		cr_expect_eq(value.state, VALUE_BAD, "untouched, case %zu", i);
		cr_expect_eq(err.status, TALLY_INVALID_PARAMETER);
		cr_expect_eq(strncmp(err.detail, "must be", 7), 0, "case %zu", i);
	}
}

Test(value, refuses_a_nul_inside)
{
	static const struct {
		enum tally_type type;
		const char *text;
		size_t len;
	} cases[] = {
		{ TALLY_INT,     "1\0",    2 },
                { TALLY_FLOAT,   "1\0",    2 },
		{ TALLY_FLOAT,   "1\0005", 3 },
                { TALLY_DECIMAL, "1\0",    2 },
		{ TALLY_BOOL,    "true\0", 5 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct value value;

		cr_expect_eq(value_parse(cases[i].type, cases[i].text, cases[i].len, &value, NULL),
			     TALLY_INVALID_PARAMETER, "case %zu", i);
	}
}

Test(value, keeps_text_as_bytes)
{
	static const char *const texts[] = {
		"", "ann", "юникод", "日本語", "👩‍👩‍👧", "e\u0301"
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct value value = parse(TALLY_TEXT, texts[i]);

		cr_expect_eq(value.text, texts[i], "borrowed");
		cr_expect_eq(value.len, strlen(texts[i]));
	}
	struct value composed = parse(TALLY_TEXT, "\u00e9");
	struct value combined = parse(TALLY_TEXT, "e\u0301");
	cr_expect_not(value_equal(&composed, &combined), "text is bytes");
}

Test(value, is_equal_and_hashed_by_value)
{
	static const struct {
		enum tally_type type;
		const char *a, *b;
		bool is_equal;
	} cases[] = {
		{ TALLY_DECIMAL, "1.10", "1.1",   true  },
                { TALLY_DECIMAL, "1",    "1.000", true  },
		{ TALLY_DECIMAL, "0010", "10",    true  },
                { TALLY_DECIMAL, "-0.0", "0",     true  },
		{ TALLY_DECIMAL, "-1",   "1",     false },
                { TALLY_DECIMAL, "10",   "1",     false },
		{ TALLY_DECIMAL, "0.1",  "0.01",  false },
                { TALLY_DECIMAL, "1.2",  "12",    false },
		{ TALLY_FLOAT,   "-0",   "0",     true  },
                { TALLY_FLOAT,   "1e2",  "100",   true  },
		{ TALLY_FLOAT,   "0.1",  "0.2",   false },
                { TALLY_TEXT,    "",     "a",     false },
		{ TALLY_TEXT,    "abc",  "abc",   true  },
                { TALLY_TEXT,    "Abc",  "abc",   false },
		{ TALLY_TEXT,    "ann",  "ann ",  false },
                { TALLY_BOOL,    "true", "false", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct value a = parse(cases[i].type, cases[i].a);
		struct value b = parse(cases[i].type, cases[i].b);

		cr_expect_eq(value_equal(&a, &b), cases[i].is_equal, "case %zu", i);
		cr_expect_eq(value_compare(&a, &b) == 0, cases[i].is_equal, "case %zu", i);
		cr_expect_eq(value_hash(&a, 7) == value_hash(&b, 7), cases[i].is_equal, "case %zu",
			     i);
	}
}

Test(value, null_equals_null_and_nothing_else)
{
	struct value null = { .type = TALLY_INT };
	struct value absent = { .type = TALLY_ABSENT };
	struct value zero = parse(TALLY_INT, "0");
	struct value empty = parse(TALLY_TEXT, "");
	struct value null_text = { .type = TALLY_TEXT };

	cr_expect(value_equal(&null, &absent));
	cr_expect_eq(value_hash(&null, 1), value_hash(&absent, 1));
	cr_expect_not(value_equal(&null, &zero));
	cr_expect_not(value_equal(&null_text, &empty));
	cr_expect_gt(value_compare(&null, &zero), 0, "nulls last");
	cr_expect_lt(value_compare(&zero, &null), 0);
	cr_expect_eq(value_compare(&null, &absent), 0);
}

static const struct {
	enum tally_type type;
	const char *texts[12];
} ascending[] = {
	{ TALLY_INT,         { "-9223372036854775808", "-1", "0", "2", "10", "9223372036854775807" } },
	{ TALLY_FLOAT,       { "-1e300", "-1", "0", "1e-300", "2", "10" }                            },
	{ TALLY_TEXT,        { "", "A", "B", "a", "aa", "b", "я", "日", "👩" }                       },
	{ TALLY_DECIMAL,
         { "-100", "-12.5", "-12.49", "-0.01", "0.00", "0.009", "0.01", "2", "2.001", "10" }         },
	{ TALLY_DATE,        { "0001-01-01", "1969-12-31", "1970-01-01", "9999-12-31" }              },
	{ TALLY_BOOL,        { "false", "true" }						     },
	{ TALLY_TIMESTAMPTZ,
         { "2025-01-01T00:00:00+02:00", "2024-12-31T23:00:00Z", "2025-01-01T00:00:00Z" }             },
	{ TALLY_UUID,
         { "00000000-0000-0000-0000-000000000001", "01000000-0000-0000-0000-000000000000",
	    "ff000000-0000-0000-0000-000000000000" }                                                 },
};

Test(value, has_one_order_by_value)
{
	for (size_t i = 0; i < COUNT(ascending); i++) {
		for (size_t a = 0; a < 12 && ascending[i].texts[a]; a++) {
			for (size_t b = 0; b < 12 && ascending[i].texts[b]; b++) {
				struct value x = parse(ascending[i].type, ascending[i].texts[a]);
				struct value y = parse(ascending[i].type, ascending[i].texts[b]);
				int order = value_compare(&x, &y);

				cr_expect_eq((order > 0) - (order < 0), (a > b) - (a < b), "%s, %s",
					     ascending[i].texts[a], ascending[i].texts[b]);
			}
		}
	}
}

Test(value, random_floats_and_ints_come_back_bit_for_bit)
{
	uint64_t state = 88172645463325252u;

	for (int i = 0; i < 20000; i++) {
		(void)chance_next(&state);
		struct value number = { .type = TALLY_INT, .state = VALUE_SET };
		struct value real = { .type = TALLY_FLOAT, .state = VALUE_SET };

		memcpy(&number.i, &state, sizeof number.i);
		number.i >>= i % 64;
		memcpy(&real.f, &state, sizeof real.f);
		cr_assert_eq(parse(TALLY_INT, format(&number)).i, number.i);
		if (!isfinite(real.f))
			continue;
		double back = parse(TALLY_FLOAT, format(&real)).f;
		cr_assert_eq(memcmp(&back, &real.f, sizeof back), 0, "%a", real.f);
	}
}

/* ---- dates ------------------------------------------------------------------------------------ */

Test(date, counts_every_day_of_ten_thousand_years)
{
	struct date before = { 0, 12, 31 };

	for (int64_t days = DATE_MIN_DAYS; days <= DATE_MAX_DAYS; days++) {
		struct date date = date_from_days(days);
		bool is_next_day = date.year == before.year && date.month == before.month
				   && date.day == before.day + 1;
		bool is_next_month = date.year == before.year && date.month == before.month + 1
				     && date.day == 1 && before.day >= 28;
		bool is_next_year = date.year == before.year + 1 && date.month == 1 && date.day == 1
				    && before.month == 12 && before.day == 31;

		cr_assert(is_next_day || is_next_month || is_next_year, "day %" PRId64, days);
		cr_assert(date_is_valid(&date), "day %" PRId64, days);
		cr_assert_eq(date_to_days(&date), days);
		before = date;
	}
	cr_expect_eq(before.year, 9999);
	cr_expect_eq(before.month, 12);
	cr_expect_eq(before.day, 31);
}

Test(date, knows_what_others_know)
{
	static const struct {
		struct date date;
		int64_t days;
	} cases[] = {
		{ { 1, 1, 1 },      DATE_MIN_DAYS },
                { { 1970, 1, 1 },   0             },
		{ { 2000, 2, 29 },  11016         },
                { { 2000, 3, 1 },   11017         },
		{ { 1900, 3, 1 },   -25508        },
                { { 9999, 12, 31 }, DATE_MAX_DAYS },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(date_to_days(&cases[i].date), cases[i].days, "case %zu", i);
}

/* ---- rows ------------------------------------------------------------------------------------- */

Test(rows, hold_cells_and_texts_of_any_length)
{
	struct rows *rows = rows_new(2, 8u << 20);
	char *big = malloc(100000);
	struct value *cells;

	cr_assert(rows && big);
	memset(big, 'x', 100000);
	for (int i = 0; i < 100; i++) {
		size_t len = (size_t)i * 1000;

		cr_assert_eq(rows_add(rows, &cells), TALLY_OK);
		cr_assert_eq(cells[0].state, VALUE_NULL);
		cr_assert_eq(cells[1].type, TALLY_ABSENT);
		cells[0] = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = i };
		cells[1] =
		    (struct value){ .type = TALLY_TEXT, .state = VALUE_SET, .len = (uint32_t)len };
		cr_assert_eq(rows_copy_text(rows, big, len, &cells[1].text), TALLY_OK);
	}
	free(big);
	cr_assert_eq(rows->n_rows, 100u);
	for (size_t i = 0; i < 100; i++) {
		const struct value *text = rows_cell(rows, i, 1);

		cr_expect_eq(rows_cell(rows, i, 0)->i, (int64_t)i);
		cr_expect_eq(text->len, i * 1000);
		cr_expect(text->len == 0
			  || (text->text[0] == 'x' && text->text[text->len - 1] == 'x'));
	}
	rows_free(rows);
}

Test(rows, never_pass_their_limit)
{
	struct rows *rows = rows_new(1, 2 * sizeof(struct value) + 3);
	struct value *cells;
	const char *text;

	cr_assert(rows);
	cr_assert_eq(rows_add(rows, &cells), TALLY_OK);
	cr_expect_eq(rows_copy_text(rows, "abcd", 4, &text), TALLY_OK, "cells and texts share it");
	cr_expect_eq(rows_add(rows, &cells), TALLY_TOO_LARGE);
	cr_expect_eq(rows->n_rows, 1u);
	cr_expect_eq(rows_copy_text(rows, "0123456789012345678901234", 25, &text), TALLY_TOO_LARGE);
	cr_expect_eq(rows_copy_text(rows, "01234567890123456789012", 23, &text), TALLY_OK);
	cr_expect_eq(rows->used_bytes, rows->limit_bytes);
	cr_expect_eq(rows_copy_text(rows, "", 0, &text), TALLY_OK);
	rows_free(rows);
	rows_free(NULL);
}
