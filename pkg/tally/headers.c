#include <tally/rules.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 2024-02-29T12:30:00.123Z and an end; years past 9999 have a digit more. */
#define TIME_MAX 32

static const char hex[] = "0123456789abcdef";

static const char *
store(struct tally_headers *headers, const char *text, size_t len)
{
	char *at = headers->storage + headers->used;

	if (len >= sizeof headers->storage - headers->used) {
		headers->is_full = true;
		return NULL;
	}
	memcpy(at, text, len);
	at[len] = '\0';
	headers->used += len + 1;
	return at;
}

void
tally_headers_add(struct tally_headers *headers, const char *name, const char *value)
{
	size_t len = strlen(value);
	const char *own_name = store(headers, name, strlen(name));
	const char *own_value = store(headers, value, len);

	if (headers->n == TALLY_HEADERS_MAX || headers->is_full) {
		headers->is_full = true;
		return;
	}
	headers->items[headers->n++] = (struct tally_header){ own_name, own_value, len };
}

void
tally_headers_start(struct tally_headers *headers)
{
	headers->n = 0;
	headers->used = 0;
	headers->is_full = false;
}

tally_status
tally_headers_finish(const struct tally_headers *headers)
{
	return headers->is_full ? TALLY_TOO_LARGE : TALLY_OK;
}

void
tally_headers_add_number(struct tally_headers *headers, const char *name, int64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRId64, number);
	tally_headers_add(headers, name, text);
}

void
tally_headers_add_run(struct tally_headers *headers, const char *name, uint64_t run)
{
	char text[17];

	(void)snprintf(text, sizeof text, "%016" PRIx64, run);
	tally_headers_add(headers, name, text);
}

void
tally_headers_add_sha256(struct tally_headers *headers, const char *name,
			 const unsigned char sha256[TALLY_SHA256_BYTES])
{
	char text[2 * TALLY_SHA256_BYTES + 1];

	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++) {
		text[2 * i] = hex[sha256[i] >> 4];
		text[2 * i + 1] = hex[sha256[i] & 15];
	}
	text[2 * TALLY_SHA256_BYTES] = '\0';
	tally_headers_add(headers, name, text);
}

void
tally_headers_add_as_of(struct tally_headers *headers, const struct tally_as_of *as_of, size_t n)
{
	char name[sizeof TALLY_HEADER_AS_OF + TALLY_SOURCE_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(name, sizeof name, TALLY_HEADER_AS_OF "%s", as_of[i].source);
		tally_headers_add_number(headers, name, as_of[i].at_ms);
	}
}

static void
format_time(int64_t at_ms, char out[TIME_MAX])
{
	time_t seconds = at_ms / 1000;
	struct tm tm = { 0 };
	size_t len;

	(void)gmtime_r(&seconds, &tm); /* fails past 2^31 years only */
	len = strftime(out, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + len, TIME_MAX - len, ".%03dZ", (int)(at_ms % 1000));
}

void
tally_headers_add_event(struct tally_headers *headers, const char *source, const char *type,
			int64_t at_ms)
{
	char time[TIME_MAX];

	format_time(at_ms < 0 ? 0 : at_ms, time);
	tally_headers_add(headers, TALLY_HEADER_CE_SPECVERSION, "1.0");
	tally_headers_add(headers, TALLY_HEADER_CE_SOURCE, source);
	tally_headers_add(headers, TALLY_HEADER_CE_TYPE, type);
	tally_headers_add(headers, TALLY_HEADER_CE_TIME, time);
	tally_headers_add(headers, TALLY_HEADER_CONTENT_TYPE, "application/json");
}
