/* The C library against the vectors of test/contract, which test_contract.py reads too. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tally/fingerprint.h>
#include <tally/id.h>
#include <tally/message.h>
#include <tally/request.h>

#include "support/vectors.h"

#define MESSAGE_MAX 200000

static size_t
repeat_part(const json_t *repeat, char *out)
{
	const char *head = json_string_value(json_array_get(repeat, 0));
	const char *part = json_string_value(json_array_get(repeat, 1));
	const char *tail = json_string_value(json_array_get(repeat, 3));
	size_t len = (size_t)snprintf(out, MESSAGE_MAX, "%s", head);

	for (json_int_t i = 0; i < json_integer_value(json_array_get(repeat, 2)); i++)
		len += (size_t)snprintf(out + len, MESSAGE_MAX - len, "%s", part);
	len += (size_t)snprintf(out + len, MESSAGE_MAX - len, "%s", tail);
	cr_assert_lt(len, (size_t)MESSAGE_MAX);
	return len;
}

/* The message of a case; the caller frees it.  It has no byte to spare, so that reading past its
 * end is seen by the sanitizer. */
static char *
message_of(const json_t *request, size_t *out_len)
{
	const json_t *hex = json_object_get(request, "hex");
	const json_t *repeat = json_object_get(request, "repeat");
	char *room = malloc(MESSAGE_MAX);

	cr_assert(room);
	if (hex)
		*out_len = vectors_unhex(json_string_value(hex), (unsigned char *)room);
	else if (repeat)
		*out_len = repeat_part(repeat, room);
	else
		*out_len = (size_t)snprintf(room, MESSAGE_MAX, "%s", vectors_text(request, "text"));
	char *exact = malloc(*out_len ? *out_len : 1);
	cr_assert(exact);
	memcpy(exact, room, *out_len);
	free(room);
	return exact;
}

/* ---- job ids -------------------------------------------------------------------------------- */

static void
check_made_id(const json_t *made)
{
	static const struct tally_secrets wrong = { { { "another", 7 } }, 1 };
	unsigned char secret[256];
	size_t len = vectors_unhex(vectors_text(made, "secret"), secret);
	struct tally_secrets secrets = {
		{ { "another", 7 }, { secret, len } },
                2
	};
	const char *id = vectors_text(made, "id");
	const char *tenant = vectors_text(made, "tenant");
	struct tally_job_id_parts parts;
	struct tally_job_id parsed;
	char longer[TALLY_TENANT_MAX + 2];

	cr_assert_eq(tally_job_id_parse(id, strlen(id), &parsed, &parts), TALLY_OK, "%s", id);
	cr_expect_str_eq(parsed.text, id);
	cr_expect_not(parts.is_foreign);
	cr_expect_eq(parts.created_ms, json_integer_value(json_object_get(made, "created_ms")));
	cr_expect_eq(parts.partition, json_integer_value(json_object_get(made, "partition")));
	cr_expect(tally_job_id_is_genuine(&parsed, &secrets, tenant), "%s", id);
	cr_expect_not(tally_job_id_is_genuine(&parsed, &wrong, tenant), "%s", id);
	snprintf(longer, sizeof longer, "%s2", tenant);
	cr_expect_not(tally_job_id_is_genuine(&parsed, &secrets, longer), "%s", id);
	for (size_t i = 0; i < TALLY_JOB_ID_CHARS - 1; i++) {
		struct tally_job_id forged = parsed;

		forged.text[i] = forged.text[i] == '0' ? '1' : '0';
		cr_expect_not(tally_job_id_is_genuine(&forged, &secrets, tenant), "%s", id);
	}
}

Test(contract, job_ids_are_proved)
{
	json_t *document = vectors_load("ids.json");
	const json_t *made;
	size_t i;

	json_array_foreach(json_object_get(document, "made"), i, made)
	{
		check_made_id(made);
	}
	json_decref(document);
}

