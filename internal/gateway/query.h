/* query.h - what a request for rows says: its parameters, and what is Tally's own.  Pure functions
 * of a request; any thread. */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

#include <stdbool.h>

#include "dataset/params.h"
#include "gateway/form.h"
#include "gateway/prefer.h"
#include "http/server.h"

/* Reads the query of a request for rows: typed parameters, which are the caller's, and the form of
 * the rows.  TALLY_INVALID_PARAMETER, with every fault in *faults; TALLY_NOT_ACCEPTABLE,
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status query_read(const struct definition *definition,
					 const struct http_request *request,
					 struct params **out_params, struct form *out_form,
					 struct params_faults *faults, struct tally_error *err);

/* What all Prefer headers of a request say. */
void query_read_prefer(const struct http_request *request, struct prefer *out_prefer);

/* Whether Cache-Control says no-cache. */
bool query_has_no_cache(const struct http_request *request);

#endif
