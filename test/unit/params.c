#include <criterion/criterion.h>

#include <jansson.h>

#include <stdlib.h>

#include <tally/topics.h>

#include "dataset/params.h"

static struct definition *definition;
static struct params_faults faults;
static struct tally_error err;

/* A dataset d of these lines, "-- param ...". */
static void
define_as(const char *name, const char *lines)
{
	char text[8192];
	size_t n = (size_t)snprintf(
	    text, sizeof text, "-- dataset %s\n%s-- column a int\n-- step s on db1\nSELECT 1;\n",
	    name, lines);

	definition_free(definition);
	definition = NULL;
	cr_assert_eq(definition_parse("d.sql", text, n, &definition, &err), TALLY_OK, "%s",
		     err.detail);
}

static void
define(const char *lines)
{
	define_as("d", lines);
}

static const char all_types[] = "-- param a text max=16384\n-- param b int\n-- param c float\n"
				"-- param d bool\n-- param e date\n-- param f timestamp\n"
				"-- param g timestamptz\n-- param h uuid\n-- param i decimal\n";

static void
end(void)
{
	definition_free(definition);
}

TestSuite(params, .fini = end);

/* From "name=value" texts, NULL-ended; without = the value is absent.  Values are copied to memory
 * of exactly their size. */
static tally_status
make(struct params **out, const char *const *texts)
{
	struct params_text items[DEFINITION_MAX_PARAMS + 8] = { 0 };
	char *names[DEFINITION_MAX_PARAMS + 8], *values[DEFINITION_MAX_PARAMS + 8];
	size_t n = 0;

	for (; texts[n]; n++) {
		const char *equals = strchr(texts[n], '=');
		size_t len = equals ? strlen(equals + 1) : 0;
		names[n] = strndup(texts[n], equals ? (size_t)(equals - texts[n]) : 256);
		values[n] = malloc(len ? len : 1);
		cr_assert(names[n] && values[n]);
		if (equals)
			memcpy(values[n], equals + 1, len);
		items[n] = (struct params_text){ names[n], equals ? values[n] : NULL, len };
	}
	*out = NULL;
	err = (struct tally_error){ 0 };
	tally_status status = params_from_texts(definition, items, n, out, &faults, &err);
	for (size_t i = 0; i < n; i++) {
		free(names[i]);
		free(values[i]);
	}
	return status;
}

static struct params *
must(tally_status status, struct params *params)
{
	cr_assert_eq(status, TALLY_OK, "%s", err.detail);
	cr_expect_eq(faults.n, 0);
	return params;
}

static struct params *
made_of(const char *const *texts)
{
	struct params *params;
	tally_status status = make(&params, texts);

	return must(status, params);
}

#define TEXTS(...)  ((const char *const[]){ __VA_ARGS__, NULL })
#define MAKE(...)   made_of(TEXTS(__VA_ARGS__))
#define REFUSE(...) refuse(TEXTS(__VA_ARGS__))

static void
refuse(const char *const *texts)
{
	struct params *params;

	cr_expect_eq(make(&params, texts), TALLY_INVALID_PARAMETER);
	cr_expect_null(params);
	cr_assert_gt(faults.n, 0);
}

static void
expect_fault(size_t i, const char *name, const char *detail)
{
	cr_assert_lt(i, faults.n);
	cr_expect_str_eq(faults.items[i].name, name);
	cr_expect_str_eq(faults.items[i].detail, detail);
}

static void
expect_value(const struct params *params, size_t i, const char *text)
{
	const struct value *value = params_value(params, i);
	char formatted[VALUE_FORMAT_MAX];

	if (!text) {
		cr_expect_eq(value->state, VALUE_NULL, "%zu", i);
		return;
	}
	bool is_text = value->type == TALLY_TEXT;
	size_t len = is_text ? value->len : value_format(value, formatted);
	const char *at = is_text ? value->text : formatted;
	cr_expect(len == strlen(text) && memcmp(at, text, len) == 0, "%.*s is not %s", (int)len, at,
		  text);
}