Test(contract, ids_of_foreign_jobs)
{
	json_t *document = vectors_load("ids.json");
	const json_t *foreign;
	size_t i;

	json_array_foreach(json_object_get(document, "foreign"), i, foreign)
	{
		struct tally_secrets secrets = { { { "another", 7 } }, 1 };
		struct tally_job_id_parts parts;
		struct tally_job_id id, parsed;

		cr_assert_eq(tally_job_id_foreign(vectors_text(foreign, "tenant"),
						  vectors_text(foreign, "ce_source"),
						  vectors_text(foreign, "ce_id"), &id),
			     TALLY_OK);
		cr_expect_str_eq(id.text, vectors_text(foreign, "id"));
		cr_assert_eq(tally_job_id_parse(id.text, strlen(id.text), &parsed, &parts),
			     TALLY_OK);
		cr_expect(parts.is_foreign);
		cr_expect_eq(parts.partition, -1);
		cr_expect_not(
		    tally_job_id_is_genuine(&parsed, &secrets, vectors_text(foreign, "tenant")));
	}
	json_decref(document);
}

Test(contract, job_ids_that_are_none)
{
	json_t *document = vectors_load("ids.json");
	const json_t *invalid;
	size_t i;

	json_array_foreach(json_object_get(document, "invalid"), i, invalid)
	{
		const char *text = vectors_text(invalid, "text");
		struct tally_job_id_parts parts;
		struct tally_job_id id;

		cr_expect_eq(tally_job_id_parse(text, strlen(text), &id, &parts), TALLY_NOT_FOUND,
			     "%s", vectors_text(invalid, "why"));
	}
	json_decref(document);
}

Test(contract, a_new_job_id_says_what_was_put_in)
{
	struct tally_secrets old = { { { "old", 3 } }, 1 };
	struct tally_secrets both = {
		{ { "new", 3 }, { "old", 3 } },
                2
	};
	struct tally_job_id_parts parts;
	struct tally_job_id id, parsed;

	cr_assert_eq(tally_job_id_make(&old, "acme", 1751200000123, 65535, &id, NULL), TALLY_OK);
	cr_assert_eq(tally_job_id_parse(id.text, TALLY_JOB_ID_CHARS, &parsed, &parts), TALLY_OK);
	cr_expect_eq(parts.created_ms, 1751200000123);
	cr_expect_eq(parts.partition, 65535);
	cr_expect(tally_job_id_is_genuine(&id, &both, "acme"), "rotation");
	cr_expect_eq(tally_job_id_make(&old, "acme", INT64_C(1) << 48, 0, &id, NULL),
		     TALLY_BAD_REQUEST);
	cr_expect_eq(tally_job_id_make(&old, "acme", -1, 0, &id, NULL), TALLY_BAD_REQUEST);
	cr_expect_eq(tally_job_id_make(&old, "acme", 0, 65536, &id, NULL), TALLY_BAD_REQUEST);
	cr_expect_eq(tally_job_id_make(&old, "acme", 0, -1, &id, NULL), TALLY_BAD_REQUEST);
}

/* ---- fingerprints --------------------------------------------------------------------------- */

static tally_status
make_fingerprint(const json_t *request, char out[TALLY_FINGERPRINT_HEX + 1])
{
	struct tally_fingerprint_param params[16];
	const json_t *list = json_object_get(request, "params");
	struct tally_fingerprint fingerprint;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *param = json_array_get(list, i);
		const char *type = json_string_value(json_array_get(param, 1));
		const json_t *value = json_array_get(param, 2);

		params[i] = (struct tally_fingerprint_param){
			.name = json_string_value(json_array_get(param, 0)),
			.value = json_string_value(value),
			.len = (uint32_t)json_string_length(value),
		};
		cr_assert(strcmp(type, "absent") == 0
			  || tally_type_parse(type, strlen(type), &params[i].type));
	}
	tally_status status = tally_fingerprint_make(vectors_text(request, "tenant"),
						     vectors_text(request, "dataset"), params,
						     json_array_size(list), &fingerprint);
	if (status == TALLY_OK)
		tally_fingerprint_format(&fingerprint, out);
	return status;
}

