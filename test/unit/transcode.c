#include <criterion/criterion.h>

#include <stdlib.h>

#include "base/buf.h"
#include "dataset/transcode.h"

#define OUT_MAX (1 << 20)

static struct definition *definition;
static char out[OUT_MAX];

/* A dataset of these columns, "a text null, b int". */
static void
define(const char *columns)
{
	static char text[1 << 16];
	struct tally_error err;
	size_t n = (size_t)snprintf(text, sizeof text, "-- dataset t\n");

	for (const char *at = columns, *comma; *at; at = *comma ? comma + 1 : comma) {
		comma = strchrnul(at, ',');
		n += (size_t)snprintf(text + n, sizeof text - n, "-- column %.*s\n",
				      (int)(comma - at), at);
	}
	n += (size_t)snprintf(text + n, sizeof text - n, "-- step s on db1\nSELECT 1;\n");
	definition_free(definition);
	definition = NULL;
	cr_assert_eq(definition_parse("t.sql", text, n, &definition, &err), TALLY_OK, "%s",
		     err.detail);
}

static void
end(void)
{
	definition_free(definition);
}

TestSuite(transcode, .fini = end);

/* All of it, max bytes at a time; the body is in memory of exactly its size, and so is each piece,
 * so that a byte too many is seen. */
static tally_status
run(enum transcode_format format, bool csv_safe, const char *body, size_t len, size_t max,
    size_t *out_len)
{
	char *exact = malloc(len ? len : 1), *piece = malloc(max);
	size_t n = 1;
	tally_status status = TALLY_OK;

	cr_assert(exact && piece);
	memcpy(exact, body, len);
	struct transcode *transcode =
	    transcode_new(definition, format, csv_safe, len ? exact : exact + 1, len);
	cr_assert(transcode);
	*out_len = 0;
	while (status == TALLY_OK && n > 0) {
		status = transcode_read(transcode, piece, max, &n);
		cr_assert_leq(n, max);
		cr_assert_leq(*out_len + n, sizeof out);
		memcpy(out + *out_len, piece, n);
		*out_len += n;
	}
	if (status == TALLY_OK) {
		cr_expect_eq(transcode_read(transcode, piece, max, &n), TALLY_OK);
		cr_expect_eq(n, 0);
	} else {
		cr_expect_eq(status, TALLY_INTERNAL_ERROR);
		cr_expect_eq(transcode_read(transcode, piece, max, &n), TALLY_INTERNAL_ERROR);
		cr_expect_eq(n, 0);
	}
	transcode_free(transcode);
	free(piece);
	free(exact);
	return status;
}

#define HEAD "{\"status\":\"ok\",\"data\":["
#define TAIL "]}"

static void
expect(enum transcode_format format, bool csv_safe, const char *body, const char *text)
{
	static const size_t sizes[] = { 1, 2, 3, 7, 511, 512, 513, 65536 };
	size_t len;

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		tally_status status = run(format, csv_safe, body, strlen(body), sizes[i], &len);
		cr_expect_eq(status, TALLY_OK, "%zu at a time: %s", sizes[i], body);
		cr_expect(len == strlen(text) && memcmp(out, text, len) == 0,
			  "%zu at a time:\n%.*s", sizes[i], (int)len, out);
	}
}

Test(transcode, knows_its_formats)
{
	enum transcode_format format = TRANSCODE_CSV;

	cr_expect(transcode_format_parse("json", 4, &format) && format == TRANSCODE_JSON);
	cr_expect(transcode_format_parse("csvx", 3, &format) && format == TRANSCODE_CSV);
	cr_expect(transcode_format_parse("ndjson", 6, &format) && format == TRANSCODE_NDJSON);
	cr_expect_not(transcode_format_parse("JSON", 4, &format));
	cr_expect_not(transcode_format_parse("jso", 3, &format));
	cr_expect_not(transcode_format_parse("", 0, &format));
	cr_expect_eq(format, TRANSCODE_NDJSON);
	cr_expect_str_eq(transcode_media_type(TRANSCODE_JSON), "application/json");
	cr_expect_str_eq(transcode_media_type(TRANSCODE_CSV), "text/csv; charset=utf-8");
	cr_expect_str_eq(transcode_media_type(TRANSCODE_NDJSON), "application/x-ndjson");
	transcode_free(NULL);
}

static const char two_rows[] =
    HEAD "{\"a\":\"x\",\"b\":-5,\"c\":1.5e-7},{\"a\":null,\"b\":0,\"c\":null}" TAIL;

