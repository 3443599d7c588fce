#include "gateway/problem.h"

#include <jansson.h>

#include <stdint.h>
#include <string.h>

/* Rows: a status of the caller's, the HTTP status, Retry-After in seconds (0: none).  A status that
 * is not here is inner and shows as 500 internal_error. */
static const struct {
	uint16_t http;
	uint16_t retry_after_s;
} outcomes[TALLY_STATUSES] = {
	[TALLY_OK] = { 200, 0 },
	[TALLY_BAD_REQUEST] = { 400, 0 },
	[TALLY_UNAUTHORIZED] = { 401, 0 },
	[TALLY_FORBIDDEN] = { 403, 0 },
	[TALLY_NOT_FOUND] = { 404, 0 },
	[TALLY_UNKNOWN_DATASET] = { 404, 0 },
	[TALLY_METHOD_NOT_ALLOWED] = { 405, 0 },
	[TALLY_NOT_ACCEPTABLE] = { 406, 0 },
	[TALLY_RESULT_NOT_READY] = { 409, 1 },
	[TALLY_CANCELLED] = { 409, 0 },
	[TALLY_EXPIRED] = { 410, 0 },
	[TALLY_BODY_TOO_LARGE] = { 413, 0 },
	[TALLY_URI_TOO_LONG] = { 414, 0 },
	[TALLY_UNSUPPORTED_MEDIA_TYPE] = { 415, 0 },
	[TALLY_INVALID_PARAMETER] = { 422, 0 },
	[TALLY_IDEMPOTENCY_KEY_REUSED] = { 422, 0 },
	[TALLY_RATE_LIMITED] = { 429, 1 },
	[TALLY_HEADERS_TOO_LARGE] = { 431, 0 },
	[TALLY_UNSUPPORTED_VALUE] = { 500, 0 },
	[TALLY_SOURCE_ERROR] = { 500, 0 },
	[TALLY_POISONED] = { 500, 0 },
	[TALLY_RESULT_TOO_LARGE] = { 500, 0 },
	[TALLY_INTERNAL_ERROR] = { 500, 0 },
	[TALLY_SOURCE_UNAVAILABLE] = { 503, 2 },
	[TALLY_DATASET_MISMATCH] = { 503, 2 },
	[TALLY_KAFKA_UNAVAILABLE] = { 503, 2 },
	[TALLY_SATURATED] = { 503, 1 },
	[TALLY_OUTCOME_UNKNOWN] = { 503, 1 },
	[TALLY_JOB_STORE_UNAVAILABLE] = { 503, 2 },
	[TALLY_DEADLINE_EXCEEDED] = { 504, 0 },
};

tally_status
problem_public_status(tally_status status)
{
	if (status == TALLY_FULL || status == TALLY_CLOSED)
		return TALLY_SATURATED;
	return outcomes[status].http ? status : TALLY_INTERNAL_ERROR;
}

unsigned
problem_http_status(tally_status status)
{
	return outcomes[problem_public_status(status)].http;
}

unsigned
problem_retry_after_s(tally_status status)
{
	return outcomes[problem_public_status(status)].retry_after_s;
}

/* A detail is ours, but may quote a database; what is not UTF-8 is cut off before it. */
static json_t *
text_of(const char *text)
{
	size_t len = strlen(text);
	json_t *string = json_stringn(text, len);

	while (!string && len > 0)
		string = json_stringn(text, --len);
	return string;
}

static json_t *
errors_of(const struct params_faults *faults)
{
	json_t *errors = json_array();

	for (size_t i = 0; errors && i < faults->n; i++) {
		const struct params_fault *fault = &faults->items[i];

		if (json_array_append_new(errors, json_pack("{s:s, s:o, s:o}", "in",
							    faults->in ? faults->in : "query",
							    "name", text_of(fault->name), "detail",
							    text_of(fault->detail)))
		    != 0) {
			json_decref(errors);
			return NULL;
		}
	}
	return errors;
}

char *
problem_body(const struct tally_error *error, const struct params_faults *faults, size_t *out_len)
{
	tally_status status = problem_public_status(error->status);
	json_auto_t *document = json_pack(
	    "{s:s, s:s, s:i, s:o, s:s, s:b}", "type", "about:blank", "title",
	    tally_status_title(status), "status", (int)problem_http_status(status), "detail",
	    text_of(error->detail[0] ? error->detail : tally_status_title(status)), "code",
	    tally_status_code(status), "retryable", (int)tally_status_is_retryable(status));
	char *text;

	if (!document)
		return NULL;
	if (error->source[0]
	    && json_object_set_new(document, "source", text_of(error->source)) != 0)
		return NULL;
	if (faults && faults->n > 0
	    && json_object_set_new(document, "errors", errors_of(faults)) != 0)
		return NULL;
	text = json_dumps(document, JSON_COMPACT);
	if (text)
		*out_len = strlen(text);
	return text;
}

void
problem_add_fault(struct params_faults *faults, const char *name, const char *detail)
{
	if (faults->n == PARAMS_MAX_FAULTS)
		return;
	struct params_fault *fault = &faults->items[faults->n++];
	snprintf(fault->name, sizeof fault->name, "%s", name);
	snprintf(fault->detail, sizeof fault->detail, "%s", detail);
}
