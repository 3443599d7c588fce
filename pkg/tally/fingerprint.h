/* fingerprint.h - what makes two requests the same: the message key, so that identical requests
 * reach one worker, and no login stands in a key.
 *
 * The first 16 bytes of SHA-256 over
 *   u16 length + tenant, u16 length + dataset,
 *   then each declared parameter, sorted by the bytes of its name:
 *     u16 length + name, type byte (of <tally/types.h>; 0: absent), u32 length + value
 * with big-endian lengths; an absent value has length 0.  Values are in their public form: decimal
 * text, ISO dates, UTF-8. */
#ifndef TALLY_FINGERPRINT_H
#define TALLY_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>
#include <tally/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_FINGERPRINT_BYTES 16
#define TALLY_FINGERPRINT_HEX   32

struct tally_fingerprint {
	unsigned char bytes[TALLY_FINGERPRINT_BYTES];
};

/* One declared parameter. */
struct tally_fingerprint_param {
	const char *name;     /* terminated, at most 65,535 bytes */
	enum tally_type type; /* TALLY_ABSENT: value is not looked at */
	const char *value;
	uint32_t len;
};

/* Computes a fingerprint; params are sorted by name already.  Any thread.  TALLY_BAD_REQUEST when
 * they are not sorted or a name is too long, TALLY_INTERNAL_ERROR when libcrypto fails. */
TALLY_MUST_CHECK tally_status tally_fingerprint_make(const char *tenant, const char *dataset,
						     const struct tally_fingerprint_param *params,
						     size_t n_params,
						     struct tally_fingerprint *out_fingerprint);

/* Writes 32 hex digits and an end. */
void tally_fingerprint_format(const struct tally_fingerprint *fingerprint,
			      char out[TALLY_FINGERPRINT_HEX + 1]);

#ifdef __cplusplus
}
#endif

#endif
