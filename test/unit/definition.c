/* Dataset files, right and wrong: those of test/datasets, and what is too large for a file there.
 * A wrong file says in its first line what its error is: "--- expect LINE: reason". */
#include <criterion/criterion.h>

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>

#include <tally/digest.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "dataset/definition.h"

#define WRONG "test/datasets/wrong"
#define RIGHT "test/datasets/right"

static struct definition *definition;
static struct tally_error err;

static void
end(void)
{
	definition_free(definition);
}

TestSuite(definition, .fini = end);

/* Tests run from the top of the tree; the caller frees the text. */
static char *
read_text(const char *folder, const char *name, size_t *out_len)
{
	char path[512];
	char *text = malloc(DEFINITION_MAX_BYTES);

	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "re");
	cr_assert(file && text, "%s", path);
	*out_len = fread(text, 1, DEFINITION_MAX_BYTES, file);
	fclose(file);
	return text;
}

/* Parses a copy of exactly len bytes, so that a byte beyond is seen. */
static tally_status
parse(const char *name, const char *text, size_t len)
{
	char *exact = malloc(len ? len : 1);

	cr_assert(exact);
	memcpy(exact, text, len);
	definition_free(definition);
	definition = NULL;
	err = (struct tally_error){ 0 };
	tally_status status =
	    definition_parse(name, len ? exact : exact + 1, len, &definition, &err);
	free(exact);
	return status;
}

static void
load(const char *name)
{
	size_t len;
	char *text = read_text(RIGHT, name, &len);

	cr_assert_eq(parse(name, text, len), TALLY_OK, "%s", err.detail);
	free(text);
}

static int
is_sql(const struct dirent *entry)
{
	return strstr(entry->d_name, ".sql") != NULL;
}

static void
expect_as_it_says(const char *name)
{
	static const char mark[] = "--- expect ";
	char expected[1024];
	size_t len;
	char *text = read_text(WRONG, name, &len);

	cr_assert(len > sizeof mark && memcmp(text, mark, sizeof mark - 1) == 0, "%s", name);
	const char *reason = text + sizeof mark - 1;
	snprintf(expected, sizeof expected, "%s:%.*s", name, (int)strcspn(reason, "\n"), reason);
	cr_expect_eq(parse(name, text, len), TALLY_WRONG_DEFINITION, "%s", name);
	cr_expect_null(definition, "%s", name);
	cr_expect_str_eq(err.detail, expected);
	free(text);
}