Test(contract, fingerprints)
{
	json_t *document = vectors_load("fingerprints.json");
	char made[TALLY_FINGERPRINT_HEX + 1];
	const json_t *request;
	size_t i;

	json_array_foreach(json_object_get(document, "valid"), i, request)
	{
		cr_assert_eq(make_fingerprint(request, made), TALLY_OK, "case %zu", i);
		cr_expect_str_eq(made, vectors_text(request, "fingerprint"), "case %zu", i);
	}
	json_array_foreach(json_object_get(document, "invalid"), i, request)
	{
		cr_expect_eq(make_fingerprint(request, made), TALLY_BAD_REQUEST, "%s",
			     vectors_text(request, "why"));
	}
	json_decref(document);
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool
is_same_param(const struct tally_request_param *param, const json_t *expect)
{
	const char *kind = json_string_value(json_array_get(expect, 0));
	const json_t *value = json_array_get(expect, 1);

	switch (param->kind) {
	case TALLY_JSON_NULL:
		return strcmp(kind, "null") == 0;
	case TALLY_JSON_STRING:
		return strcmp(kind, "string") == 0 && param->len == json_string_length(value)
		       && memcmp(param->text, json_string_value(value), param->len + 1) == 0;
	case TALLY_JSON_INT:
		return strcmp(kind, "int") == 0
		       && strtoll(param->text, NULL, 10) == json_integer_value(value);
	case TALLY_JSON_REAL:
		return strcmp(kind, "real") == 0
		       && strtod(param->text, NULL) == json_real_value(value);
	case TALLY_JSON_BOOL:
		return strcmp(kind, "bool") == 0
		       && strcmp(param->text, json_is_true(value) ? "true" : "false") == 0;
	}
	return false;
}

static void
check_view(const struct tally_request_view *view, const json_t *expect, const char *why)
{
	const json_t *params = json_object_get(expect, "params");
	const json_t *labels = json_object_get(expect, "labels");

	cr_expect_str_eq(view->dataset, vectors_text(expect, "dataset"), "%s", why);
	cr_expect_str_eq(view->format ? view->format : "", vectors_text(expect, "format"), "%s",
			 why);
	cr_assert_eq(view->n_params, json_object_size(params), "%s", why);
	for (size_t i = 0; i < view->n_params; i++) {
		const json_t *param = json_object_get(params, view->params[i].name);

		cr_expect(param && is_same_param(&view->params[i], param), "%s: %s", why,
			  view->params[i].name);
	}
	cr_assert_eq(view->n_labels, json_object_size(labels), "%s", why);
	for (size_t i = 0; i < view->n_labels; i++)
		cr_expect_str_eq(view->labels[i].value, vectors_text(labels, view->labels[i].name),
				 "%s", why);
}

/* What was read and is written says the same when it is read again. */
static void
check_written(const struct tally_request_view *view, const json_t *expect, const char *why)
{
	struct tally_request *again = NULL;
	size_t len, needed;
	char *text = malloc(TALLY_MAX_REQUEST_BYTES);
	bool is_same = true;

	cr_assert(text);
	cr_assert_eq(tally_request_encode(view, text, TALLY_MAX_REQUEST_BYTES, &len), TALLY_OK);
	cr_expect_eq(tally_request_encode(view, text, len - 1, &needed), TALLY_TOO_LARGE, "%s",
		     why);
	cr_expect_eq(needed, len);
	cr_assert_eq(tally_request_encode(view, text, len, &needed), TALLY_OK);
	/* null is absent, and not written; a real without a fraction comes back as an integer. */
	for (size_t i = 0; i < view->n_params; i++)
		is_same &= view->params[i].kind != TALLY_JSON_NULL
			   && (view->params[i].kind != TALLY_JSON_REAL
			       || strpbrk(view->params[i].text, ".e"));
	cr_assert_eq(tally_request_decode(text, len, &again, NULL), TALLY_OK, "%s", why);
	if (is_same)
		check_view(tally_request_view(again), expect, why);
	tally_request_free(again);
	free(text);
}

static void
check_message(const json_t *message)
{
	const json_t *expect = json_object_get(message, "expect");
	const char *why = vectors_text(message, "why");
	bool is_valid =
	    expect ? !json_is_null(expect) : json_is_true(json_object_get(message, "valid"));
	struct tally_request *request = NULL;
	struct tally_error err = { .status = TALLY_OK };
	size_t len;
	char *text = message_of(message, &len);
	tally_status status = tally_request_decode(text, len, &request, &err);

	cr_expect_eq(status, is_valid ? TALLY_OK : TALLY_BAD_REQUEST, "%s: %s", why, err.detail);
	cr_expect_eq(err.status, is_valid ? TALLY_OK : TALLY_BAD_REQUEST, "%s", why);
	if (status == TALLY_OK && expect && is_valid) {
		check_view(tally_request_view(request), expect, why);
		check_written(tally_request_view(request), expect, why);
	}
	tally_request_free(request);
	free(text);
}

Test(contract, requests)
{
	json_t *document = vectors_load("requests.json");
	const json_t *message;
	size_t i;

	json_array_foreach(json_object_get(document, "messages"), i, message)
	{
		check_message(message);
	}
	json_decref(document);
}

/* ---- headers -------------------------------------------------------------------------------- */

static size_t
headers_of(const json_t *message, struct tally_header *out)
{
	const json_t *list = json_object_get(message, "headers");
	const json_t *header;
	size_t i;

	json_array_foreach(list, i, header)
	{
		const json_t *value = json_array_get(header, 1);

		cr_assert_lt(i, (size_t)TALLY_HEADERS_MAX);
		out[i] = (struct tally_header){
			.name = json_string_value(json_array_get(header, 0)),
			.value = json_string_value(value),
			.len = json_string_length(value),
		};
	}
	return json_array_size(list);
}

/* The value of a written header; "" without it. */
static const char *
written(const struct tally_headers *headers, const char *name)
{
	for (size_t i = 0; i < headers->n; i++) {
		if (strcmp(headers->items[i].name, name) == 0)
			return headers->items[i].value;
	}
	return "";
}

static const char *
expected(const json_t *fields, const char *name)
{
	const json_t *value = json_object_get(fields, name);
	static char number[24];

	if (!json_is_integer(value))
		return value ? json_string_value(value) : "";
	snprintf(number, sizeof number, "%" PRId64, (int64_t)json_integer_value(value));
	return number;
}

static void
check_headers(const struct tally_headers *headers, const json_t *expect, const char *why)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)expect, name, value)
	{
		if (!json_is_object(value))
			cr_expect_str_eq(written(headers, name), expected(expect, name), "%s: %s",
					 why, name);
	}
}

