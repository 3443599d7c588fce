/* What request headers say: preferences, acceptable formats, entity tags, a trace, a key. */
#include "fuzz/fuzz.h"

#include <string.h>

#include <tally/id.h>

#include "gateway/accept.h"
#include "gateway/etag.h"
#include "gateway/prefer.h"
#include "gateway/tenants.h"

/* A tag that the text lists is found wherever it stands in it. */
static void
look_for_tags(const char *text)
{
	(void)etag_is_listed(text, "\"a\"");
	(void)etag_is_listed(text, "W/\"a\"");
}

static void
read_accept(const char *text)
{
	struct accept accept = { 0 };
	enum transcode_format format;

	accept_read(text, &accept);
	for (size_t i = 0; i < ACCEPT_FORMATS; i++)
		FUZZ_MUST(accept.formats[i].quality <= 1000);
	if (accept_choose(&accept, TRANSCODE_CSV, &format))
		FUZZ_MUST(!accept.is_given || accept.formats[format].quality > 0);
}

static void
read_key(const char *text)
{
	struct tenants *tenants;
	struct tenant *tenant = NULL;
	struct tally_error err = { 0 };

	/* Without a file there is one tenant, whatever the header says. */
	FUZZ_MUST(tenants_new(NULL, &tenants, &err) == TALLY_OK);
	FUZZ_MUST(tenants_find(tenants, text, &tenant, &err) == TALLY_OK && tenant);
	tenant_drop(tenant);
	tenants_free(tenants);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct prefer prefer = { 0 };
	struct tally_trace trace;

	prefer_read(text, &prefer);
	FUZZ_MUST(prefer.has_wait || prefer.wait_s == 0);
	read_accept(text);
	look_for_tags(text);
	read_key(text);
	if (tally_trace_parse(text, strlen(text), &trace))
		FUZZ_MUST(strcmp(trace.text, text) == 0);
	free(text);
	return 0;
}