static tally_status
from_json(const char *json, struct params **out)
{
	struct tally_request *request;

	cr_assert_eq(tally_request_decode(json, strlen(json), &request, &err), TALLY_OK, "%s",
		     err.detail);
	*out = NULL;
	tally_status status =
	    params_from_request(definition, tally_request_view(request), out, &faults, &err);
	tally_request_free(request); /* what was made does not need it */
	return status;
}

/* ---- from texts ----------------------------------------------------------------------------- */

Test(params, every_type_is_read_from_its_text)
{
	static const char *const texts[] = {
		"a=it's \xd0\xb6",
		"b=-42",
		"c=2.50",
		"d=true",
		"e=2024-02-29",
		"f=2025-06-29T12:30:00.50",
		"g=2025-06-29T12:30:00+02:00",
		"h=123E4567-e89b-12d3-a456-426614174000",
		"i=-12.50",
		NULL,
	};
	static const char *const shown[] = {
		"it's \xd0\xb6",
		"-42",
		"2.5",
		"true",
		"2024-02-29",
		"2025-06-29T12:30:00.5",
		"2025-06-29T10:30:00Z",
		"123e4567-e89b-12d3-a456-426614174000",
		"-12.50",
	};

	define(all_types);
	struct params *params = made_of(texts);
	cr_expect_eq(params_definition(params), definition);
	for (size_t i = 0; i < 9; i++) {
		cr_expect_eq(params_value(params, i)->type, i + 1);
		expect_value(params, i, shown[i]);
	}
	params_free(params);
	params_free(NULL);
}

Test(params, what_is_wrong_is_named_with_what_was_expected)
{
	static const char *const texts[] = {
		"b=1.5", "c=nan", "d=yes", "e=2025-02-29", "f=2025-06-29", "g=2025-06-29T12:30:00",
		"h=1",   "i=1e5", NULL,
	};
	static const char *const details[][2] = {
		{ "b", "must be a whole number from -9223372036854775808 to 9223372036854775807" },
		{ "c", "must be a number such as 2.5"                                            },
		{ "d", "must be true or false"						   },
		{ "e", "must be a date such as 2025-06-29"                                       },
		{ "f", "must be a time such as 2025-06-29T12:30:00"                              },
		{ "g", "must be a time with its zone such as 2025-06-29T12:30:00Z"               },
		{ "h", "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000"             },
		{ "i", "must be a decimal number such as 12.50, of at most 38 digits"            },
	};

	define(all_types);
	refuse(texts);
	cr_assert_eq(faults.n, 8);
	for (size_t i = 0; i < 8; i++)
		expect_fault(i, details[i][0], details[i][1]);
	cr_expect_str_eq(err.detail, "b must be a whole number from -9223372036854775808 to "
				     "9223372036854775807");
	/* There is room for eight; further ones are left out. */
	REFUSE("a=1", "b=x", "c=x", "d=x", "e=x", "f=x", "g=x", "h=x", "i=x", "j=x");
	cr_expect_eq(faults.n, PARAMS_MAX_FAULTS);
}

Test(params, unknown_doubled_and_missing_ones_are_named_all_at_once)
{
	define("-- param login text required\n-- param since date required\n-- param size int\n");
	REFUSE("Login=x", "size=1", "size=2", "size=", "since");
	cr_expect_eq(faults.n, 5);
	expect_fault(0, "Login", "is not a parameter here; there are: login, since, size");
	expect_fault(1, "size", "is given more than once");
	expect_fault(2, "size", "is given more than once");
	expect_fault(3, "login", "is required");
	expect_fault(4, "since", "is required");
	/* One that is wrong is not missing, too. */
	REFUSE("login=x", "since=x");
	cr_expect_eq(faults.n, 1);
	define("");
	REFUSE("x");
	expect_fault(0, "x", "is not a parameter here; there are: none");
	params_free(MAKE(NULL));
}