Test(contract, headers_of_sync_requests)
{
	json_t *document = vectors_load("requests.json");
	const json_t *message;
	size_t i;

	json_array_foreach(json_object_get(document, "headers"), i, message)
	{
		const json_t *expect = json_object_get(message, "expect");
		const char *why = vectors_text(message, "why");
		struct tally_header items[TALLY_HEADERS_MAX];
		size_t n = headers_of(message, items);
		struct tally_sync_request request;
		struct tally_error err = { .status = TALLY_OK };
		struct tally_headers headers;
		tally_status status = tally_sync_request_read(items, n, &request, &err);

		cr_expect_eq(status, json_is_null(expect) ? TALLY_BAD_REQUEST : TALLY_OK, "%s: %s",
			     why, err.detail);
		if (status != TALLY_OK || json_is_null(expect))
			continue;
		cr_assert_eq(tally_sync_request_write(&request, &headers), TALLY_OK);
		check_headers(&headers, expect, why);
	}
	json_decref(document);
}

static void
check_reply(const struct tally_sync_reply *reply, const json_t *expect, const char *why)
{
	const json_t *as_of = json_object_get(expect, "as_of");
	struct tally_headers headers;

	cr_assert_eq(tally_sync_reply_write(reply, &headers), TALLY_OK, "%s", why);
	check_headers(&headers, expect, why);
	cr_expect_eq(reply->n_as_of, json_object_size(as_of), "%s", why);
	for (size_t i = 0; i < reply->n_as_of; i++) {
		const json_t *at = json_object_get(as_of, reply->as_of[i].source);

		cr_expect(json_is_integer(at), "%s", why);
		cr_expect_eq(reply->as_of[i].at_ms, json_integer_value(at), "%s", why);
	}
}