Test(definition, wrong_files_are_refused_with_line_and_reason)
{
	struct dirent **entries = NULL;
	int n = scandir(WRONG, &entries, is_sql, alphasort);

	cr_assert_geq(n, 100);
	for (int i = 0; i < n; i++) {
		expect_as_it_says(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

/* Every beginning of a right file is right or wrong, and leaves nothing behind. */
Test(definition, no_beginning_of_a_file_leads_outside_of_it)
{
	size_t len;
	char *text = read_text(RIGHT, "everything.sql", &len);

	for (size_t n = 0; n < len; n++) {
		tally_status status = parse("d.sql", text, n);
		cr_expect(status == TALLY_OK || status == TALLY_WRONG_DEFINITION, "%zu", n);
		cr_expect_eq(status != TALLY_OK, definition == NULL);
	}
	free(text);
}

Test(definition, no_changed_byte_leads_outside_of_a_file)
{
	static const char others[] = "'\"$;:*\n\\\x80 a";
	size_t len;
	char *text = read_text(RIGHT, "everything.sql", &len);

	for (size_t at = 0; at < len; at++) {
		char was = text[at];
		for (size_t i = 0; i < sizeof others; i++) { /* NUL, too */
			text[at] = others[i];
			tally_status status = parse("d.sql", text, len);
			cr_expect(status == TALLY_OK || status == TALLY_WRONG_DEFINITION);
		}
		text[at] = was;
	}
	free(text);
}

/* ---- what a file says ----------------------------------------------------------------------- */

static const struct definition_param *
param(size_t i, const char *name, enum tally_type type)
{
	cr_assert_lt(i, definition->n_params);
	cr_expect_str_eq(definition->params[i].name, name);
	cr_expect_eq(definition->params[i].type, type);
	return &definition->params[i];
}

static void
expect_text(const struct value *value, const char *text)
{
	cr_expect_eq(value->state, VALUE_SET);
	cr_expect(value->len == strlen(text) && memcmp(value->text, text, value->len) == 0,
		  "\"%.*s\" is not \"%s\"", (int)value->len, value->text, text);
}

static void
expect_public(const struct value *value, const char *text)
{
	char formatted[VALUE_FORMAT_MAX];

	cr_assert_eq(value->state, VALUE_SET);
	size_t len = value_format(value, formatted);
	cr_expect(len == strlen(text) && memcmp(formatted, text, len) == 0,
		  "\"%.*s\" is not \"%s\"", (int)len, formatted, text);
}

Test(definition, says_its_name_title_and_hash)
{
	unsigned char hash[TALLY_SHA256_BYTES];
	size_t len;
	char *text = read_text(RIGHT, "everything.sql", &len);

	load("everything.sql");
	cr_expect_str_eq(definition->file, "everything.sql");
	cr_expect_str_eq(definition->name, "every-thing_2");
	cr_expect_str_eq(definition->title, "what a file may say: all of it");
	cr_assert_eq(tally_sha256(text, len, hash), TALLY_OK);
	cr_expect_eq(memcmp(hash, definition->hash, sizeof hash), 0);
	free(text);
}

Test(definition, says_its_parameters)
{
	load("everything.sql");
	cr_assert_eq(definition->n_params, 11);
	const struct definition_param *login = param(0, "login", TALLY_TEXT);
	cr_expect(login->is_required);
	cr_expect_eq(login->max_length, 16384);
	cr_expect_eq(login->line, 2);
	cr_expect_eq(login->fallback.state, VALUE_NULL);
	const struct definition_param *note = param(1, "note", TALLY_TEXT);
	cr_expect_not(note->is_required);
	cr_expect_eq(note->max_length, 256);
	expect_text(&note->fallback, "it's, \"so\" = (so)");
	expect_text(&param(2, "empty", TALLY_TEXT)->fallback, "");
	const struct definition_param *size = param(3, "size", TALLY_INT);
	expect_public(&size->min, "-5");
	expect_public(&size->max, "5");
	expect_public(&size->fallback, "-5");
	const struct definition_param *share = param(4, "share", TALLY_FLOAT);
	expect_public(&share->max, "1.5");
	cr_expect_eq(share->min.state, VALUE_NULL);
	cr_expect_float_eq(share->fallback.f, 1e-7, 1e-20);
	const struct definition_param *price = param(5, "price", TALLY_DECIMAL);
	expect_text(&price->min, "-1.10");
	expect_text(&price->fallback, "1.10");
	expect_public(&param(6, "flag", TALLY_BOOL)->fallback, "true");
	expect_public(&param(7, "since", TALLY_DATE)->fallback, "2024-02-29");
	expect_public(&definition->params[7].min, "0001-01-01");
	expect_public(&param(8, "at", TALLY_TIMESTAMP)->fallback, "2025-06-29T12:30:00.5");
	expect_public(&param(9, "at_utc", TALLY_TIMESTAMPTZ)->fallback, "2025-06-29T10:30:00Z");
	expect_public(&param(10, "id", TALLY_UUID)->fallback,
		      "123e4567-e89b-12d3-a456-426614174000");
}

static const struct definition_column *
column(size_t i, const char *name, enum definition_function function, const char *argument)
{
	const struct definition_column *at = &definition->columns[i];

	cr_assert_lt(i, definition->n_columns);
	cr_expect_str_eq(at->name, name);
	cr_expect_eq(at->function, function);
	cr_expect_eq(!at->argument, !argument);
	if (argument)
		cr_expect_str_eq(at->argument, argument);
	return at;
}

Test(definition, says_its_columns_order_and_groups)
{
	load("everything.sql");
	cr_assert_eq(definition->n_columns, 7);
	cr_expect_not(column(0, "day", DEFINITION_PLAIN, NULL)->may_be_null);
	const struct definition_column *total = column(1, "total", DEFINITION_SUM, "amount");
	cr_expect(total->may_be_null);
	cr_expect_eq(total->type, TALLY_INT);
	expect_public(&total->fallback, "0");
	column(2, "n", DEFINITION_COUNT, NULL);
	column(3, "known", DEFINITION_COUNT, "kind");
	column(4, "kinds", DEFINITION_COUNT_DISTINCT, "kind");
	expect_text(&column(5, "first", DEFINITION_MIN, "label")->fallback, "none, 'yet'");
	expect_text(&column(6, "last", DEFINITION_MAX, "price")->fallback, "-0.50");
	cr_expect(definition->is_grouped);
	cr_assert_eq(definition->n_group, 2);
	cr_expect_str_eq(definition->group[0], "day");
	cr_expect_str_eq(definition->group[1], "kind");
	cr_assert_eq(definition->n_order, 3);
	cr_expect_eq(definition->order[0].column, 2);
	cr_expect(definition->order[0].is_descending);
	cr_expect_eq(definition->order[1].column, 0);
	cr_expect_not(definition->order[1].is_descending);
	cr_expect_eq(definition->order[2].column, 1);
	cr_expect_eq(definition->limit, 10000000);
}

Test(definition, says_its_steps)
{
	load("everything.sql");
	cr_assert_eq(definition->n_steps, 3);
	const struct definition_step *one = &definition->steps[0];
	cr_expect_str_eq(one->name, "one");
	cr_expect_str_eq(one->source, "db1");
	cr_assert_eq(one->sqls[0].n_keys, 2);
	cr_expect_str_eq(one->sqls[0].keys[0], "login");
	cr_expect_str_eq(one->sqls[0].keys[1], "since");
	cr_expect(one->is_kept);
	cr_expect_eq(one->cache_ms, 3600000);
	cr_assert_eq(one->n_sqls, 2);
	cr_expect_str_eq(one->sqls[0].kind, "postgres");
	cr_expect_eq(definition_sql_for(one, "clickhouse"), &one->sqls[1]);
	cr_expect_null(definition_sql_for(one, "other"));
	const struct definition_step *two = &definition->steps[1];
	cr_expect_str_eq(two->source, "db2");
	cr_expect_not(two->is_kept);
	cr_expect_eq(two->cache_ms, 500);
	cr_expect_null(two->sqls[0].kind);
	cr_expect_eq(definition_sql_for(two, "anything"), &two->sqls[0]);
	cr_expect_str_eq(definition->steps[2].name, "three");
	cr_expect_eq(definition->steps[2].sqls[0].n_keys, 0);
	cr_expect_str_eq(definition->steps[2].sqls[0].text, "");
}

Test(definition, numbers_names_and_leaves_what_is_quoted_alone)
{
	load("everything.sql");
	const struct definition_sql *sql = &definition->steps[0].sqls[0];
	cr_expect_str_eq(sql->text,
			 "/* a comment ; :no /* nested :no ' */ \" $x$ */\n"
			 "SELECT 'a; :no '' :no' AS \"b; :no \"\" :no\", E'c\\'; :no' || e'\\\\' "
			 "AS d, -- ; :no $1\n"
			 "       $$ ; :no ' $$ || $q_1$ $$ ; :no $1 $ $q_1$ AS f, x::date, "
			 "$1::date, a[1:n], ne'\\', u$v$ w,\n"
			 "       U&'\\' AS g, $2 = ANY ($3), ( $2 ), x=$2\n"
			 "  FROM t\n"
			 " WHERE a>$1");
	cr_assert_eq(sql->n_binds, 3);
	cr_expect_str_eq(sql->binds[0], "since");
	cr_expect_str_eq(sql->binds[1], "login");
	cr_expect_str_eq(sql->binds[2], "flag");
	cr_expect_str_eq(definition->steps[0].sqls[1].text,
			 "SELECT $1, ':no\\' :no', \"\\\" :no\", `\\` :no`, $2");
	cr_expect_str_eq(definition->steps[1].sqls[0].text, "\tSELECT $1, price$1 FROM t");
}

Test(definition, lines_may_end_as_on_windows)
{
	load("crlf.sql");
	cr_expect_str_eq(definition->name, "crlf");
	cr_expect_str_eq(definition->title, "a title");
	expect_text(&definition->params[0].fallback, "a");
	cr_expect(definition->columns[0].may_be_null);
	cr_expect_eq(definition->steps[0].line, 5);
	cr_expect_str_eq(definition->steps[0].sqls[0].text, "SELECT $1 AS a -- :no\r\n  , 1");
}

Test(definition, little_is_needed)
{
	load("least.sql");
	cr_expect_str_eq(definition->title, "");
	cr_expect_eq(definition->n_params, 0);
	cr_expect_eq(definition->n_order, 0);
	cr_expect_not(definition->is_grouped);
	cr_expect_eq(definition->limit, 0);
}

/* ---- limits --------------------------------------------------------------------------------- */

static struct buf text = { .limit_bytes = 4 << 20 };

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
add(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	cr_assert_eq(buf_puts(&text, line), TALLY_OK);
}

/* NULL: the text is right. */
static void
expect_text_wrong(const char *reason)
{
	tally_status status = parse("d.sql", text.data, text.len);

	if (reason) {
		cr_expect_eq(status, TALLY_WRONG_DEFINITION);
		cr_expect_str_eq(err.detail, reason);
	} else {
		cr_expect_eq(status, TALLY_OK, "%s", err.detail);
	}
	buf_fini(&text);
}

#define STEP "-- step s on db1\nSELECT 1;\n"

static void
add_params(int n)
{
	add("-- dataset d\n-- column a int\n");
	for (int i = 0; i < n; i++)
		add("-- param p%d int\n", i);
	add(STEP);
}

static void
add_columns(int n)
{
	add("-- dataset d\n");
	for (int i = 0; i < n; i++)
		add("-- column c%d int\n", i);
	add(STEP);
}

static void
add_list(const char *directive, int n)
{
	add("-- dataset d\n-- column a int = count(*)\n-- %s ", directive);
	for (int i = 0; i < n; i++)
		add("%sc%d", i ? ", " : "", i);
	add("\n" STEP);
}

Test(definition, has_a_limit_on_everything_there_may_be_many_of)
{
	add_params(32);
	expect_text_wrong(NULL);
	add_params(33);
	expect_text_wrong("d.sql:35: more than 32 parameters");
	add_columns(128);
	expect_text_wrong(NULL);
	add_columns(129);
	expect_text_wrong("d.sql:130: more than 128 columns");
	add_list("group by", 128);
	expect_text_wrong(NULL);
	add_list("group by", 129);
	expect_text_wrong("d.sql:3: more than 128 columns to group by");
	add_list("order", 128);
	expect_text_wrong("d.sql:3: order c0: there is no such column");
	add_list("order", 129);
	expect_text_wrong("d.sql:3: more than 128 columns to order by");
}

static void
add_steps(int n)
{
	add("-- dataset d\n-- column a int\n");
	for (int i = 0; i < n; i++)
		add("-- step s%d on db1 for x\nSELECT 1;\n", i);
}

Test(definition, another_kind_of_the_last_step_is_no_step_too_many)
{
	add_steps(16);
	add("-- step s15 on db1 for y\nSELECT 1;\n");
	expect_text_wrong(NULL);
	cr_expect_eq(definition->n_steps, 16);
	add_steps(17);
	expect_text_wrong("d.sql:35: more than 16 steps");
}

Test(definition, is_small)
{
	for (size_t more = 0; more < 2; more++) {
		add("-- dataset d\n-- column a int\n" STEP);
		while (text.len < DEFINITION_MAX_BYTES + more)
			cr_assert_eq(buf_append(&text, "\n", 1), TALLY_OK);
		expect_text_wrong(more ? "d.sql:1: the file is larger than 256 KiB" : NULL);
	}
	/* A bind may be longer than its name: still a statement. */
	add("-- dataset d\n-- column a int\n-- step s on db1 by a0");
	for (int i = 0; i < 12; i++)
		add(", a%c", 'a' + i);
	add("\nSELECT 1");
	for (int i = 0; i < 12; i++)
		add(", :a%c", 'a' + i);
	while (text.len < DEFINITION_MAX_BYTES - 16)
		add(",:al");
	add(";\n");
	expect_text_wrong("d.sql:3: step s is by a0, but its statement does not use :a0");
}

Test(definition, is_text_in_utf_8)
{
	static const char *const wrong[] = { "\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80",
					     "\xd0" };

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		add("--- \xd0\xb6\n-- dataset d: %s\n", wrong[i]);
		expect_text_wrong("d.sql:2: the file is not UTF-8 text");
	}
	add("-- dataset d\n\n--- ");
	cr_assert_eq(buf_append(&text, "\0", 1), TALLY_OK);
	expect_text_wrong("d.sql:3: the file is not UTF-8 text");
	add("-- dataset d: \xd0\xb6\xf0\x9f\x98\x80\n-- column a int\n" STEP);
	expect_text_wrong(NULL);
	cr_expect_str_eq(definition->title, "\xd0\xb6\xf0\x9f\x98\x80");
}

/* What an error quotes of a file is shown on terminals and in logs. */
Test(definition, quotes_nothing_that_a_terminal_obeys_or_that_is_cut_off)
{
	char file[2048];

	cr_assert_eq(
	    definition_parse("t.sql", "-- dataset t\n-- colu\x1b[2Jmn a\n", 29, &definition, &err),
	    TALLY_WRONG_DEFINITION);
	cr_expect(strstr(err.detail, "colu?[2Jmn"), "%s", err.detail);
	for (int shift = 0; shift < 2; shift++) {
		int len =
		    snprintf(file, sizeof file, "-- dataset t\n-- limit 5 %s", shift ? "x" : "");

		while (len < 1000)
			len += snprintf(file + len, sizeof file - (size_t)len, "\xd0\xb6");
		cr_assert_eq(definition_parse("t.sql", file, (size_t)len, &definition, &err),
			     TALLY_WRONG_DEFINITION);
		cr_expect(utf8_valid(err.detail, strlen(err.detail), NULL), "%s", err.detail);
	}
}
