/* The messages of the job lane against the vectors of test/contract, which test_contract_jobs.py
 * reads too. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/job.h>

#include "support/vectors.h"

#define VALUE_MAX 1024

/* The headers of a case, each value a block of its own without a byte to spare, so that the
 * sanitizer sees who reads past its end. */
struct message {
	struct tally_header items[TALLY_HEADERS_MAX];
	char *values[TALLY_HEADERS_MAX];
	size_t n;
};

static size_t
bytes_of(const json_t *value, char out[VALUE_MAX])
{
	const json_t *repeat = json_object_get(value, "repeat");
	const char *part = json_string_value(json_array_get(repeat, 0));
	size_t len = 0;

	if (json_is_string(value)) {
		len = json_string_length(value);
		memcpy(out, json_string_value(value), len);
	} else if (repeat) {
		for (json_int_t i = json_integer_value(json_array_get(repeat, 1)); i > 0; i--)
			len += (size_t)snprintf(out + len, VALUE_MAX - len, "%s", part);
	} else {
		len = vectors_unhex(vectors_text(value, "hex"), (unsigned char *)out);
	}
	return len;
}

static void
add(struct message *message, const char *name, const json_t *value)
{
	char bytes[VALUE_MAX];
	size_t len;

	if (json_is_null(value))
		return;
	len = bytes_of(value, bytes);
	cr_assert_lt(message->n, (size_t)TALLY_HEADERS_MAX);
	char *exact = malloc(len ? len : 1);
	cr_assert(exact);
	memcpy(exact, bytes, len);
	message->values[message->n] = exact;
	message->items[message->n++] = (struct tally_header){ name, exact, len };
}

/* The headers of the case's base, changed and added to as the case says. */
static void
message_init(struct message *message, const json_t *document, const json_t *item)
{
	json_t *base =
	    json_object_get(json_object_get(document, "bases"), vectors_text(item, "base"));
	json_t *set = json_object_get(item, "set");
	const char *name;
	json_t *value;
	size_t i;

	message->n = 0;
	cr_assert(base, "%s", vectors_text(item, "why"));
	json_object_foreach(base, name, value)
	{
		const json_t *other = json_object_get(set, name);

		add(message, name, other ? other : value);
	}
	json_object_foreach(set, name, value)
	{
		if (!json_object_get(base, name))
			add(message, name, value);
	}
	json_array_foreach(json_object_get(item, "add"), i, value)
	{
		add(message, json_string_value(json_array_get(value, 0)), json_array_get(value, 1));
	}
}

static void
message_fini(struct message *message)
{
	for (size_t i = 0; i < message->n; i++)
		free(message->values[i]);
}

static const json_t *
key_of(const json_t *document, const json_t *item)
{
	const json_t *own = json_object_get(item, "key");

	return own ? own : json_object_get(document, "key");
}

/* Whether reading ended as the case says; a refusal names the header. */
static bool
ended_right(const json_t *item, tally_status status, const struct tally_error *err)
{
	const char *wrong = json_string_value(json_object_get(item, "wrong"));
	const char *why = vectors_text(item, "why");
	char named[64];

	cr_expect_eq(status, wrong ? TALLY_BAD_REQUEST : TALLY_OK, "%s: %s", why, err->detail);
	if (wrong) {
		snprintf(named, sizeof named, strcmp(wrong, "key") == 0 ? "the %s " : "header %s ",
			 wrong);
		cr_expect_eq(strncmp(err->detail, named, strlen(named)), 0, "%s: %s", why,
			     err->detail);
	}
	return status == TALLY_OK && !wrong;
}

/* Compares a text with a member: a text, a number, or (absent) the empty text. */
static void
expect_text(const json_t *expect, const char *name, const char *text, const char *why)
{
	const json_t *value = json_object_get(expect, name);
	char number[24];

	snprintf(number, sizeof number, "%" PRId64, (int64_t)json_integer_value(value));
	if (json_is_integer(value))
		cr_expect_str_eq(text, number, "%s: %s", why, name);
	else
		cr_expect_str_eq(text, value ? json_string_value(value) : "", "%s: %s", why, name);
}