Test(contract, sync_replies)
{
	json_t *document = vectors_load("replies.json");
	const json_t *message;
	size_t i;

	json_array_foreach(json_object_get(document, "replies"), i, message)
	{
		const json_t *expect = json_object_get(message, "expect");
		const json_t *key = json_object_get(message, "key");
		const char *why = vectors_text(message, "why");
		struct tally_header items[TALLY_HEADERS_MAX];
		size_t n = headers_of(message, items);
		struct tally_error err = { .status = TALLY_OK };
		struct tally_sync_reply reply;
		tally_status status = tally_sync_reply_read(
		    json_string_value(key), json_string_length(key), items, n, &reply, &err);

		cr_expect_eq(status, json_is_null(expect) ? TALLY_BAD_REQUEST : TALLY_OK, "%s: %s",
			     why, err.detail);
		if (status == TALLY_OK && !json_is_null(expect))
			check_reply(&reply, expect, why);
	}
	json_decref(document);
}

/* ---- error documents ------------------------------------------------------------------------ */

Test(contract, error_documents)
{
	json_t *document = vectors_load("replies.json");
	const json_t *message;
	size_t i;

	json_array_foreach(json_object_get(document, "errors"), i, message)
	{
		const json_t *expect = json_object_get(message, "expect");
		struct tally_error err = { .status = TALLY_OK };
		size_t len;
		char *text = message_of(message, &len);
		tally_status status = tally_error_decode(text, len, &err);

		cr_expect_eq(status, json_is_null(expect) ? TALLY_BAD_REQUEST : TALLY_OK, "%s",
			     vectors_text(message, "why"));
		if (json_is_string(expect))
			cr_expect_str_eq(tally_status_code(err.status), json_string_value(expect));
		free(text);
	}
	json_decref(document);
}

Test(contract, an_error_comes_back_as_it_was_written)
{
	static const char *const details[] = { "no such column \"x\"", "столбец", "" };

	for (size_t i = 0; i < sizeof details / sizeof *details; i++) {
		struct tally_error err = { .status = TALLY_OK }, again = { .status = TALLY_OK };
		char text[2048];
		size_t len;

		(void)tally_fail(&err, TALLY_SOURCE_ERROR, "%s", details[i]);
		snprintf(err.source, sizeof err.source, "db1");
		cr_assert_eq(tally_error_encode(&err, text, sizeof text, &len), TALLY_OK);
		cr_assert_eq(tally_error_decode(text, len, &again), TALLY_OK);
		cr_expect_eq(again.status, TALLY_SOURCE_ERROR);
		cr_expect_str_eq(again.source, "db1");
		cr_expect_str_eq(again.detail, details[i][0]
						   ? details[i]
						   : tally_status_title(TALLY_SOURCE_ERROR));
		cr_expect_eq(tally_error_encode(&err, text, 10, &len), TALLY_TOO_LARGE);
	}
}

