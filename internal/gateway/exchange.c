#include "gateway/exchange.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_inner.h"
#include "gateway/problem.h"
#include "gateway/tenants.h"

/* The tenant's part ends before the answer is out, so that the next request of a caller that may
 * have one at a time finds its place free. */
static void
let_go(const struct exchange *exchange)
{
	if (!exchange->tenant)
		return;
	if (exchange->has_wait)
		tenant_leave(exchange->tenant, TENANT_WAIT);
	tenant_leave(exchange->tenant, TENANT_ASK);
	tenant_drop(exchange->tenant);
}

/* ---- answers ----------------------------------------------------------------- */

void
exchange_set_problem(struct http_response *response, const struct tally_error *error,
		     const struct params_faults *faults, unsigned retry_s)
{
	size_t len = 0;
	char seconds[16];
	char *body = problem_body(error, faults, &len);

	http_response_init(response, problem_http_status(error->status));
	http_response_header(response, "Content-Type", PROBLEM_MEDIA_TYPE);
	http_response_header(response, "Cache-Control", "no-store");
	if (retry_s == 0)
		retry_s = problem_retry_after_s(error->status);
	if (retry_s > 0) {
		snprintf(seconds, sizeof seconds, "%u", retry_s);
		http_response_header(response, "Retry-After", seconds);
	}
	if (error->status == TALLY_UNAUTHORIZED) /* RFC 9110, section 15.5.2 */
		http_response_header(response, "WWW-Authenticate", "Bearer");
	if (body)
		http_response_owned(response, body, len);
}

void
exchange_reply(const struct exchange *exchange, struct http_response *response)
{
	if (exchange->trace.text[0] != '\0')
		http_response_header(response, "traceparent", exchange->trace.text);
	let_go(exchange);
	http_reply(exchange->request, response);
}

void
exchange_problem(const struct exchange *exchange, const struct tally_error *error,
		 const struct params_faults *faults)
{
	struct http_response response;

	exchange_set_problem(&response, error, faults, 0);
	gateway_count(exchange, "", problem_public_status(error->status));
	exchange_reply(exchange, &response);
}

void
exchange_json(const struct exchange *exchange, char *text)
{
	struct http_response response;
	struct tally_error err = { 0 };

	if (!text) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		exchange_problem(exchange, &err, NULL);
		return;
	}
	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", "application/json");
	http_response_owned(&response, text, strlen(text));
	exchange_reply(exchange, &response);
}

/* ---- who asks ---------------------------------------------------------------- */

/* Who asks is not known, or may not ask now. */
static void
refuse(const struct exchange *exchange, const struct tally_error *error, unsigned retry_s)
{
	struct http_response response;

	exchange_set_problem(&response, error, NULL, retry_s);
	gateway_count(exchange, "", error->status);
	exchange_reply(exchange, &response);
}

bool
exchange_admit(struct exchange *exchange)
{
	struct tenants *tenants = exchange->gateway->tenants;
	const char *authorization = http_request_header(exchange->request, "Authorization");
	struct tenant *tenant = NULL;
	struct tally_error err = { 0 };
	unsigned retry_s = 0;
	tally_status status = tenants_find(tenants, authorization, &tenant, &err);

	if (status == TALLY_OK)
		status = tenant_enter(tenant, TENANT_ASK, clock_mono_ms(), &retry_s, &err);
	if (status == TALLY_OK) {
		exchange->tenant = tenant;
		return true;
	}
	tenant_drop(tenant);
	refuse(exchange, &err, retry_s);
	return false;
}

bool
exchange_wait(struct exchange *exchange)
{
	struct tally_error err = { 0 };
	unsigned retry_s = 0;

	exchange->has_wait =
	    tenant_enter(exchange->tenant, TENANT_WAIT, clock_mono_ms(), &retry_s, &err)
	    == TALLY_OK;
	if (!exchange->has_wait)
		refuse(exchange, &err, retry_s);
	return exchange->has_wait;
}

struct tenant *
exchange_take_wait(struct exchange *exchange)
{
	exchange->has_wait = false;
	return tenant_hold(exchange->tenant);
}

const char *
exchange_tenant(const struct exchange *exchange)
{
	return tenant_name(exchange->tenant);
}
