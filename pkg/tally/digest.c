#include <tally/digest.h>

#include <openssl/evp.h>

tally_status
tally_sha256(const void *data, size_t len, unsigned char out[TALLY_SHA256_BYTES])
{
	unsigned n = 0;

	if (!EVP_Digest(data, len, out, &n, EVP_sha256(), NULL) || n != TALLY_SHA256_BYTES)
		return TALLY_INTERNAL_ERROR;
	return TALLY_OK;
}