Test(params, names_in_faults_are_cut_between_letters)
{
	char text[256] = "", name[64] = "";

	define("");
	for (int i = 0; i < 40; i++)
		memcpy(text + 2 * i, "\xd0\xb6", 2);
	memcpy(name, text, 62);
	REFUSE(text);
	cr_expect_str_eq(faults.items[0].name, name);
}

Test(params, a_list_of_many_names_is_cut)
{
	char lines[4096];
	size_t n = 0;

	for (int i = 0; i < 32; i++)
		n += (size_t)snprintf(lines + n, sizeof lines - n, "-- param name_%02d int\n", i);
	define(lines);
	REFUSE("x=1");
	cr_expect_eq(strncmp(faults.items[0].detail,
			     "is not a parameter here; there are: name_00, name_01, ", 54),
		     0);
	cr_expect_lt(strlen(faults.items[0].detail), sizeof faults.items[0].detail);
}

Test(params, bounds_are_inclusive)
{
	define("-- param b int min=-5 max=5\n-- param c float min=0.5 max=1\n"
	       "-- param e date min=2025-01-01 max=2025-12-31\n"
	       "-- param f timestamp max=2025-01-01T00:00:00\n"
	       "-- param g timestamptz min=2025-01-01T00:00:00Z\n"
	       "-- param i decimal min=-1.10 max=10\n");
	params_free(MAKE("b=-5", "c=0.5", "e=2025-01-01", "f=2025-01-01T00:00:00",
			 "g=2025-01-01T02:00:00+02:00", "i=-1.1"));
	params_free(MAKE("b=5", "c=1", "e=2025-12-31", "i=10.000"));
	REFUSE("b=-6", "c=0.49", "e=2024-12-31", "f=2025-01-01T00:00:00.000001",
	       "g=2025-01-01T00:00:00+02:00", "i=-1.11");
	cr_expect_eq(faults.n, 6);
	expect_fault(0, "b", "must be at least -5");
	expect_fault(1, "c", "must be at least 0.5");
	expect_fault(2, "e", "must be at least 2025-01-01");
	expect_fault(3, "f", "must be at most 2025-01-01T00:00:00");
	expect_fault(4, "g", "must be at least 2025-01-01T00:00:00Z");
	expect_fault(5, "i", "must be at least -1.10");
	REFUSE("b=6", "c=1.01", "e=2026-01-01", "i=10.01");
	expect_fault(0, "b", "must be at most 5");
	expect_fault(3, "i", "must be at most 10");
}

Test(params, a_text_is_measured_in_code_points)
{
	char text[2048] = "a=";
	size_t n = 2;

	define("-- param a text max=3\n-- param b text\n");
	params_free(MAKE("a=\xf0\x9f\x98\x80\xd0\xb6x", "b="));
	REFUSE("a=\xf0\x9f\x98\x80\xd0\xb6xy");
	expect_fault(0, "a", "must be at most 3 characters long");
	REFUSE("a=\xd0");
	expect_fault(0, "a", "must be UTF-8");
	text[0] = 'b';
	for (int i = 0; i < 256; i++, n += 2)
		memcpy(text + n, "\xd0\xb6", 2);
	params_free(MAKE(text));
	text[n] = 'x';
	REFUSE(text);
	expect_fault(0, "b", "must be at most 256 characters long");
}

Test(params, defaults_stand_in_for_what_is_absent_but_not_for_what_is_empty)
{
	define("-- param a text default='it''s'\n-- param b int default=7\n-- param c date\n"
	       "-- param d decimal default=1.10\n");
	struct params *params = MAKE("b", "a");
	expect_value(params, 0, "it's");
	expect_value(params, 1, "7");
	expect_value(params, 2, NULL);
	expect_value(params, 3, "1.10");
	params_free(params);
	params = MAKE("a=", "b=8");
	expect_value(params, 0, "");
	expect_value(params, 1, "8");
	params_free(params);
	REFUSE("b=", "c=");
	cr_expect_eq(faults.n, 2);
}

