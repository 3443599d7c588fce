/* id.h - identities: job ids that prove themselves, request ids of the sync lane, trace contexts.
 *
 * A job id is 24 bytes in Crockford's base32, lower case, 39 characters: 48 bits Unix ms, 16 bits
 * partition of the results topic, 64 random bits, and the first 64 bits of
 * HMAC-SHA256(secret, tenant || the first 16 bytes).  Whoever has the secret knows without a
 * look-up whether an id is genuine and whose it is.  Any thread. */
#ifndef TALLY_ID_H
#define TALLY_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_JOB_ID_CHARS    39
#define TALLY_TENANT_MAX      64
#define TALLY_SECRETS_MAX     2
#define TALLY_REQUEST_ID_HEX  32
#define TALLY_TRACEPARENT_LEN 55

/* A job id as text, terminated. */
struct tally_job_id {
	char text[TALLY_JOB_ID_CHARS + 1];
};

/* What a job id says of itself. */
struct tally_job_id_parts {
	int64_t created_ms; /* Unix time */
	int partition;      /* of the results topic; -1 of a foreign id, which tells neither */
	bool is_foreign;
};

/* The secrets that are valid: the first signs, all verify (rotation). */
struct tally_secrets {
	struct {
		const void *bytes;
		size_t len;
	} items[TALLY_SECRETS_MAX];
	size_t n;
};

/* Makes an id: created_ms below 2^48, partition 0 .. 65535.  TALLY_BAD_REQUEST for others,
 * TALLY_INTERNAL_ERROR without randomness. */
TALLY_MUST_CHECK tally_status tally_job_id_make(const struct tally_secrets *secrets,
						const char *tenant, int64_t created_ms,
						int partition, struct tally_job_id *out_id,
						struct tally_error *err);

/* The id of a job that a foreign producer published: 'x' and 38 characters of
 * SHA-256(tenant 0 ce_source 0 ce_id). */
TALLY_MUST_CHECK tally_status tally_job_id_foreign(const char *tenant, const char *ce_source,
						   const char *ce_id, struct tally_job_id *out_id);

/* Reads an id of len characters: right alphabet, canonical (padding bits zero).  Says nothing of
 * whether it is genuine.  TALLY_NOT_FOUND otherwise. */
TALLY_MUST_CHECK tally_status tally_job_id_parse(const char *text, size_t len,
						 struct tally_job_id *out_id,
						 struct tally_job_id_parts *out_parts);

/* Whether the id was made with one of the secrets for this tenant; compared in constant time. 
 * False for foreign ids: those are looked up. */
bool tally_job_id_is_genuine(const struct tally_job_id *id, const struct tally_secrets *secrets,
			     const char *tenant);

/* Whether text is a tenant's name: 1 to 64 of A-Z a-z 0-9 _ . - */
bool tally_tenant_is_valid(const char *text, size_t len);

/* The id of one message of the sync lane: unique, not secret. */
struct tally_request_id {
	unsigned char bytes[16];
};

/* Makes a request id.  TALLY_INTERNAL_ERROR without randomness. */
TALLY_MUST_CHECK tally_status tally_request_id_make(struct tally_request_id *out_id);

/* Writes 32 hex digits and an end. */
void tally_request_id_format(const struct tally_request_id *id, char out[TALLY_REQUEST_ID_HEX + 1]);

/* Reads 32 lower-case hex digits; false otherwise. */
bool tally_request_id_parse(const char *text, size_t len, struct tally_request_id *out_id);

/* A W3C trace context, as in the header traceparent; terminated. */
struct tally_trace {
	char text[TALLY_TRACEPARENT_LEN + 1];
};

/* Begins a trace.  TALLY_INTERNAL_ERROR without randomness. */
TALLY_MUST_CHECK tally_status tally_trace_make(struct tally_trace *out_trace);

/* Reads a traceparent of version 00 (W3C Trace Context, section 3.2.2); false when it is not
 * valid, and a new trace is to be begun. */
bool tally_trace_parse(const char *text, size_t len, struct tally_trace *out_trace);

#ifdef __cplusplus
}
#endif

#endif
