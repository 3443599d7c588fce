#include <tally/fingerprint.h>

#include <openssl/evp.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* Fetched once: EVP_sha256() is looked up anew by each use (OpenSSL 3, crypto(7), "Performance").
 *  */
static EVP_MD *sha256;
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void
fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* A digest under way; ok turns false with the first failure. */
struct digest {
	EVP_MD_CTX *context;
	bool ok;
};

static void
add(struct digest *digest, const void *data, size_t len)
{
	digest->ok = digest->ok && EVP_DigestUpdate(digest->context, data, len);
}

static void
add_name(struct digest *digest, const char *name)
{
	size_t len = strlen(name);
	unsigned char size[2] = { (unsigned char)(len >> 8), (unsigned char)len };

	digest->ok = digest->ok && len <= UINT16_MAX;
	add(digest, size, sizeof size);
	add(digest, name, len);
}

static void
add_param(struct digest *digest, const struct tally_fingerprint_param *param)
{
	uint32_t len = param->type == TALLY_ABSENT ? 0 : param->len;
	unsigned char head[5] = {
		(unsigned char)param->type, (unsigned char)(len >> 24), (unsigned char)(len >> 16),
		(unsigned char)(len >> 8),  (unsigned char)len,
	};

	add_name(digest, param->name);
	add(digest, head, sizeof head);
	add(digest, param->value, len);
}

static tally_status
digest_all(struct digest *digest, const char *const names[2],
	   const struct tally_fingerprint_param *params, size_t n_params)
{
	add_name(digest, names[0]);
	add_name(digest, names[1]);
	for (size_t i = 0; i < n_params; i++) {
		if (i > 0 && strcmp(params[i - 1].name, params[i].name) >= 0)
			return TALLY_BAD_REQUEST;
		add_param(digest, &params[i]);
	}
	return TALLY_OK;
}

tally_status
tally_fingerprint_make(const char *tenant, const char *dataset,
		       const struct tally_fingerprint_param *params, size_t n_params,
		       struct tally_fingerprint *out_fingerprint)
{
	struct digest digest = { .context = EVP_MD_CTX_new() };
	unsigned char full[EVP_MAX_MD_SIZE];
	tally_status status;

	pthread_once(&fetch_once, fetch_sha256);
	digest.ok = digest.context && sha256 && EVP_DigestInit_ex(digest.context, sha256, NULL);
	status = digest_all(&digest, (const char *const[]){ tenant, dataset }, params, n_params);
	digest.ok = digest.ok && EVP_DigestFinal_ex(digest.context, full, NULL);
	EVP_MD_CTX_free(digest.context);
	if (status != TALLY_OK)
		return status;
	if (!digest.ok)
		return TALLY_INTERNAL_ERROR;
	memcpy(out_fingerprint->bytes, full, TALLY_FINGERPRINT_BYTES);
	return TALLY_OK;
}

void
tally_fingerprint_format(const struct tally_fingerprint *fingerprint,
			 char out[TALLY_FINGERPRINT_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < TALLY_FINGERPRINT_BYTES; i++) {
		out[i * 2] = digits[fingerprint->bytes[i] >> 4];
		out[i * 2 + 1] = digits[fingerprint->bytes[i] & 15];
	}
	out[TALLY_FINGERPRINT_HEX] = '\0';
}