/* ---- from messages -------------------------------------------------------------------------- */

Test(params, a_message_gives_the_same_as_texts)
{
	struct params *message;

	define(all_types);
	tally_status status =
	    from_json("{\"dataset\":\"d\",\"params\":{\"a\":\"x\",\"b\":-42,\"c\":2.5,\"d\":true,"
		      "\"e\":\"2024-02-29\",\"f\":null,\"i\":\"-12.50\"}}",
		      &message);
	struct params *texts =
	    MAKE("a=x", "b=-42", "c=2.5", "d=true", "e=2024-02-29", "f", "i=-12.50");
	must(status, message);
	cr_expect(params_equal(message, texts));
	cr_expect_eq(params_hash(message), params_hash(texts));
	params_free(message);
	/* An integer stands for a float, too. */
	status = from_json("{\"dataset\":\"d\",\"params\":{\"c\":3}}", &message);
	expect_value(must(status, message), 2, "3");
	params_free(message);
	params_free(texts);
}

Test(params, a_message_has_json_types_that_fit)
{
	struct params *params;

	define(all_types);
	tally_status status =
	    from_json("{\"dataset\":\"d\",\"params\":{\"a\":1,\"b\":\"1\",\"c\":\"1\",\"d\":1,"
		      "\"e\":20250101,\"i\":1.5,\"z\":1}}",
		      &params);
	cr_expect_eq(status, TALLY_INVALID_PARAMETER);
	cr_expect_null(params);
	cr_expect_eq(faults.n, 7);
	expect_fault(0, "a", "must be a JSON string (type text)");
	expect_fault(1, "b", "must be a JSON number (type int)");
	expect_fault(2, "c", "must be a JSON number (type float)");
	expect_fault(3, "d", "must be a JSON boolean (type bool)");
	expect_fault(4, "e", "must be a JSON string (type date)");
	expect_fault(5, "i", "must be a JSON string (type decimal)");
	cr_expect_str_eq(faults.items[6].name, "z");
	status = from_json("{\"dataset\":\"d\",\"params\":{\"b\":1.0}}", &params);
	cr_expect_eq(status, TALLY_INVALID_PARAMETER);
}

/* ---- equality, fingerprint, messages -------------------------------------------------------- */

Test(params, are_equal_value_by_value_and_as_they_are_written)
{
	static const char *const sets[][3] = {
		{ NULL },
		{ "a=" },
		{ "a=x" },
		{ "a=x", "b=0" },
		{ "b=0" },
		{ "i=1.1" },
		{ "i=1.10" },
		{ "d=true" },
		{ "d=false" },
		{ "c=0" },
		{ "c=1" },
		{ "e=1970-01-01" },
		{ "f=1970-01-01T00:00:00" },
		{ "g=1970-01-01T00:00:00Z" },
	};
	enum { N = sizeof sets / sizeof sets[0] };

	define(all_types);
	for (size_t i = 0; i < N; i++) {
		struct params *left = made_of(sets[i]);
		for (size_t k = 0; k < N; k++) {
			struct params *right = made_of(sets[k]);
			cr_expect_eq(params_equal(left, right), i == k, "%zu and %zu", i, k);
			if (i == k)
				cr_expect_eq(params_hash(left), params_hash(right));
			params_free(right);
		}
		params_free(left);
	}
	struct params *zoned = MAKE("g=1970-01-01T02:00:00+02:00"), *utc = made_of(sets[N - 1]);
	cr_expect(params_equal(zoned, utc));
	cr_expect_eq(params_hash(zoned), params_hash(utc));
	params_free(zoned);
	params_free(utc);
	struct params *one = MAKE("i=1.1"), *other = MAKE("i=1.10");
	cr_expect_not(params_same(one, other, 8), "an answer may show it");
	cr_expect(params_same(one, other, 0));
	params_free(one);
	params_free(other);
}

