/* problem.h - errors as callers see them: RFC 9457 problem documents.
 *
 * Members: type title status detail, and Tally's own code (of <tally/status.h>), retryable, source
 * (http, kafka, db1 ...), and errors:[{in,name,detail}] for bad parameters. */
#ifndef GATEWAY_PROBLEM_H
#define GATEWAY_PROBLEM_H

#include <stddef.h>

#include <tally/status.h>

#include "dataset/params.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

/* The HTTP status of an outcome.  What never reaches a caller as it is (TALLY_FULL ...) is 500. */
unsigned problem_http_status(tally_status status);

/* The status that callers see for one of ours: TALLY_FULL and TALLY_CLOSED are saturated,
 * TALLY_NO_MEMORY and other inner ones internal_error, the rest themselves. */
tally_status problem_public_status(tally_status status);

/* Seconds for Retry-After; 0: no such header. */
unsigned problem_retry_after_s(tally_status status);

/* The document as text: the caller frees it; NULL when out of memory.  faults may be NULL.  Bytes
 * of the detail that are not UTF-8 are left out. */
char *
problem_body(const struct tally_error *error, const struct params_faults *faults, size_t *out_len);

/* Notes what is wrong with a parameter; past PARAMS_MAX_FAULTS it is dropped. */
void problem_add_fault(struct params_faults *faults, const char *name, const char *detail);

#endif