Test(transcode, json_is_passed_on)
{
	define("a text null,b int,c float null");
	expect(TRANSCODE_JSON, true, two_rows, two_rows);
}

Test(transcode, writes_rows_of_csv_and_ndjson)
{
	define("a text null,b int,c float null");
	expect(TRANSCODE_CSV, true, two_rows, "a,b,c\r\nx,-5,1.5e-7\r\n,0,\r\n");
	expect(TRANSCODE_NDJSON, true, two_rows,
	       "{\"a\":\"x\",\"b\":-5,\"c\":1.5e-7}\n{\"a\":null,\"b\":0,\"c\":null}\n");
}

Test(transcode, an_empty_result_is_a_header_or_nothing)
{
	define("a text,b int");
	expect(TRANSCODE_CSV, true, HEAD TAIL, "a,b\r\n");
	expect(TRANSCODE_NDJSON, true, HEAD TAIL, "");
}

/* One text cell, as it stands between quotes in JSON, and what becomes of it. */
static void
expect_cell(bool csv_safe, const char *json, const char *csv)
{
	static char body[1 << 16], text[1 << 16];

	snprintf(body, sizeof body, HEAD "{\"a\":\"%s\",\"b\":true}" TAIL, json);
	snprintf(text, sizeof text, "a,b\r\n%s,true\r\n", csv);
	expect(TRANSCODE_CSV, csv_safe, body, text);
	snprintf(text, sizeof text, "{\"a\":\"%s\",\"b\":true}\n", json);
	expect(TRANSCODE_NDJSON, csv_safe, body, text);
}

Test(transcode, quotes_what_rfc_4180_asks_to_quote)
{
	define("a text,b bool");
	expect_cell(true, "", "\"\"");
	expect_cell(true, "plain", "plain");
	expect_cell(true, " blanks ", " blanks ");
	expect_cell(true, "a,b", "\"a,b\"");
	expect_cell(true, "say \\\"yes\\\"", "\"say \"\"yes\"\"\"");
	expect_cell(true, "\\\"", "\"\"\"\"");
	expect_cell(true, "a\\r\\nb", "\"a\r\nb\"");
	expect_cell(true, "a\\nb", "\"a\nb\"");
	expect_cell(true, "\\n", "\"\n\"");
	expect_cell(true, "null", "null");
	expect_cell(true, "}],[{", "\"}],[{\"");
	expect_cell(true, "}", "}");
	expect_cell(true, "\xd0\xb6\xf0\x9f\x98\x80", "\xd0\xb6\xf0\x9f\x98\x80");
}

Test(transcode, writes_escapes_as_what_they_mean)
{
	define("a text,b bool");
	expect_cell(true, "a\\\\b", "a\\b");
	expect_cell(true, "\\\\", "\\");
	expect_cell(true, "\\b\\f\\t", "\b\f\t");
	expect_cell(true, "x\\u0001\\u001f\\u000b", "x\x01\x1f\x0b");
	expect_cell(true, "\\\\u0041", "\\u0041");
	expect_cell(true, "\\\\\\\"", "\"\\\"\"\"");
}

Test(transcode, a_formula_gets_an_apostrophe_when_asked_to_be_safe)
{
	static const struct {
		const char *json;
		const char *safe;
		const char *plain;
	} cases[] = {
		{ "=1+1",       "'=1+1",           "=1+1"           },
		{ "+1",         "'+1",             "+1"             },
		{ "@x",         "'@x",             "@x"             },
		{ "-",          "'-",              "-"              },
		{ "-x",         "'-x",             "-x"             },
		{ "-1+1",       "'-1+1",           "-1+1"           },
		{ "-01",        "'-01",            "-01"            },
		{ "-1.",        "'-1.",            "-1."            },
		{ "-1e",        "'-1e",            "-1e"            },
		{ "-1 ",        "'-1 ",            "-1 "            },
		{ "\\tx",       "'\tx",            "\tx"            },
		{ "\\rx",       "\"'\rx\"",        "\"\rx\""        },
		{ "=\\\"a\\\"", "\"'=\"\"a\"\"\"", "\"=\"\"a\"\"\"" },
		{ "=1,2",       "\"'=1,2\"",       "\"=1,2\""       },
		/* a JSON number as a whole is no formula */
		{ "-1",         "-1",              "-1"             },
		{ "-12.50",     "-12.50",          "-12.50"         },
		{ "-0",         "-0",              "-0"             },
		{ "-1.5E+10",   "-1.5E+10",        "-1.5E+10"       },
		{ "-1e-10",     "-1e-10",          "-1e-10"         },
		/* nor is one that does not begin as one */
		{ "a=1",        "a=1",             "a=1"            },
		{ " =1",        " =1",             " =1"            },
		{ "\\n=1",      "\"\n=1\"",        "\"\n=1\""       },
		{ "'=1",        "'=1",             "'=1"            },
	};

	define("a text,b bool");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		expect_cell(true, cases[i].json, cases[i].safe);
		expect_cell(false, cases[i].json, cases[i].plain);
	}
}