static void
expect_number(const json_t *expect, const char *name, int64_t number, const char *why)
{
	cr_expect_eq(json_integer_value(json_object_get(expect, name)), number,
		     "%s: %s is %" PRId64, why, name, number);
}

static void
expect_bool(const json_t *expect, const char *name, bool is_true, const char *why)
{
	cr_expect_eq(json_is_true(json_object_get(expect, name)), is_true, "%s: %s", why, name);
}

static void
expect_hex(const json_t *expect, const char *name, const unsigned char *bytes, const char *why)
{
	char text[2 * TALLY_SHA256_BYTES + 1];

	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	expect_text(expect, name, text, why);
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct tally_job_context
context_of(const json_t *document, const json_t *item)
{
	const json_t *context = json_object_get(document, "context");
	const json_t *partitions = json_object_get(json_object_get(item, "context"), "partitions");

	if (!partitions)
		partitions = json_object_get(context, "partitions");
	return (struct tally_job_context){
		.stamp_ms = json_integer_value(json_object_get(context, "stamp_ms")),
		.results_partitions = (int)json_integer_value(partitions),
	};
}

static void
check_request(const struct tally_job_request *request, const json_t *expect, const char *why)
{
	struct tally_trace trace;

	expect_text(expect, "id", request->id.text, why);
	expect_bool(expect, "is_foreign", request->is_foreign, why);
	expect_text(expect, "event_source", request->event_source, why);
	expect_text(expect, "event_id", request->event_id, why);
	expect_number(expect, "created_ms", request->created_ms, why);
	expect_number(expect, "partition", request->reply_partition, why);
	expect_number(expect, "deadline_ms", request->deadline_ms, why);
	expect_number(expect, "budget_ms", request->budget_ms, why);
	expect_text(expect, "tenant", request->tenant, why);
	expect_bool(expect, "no_cache", request->no_cache, why);
	expect_text(expect, "key", request->idempotency_key, why);
	expect_hex(expect, "body_hash", request->body_hash, why);
	cr_expect(tally_trace_parse(request->trace.text, strlen(request->trace.text), &trace), "%s",
		  why);
	if (vectors_text(expect, "trace")[0])
		expect_text(expect, "trace", request->trace.text, why);
}

/* What was read and is written says the same when it is read again. */
static void
check_request_written(const struct tally_job_request *request,
		      const struct tally_job_context *context, const json_t *expect,
		      const char *why)
{
	struct tally_error err = { .status = TALLY_OK };
	struct tally_job_request again;
	struct tally_headers headers;

	cr_assert_eq(tally_job_request_write(request, &headers), TALLY_OK, "%s", why);
	cr_assert_eq(tally_job_request_read(headers.items, headers.n, context, &again, &err),
		     TALLY_OK, "%s: %s", why, err.detail);
	check_request(&again, expect, why);
	cr_expect_str_eq(again.trace.text, request->trace.text, "%s", why);
}

Test(contract_jobs, requests)
{
	json_t *document = vectors_load("job-requests.json");
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(document, "cases"), i, item)
	{
		const json_t *expect = json_object_get(item, "expect");
		const char *why = vectors_text(item, "why");
		struct tally_job_context context = context_of(document, item);
		struct tally_error err = { .status = TALLY_OK };
		struct tally_job_request request;
		struct message message;

		message_init(&message, document, item);
		tally_status status =
		    tally_job_request_read(message.items, message.n, &context, &request, &err);
		if (ended_right(item, status, &err)) {
			check_request(&request, expect, why);
			check_request_written(&request, &context, expect, why);
		}
		message_fini(&message);
	}
	json_decref(document);
}

Test(contract_jobs, a_request_that_does_not_agree_with_its_id_is_not_written)
{
	const struct tally_secrets secrets = { { { "secret", 6 } }, 1 };
	struct tally_job_request request = { .created_ms = 5, .reply_partition = 3 };
	struct tally_headers headers;

	cr_assert_eq(tally_job_id_make(&secrets, "acme", 5, 3, &request.id, NULL), TALLY_OK);
	cr_expect_eq(tally_job_request_write(&request, &headers), TALLY_OK);
	request.reply_partition = 4;
	cr_expect_eq(tally_job_request_write(&request, &headers), TALLY_BAD_REQUEST);
	request.reply_partition = 3;
	request.created_ms = 6;
	cr_expect_eq(tally_job_request_write(&request, &headers), TALLY_BAD_REQUEST);
	request.created_ms = 5;
	cr_assert_eq(tally_job_id_foreign("acme", "s", "i", &request.id), TALLY_OK);
	cr_expect_eq(tally_job_request_write(&request, &headers), TALLY_BAD_REQUEST);
}

