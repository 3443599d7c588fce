/* The JSON of a request, as a message and as a body over HTTP: what is taken is written again, and
 * that is read as the same. */
#include "fuzz/fuzz.h"

#include <string.h>

#include <tally/message.h>
#include <tally/request.h>
#include <tally/topics.h>

#include "base/utf8.h"

static void
must_equal(const struct tally_request_view *a, const struct tally_request_view *b)
{
	size_t at = 0;

	FUZZ_MUST(strcmp(a->dataset, b->dataset) == 0);
	FUZZ_MUST(!a->format == !b->format && (!a->format || strcmp(a->format, b->format) == 0));
	FUZZ_MUST(a->n_labels == b->n_labels);
	for (size_t i = 0; i < a->n_labels; i++)
		FUZZ_MUST(strcmp(a->labels[i].name, b->labels[i].name) == 0
			  && strcmp(a->labels[i].value, b->labels[i].value) == 0);
	for (size_t i = 0; i < a->n_params; i++) {
		const struct tally_request_param *param = &a->params[i];

		if (param->kind == TALLY_JSON_NULL)
			continue; /* absent in what is written */
		FUZZ_MUST(at < b->n_params && strcmp(param->name, b->params[at].name) == 0);
		FUZZ_MUST(param->len == b->params[at].len
			  && memcmp(param->text, b->params[at].text, param->len) == 0);
		/* 1e2 is written as 100. */
		FUZZ_MUST(
		    param->kind == b->params[at].kind
		    || (param->kind == TALLY_JSON_REAL && b->params[at].kind == TALLY_JSON_INT));
		at++;
	}
	FUZZ_MUST(at == b->n_params);
}

static void
write_and_read(const struct tally_request_view *view)
{
	struct tally_request *again;
	size_t len;
	char *text;
	tally_status status = tally_request_encode(view, NULL, 0, &len);

	if (status == TALLY_BAD_REQUEST) {
		FUZZ_MUST(len > TALLY_MAX_REQUEST_BYTES);
		return;
	}
	FUZZ_MUST(status == TALLY_TOO_LARGE);
	text = malloc(len);
	FUZZ_MUST(text && tally_request_encode(view, text, len, &len) == TALLY_OK);
	FUZZ_MUST(utf8_valid(text, len, NULL) && !memchr(text, '\n', len));
	FUZZ_MUST(tally_request_decode(text, len, &again, NULL) == TALLY_OK);
	must_equal(view, tally_request_view(again));
	tally_request_free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tally_request *request = NULL;
	struct tally_error err = { 0 };
	int64_t timeout_ms = -7;
	tally_status status = tally_request_decode(data, size, &request, &err);

	if (status == TALLY_OK)
		write_and_read(tally_request_view(request));
	else
		FUZZ_MUST(status == TALLY_BAD_REQUEST && !request);
	tally_request_free(request);
	request = NULL;
	tally_status over_http = tally_request_decode_http(data, size, &request, &timeout_ms, &err);
	FUZZ_MUST(status != TALLY_OK || (over_http == TALLY_OK && timeout_ms == -7));
	FUZZ_MUST(over_http == TALLY_OK || timeout_ms == -7);
	tally_request_free(request);
	/* An error document is anybody's who can write to the results. */
	err = (struct tally_error){ 0 };
	if (tally_error_decode(data, size, &err) == TALLY_OK) {
		FUZZ_MUST(err.status != TALLY_OK);
		FUZZ_MUST(utf8_valid(err.detail, strlen(err.detail), NULL));
		FUZZ_MUST(utf8_valid(err.source, strlen(err.source), NULL));
	}
	return 0;
}