Test(transcode, numbers_of_json_are_never_formulas)
{
	define("a int");
	expect(TRANSCODE_CSV, true,
	       HEAD "{\"a\":-9223372036854775808},{\"a\":9223372036854775807}" TAIL,
	       "a\r\n-9223372036854775808\r\n9223372036854775807\r\n");
}

/* Texts of every length about the size of a piece, of what grows most: a quote becomes two. */
Test(transcode, cells_of_any_length_pass_in_pieces)
{
	static char json[8192], csv[8192];

	define("a text,b bool");
	for (size_t n = 500; n <= 1030; n++) {
		if (n == 520)
			n = 1018;
		memset(json, 'x', n);
		json[n] = '\0';
		expect_cell(true, json, json);
		csv[0] = csv[2 * n + 1] = '"';
		csv[2 * n + 2] = '\0';
		for (size_t i = 0; i < n; i++) {
			memcpy(json + 2 * i, "\\\"", 2);
			memcpy(csv + 1 + 2 * i, "\"\"", 2);
		}
		json[2 * n] = '\0';
		expect_cell(true, json, csv);
	}
}

Test(transcode, the_widest_row_of_the_longest_names_passes)
{
	static char columns[16384], body[65536], csv[32768];
	size_t n = 0, n_body, n_csv = 0;

	for (int i = 0; i < DEFINITION_MAX_COLUMNS; i++)
		n += (size_t)snprintf(columns + n, sizeof columns - n, "%sc%062d text",
				      i ? "," : "", i);
	define(columns);
	cr_assert_eq(strlen(definition->columns[7].name), 63);
	n_body = (size_t)snprintf(body, sizeof body, HEAD);
	for (int row = -1; row < 2; row++) {
		for (int i = 0; i < DEFINITION_MAX_COLUMNS; i++) {
			if (row < 0) {
				n_csv += (size_t)snprintf(csv + n_csv, sizeof csv - n_csv,
							  "%sc%062d", i ? "," : "", i);
				continue;
			}
			n_csv += (size_t)snprintf(csv + n_csv, sizeof csv - n_csv, "%s\"'=,%d\"",
						  i ? "," : "", i);
			n_body += (size_t)snprintf(body + n_body, sizeof body - n_body,
						   "%s\"c%062d\":\"=,%d\"",
						   i     ? ","
						   : row ? ",{"
							 : "{",
						   i, i);
		}
		n_csv += (size_t)snprintf(csv + n_csv, sizeof csv - n_csv, "\r\n");
		if (row >= 0)
			n_body += (size_t)snprintf(body + n_body, sizeof body - n_body, "}");
	}
	snprintf(body + n_body, sizeof body - n_body, TAIL);
	expect(TRANSCODE_CSV, true, body, csv);
}

static const char rich[] =
    HEAD "{\"a\":\"q\\\"\\\\,\\u001f\\n\xd0\xb6}\",\"b\":-5.5e10,\"c\":true},{\"a\":null,\"b\":0,"
	 "\"c\":false},{\"a\":\"=x\",\"b\":null,\"c\":null}" TAIL;

static const enum transcode_format others[] = { TRANSCODE_CSV, TRANSCODE_NDJSON };

Test(transcode, every_truncation_is_an_error)
{
	size_t len;

	define("a text null,b float null,c bool null");
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(run(others[i], true, rich, sizeof rich - 1, 64, &len), TALLY_OK);
		for (size_t n = 0; n < sizeof rich - 1; n++) {
			cr_expect_eq(run(others[i], true, rich, n, 64, &len), TALLY_INTERNAL_ERROR,
				     "format %d, %zu bytes", others[i], n);
			cr_expect_eq(run(others[i], true, rich, n, 1, &len), TALLY_INTERNAL_ERROR);
		}
	}
}