/* ---- results -------------------------------------------------------------------------------- */

static const char *
written(const struct tally_headers *headers, const char *name)
{
	for (size_t i = 0; i < headers->n; i++) {
		if (strcmp(headers->items[i].name, name) == 0)
			return headers->items[i].value;
	}
	return "";
}

/* All that is expected is written, and read again it is written in the same way. */
static void
check_result(const struct tally_job_result *result, const json_t *expect, const char *why)
{
	json_t *as_of = json_object_get(expect, "as_of");
	struct tally_error err = { .status = TALLY_OK };
	struct tally_headers headers, again_headers;
	struct tally_job_result again;
	const char *name;
	json_t *value;

	cr_assert_eq(tally_job_result_write(result, 1, &headers), TALLY_OK, "%s", why);
	json_object_foreach((json_t *)(uintptr_t)expect, name, value)
	{
		if (!json_is_object(value))
			expect_text(expect, name, written(&headers, name), why);
	}
	json_object_foreach(as_of, name, value)
	{
		char header[64];

		snprintf(header, sizeof header, "tally-as-of-%s", name);
		cr_expect_eq(strtoll(written(&headers, header), NULL, 10),
			     json_integer_value(value), "%s", why);
	}
	cr_expect_eq(result->n_as_of, json_object_size(as_of), "%s", why);
	cr_assert_eq(tally_job_result_read(result->id.text, TALLY_JOB_ID_CHARS, headers.items,
					   headers.n, &again, &err),
		     TALLY_OK, "%s: %s", why, err.detail);
	cr_assert_eq(tally_job_result_write(&again, 1, &again_headers), TALLY_OK);
	cr_assert_eq(headers.used, again_headers.used, "%s", why);
	cr_expect_arr_eq(headers.storage, again_headers.storage, headers.used, "%s", why);
}

Test(contract_jobs, results)
{
	json_t *document = vectors_load("job-results.json");
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(document, "cases"), i, item)
	{
		const json_t *key = key_of(document, item);
		struct tally_error err = { .status = TALLY_OK };
		struct tally_job_result result;
		struct message message;

		message_init(&message, document, item);
		tally_status status =
		    tally_job_result_read(json_string_value(key), json_string_length(key),
					  message.items, message.n, &result, &err);
		if (ended_right(item, status, &err))
			check_result(&result, json_object_get(item, "expect"),
				     vectors_text(item, "why"));
		message_fini(&message);
	}
	json_decref(document);
}

Test(contract_jobs, a_result_is_complete_with_its_last_part)
{
	static const struct {
		uint32_t part, n_parts;
		bool is_part, is_last;
	} cases[] = {
		{ 0, 0, false, true  },
		{ 1, 0, true,  false },
		{ 2, 0, true,  false },
		{ 3, 3, true,  true  },
		{ 1, 1, true,  true  }
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tally_job_result result = { .part = cases[i].part,
						   .n_parts = cases[i].n_parts };

		cr_expect_eq(tally_job_result_is_part(&result), cases[i].is_part, "%zu", i);
		cr_expect_eq(tally_job_result_is_last(&result), cases[i].is_last, "%zu", i);
	}
}

