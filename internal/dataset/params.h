/* params.h - the parameters of one request: checked against the definition, typed, with defaults
 * filled in.  Made at the edge (gateway, command line) from text, and again by the worker from
 * the message.  Immutable once made; any thread. */
#ifndef DATASET_PARAMS_H
#define DATASET_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/request.h>

#include "dataset/definition.h"

struct params; /* one value for each parameter of the definition, and their texts */

/* What is wrong with one parameter. */
struct params_fault {
	char name[64];    /* cut off, valid UTF-8 */
	char detail[160]; /* "is required", "must be a date such as 2025-06-29" ... */
};

#define PARAMS_MAX_FAULTS 8

struct params_faults {
	struct params_fault items[PARAMS_MAX_FAULTS];
	size_t n;       /* further ones are not kept */
	const char *in; /* "query", "body": where they stand; set by who knows, kept */
};

/* A parameter as text: from a query string or the command line.  NULL value: absent. */
struct params_text {
	const char *name;
	const char *value;
	size_t len;
};

/* Makes parameters from texts (UTF-8, without NUL: checked by the caller).  Names that the dataset
 * does not declare, doubled, missing and wrong ones are all reported in *faults.  The caller frees
 * the result.  TALLY_INVALID_PARAMETER (err: the first fault), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status params_from_texts(const struct definition *definition,
						const struct params_text *texts, size_t n_texts,
						struct params **out_params,
						struct params_faults *faults,
						struct tally_error *err);

/* Makes parameters from a decoded request message; JSON types must fit the declared ones (an
 * absent or null member is absent).  Statuses as params_from_texts. */
TALLY_MUST_CHECK tally_status params_from_request(const struct definition *definition,
						  const struct tally_request_view *request,
						  struct params **out_params,
						  struct params_faults *faults,
						  struct tally_error *err);

/* Frees the parameters.  Accepts NULL. */
void params_free(struct params *params);

/* The definition that these parameters belong to; borrowed. */
const struct definition *params_definition(const struct params *params);

/* The value of the parameter at index (order of the definition); borrowed. */
const struct value *params_value(const struct params *params, size_t index);

/* Whether two sets of the same definition have the same value at index.  1.10 is not 1.1: an answer
 * may show the parameter as it was written. */
bool params_same(const struct params *params, const struct params *others, size_t index);

/* Whether two sets of the same definition are the same, value by value. */
bool params_equal(const struct params *a, const struct params *b);

/* A hash: equal parameters have equal hashes. */
uint64_t params_hash(const struct params *params);

/* The fingerprint of contract.md for these parameters and a tenant, as 32 hex digits and an end. */
TALLY_MUST_CHECK tally_status params_fingerprint(const struct params *params, const char *tenant,
						 char out[33], struct tally_error *err);

/* Writes the request message (JSON) into buf; *out_len is the length needed.  TALLY_TOO_LARGE when
 * cap is less. */
TALLY_MUST_CHECK tally_status params_encode(const struct params *params, char *buf, size_t cap,
					    size_t *out_len, struct tally_error *err);

/* The same with format and labels of a view (borrowed); the labels are sorted by name, so that
 * equal requests are equal bytes. */
TALLY_MUST_CHECK tally_status params_encode_job(const struct params *params,
						const struct tally_request_view *more, char *buf,
						size_t cap, size_t *out_len,
						struct tally_error *err);

#endif
