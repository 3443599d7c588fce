#include "gateway/tenants_key.h"

#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "gateway/tenants.h"

#define KEY_MAX_CHARS 512

bool
tenants_key_read(const char *authorization, const char **out_key, size_t *out_len)
{
	static const char scheme[] = "Bearer ";
	const char *key = authorization + sizeof scheme - 1;

	if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
		return false;
	key += strspn(key, " \t");
	size_t len = strlen(key);
	while (len > 0 && (key[len - 1] == ' ' || key[len - 1] == '\t'))
		len--;
	*out_key = key;
	*out_len = len;
	return len > 0 && len <= KEY_MAX_CHARS;
}

size_t
tenants_key_mask(const unsigned char a[TALLY_SHA256_BYTES],
		 const unsigned char b[TALLY_SHA256_BYTES])
{
	unsigned differences = 0;

	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++)
		differences |= (unsigned)(a[i] ^ b[i]);
	return (size_t)0 - (size_t)(((differences - 1) >> 8) & 1);
}

/* Base64 for URLs (RFC 4648, section 5), without padding. */
static void
write_base64(const unsigned char *bytes, size_t len, char *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0;
	unsigned n = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | bytes[i];
		for (n += 8; n >= 6; n -= 6)
			*out++ = digits[bits >> (n - 6) & 63];
		bits &= (1u << n) - 1;
	}
	if (n > 0)
		*out++ = digits[bits << (6 - n) & 63];
	*out = '\0';
}

tally_status
tenant_key_make(char out_key[TENANT_KEY_CHARS + 1], char out_sha256[65])
{
	static const char prefix[] = "tally_";
	unsigned char bytes[32];
	unsigned char sha256[TALLY_SHA256_BYTES];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return TALLY_INTERNAL_ERROR;
	memcpy(out_key, prefix, sizeof prefix - 1);
	write_base64(bytes, sizeof bytes, out_key + sizeof prefix - 1);
	if (tally_sha256(out_key, TENANT_KEY_CHARS, sha256) != TALLY_OK)
		return TALLY_INTERNAL_ERROR;
	for (size_t i = 0; i < sizeof sha256; i++)
		snprintf(out_sha256 + 2 * i, 3, "%02x", sha256[i]);
	return TALLY_OK;
}