Test(contract_jobs, a_result_that_contradicts_itself_is_not_written)
{
	static const struct tally_job_result wrong[] = {
		{ .state = TALLY_SUCCEEDED },
		{ .state = TALLY_SUCCEEDED, .has_sha256 = true, .error_code = TALLY_SOURCE_ERROR },
		{ .state = TALLY_SUCCEEDED, .has_sha256 = true, .part = 1 },
		{ .state = TALLY_SUCCEEDED, .has_sha256 = true, .part = 1, .n_parts = 2 },
		{ .state = TALLY_SUCCEEDED, .has_sha256 = true, .n_parts = 1 },
		{ .state = TALLY_SUCCEEDED, .part = TALLY_PARTS_MAX + 1 },
		{ .state = TALLY_FAILED },
		{ .state = TALLY_FAILED, .error_code = TALLY_CANCELLED },
		{ .state = TALLY_FAILED, .error_code = TALLY_SOURCE_ERROR, .has_sha256 = true },
		{ .state = TALLY_FAILED, .error_code = TALLY_SOURCE_ERROR, .part = 1 },
		{ .state = TALLY_STATE_CANCELLED },
	};
	struct tally_headers headers;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		cr_expect_eq(tally_job_result_write(&wrong[i], 1, &headers), TALLY_BAD_REQUEST,
			     "%zu", i);
}

/* The largest result that can be said in headers fits. */
Test(contract_jobs, the_longest_headers_of_a_result_fit)
{
	struct tally_job_result result = {
		.run = UINT64_MAX,
		.attempt = UINT32_MAX,
		.rows = INT64_MAX,
		.has_sha256 = true,
		.created_ms = INT64_MAX,
		.started_ms = INT64_MAX,
		.deadline_ms = INT64_MAX,
		.part = TALLY_PARTS_MAX,
		.n_parts = TALLY_PARTS_MAX,
		.n_as_of = TALLY_SOURCES_MAX,
	};
	struct tally_headers headers;

	memset(result.id.text, 'x', sizeof result.id.text - 1);
	memset(result.tenant, 't', sizeof result.tenant - 1);
	memset(result.dataset, 'd', sizeof result.dataset - 1);
	memset(result.dataset_hash, '0', sizeof result.dataset_hash - 1);
	memset(result.timing, 't', sizeof result.timing - 1);
	for (size_t i = 0; i < TALLY_SOURCES_MAX; i++) {
		memset(result.as_of[i].source, 's', TALLY_SOURCE_NAME_MAX);
		result.as_of[i].at_ms = INT64_MAX;
	}
	cr_assert_eq(tally_trace_make(&result.trace), TALLY_OK);
	cr_expect_eq(tally_job_result_write(&result, 0, &headers), TALLY_OK);
}

/* ---- control -------------------------------------------------------------------------------- */

static void
check_control(const struct tally_control *control, const json_t *expect, const char *why)
{
	char run[17];

	expect_text(expect, "kind", control->kind == TALLY_CONTROL_CANCEL ? "cancel" : "started",
		    why);
	expect_text(expect, "tenant", control->tenant, why);
	expect_number(expect, "at_ms", control->at_ms, why);
	expect_number(expect, "created_ms", control->created_ms, why);
	expect_number(expect, "deadline_ms", control->deadline_ms, why);
	snprintf(run, sizeof run, "%016" PRIx64, control->run);
	expect_text(expect, "run", run, why);
	expect_number(expect, "attempt", control->attempt, why);
}

static void
check_control_written(const struct tally_control *control, const json_t *expect, const char *why)
{
	struct tally_error err = { .status = TALLY_OK };
	struct tally_headers headers;
	struct tally_control again;

	cr_assert_eq(tally_control_write(control, &headers), TALLY_OK, "%s", why);
	cr_assert_eq(tally_control_read(control->id.text, TALLY_JOB_ID_CHARS, headers.items,
					headers.n, &again, &err),
		     TALLY_OK, "%s: %s", why, err.detail);
	check_control(&again, expect, why);
}

Test(contract_jobs, control_messages)
{
	json_t *document = vectors_load("control.json");
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(document, "cases"), i, item)
	{
		const json_t *expect = json_object_get(item, "expect");
		const json_t *key = key_of(document, item);
		const char *why = vectors_text(item, "why");
		struct tally_error err = { .status = TALLY_OK };
		struct tally_control control;
		struct message message;

		message_init(&message, document, item);
		tally_status status =
		    tally_control_read(json_string_value(key), json_string_length(key),
				       message.items, message.n, &control, &err);
		if (ended_right(item, status, &err)) {
			check_control(&control, expect, why);
			check_control_written(&control, expect, why);
		}
		message_fini(&message);
	}
	json_decref(document);
}
