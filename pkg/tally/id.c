#include <tally/id.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#define ID_BYTES     24
#define SIGNED_BYTES 16
#define MAC_BYTES    8

/* Crockford: no i, l, o, u. */
static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char hex[] = "0123456789abcdef";

static void
encode_base32(const unsigned char *bytes, size_t len, char *out, size_t n_chars)
{
	for (size_t i = 0; i < n_chars; i++) {
		size_t bit = i * 5;
		unsigned two = (unsigned)bytes[bit / 8] << 8;

		if (bit / 8 + 1 < len)
			two |= bytes[bit / 8 + 1];
		out[i] = alphabet[two >> (11 - bit % 8) & 31];
	}
}

/* False on a character outside the alphabet or on padding bits that are not zero. */
static bool
decode_base32(const char *text, size_t n_chars, unsigned char *bytes, size_t len)
{
	unsigned held = 0;
	unsigned n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < n_chars; i++) {
		const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;

		if (!at)
			return false;
		held = (held << 5 | (unsigned)(at - alphabet)) & 0xffff;
		n_bits += 5;
		if (n_bits >= 8 && n < len) {
			n_bits -= 8;
			bytes[n++] = (unsigned char)(held >> n_bits);
		}
	}
	return n == len && (held & ((1U << n_bits) - 1)) == 0;
}

static bool
compute_mac(const void *secret, size_t secret_len, const char *tenant,
	    const unsigned char bytes[SIGNED_BYTES], unsigned char out[MAC_BYTES])
{
	unsigned char message[TALLY_TENANT_MAX + SIGNED_BYTES];
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t tenant_len = strlen(tenant);
	unsigned mac_len;

	if (tenant_len > TALLY_TENANT_MAX)
		return false;
	memcpy(message, tenant, tenant_len);
	memcpy(message + tenant_len, bytes, SIGNED_BYTES);
	if (!HMAC(EVP_sha256(), secret, (int)secret_len, message, tenant_len + SIGNED_BYTES, mac,
		  &mac_len))
		return false;
	memcpy(out, mac, MAC_BYTES);
	return true;
}

static void
put_big_endian(unsigned char *out, uint64_t number, size_t n_bytes)
{
	for (size_t i = n_bytes; i-- > 0; number >>= 8)
		out[i] = (unsigned char)number;
}

tally_status
tally_job_id_make(const struct tally_secrets *secrets, const char *tenant, int64_t created_ms,
		  int partition, struct tally_job_id *out_id, struct tally_error *err)
{
	unsigned char bytes[ID_BYTES];

	if (created_ms < 0 || created_ms >> 48 || partition < 0 || partition > 65535
	    || secrets->n == 0)
		return tally_fail(err, TALLY_BAD_REQUEST, "time, partition or secret of a job id");
	put_big_endian(bytes, (uint64_t)created_ms, 6);
	put_big_endian(bytes + 6, (uint64_t)partition, 2);
	if (getrandom(bytes + 8, 8, 0) != 8
	    || !compute_mac(secrets->items[0].bytes, secrets->items[0].len, tenant, bytes,
			    bytes + SIGNED_BYTES))
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness for a job id");
	encode_base32(bytes, ID_BYTES, out_id->text, TALLY_JOB_ID_CHARS);
	out_id->text[TALLY_JOB_ID_CHARS] = '\0';
	return TALLY_OK;
}

tally_status
tally_job_id_foreign(const char *tenant, const char *ce_source, const char *ce_id,
		     struct tally_job_id *out_id)
{
	const char *const texts[] = { tenant, ce_source, ce_id };
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);

	for (size_t i = 0; i < 3; i++)
		ok = ok && EVP_DigestUpdate(context, texts[i], strlen(texts[i]) + (i < 2));
	ok = ok && EVP_DigestFinal_ex(context, digest, NULL);
	EVP_MD_CTX_free(context);
	if (!ok)
		return TALLY_NO_MEMORY;
	out_id->text[0] = 'x';
	encode_base32(digest, 32, out_id->text + 1, TALLY_JOB_ID_CHARS - 1);
	out_id->text[TALLY_JOB_ID_CHARS] = '\0';
	return TALLY_OK;
}

static void
keep_id(const char *text, struct tally_job_id *out_id)
{
	memcpy(out_id->text, text, TALLY_JOB_ID_CHARS);
	out_id->text[TALLY_JOB_ID_CHARS] = '\0';
}

/* 'x' is in the alphabet too, but as a first character it would be a time after the year 8300. */
static bool
is_foreign_text(const char *text)
{
	return text[0] == 'x' && strspn(text, alphabet) >= TALLY_JOB_ID_CHARS;
}