/* Past their room both are cut off, but never within a character. */
Test(contract, what_is_too_long_in_an_error_document_stays_utf8)
{
	static const char *const letters[] = { "a", "\xd0\xb6", "\xe2\x82\xac",
					       "\xf0\x9f\x98\x80" };
	char text[4096], long_text[1024];

	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
		for (size_t shift = 0; shift < 4; shift++) {
			struct tally_error err = { .status = TALLY_OK };
			size_t len = shift;

			memset(long_text, 'x', shift);
			for (; len + 4 < 600; len += strlen(letters[i]))
				memcpy(long_text + len, letters[i], strlen(letters[i]));
			long_text[len] = '\0';
			int n = snprintf(text, sizeof text,
					 "{\"code\":\"source_error\",\"detail\":\"%s\","
					 "\"source\":\"%s\"}",
					 long_text, long_text);
			cr_assert_eq(tally_error_decode(text, (size_t)n, &err), TALLY_OK);
			cr_expect_geq(strlen(err.detail), sizeof err.detail - 4);
			cr_expect_geq(strlen(err.source), sizeof err.source - 4);
			cr_expect_eq(strncmp(err.detail, long_text, strlen(err.detail)), 0);
			cr_expect_eq((strlen(err.detail) - shift) % strlen(letters[i]), 0);
			cr_expect_eq((strlen(err.source) - shift) % strlen(letters[i]), 0);
			cr_expect_eq(tally_error_encode(&err, text, sizeof text, &len), TALLY_OK);
		}
	}
}

Test(contract, a_detail_that_is_not_utf8_is_left_out)
{
	struct tally_error err = { .status = TALLY_OK }, again = { .status = TALLY_OK };
	char text[2048];
	size_t len;

	(void)tally_fail(&err, TALLY_SOURCE_ERROR, "caf\xe9");
	cr_assert_eq(tally_error_encode(&err, text, sizeof text, &len), TALLY_OK);
	cr_assert_eq(tally_error_decode(text, len, &again), TALLY_OK);
	cr_expect_eq(again.status, TALLY_SOURCE_ERROR);
}

/* The deadline of a job's body over HTTP; in a message there is none. */
Test(contract, a_timeout_stands_beside_a_request_at_the_http_edge_only)
{
	static const struct {
		const char *text;
		int64_t timeout_ms; /* -1: not given; 0: refused */
	} cases[] = {
		{ "{\"dataset\":\"a\"}",                                     -1   },
		{ "{\"dataset\":\"a\",\"timeout_ms\":5000}",                 5000 },
		{ "{\"timeout_ms\":-5,\"dataset\":\"a\"}",                   -5   },
		{ "{\"dataset\":\"a\",\"timeout_ms\":5000.0}",               0    },
		{ "{\"dataset\":\"a\",\"timeout_ms\":\"5\"}",                0    },
		{ "{\"dataset\":\"a\",\"timeout_ms\":null}",                 0    },
		{ "{\"dataset\":\"a\",\"timeout_ms\":1,\"timeout_ms\":2}",   0    },
		{ "{\"dataset\":\"a\",\"timeout_ms\":99999999999999999999}", 0    },
		{ "{\"dataset\":\"a\",\"timeout\":5}",                       0    },
		{ "{\"timeout_ms\":5000}",                                   0    },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *text = cases[i].text;
		struct tally_request *request = NULL;
		int64_t timeout_ms = -1;
		tally_status status =
		    tally_request_decode_http(text, strlen(text), &request, &timeout_ms, NULL);

		cr_expect_eq(status, cases[i].timeout_ms == 0 ? TALLY_BAD_REQUEST : TALLY_OK, "%s",
			     text);
		cr_expect_eq(timeout_ms, cases[i].timeout_ms == 0 ? -1 : cases[i].timeout_ms, "%s",
			     text);
		if (status == TALLY_OK)
			cr_expect_str_eq(tally_request_view(request)->dataset, "a");
		tally_request_free(request);
		request = NULL;
		status = tally_request_decode(text, strlen(text), &request, NULL);
		cr_expect_eq(status, i == 0 ? TALLY_OK : TALLY_BAD_REQUEST, "%s", text);
		tally_request_free(request);
	}
}
