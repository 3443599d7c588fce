/* What a path means.  A new route is a row here: its handler, and all it can answer. */
#include "gateway/routes.h"

#include <string.h>

#include "gateway/gateway_inner.h"
#include "gateway/job_events.h"

/* What is found out before a handler runs, and what a full memory is. */
#define EDGE                                                                                       \
	(ROUTE_CAN(BAD_REQUEST) | ROUTE_CAN(URI_TOO_LONG) | ROUTE_CAN(BODY_TOO_LARGE)              \
	 | ROUTE_CAN(INTERNAL_ERROR))

/* How a request for rows can end at a worker. */
#define WORK                                                                                       \
	(ROUTE_CAN(UNSUPPORTED_VALUE) | ROUTE_CAN(SOURCE_ERROR) | ROUTE_CAN(POISONED)              \
	 | ROUTE_CAN(RESULT_TOO_LARGE) | ROUTE_CAN(SOURCE_UNAVAILABLE)                             \
	 | ROUTE_CAN(DATASET_MISMATCH) | ROUTE_CAN(DEADLINE_EXCEEDED))

/* What a request that needs a key can meet before its handler runs. */
#define CALLER (EDGE | ROUTE_CAN(UNAUTHORIZED) | ROUTE_CAN(RATE_LIMITED))

#define KAFKA (ROUTE_CAN(KAFKA_UNAVAILABLE) | ROUTE_CAN(SATURATED) | ROUTE_CAN(OUTCOME_UNKNOWN))

/* What an Idempotency-Key adds. */
#define KEYED (ROUTE_CAN(IDEMPOTENCY_KEY_REUSED) | ROUTE_CAN(JOB_STORE_UNAVAILABLE))
/* What every request about jobs can meet. */
#define JOBS (ROUTE_CAN(NOT_FOUND) | ROUTE_CAN(JOB_STORE_UNAVAILABLE) | ROUTE_CAN(SATURATED))

static const struct route routes[] = {
	{ .method = "GET",
         .path = "/api/{dataset}",
         .may_end_in_slash = true,
         .needs_key = true,
         .plain = { 200, 202 },
         .problems = CALLER | KAFKA | WORK | KEYED | ROUTE_CAN(UNKNOWN_DATASET)
		      | ROUTE_CAN(INVALID_PARAMETER) | ROUTE_CAN(NOT_ACCEPTABLE)
		      | ROUTE_CAN(CANCELLED),
         .handle = gateway_get_rows },
	{ .method = "GET",
         .path = "/v1/datasets",
         .may_end_in_slash = true,
         .needs_key = true,
         .plain = { 200 },
         .problems = CALLER,
         .handle = gateway_get_datasets },
	{ .method = "GET",
         .path = "/v1/datasets/{name}",
         .may_end_in_slash = true,
         .needs_key = true,
         .plain = { 200 },
         .problems = CALLER | ROUTE_CAN(UNKNOWN_DATASET),
         .handle = gateway_get_dataset },
	{ .method = "POST",
         .path = "/v1/jobs",
         .needs_key = true,
         .plain = { 200, 202 },
         .problems = CALLER | KAFKA | KEYED | ROUTE_CAN(NOT_FOUND) | ROUTE_CAN(UNKNOWN_DATASET)
		      | ROUTE_CAN(UNSUPPORTED_MEDIA_TYPE) | ROUTE_CAN(INVALID_PARAMETER),
         .handle = gateway_post_job },
	{ .method = "GET",
         .path = "/v1/jobs",
         .needs_key = true,
         .plain = { 200 },
         .problems = CALLER | JOBS | ROUTE_CAN(INVALID_PARAMETER),
         .handle = gateway_list_jobs },
	{ .method = "GET",
         .path = "/v1/jobs/{id}",
         .needs_key = true,
         .plain = { 200, 304 },
         .problems = CALLER | JOBS | ROUTE_CAN(EXPIRED),
         .handle = gateway_get_job },
	{ .method = "DELETE",
         .path = "/v1/jobs/{id}",
         .needs_key = true,
         .plain = { 200, 202 },
         .problems = CALLER | JOBS | KAFKA | ROUTE_CAN(EXPIRED),
         .handle = gateway_cancel_job },
	{ .method = "GET",
         .path = "/v1/jobs/{id}/result",
         .needs_key = true,
         .plain = { 200, 304 },
         .problems = CALLER | JOBS | WORK | ROUTE_CAN(EXPIRED) | ROUTE_CAN(INVALID_PARAMETER)
		      | ROUTE_CAN(UNKNOWN_DATASET) | ROUTE_CAN(NOT_ACCEPTABLE)
		      | ROUTE_CAN(RESULT_NOT_READY) | ROUTE_CAN(CANCELLED),
         .handle = gateway_get_result },
	{ .method = "GET",
         .path = "/v1/jobs/{id}/events",
         .needs_key = true,
         .plain = { 200, 204 },
         .problems = CALLER | ROUTE_CAN(NOT_FOUND) | ROUTE_CAN(EXPIRED) | ROUTE_CAN(SATURATED)
		      | ROUTE_CAN(JOB_STORE_UNAVAILABLE),
         .handle = gateway_get_job_events },
	{ .method = "GET",
         .path = "/livez",
         .plain = { 200 },
         .problems = EDGE,
         .handle = gateway_get_livez },
	{ .method = "GET",
         .path = "/readyz",
         .plain = { 200, 503 },
         .problems = EDGE,
         .handle = gateway_get_readyz },
	{ .method = "GET",
         .path = "/metrics",
         .plain = { 200 },
         .problems = EDGE,
         .handle = gateway_get_metrics },
	{ .method = "GET",
         .path = "/openapi.json",
         .plain = { 200 },
         .problems = EDGE,
         .handle = gateway_get_openapi },
	{ .method = "GET",
         .path = "/asyncapi.json",
         .plain = { 200 },
         .problems = EDGE,
         .handle = gateway_get_asyncapi },
	{ .method = "GET",
         .path = "/docs",
         .may_end_in_slash = true,
         .plain = { 200 },
         .problems = EDGE,
         .handle = gateway_get_docs },
	{ .method = "GET",
         .path = "/docs/{file}",
         .plain = { 200 },
         .problems = EDGE | ROUTE_CAN(NOT_FOUND),
         .handle = gateway_get_docs_file },
};

