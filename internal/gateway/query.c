#include "gateway/query.h"

#include <string.h>

#include "gateway/problem.h"

tally_status
query_read(const struct definition *definition, const struct http_request *request,
	   struct params **out_params, struct form *out_form, struct params_faults *faults,
	   struct tally_error *err)
{
	const struct http_target *target = http_request_target(request);
	struct params_text texts[TARGET_MAX_ARGUMENTS];
	struct params_faults own = { .n = 0 };
	struct params *params = NULL;
	size_t n = 0;

	form_init(out_form, request);
	for (size_t i = 0; i < target->n_arguments; i++) {
		const struct http_argument *argument = &target->arguments[i];
		if (!form_take(out_form, argument, &own))
			texts[n++] =
			    (struct params_text){ argument->name, argument->value, argument->len };
	}
	tally_status status = params_from_texts(definition, texts, n, &params, faults, err);
	for (size_t i = 0; i < own.n; i++)
		problem_add_fault(faults, own.items[i].name, own.items[i].detail);
	if (status == TALLY_OK && own.n > 0)
		status = tally_fail(err, TALLY_INVALID_PARAMETER, "%s %s", own.items[0].name,
				    own.items[0].detail);
	if (status == TALLY_OK)
		status = form_choose(out_form, TRANSCODE_JSON, err);
	if (status == TALLY_OK)
		*out_params = params;
	else
		params_free(params);
	return status;
}

static void
read_prefer(const char *value, void *ctx)
{
	prefer_read(value, ctx);
}

void
query_read_prefer(const struct http_request *request, struct prefer *out_prefer)
{
	*out_prefer = (struct prefer){ 0 };
	http_request_each_header(request, "Prefer", read_prefer, out_prefer);
}

static void
read_no_cache(const char *value, void *ctx)
{
	bool *no_cache = ctx;

	if (strcasestr(value, "no-cache"))
		*no_cache = true;
}

bool
query_has_no_cache(const struct http_request *request)
{
	bool no_cache = false;

	http_request_each_header(request, "Cache-Control", read_no_cache, &no_cache);
	return no_cache;
}
