/* The documents of the API, inside the program: OpenAPI, AsyncAPI, and a page that shows the first
 * (Swagger UI, api/docs/README.md).  They are the files of api/ as they stood when it was built. */
#include <string.h>

#include "gateway/gateway_inner.h"
#include "gateway/openapi.h"

/* From the bytes of a file, relative to the top of the tree, where make runs. */
#define FILE_INSIDE(name, path)                                                                    \
	__asm__(".pushsection .rodata\n"                                                           \
		".balign 8\n" #name "_begin:\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n"     \
		".popsection\n");                                                                  \
	extern const char name##_begin[] __attribute__((visibility("hidden")));                    \
	extern const char name##_end[] __attribute__((visibility("hidden")))

FILE_INSIDE(openapi, "api/openapi.json");
FILE_INSIDE(asyncapi, "api/asyncapi.json");
FILE_INSIDE(docs_page, "api/docs/index.html");
FILE_INSIDE(docs_start, "api/docs/start.js");
FILE_INSIDE(docs_bundle, "api/docs/swagger-ui-bundle.js");
FILE_INSIDE(docs_style, "api/docs/swagger-ui.css");

/* Swagger UI sets styles of elements, and shows its icons as data. */
#define DOCS_POLICY                                                                                \
	"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "             \
	"frame-ancestors 'none'"

#define SCRIPT "text/javascript; charset=utf-8"
#define STYLE  "text/css; charset=utf-8"

static const struct docs_file {
	const char *name;
	const char *media_type;
	const char *begin;
	const char *end;
} docs_files[] = {
	{ "start.js",             SCRIPT, docs_start_begin,  docs_start_end  },
	{ "swagger-ui-bundle.js", SCRIPT, docs_bundle_begin, docs_bundle_end },
	{ "swagger-ui.css",       STYLE,  docs_style_begin,  docs_style_end  },
};

static void
answer_file(const struct exchange *exchange, const char *media_type, const char *begin,
	    const char *end)
{
	struct http_response response;

	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", media_type);
	http_response_header(&response, "X-Content-Type-Options", "nosniff");
	http_response_static(&response, begin, (size_t)(end - begin));
	exchange_reply(exchange, &response);
}

const char *
openapi_text(size_t *out_len)
{
	*out_len = (size_t)(openapi_end - openapi_begin);
	return openapi_begin;
}

const char *
asyncapi_text(size_t *out_len)
{
	*out_len = (size_t)(asyncapi_end - asyncapi_begin);
	return asyncapi_begin;
}

void
gateway_get_openapi(const struct exchange *exchange)
{
	exchange_json(exchange, openapi_document(exchange->gateway->options.catalog));
}

void
gateway_get_asyncapi(const struct exchange *exchange)
{
	answer_file(exchange, "application/json", asyncapi_begin, asyncapi_end);
}

void
gateway_get_docs(const struct exchange *exchange)
{
	struct http_response response;

	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", "text/html; charset=utf-8");
	http_response_header(&response, "Content-Security-Policy", DOCS_POLICY);
	http_response_static(&response, docs_page_begin, (size_t)(docs_page_end - docs_page_begin));
	exchange_reply(exchange, &response);
}

void
gateway_get_docs_file(const struct exchange *exchange)
{
	struct tally_error err = { 0 };

	for (size_t i = 0; i < sizeof docs_files / sizeof docs_files[0]; i++) {
		const struct docs_file *file = &docs_files[i];
		if (strlen(file->name) == exchange->variable_len
		    && memcmp(file->name, exchange->variable, exchange->variable_len) == 0) {
			answer_file(exchange, file->media_type, file->begin, file->end);
			return;
		}
	}
	(void)tally_fail(&err, TALLY_NOT_FOUND, "the page is /docs");
	exchange_problem(exchange, &err, NULL);
}