/* Every byte as every other byte: an error or another text, never a byte outside the body. */
Test(transcode, no_corruption_leads_outside_the_body, .timeout = 300)
{
	char body[sizeof rich];
	size_t len;

	define("a text null,b float null,c bool null");
	for (size_t at = 0; at < sizeof rich - 1; at++) {
		for (int c = 0; c < 256; c++) {
			memcpy(body, rich, sizeof rich);
			body[at] = (char)c;
			for (size_t i = 0; i < 2; i++)
				(void)run(others[i], true, body, sizeof rich - 1, 4096, &len);
		}
	}
}

/* A byte less anywhere, or a byte twice. */
Test(transcode, no_lost_or_doubled_byte_leads_outside_the_body)
{
	char body[sizeof rich + 1];
	size_t len;

	define("a text null,b float null,c bool null");
	for (size_t at = 0; at < sizeof rich - 1; at++) {
		for (size_t i = 0; i < 2; i++) {
			memcpy(body, rich, at);
			memcpy(body + at, rich + at + 1, sizeof rich - 2 - at);
			(void)run(others[i], true, body, sizeof rich - 2, 4096, &len);
			memcpy(body + at, rich + at, sizeof rich - 1 - at);
			memmove(body + at + 1, body + at, sizeof rich - 1 - at);
			(void)run(others[i], true, body, sizeof rich, 4096, &len);
		}
	}
}

Test(transcode, what_the_encoder_does_not_write_is_an_error)
{
	static const struct {
		const char *body;
		bool is_row; /* inside of a row, which NDJSON does not look at */
	} cases[] = {
		{ "",									    false },
		{ "{}",									  false },
		{ "[]",									  false },
		{ " " HEAD TAIL,								 false },
		{ HEAD TAIL " ",								 false },
		{ HEAD TAIL TAIL,								false },
		{ HEAD " " TAIL,								 false },
		{ HEAD "{\"a\":1,\"b\":2}," TAIL,                                                false },
		{ HEAD "{\"a\":1,\"b\":2}{\"a\":1,\"b\":2}" TAIL,                                false },
		{ HEAD ",{\"a\":1,\"b\":2}" TAIL,                                                false },
		{ HEAD "{\"a\":1,\"b\":2}",						      false },
		{ HEAD "{\"a\":1,\"b\":2}]",						     false },
		{ HEAD "1" TAIL,								 false },
		{ HEAD "{\"a\":1}" TAIL,							 true  },
		{ HEAD "{\"a\":1,\"b\":2,\"c\":3}" TAIL,                                         true  },
		{ HEAD "{\"b\":1,\"a\":2}" TAIL,						 true  },
		{ HEAD "{\"a\":1,\"bb\":2}" TAIL,                                                true  },
		{ HEAD "{\"a\": 1,\"b\":2}" TAIL,                                                true  },
		{ HEAD "{\"a\":,\"b\":2}" TAIL,						  true  },
		{ HEAD "{\"a\":01,\"b\":2}" TAIL,                                                true  },
		{ HEAD "{\"a\":nul,\"b\":2}" TAIL,                                               true  },
		{ HEAD "{\"a\":nullx,\"b\":2}" TAIL,                                             true  },
		{ HEAD "{\"a\":[1],\"b\":2}" TAIL,                                               true  },
		{ HEAD "{\"a\":{},\"b\":2}" TAIL,                                                false },
		{ HEAD "{\"a\":\"\\x\",\"b\":2}" TAIL,                                           true  },
		{ HEAD "{\"a\":\"\\u0041\",\"b\":2}" TAIL,                                       true  },
		{ HEAD "{\"a\":\"\\u001G\",\"b\":2}" TAIL,                                       true  },
		{ HEAD "{\"a\":\"\\u0\",\"b\":2}" TAIL,                                          true  },
		{ HEAD "{\"a\":\"\t\",\"b\":2}" TAIL,                                            false },
		{ HEAD "{\"a\":\"open}]}",						       false },
		{ HEAD "{\"a\":1111111111111111111111111111111111111111111111111,\"b\":2}" TAIL,
                 true										  },
	};
	size_t len;

	define("a text,b int");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *body = cases[i].body;
		cr_expect_eq(run(TRANSCODE_CSV, true, body, strlen(body), 4096, &len),
			     TALLY_INTERNAL_ERROR, "%s", body);
		if (!cases[i].is_row)
			cr_expect_eq(run(TRANSCODE_NDJSON, true, body, strlen(body), 4096, &len),
				     TALLY_INTERNAL_ERROR, "%s", body);
	}
}