/* Declares the parameters of a vector, last first: the fingerprint sorts them itself. */
static void
define_vector(const json_t *vector)
{
	const json_t *list = json_object_get(vector, "params");
	char lines[4096] = "";
	size_t n = 0;

	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *param = json_array_get(list, i);
		const char *type = json_string_value(json_array_get(param, 1));
		n += (size_t)snprintf(lines + n, sizeof lines - n, "-- param %s %s\n",
				      json_string_value(json_array_get(param, 0)),
				      strcmp(type, "absent") == 0 ? "date"
				      : strcmp(type, "text") == 0 ? "text max=16384"
								  : type);
	}
	define_as(json_string_value(json_object_get(vector, "dataset")), lines);
}

static void
check_vector(const json_t *vector)
{
	const json_t *list = json_object_get(vector, "params");
	struct params_text texts[DEFINITION_MAX_PARAMS];
	struct params *params = NULL;
	char made[33];
	size_t n = 0;

	define_vector(vector);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *param = json_array_get(list, i);
		const json_t *value = json_array_get(param, 2);
		if (strcmp(json_string_value(json_array_get(param, 1)), "absent") != 0)
			texts[n++] = (struct params_text){
				json_string_value(json_array_get(param, 0)),
				json_string_value(value),
				json_string_length(value),
			};
	}
	tally_status status = params_from_texts(definition, texts, n, &params, &faults, &err);
	must(status, params);
	cr_assert_eq(params_fingerprint(
			 params, json_string_value(json_object_get(vector, "tenant")), made, &err),
		     TALLY_OK);
	cr_expect_str_eq(made, json_string_value(json_object_get(vector, "fingerprint")));
	params_free(params);
}

Test(params, fingerprints_are_those_of_the_contract)
{
	json_t *document = json_load_file("test/contract/fingerprints.json", 0, NULL);
	const json_t *vector;
	size_t i;

	cr_assert(document);
	cr_assert_gt(json_array_size(json_object_get(document, "valid")), 15);
	json_array_foreach(json_object_get(document, "valid"), i, vector) check_vector(vector);
	json_decref(document);
}

/* What went through a message is what it was. */
static void
expect_round_trip(const struct params *params)
{
	char message[TALLY_MAX_REQUEST_BYTES], before[33], after[33];
	struct tally_request *request = NULL;
	struct params *again = NULL;
	size_t len = 0, needed = 0;

	cr_assert_eq(params_encode(params, message, sizeof message, &len, &err), TALLY_OK, "%s",
		     err.detail);
	cr_expect_eq(params_encode(params, message, len - 1, &needed, &err), TALLY_TOO_LARGE);
	cr_expect_eq(needed, len);
	cr_assert_eq(params_encode(params, message, len, &len, &err), TALLY_OK);
	cr_assert_eq(tally_request_decode(message, len, &request, &err), TALLY_OK, "%s: %.*s",
		     err.detail, (int)len, message);
	tally_status status =
	    params_from_request(definition, tally_request_view(request), &again, &faults, &err);
	must(status, again);
	tally_request_free(request);
	cr_expect(params_equal(params, again), "%.*s", (int)len, message);
	cr_expect_eq(params_hash(params), params_hash(again));
	cr_assert_eq(params_fingerprint(params, "t", before, &err), TALLY_OK);
	cr_assert_eq(params_fingerprint(again, "t", after, &err), TALLY_OK);
	cr_expect_str_eq(before, after);
	params_free(again);
}

