/* tenants.h - who may ask, and how much: API keys, tenants, limits.
 *
 * The file of TALLY_API_KEYS, a line a key:
 *
 *	TENANT SHA256 [REQUESTS_A_SECOND [IN_FLIGHT [WAITING]]]
 *
 * Fields apart by blanks, # begins a comment.  SHA256 is that of the key, in hex: whoever reads the
 * file cannot use it.  A tenant may have several keys; limits are the tenant's, those of its last
 * line that gives them; 0 is no limit.  Without a file there is one tenant, "default", without a
 * key and without limits.
 *
 * A tenant's counters live as long as any request holds it, also across a reload.  Any thread. */
#ifndef GATEWAY_TENANTS_H
#define GATEWAY_TENANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/id.h>
#include <tally/status.h>

struct tenants;
struct tenant;

#define TENANTS_LIMIT_MAX 1000000

/* What a tenant may; 0 is no limit. */
struct tenant_limits {
	uint32_t requests_a_second; /* as many at once after a second of silence */
	uint32_t in_flight;
	uint32_t waiting;
};

/* What a request takes of its tenant's limits. */
enum tenant_use {
	TENANT_ASK,  /* one request in flight */
	TENANT_WAIT, /* one long wait: Prefer: wait for a job, an event stream */
};

/* Reads the file; "" or NULL: everybody is "default".  TALLY_WRONG_SETTING ("file:line: what"),
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tenants_new(const char *path, struct tenants **out_tenants,
					  struct tally_error *err);

/* Frees the table; no tenant may be held any more.  Accepts NULL. */
void tenants_free(struct tenants *tenants);

/* Reads the file again; on failure what was there stays. */
TALLY_MUST_CHECK tally_status tenants_reload(struct tenants *tenants, struct tally_error *err);

/* Whether keys are asked for. */
bool tenants_have_keys(struct tenants *tenants);

/* A tenant, its limits, how many keys it has. */
typedef void
tenants_each_fn(void *ctx, const char *name, const struct tenant_limits *limits, size_t n_keys);

/* Calls each for every tenant, in the file's order; no lock is held meanwhile. */
void tenants_each(struct tenants *tenants, tenants_each_fn *each, void *ctx);

/* The tenant of an Authorization header ("Bearer KEY"; may be NULL), held until tenant_drop.
 * TALLY_UNAUTHORIZED; which keys there are cannot be told from how long it takes. */
TALLY_MUST_CHECK tally_status tenants_find(struct tenants *tenants, const char *authorization,
					   struct tenant **out_tenant, struct tally_error *err);

/* Holds a tenant once more, and lets go of it.  drop accepts NULL. */
struct tenant *tenant_hold(struct tenant *tenant);
void tenant_drop(struct tenant *tenant);

/* Its name; lives as long as it is held. */
const char *tenant_name(const struct tenant *tenant);

/* Takes from the tenant's limits; a request a second counts once, with TENANT_ASK.  now_ms is
 * clock_mono_ms().  TALLY_RATE_LIMITED: *out_retry_s says in how many seconds to try again. */
TALLY_MUST_CHECK tally_status tenant_enter(struct tenant *tenant, enum tenant_use use,
					   int64_t now_ms, unsigned *out_retry_s,
					   struct tally_error *err);

/* Gives back what tenant_enter took. */
void tenant_leave(struct tenant *tenant, enum tenant_use use);

#define TENANT_KEY_CHARS 49

/* Makes a key: "tally_" and 43 characters of 256 random bits, its SHA-256 in hex beside it.
 * TALLY_INTERNAL_ERROR without randomness. */
TALLY_MUST_CHECK tally_status tenant_key_make(char out_key[TENANT_KEY_CHARS + 1],
					      char out_sha256[65]);

#endif