#define N_ROUTES (sizeof routes / sizeof routes[0])

const struct route *
gateway_routes(size_t *out_n)
{
	*out_n = N_ROUTES;
	return routes;
}

/* Says which paths there are, each once: the routes of one path stand together. */
static void
answer_nothing(const struct exchange *exchange)
{
	struct tally_error err = { 0 };
	char paths[sizeof err.detail - 32] = "";
	size_t n = 0;

	for (size_t i = 0; i < N_ROUTES && n < sizeof paths; i++) {
		if (i > 0 && strcmp(routes[i].path, routes[i - 1].path) == 0)
			continue;
		n += (size_t)snprintf(paths + n, sizeof paths - n, "%s%s", i > 0 ? ", " : "",
				      routes[i].path);
	}
	(void)tally_fail(&err, TALLY_NOT_FOUND, "there are %s", paths);
	exchange_problem(exchange, &err, NULL);
}

static void
answer_other_method(const struct exchange *exchange, const char *path)
{
	struct http_response response;
	struct tally_error err = { 0 };
	char allow[ROUTE_ALLOW_BYTES];

	route_allow(routes, N_ROUTES, path, allow);
	(void)tally_fail(&err, TALLY_METHOD_NOT_ALLOWED, "here are %s", allow);
	exchange_set_problem(&response, &err, NULL, 0);
	http_response_header(&response, "Allow", allow);
	exchange_reply(exchange, &response);
}

/* Takes the trace over from the request's header, or begins one. */
static void
read_trace(struct exchange *exchange, bool is_refused)
{
	/* Of a refused request nothing may be read. */
	const char *text =
	    is_refused ? NULL : http_request_header(exchange->request, "traceparent");

	if (text && tally_trace_parse(text, strlen(text), &exchange->trace))
		return;
	if (tally_trace_make(&exchange->trace) != TALLY_OK)
		exchange->trace.text[0] = '\0';
}

void
gateway_on_request(void *ctx, struct http_request *request)
{
	const struct tally_error *refusal = http_request_refusal(request);
	struct exchange exchange = { .gateway = ctx, .request = request };

	read_trace(&exchange, refusal != NULL);
	if (refusal) {
		exchange_problem(&exchange, refusal, NULL);
		return;
	}
	const char *path = http_request_target(request)->path;
	struct route_match match = route_find(routes, N_ROUTES, http_request_method(request), path);
	exchange.route = match.route;
	exchange.variable = match.variable;
	exchange.variable_len = match.variable_len;
	if (!match.route && match.is_path)
		answer_other_method(&exchange, path);
	else if (!match.route)
		answer_nothing(&exchange);
	else if (!match.route->needs_key || exchange_admit(&exchange))
		match.route->handle(&exchange);
}