Test(params, messages_carry_every_value)
{
	static const char *const texts[] = {
		"a=",
		"a=\"\\/\b\f\n\r\t\x01\x1f\x7f \xd0\xb6\xf0\x9f\x98\x80\xef\xbf\xbf",
		"b=-9223372036854775808",
		"b=9223372036854775807",
		"b=0",
		"c=0",
		"c=-0.0",
		"c=5",
		"c=0.1",
		"c=1e22",
		"c=9007199254740993",
		"c=123456789012345678901234567890",
		"c=1e-7",
		"c=1.7976931348623157e308",
		"c=5e-324",
		"d=true",
		"d=false",
		"e=0001-01-01",
		"e=9999-12-31",
		"f=9999-12-31T23:59:59.999999",
		"f=0001-01-01T00:00:00",
		"g=1969-12-31T23:59:59.999999Z",
		"h=00000000-0000-0000-0000-000000000000",
		"h=ffffffff-ffff-ffff-ffff-ffffffffffff",
		"i=-0.00000000000000000000000000000000000001",
		"i=99999999999999999999999999999999999999",
		"i=0",
	};

	define(all_types);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct params *params = MAKE(texts[i]);
		expect_round_trip(params);
		params_free(params);
	}
	struct params *params = MAKE(NULL);
	expect_round_trip(params);
	params_free(params);
}

Test(params, a_message_has_the_form_of_the_contract)
{
	char message[256];
	size_t len;

	define("-- param login text required\n-- param since date\n-- param n int default=5\n");
	struct params *params = MAKE("login=vladimir");
	cr_assert_eq(params_encode(params, message, sizeof message, &len, &err), TALLY_OK);
	message[len] = '\0';
	cr_expect_str_eq(message,
			 "{\"dataset\":\"d\",\"params\":{\"login\":\"vladimir\",\"n\":5}}");
	params_free(params);
}

/* Each is allowed, together they are more than a message holds. */
Test(params, what_does_not_fit_into_a_message_is_refused)
{
	static char texts[8][16384 + 4], message[2 * TALLY_MAX_REQUEST_BYTES];
	size_t len;

	define("-- param a text max=16384\n-- param b text max=16384\n-- param c text max=16384\n"
	       "-- param d text max=16384\n");
	for (int i = 0; i < 4; i++) {
		memset(texts[i], 'x', sizeof texts[i] - 1);
		texts[i][0] = (char)('a' + i);
		texts[i][1] = '=';
		texts[i][16384 + 2] = '\0';
	}
	struct params *params = MAKE(texts[0], texts[1], texts[2], texts[3]);
	cr_expect_neq(params_encode(params, message, sizeof message, &len, &err), TALLY_OK);
	cr_expect_str_eq(err.detail, "the request does not fit into a message of 64 KiB");
	params_free(params);
}

Test(params, equal_jobs_are_equal_messages)
{
	static const struct tally_request_label sorted[] = {
		{ "a", "1" },
                { "b", "2" }
	};
	static const struct tally_request_label turned[] = {
		{ "b", "2" },
                { "a", "1" }
	};
	const struct tally_request_view views[] = {
		{ .format = "csv", .labels = sorted, .n_labels = 2 },
		{ .format = "csv", .labels = turned, .n_labels = 2 },
	};
	char messages[2][1000], plain[1000];
	size_t lens[2], len;

	define("-- param login text required\n-- param n int default=5\n");
	struct params *params = MAKE("login=vladimir");
	for (int i = 0; i < 2; i++)
		cr_assert_eq(params_encode_job(params, &views[i], messages[i], sizeof messages[i],
					       &lens[i], &err),
			     TALLY_OK);
	cr_assert_eq(lens[0], lens[1]);
	cr_expect_eq(memcmp(messages[0], messages[1], lens[0]), 0);
	cr_expect_eq(params_encode_job(params, &views[0], messages[0], lens[0] - 1, &len, &err),
		     TALLY_TOO_LARGE);
	cr_expect_eq(len, lens[0]);
	/* Without format and labels it is the message of the other lane. */
	const struct tally_request_view none = { .n_labels = 0 };
	cr_assert_eq(params_encode(params, plain, sizeof plain, &lens[0], &err), TALLY_OK);
	cr_assert_eq(params_encode_job(params, &none, messages[0], sizeof messages[0], &len, &err),
		     TALLY_OK);
	cr_assert_eq(len, lens[0]);
	cr_expect_eq(memcmp(messages[0], plain, len), 0);
	params_free(params);
}
