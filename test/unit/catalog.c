/* Folders of datasets, and what /v1/datasets says of them. */
#include <criterion/criterion.h>

#include <jansson.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset/schema.h"

static char folder[] = "/tmp/tally-catalog-XXXXXX";
static char files[16][32];
static size_t n_files;
static struct catalog *catalog;
static struct tally_error err;

static void
start(void)
{
	cr_assert(mkdtemp(folder));
}

static void
path_of(const char *name, char out[1024])
{
	snprintf(out, 1024, "%s/%s", folder, name);
}

static void
end(void)
{
	char path[1024];

	catalog_free(catalog);
	for (size_t i = 0; i < n_files; i++) {
		path_of(files[i], path);
		if (unlink(path) != 0)
			(void)rmdir(path);
	}
	(void)rmdir(folder);
}

TestSuite(catalog, .init = start, .fini = end);

static void
add_file(const char *name, const char *text)
{
	char path[1024];

	snprintf(files[n_files++], sizeof files[0], "%s", name);
	path_of(name, path);
	FILE *file = fopen(path, "we");
	cr_assert(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

/* The least that a dataset may be. */
static void
add_dataset(const char *file, const char *name)
{
	char text[256];

	snprintf(text, sizeof text,
		 "-- dataset %s: of %s\n-- column a int\n-- step s on db1\nSELECT 1;\n", name,
		 name);
	add_file(file, text);
}

static tally_status
load(void)
{
	catalog_free(catalog);
	catalog = NULL;
	return catalog_load(folder, &catalog, &err);
}

static void
expect_wrong(tally_status status, const char *detail)
{
	cr_expect_eq(load(), status);
	cr_expect_null(catalog);
	cr_expect_str_eq(err.detail, detail);
}

Test(catalog, holds_the_datasets_of_a_folder_by_name)
{
	add_dataset("b.sql", "b");
	add_dataset("a-b.sql", "a-b");
	add_dataset("a.sql", "a");
	add_dataset("ab.sql", "ab");
	add_file("README.md", "not a dataset");
	add_file(".hidden.sql", "not a dataset");
	add_file("c.sql.bak", "not a dataset");
	add_file(".sql", "not a dataset");
	cr_assert_eq(load(), TALLY_OK, "%s", err.detail);
	cr_assert_eq(catalog_count(catalog), 4);
	cr_expect_str_eq(catalog_at(catalog, 0)->name, "a");
	cr_expect_str_eq(catalog_at(catalog, 1)->name, "a-b");
	cr_expect_str_eq(catalog_at(catalog, 2)->name, "ab");
	cr_expect_str_eq(catalog_at(catalog, 3)->name, "b");
	cr_expect_str_eq(catalog_at(catalog, 3)->file, "b.sql");
	cr_expect_eq(catalog_find(catalog, "abc", 2), catalog_at(catalog, 2));
	cr_expect_eq(catalog_find(catalog, "a", 1), catalog_at(catalog, 0));
	cr_expect_null(catalog_find(catalog, "A", 1));
	cr_expect_null(catalog_find(catalog, "", 0));
	cr_expect_null(catalog_find(catalog, "a-", 2));
	catalog_free(NULL);
}

Test(catalog, the_datasets_of_this_tree_are_right)
{
	cr_assert_eq(catalog_load("deploy/datasets", &catalog, &err), TALLY_OK, "%s", err.detail);
	cr_expect(catalog_find(catalog, "comments", 8));
	cr_expect(catalog_find(catalog, "general", 7));
}

Test(catalog, a_wrong_file_is_named_with_its_line)
{
	add_dataset("a.sql", "a");
	add_file("b.sql", "-- dataset b\n-- column A int\n");
	expect_wrong(TALLY_WRONG_DEFINITION, "b.sql:2: \"A\" is no name of a column: a-z, 0-9 and "
					     "_, at most 63, not a digit first");
}

Test(catalog, a_file_is_named_after_its_dataset)
{
	add_dataset("a.sql", "b");
	expect_wrong(TALLY_WRONG_DEFINITION, "a.sql:1: dataset b must be in a file b.sql");
}

Test(catalog, an_empty_file_is_no_dataset)
{
	add_file("a.sql", "");
	expect_wrong(TALLY_WRONG_DEFINITION, "a.sql:1: there is no -- dataset NAME: title");
}

Test(catalog, a_file_may_not_be_large)
{
	char *text = malloc(DEFINITION_MAX_BYTES + 2);

	cr_assert(text);
	memset(text, '\n', DEFINITION_MAX_BYTES + 1);
	text[DEFINITION_MAX_BYTES + 1] = '\0';
	add_file("a.sql", text);
	expect_wrong(TALLY_WRONG_DEFINITION, "a.sql:1: the file is larger than 256 KiB");
	free(text);
}

Test(catalog, a_folder_has_datasets_and_can_be_read)
{
	char path[1024], detail[2048];

	snprintf(detail, sizeof detail, "%s:0: the folder has no *.sql file", folder);
	expect_wrong(TALLY_WRONG_DEFINITION, detail);
	snprintf(files[n_files++], sizeof files[0], "d.sql");
	path_of("d.sql", path);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(detail, sizeof detail, "%s cannot be read: Is a directory", path);
	expect_wrong(TALLY_WRONG_SETTING, detail);
	cr_expect_eq(catalog_load("/nonexistent/datasets", &catalog, &err), TALLY_WRONG_SETTING);
	cr_expect_str_eq(err.detail, "the folder of datasets /nonexistent/datasets cannot be read: "
				     "No such file or directory");
}

/* ---- schemas -------------------------------------------------------------------------------- */

/* Reads a text as JSON and frees it. */
static json_t *
parsed(char *text)
{
	json_error_t error;

	cr_assert(text);
	json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	cr_assert(document, "%s in %s", error.text, text);
	free(text);
	return document;
}

static void
expect_json(const json_t *got, const char *expected)
{
	json_t *want = json_loads(expected, JSON_DECODE_ANY, NULL);
	char *text = json_dumps(got, JSON_ENCODE_ANY);

	cr_assert(want, "%s", expected);
	cr_expect(json_equal(got, want), "%s is not %s", text, expected);
	free(text);
	json_decref(want);
}

/* At a path of names, "row/properties/a". */
static const json_t *
inside(const json_t *document, const char *path)
{
	char name[64];

	while (*path) {
		size_t len = strcspn(path, "/");
		snprintf(name, sizeof name, "%.*s", (int)len, path);
		document = json_object_get(document, name);
		cr_assert(document, "no %s", name);
		path += len + (path[len] == '/');
	}
	return document;
}

static const char typed[] =
    "-- dataset a: \"quoted\" \\ \xd0\xb6\n"
    "-- param t text required max=9\n"
    "-- param b int default=3 min=-1 max=9223372036854775807\n"
    "-- param c float min=0.5\n"
    "-- param d bool default=false\n"
    "-- param e date min=2025-01-01 default=2025-02-03\n"
    "-- param i decimal default=1.10 max=9.99\n"
    "-- param n text default='it''s'\n"
    "-- column day date\n"
    "-- column t text null\n-- column i int\n-- column f float\n-- column b bool\n"
    "-- column ts timestamp\n-- column tz timestamptz null\n-- column u uuid\n"
    "-- column d decimal\n"
    "-- step s on db1\nSELECT 1;\n";

Test(catalog, a_schema_says_what_a_dataset_asks_and_gives)
{
	char hash[65];

	add_file("a.sql", typed);
	cr_assert_eq(load(), TALLY_OK, "%s", err.detail);
	const struct definition *definition = catalog_at(catalog, 0);
	json_t *schema = parsed(schema_of_dataset(definition));
	cr_expect_eq(json_object_size(schema), 5);
	expect_json(inside(schema, "name"), "\"a\"");
	expect_json(inside(schema, "title"), "\"\\\"quoted\\\" \\\\ \xd0\xb6\"");
	for (size_t i = 0; i < 32; i++)
		snprintf(hash + 2 * i, 3, "%02x", definition->hash[i]);
	cr_expect_str_eq(json_string_value(inside(schema, "hash")), hash);
	expect_json(inside(schema, "params/type"), "\"object\"");
	expect_json(inside(schema, "params/required"), "[\"t\"]");
	expect_json(inside(schema, "params/properties"),
		    "{\"t\":{\"type\":\"string\",\"x-tally-type\":\"text\",\"maxLength\":9},"
		    "\"b\":{\"type\":\"integer\",\"x-tally-type\":\"int\",\"default\":3,"
		    "\"minimum\":-1,\"maximum\":9223372036854775807},"
		    "\"c\":{\"type\":\"number\",\"x-tally-type\":\"float\",\"minimum\":0.5},"
		    "\"d\":{\"type\":\"boolean\",\"x-tally-type\":\"bool\",\"default\":false},"
		    "\"e\":{\"type\":\"string\",\"format\":\"date\",\"x-tally-type\":\"date\","
		    "\"default\":\"2025-02-03\",\"x-tally-minimum\":\"2025-01-01\"},"
		    "\"i\":{\"type\":\"string\",\"x-tally-type\":\"decimal\",\"default\":\"1.10\","
		    "\"x-tally-maximum\":\"9.99\"},"
		    "\"n\":{\"type\":\"string\",\"x-tally-type\":\"text\",\"maxLength\":256,"
		    "\"default\":\"it's\"}}");
	expect_json(inside(schema, "row/required"),
		    "[\"day\",\"t\",\"i\",\"f\",\"b\",\"ts\",\"tz\",\"u\",\"d\"]");
	expect_json(inside(schema, "row/properties/day"),
		    "{\"type\":\"string\",\"format\":\"date\",\"x-tally-type\":\"date\"}");
	expect_json(inside(schema, "row/properties/t"),
		    "{\"type\":[\"string\",\"null\"],\"x-tally-type\":\"text\"}");
	expect_json(inside(schema, "row/properties/tz"),
		    "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\","
		    "\"x-tally-type\":\"timestamptz\"}");
	expect_json(inside(schema, "row/properties/u"),
		    "{\"type\":\"string\",\"format\":\"uuid\",\"x-tally-type\":\"uuid\"}");
	json_decref(schema);
}

Test(catalog, the_list_of_datasets_has_names_titles_and_links)
{
	add_dataset("b.sql", "b");
	add_file("a.sql", "-- dataset a\n-- column a int\n-- step s on db1\nSELECT 1;\n");
	cr_assert_eq(load(), TALLY_OK, "%s", err.detail);
	json_t *list = parsed(schema_of_catalog(catalog));
	expect_json(list,
		    "{\"datasets\":[{\"name\":\"a\",\"title\":\"\",\"href\":\"/v1/datasets/a\"},"
		    "{\"name\":\"b\",\"title\":\"of b\",\"href\":\"/v1/datasets/b\"}]}");
	json_decref(list);
}
