/* digest.h - SHA-256 of a whole buffer (FIPS 180-4), by libcrypto. */
#ifndef TALLY_DIGEST_H
#define TALLY_DIGEST_H

#include <stddef.h>

#include <tally/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_SHA256_BYTES 32

/* Writes the SHA-256 of len bytes to out.  Any thread.  TALLY_INTERNAL_ERROR when libcrypto fails.
 *  */
TALLY_MUST_CHECK tally_status tally_sha256(const void *data, size_t len,
					   unsigned char out[TALLY_SHA256_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
