/* What a path means. */
#include <stdlib.h>
#include <string.h>

#include "dataset/schema.h"
#include "gateway/gateway_inner.h"
#include "http/pages.h"

static void
answer_json(struct gateway *gateway, struct http_request *request, char *text)
{
	struct http_response response;
	struct tally_error err = { 0 };

	if (!text) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		answer_problem(gateway, request, &err, NULL);
		return;
	}
	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", "application/json");
	http_response_owned(&response, text, strlen(text));
	http_reply(request, &response);
}

static void
get_livez(struct gateway *gateway, struct http_request *request, const char *rest)
{
	(void)gateway;
	(void)rest;
	http_reply_text(request, 200, "ok\n");
}

bool
gateway_is_ready(struct gateway *gateway)
{
	return atomic_load(&gateway->is_ready);
}

static void
get_readyz(struct gateway *gateway, struct http_request *request, const char *rest)
{
	(void)rest;
	if (atomic_load(&gateway->is_stopping))
		http_reply_text(request, 503, "stopping\n");
	else if (!gateway_is_ready(gateway))
		http_reply_text(request, 503,
				"Kafka's metadata and the reply partition are not known "
				"yet\n");
	else
		http_reply_text(request, 200, "ok\n");
}

static void
get_metrics(struct gateway *gateway, struct http_request *request, const char *rest)
{
	(void)gateway;
	(void)rest;
	http_reply_metrics(request);
}

/* Says which datasets there are. */
static void
answer_unknown(struct gateway *gateway, struct http_request *request)
{
	const struct catalog *catalog = gateway->options.catalog;
	struct tally_error err = { 0 };
	char names[400] = "";
	size_t n = 0;

	for (size_t i = 0; i < catalog_count(catalog) && n < sizeof names; i++)
		n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i > 0 ? ", " : "",
				      catalog_at(catalog, i)->name);
	(void)tally_fail(&err, TALLY_UNKNOWN_DATASET, "there is no such dataset; there are: %s",
			 names);
	answer_problem(gateway, request, &err, NULL);
}

static const struct definition *
find_dataset(struct gateway *gateway, const char *rest)
{
	size_t len = strlen(rest);

	if (len > 0 && rest[len - 1] == '/')
		len--;
	return catalog_find(gateway->options.catalog, rest, len);
}

static void
get_datasets(struct gateway *gateway, struct http_request *request, const char *rest)
{
	if (rest[0] == '/' && rest[1] != '\0') {
		const struct definition *definition = find_dataset(gateway, rest + 1);
		if (definition)
			answer_json(gateway, request, schema_of_dataset(definition));
		else
			answer_unknown(gateway, request);
		return;
	}
	answer_json(gateway, request, schema_of_catalog(gateway->options.catalog));
}

static void
get_rows(struct gateway *gateway, struct http_request *request, const char *rest)
{
	const struct definition *definition = find_dataset(gateway, rest);

	if (definition)
		gateway_ask(gateway, request, definition);
	else
		answer_unknown(gateway, request);
}

static const struct route {
	const char *path;
	bool has_rest; /* the path goes on */
	void (*get)(struct gateway *, struct http_request *, const char *rest);
} routes[] = {
	{ "/api/",        true,  get_rows     },
        { "/v1/datasets", true,  get_datasets },
	{ "/livez",       false, get_livez    },
        { "/readyz",      false, get_readyz   },
	{ "/metrics",     false, get_metrics  },
};

/* The route of a path, and what follows it; NULL without one. */
static const struct route *
find_route(const char *path, const char **out_rest)
{
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		size_t len = strlen(routes[i].path);
		if (strncmp(path, routes[i].path, len) != 0)
			continue;
		*out_rest = path + len;
		bool ends = **out_rest == '\0' || **out_rest == '/' || path[len - 1] == '/';
		if (ends && (routes[i].has_rest || **out_rest == '\0'))
			return &routes[i];
	}
	return NULL;
}

void
gateway_on_request(void *ctx, struct http_request *request)
{
	struct gateway *gateway = ctx;
	const struct tally_error *refusal = http_request_refusal(request);
	struct tally_error err = { 0 };
	const char *rest;

	if (refusal) {
		answer_problem(gateway, request, refusal, NULL);
		return;
	}
	const struct route *route = find_route(http_request_target(request)->path, &rest);
	const char *method = http_request_method(request);
	if (!route) {
		(void)tally_fail(&err, TALLY_NOT_FOUND,
				 "there are /api/{dataset}/, /v1/datasets, /livez, /readyz and "
				 "/metrics");
		answer_problem(gateway, request, &err, NULL);
	} else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		(void)tally_fail(&err, TALLY_METHOD_NOT_ALLOWED, "use GET or HEAD here");
		answer_problem(gateway, request, &err, NULL);
	} else {
		route->get(gateway, request, rest);
	}
}
