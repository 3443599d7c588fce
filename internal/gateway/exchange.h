/* exchange.h - one HTTP request, from its route to its answer.
 *
 * A handler gets it by reference and copies it when it answers later: it is small, and everything
 * it points to lives until the answer.  Exactly one of the functions that answer ends it. */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include <tally/id.h>
#include <tally/status.h>

#include "dataset/params.h"
#include "http/server.h"

struct gateway;
struct route;
struct tenant;

struct exchange {
	struct gateway *gateway;
	struct http_request *request;
	const struct route *route; /* NULL: there is none */
	const char *variable;      /* what stands for {...} in the path; NULL without one */
	size_t variable_len;
	struct tally_trace trace; /* taken over, or begun; "" without randomness */
	struct tenant *tenant;    /* held until the answer; NULL: the route needs no key */
	bool has_wait;            /* one of the tenant's waits is taken until the answer */
};

/* Finds out who asks and takes a request in flight from its limits, until the answer, which gives
 * both back.  False: it has been answered, with 401 or 429. */
bool exchange_admit(struct exchange *exchange);

/* Takes one of the tenant's waits, until the answer.  False: it has been answered, with 429. */
bool exchange_wait(struct exchange *exchange);

/* Takes over the wait of an exchange that is to be answered and waits on (server-sent events): the
 * tenant, held, to be given back with tenant_leave and tenant_drop. */
struct tenant *exchange_take_wait(struct exchange *exchange);

/* The name of the tenant that asks, of a route that needs a key; lives until the answer. */
const char *exchange_tenant(const struct exchange *exchange);

/* Answers with a response that the caller has filled in: traceparent is added.  The response's body
 * is taken, the tenant let go of. */
void exchange_reply(const struct exchange *exchange, struct http_response *response);

/* Answers with a JSON document of the status 200, which is taken; NULL: out of memory. */
void exchange_json(const struct exchange *exchange, char *text);

/* Answers with a problem document; faults may be NULL. */
void exchange_problem(const struct exchange *exchange, const struct tally_error *error,
		      const struct params_faults *faults);

/* Begins a problem document as the response, for a handler that adds headers of its own and then
 * calls exchange_reply; Retry-After is there already, with retry_s seconds, or 0: with what the
 * status says.  faults may be NULL. */
void exchange_set_problem(struct http_response *response, const struct tally_error *error,
			  const struct params_faults *faults, unsigned retry_s);

#endif
