/* The request target: decoded strictly, then read as the parameters of a dataset, which go through
 * a message and come back the same. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "dataset/params.h"
#include "http/target.h"

static const char dataset[] = "-- dataset t\n"
			      "-- param login text required max=64\n"
			      "-- param note text default='it''s'\n"
			      "-- param size int min=-5 max=5 default=-5\n"
			      "-- param share float\n"
			      "-- param price decimal min=-1.10 max=38.50\n"
			      "-- param flag bool\n"
			      "-- param since date default=2024-02-29\n"
			      "-- param at timestamp\n"
			      "-- param at_utc timestamptz\n"
			      "-- param id uuid\n"
			      "-- column login text\n"
			      "-- step s on db1 by login\n"
			      "SELECT :login;\n";

/* What a gateway has read and a worker reads again is the same, and so are the fingerprints. */
static void
send_and_read(const struct params *params)
{
	const struct definition *definition = params_definition(params);
	struct tally_request *request;
	struct params_faults faults;
	struct params *again;
	char before[33], after[33], *message;
	size_t len;

	FUZZ_MUST(params_encode(params, NULL, 0, &len, NULL) == TALLY_TOO_LARGE);
	message = malloc(len);
	FUZZ_MUST(message && params_encode(params, message, len, &len, NULL) == TALLY_OK);
	FUZZ_MUST(tally_request_decode(message, len, &request, NULL) == TALLY_OK);
	FUZZ_MUST(
	    params_from_request(definition, tally_request_view(request), &again, &faults, NULL)
	    == TALLY_OK);
	FUZZ_MUST(params_equal(params, again));
	FUZZ_MUST(params_hash(params) == params_hash(again));
	FUZZ_MUST(params_fingerprint(params, "default", before, NULL) == TALLY_OK);
	FUZZ_MUST(params_fingerprint(again, "default", after, NULL) == TALLY_OK);
	FUZZ_MUST(strcmp(before, after) == 0);
	params_free(again);
	tally_request_free(request);
	free(message);
}

static void
read_params(const struct http_target *target)
{
	static struct definition *definition;
	struct params_text texts[TARGET_MAX_ARGUMENTS];
	struct params_faults faults;
	struct tally_error err = { 0 };
	struct params *params;

	if (!definition)
		definition = fuzz_definition(dataset);
	for (size_t i = 0; i < target->n_arguments; i++)
		texts[i] =
		    (struct params_text){ target->arguments[i].name, target->arguments[i].value,
					  target->arguments[i].len };
	tally_status status =
	    params_from_texts(definition, texts, target->n_arguments, &params, &faults, &err);
	if (status != TALLY_OK) {
		FUZZ_MUST(status == TALLY_INVALID_PARAMETER && faults.n > 0);
		for (size_t i = 0; i < faults.n; i++)
			FUZZ_MUST(
			    utf8_valid(faults.items[i].name, strlen(faults.items[i].name), NULL));
		return;
	}
	send_and_read(params);
	params_free(params);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *raw = fuzz_text(data, size);
	struct http_target target;
	struct tally_error err = { 0 };
	tally_status status = http_target_parse(raw, &target, &err);

	if (status == TALLY_OK) {
		FUZZ_MUST(http_is_utf8(target.path, strlen(target.path)));
		FUZZ_MUST(target.path[0] == '/');
		for (size_t i = 0; i < target.n_arguments; i++) {
			const struct http_argument *argument = &target.arguments[i];

			FUZZ_MUST(http_is_utf8(argument->name, strlen(argument->name)));
			FUZZ_MUST(strlen(argument->value) == argument->len);
			FUZZ_MUST(utf8_valid(argument->value, argument->len, NULL));
		}
		read_params(&target);
	} else {
		FUZZ_MUST(status == TALLY_BAD_REQUEST);
		fuzz_must_be_plain(err.detail);
	}
	http_target_fini(&target);
	free(raw);
	return 0;
}
