/* tenants_key.h - one API key: found in a header, compared; tenant_key_make of tenants.h makes one.
 * Any thread. */
#ifndef GATEWAY_TENANTS_KEY_H
#define GATEWAY_TENANTS_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include <tally/digest.h>

/* The key of "Bearer KEY", the scheme in any case (RFC 6750, section 2.1; RFC 9110, section 11.1).
 * Borrowed from authorization, not terminated.  False when there is none. */
bool tenants_key_read(const char *authorization, const char **out_key, size_t *out_len);

/* All ones when the hashes are equal, else 0; without a branch. */
size_t tenants_key_mask(const unsigned char a[TALLY_SHA256_BYTES],
			const unsigned char b[TALLY_SHA256_BYTES]);

#endif