tally_status
tally_job_id_parse(const char *text, size_t len, struct tally_job_id *out_id,
		   struct tally_job_id_parts *out_parts)
{
	char copy[TALLY_JOB_ID_CHARS + 1];
	unsigned char bytes[ID_BYTES];
	int64_t created_ms = 0;

	if (len != TALLY_JOB_ID_CHARS)
		return TALLY_NOT_FOUND;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (is_foreign_text(copy)) {
		*out_parts = (struct tally_job_id_parts){ .partition = -1, .is_foreign = true };
		keep_id(copy, out_id);
		return TALLY_OK;
	}
	if (!decode_base32(copy, len, bytes, ID_BYTES))
		return TALLY_NOT_FOUND;
	for (size_t i = 0; i < 6; i++)
		created_ms = created_ms << 8 | bytes[i];
	*out_parts = (struct tally_job_id_parts){
		.created_ms = created_ms,
		.partition = bytes[6] << 8 | bytes[7],
	};
	keep_id(copy, out_id);
	return TALLY_OK;
}

bool
tally_job_id_is_genuine(const struct tally_job_id *id, const struct tally_secrets *secrets,
			const char *tenant)
{
	unsigned char bytes[ID_BYTES];
	unsigned char mac[MAC_BYTES];
	bool is_genuine = false;

	if (id->text[0] == 'x' || !decode_base32(id->text, TALLY_JOB_ID_CHARS, bytes, ID_BYTES))
		return false;
	for (size_t i = 0; i < secrets->n; i++) {
		if (compute_mac(secrets->items[i].bytes, secrets->items[i].len, tenant, bytes, mac)
		    && CRYPTO_memcmp(mac, bytes + SIGNED_BYTES, MAC_BYTES) == 0)
			is_genuine = true;
	}
	return is_genuine;
}

bool
tally_tenant_is_valid(const char *text, size_t len)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-";

	if (len == 0 || len > TALLY_TENANT_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!text[i] || !strchr(allowed, text[i]))
			return false;
	}
	return true;
}

/* ---- request ids and traces -------------------------------------------------- */

static void
format_hex(const unsigned char *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		*out++ = hex[bytes[i] >> 4];
		*out++ = hex[bytes[i] & 15];
	}
	*out = '\0';
}

static bool
parse_hex(const char *text, unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len * 2; i++) {
		const char *at = text[i] ? strchr(hex, text[i]) : NULL;

		if (!at)
			return false;
		bytes[i / 2] = (unsigned char)(bytes[i / 2] << 4 | (at - hex));
	}
	return true;
}

tally_status
tally_request_id_make(struct tally_request_id *out_id)
{
	return getrandom(out_id->bytes, sizeof out_id->bytes, 0) == sizeof out_id->bytes
		   ? TALLY_OK
		   : TALLY_INTERNAL_ERROR;
}

void
tally_request_id_format(const struct tally_request_id *id, char out[TALLY_REQUEST_ID_HEX + 1])
{
	format_hex(id->bytes, sizeof id->bytes, out);
}

bool
tally_request_id_parse(const char *text, size_t len, struct tally_request_id *out_id)
{
	struct tally_request_id id = { { 0 } };

	if (len != TALLY_REQUEST_ID_HEX || !parse_hex(text, id.bytes, sizeof id.bytes))
		return false;
	*out_id = id;
	return true;
}

tally_status
tally_trace_make(struct tally_trace *out_trace)
{
	unsigned char bytes[24];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return TALLY_INTERNAL_ERROR;
	bytes[0] |= 1; /* neither id may be all zeros */
	bytes[16] |= 1;
	memcpy(out_trace->text, "00-", 3);
	format_hex(bytes, 16, out_trace->text + 3);
	out_trace->text[35] = '-';
	format_hex(bytes + 16, 8, out_trace->text + 36);
	memcpy(out_trace->text + 52, "-00", 4);
	return TALLY_OK;
}

static bool
is_zero(const char *text, size_t len)
{
	return strspn(text, "0") >= len;
}

bool
tally_trace_parse(const char *text, size_t len, struct tally_trace *out_trace)
{
	struct tally_trace trace;
	unsigned char scratch[16];

	if (len != TALLY_TRACEPARENT_LEN)
		return false;
	memcpy(trace.text, text, len);
	trace.text[len] = '\0';
	if (memcmp(trace.text, "00-", 3) != 0 || trace.text[35] != '-' || trace.text[52] != '-'
	    || !parse_hex(trace.text + 3, scratch, 16) || !parse_hex(trace.text + 36, scratch, 8)
	    || !parse_hex(trace.text + 53, scratch, 1) || is_zero(trace.text + 3, 32)
	    || is_zero(trace.text + 36, 16))
		return false;
	*out_trace = trace;
	return true;
}
