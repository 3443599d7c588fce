/* framing.c - is this one request, and where does it end?  Whoever stands in front of us must have
 * answered that as we do (RFC 9112, section 11.2), and libmicrohttpd 0.9.75 is lax: it takes a bare
 * LF for a line end, joins folded lines (and to the name), cuts values at a NUL, lets spaces stand
 * before a colon, and reads the first of two lengths.
 *
 * It parses in place and puts NULs where it cut, so what it found can be compared with where it
 * lies: each name must begin two bytes after the value before it has ended, and after the last one
 * there must be exactly one empty line.  Any folding, bare LF or NUL breaks that chain.
 *
 * The lines of chunks we never see, and there it takes a bare LF, too, and anything in an
 * extension.  So a request in chunks is the last of its connection: whatever others take for its
 * end, nothing behind it is read as a request.
 * NOTE: a NUL in the place of a CR (NUL LF) cannot be told from CR LF; both end a line. */
#include "http/inner.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VERSION_BYTES    8
#define LINE_END_BYTES   2
#define MAX_LENGTH_BYTES 19 /* digits: fits 64 bits */

struct reading {
	struct http_request *request;
	const char *next; /* where the next line must begin */
	char *to;
	size_t room; /* headers left to store */
	const char *wrong;
	const char *host;
	const char *length;
	const char *coding;
};

static bool
is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!is_alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return len > 0;
}

/* Whether all bytes may be in a header's value: no control bytes but the tab. */
static bool
is_field(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Whether all bytes may be in a target or host: visible ASCII. */
static bool
is_visible(const char *text)
{
	for (; *text; text++)
		if (*text <= 0x20 || *text >= 0x7f)
			return false;
	return true;
}

/* Copies a part and terminates it. */
static const char *
copy(struct reading *reading, const char *text, size_t len)
{
	char *at = reading->to;

	memcpy(at, text, len);
	at[len] = '\0';
	reading->to += len + 1;
	return at;
}

static bool
is_first(const char **slot, const char *value)
{
	bool is_empty = !*slot;

	*slot = value;
	return is_empty;
}

/* The headers that frame a request may come once. */
static const char *
note(struct reading *reading, const char *name, const char *value)
{
	if (strcasecmp(name, "Host") == 0 && !is_first(&reading->host, value))
		return "the request has more than one Host header";
	if (strcasecmp(name, "Content-Length") == 0 && !is_first(&reading->length, value))
		return "the request has more than one Content-Length header";
	if (strcasecmp(name, "Transfer-Encoding") == 0 && !is_first(&reading->coding, value))
		return "the request has more than one Transfer-Encoding header";
	if (strcasecmp(name, "Expect") == 0)
		reading->request->expects_continue = true;
	return NULL;
}

static enum MHD_Result
read_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_len,
	    const char *value, size_t len)
{
	struct reading *reading = ctx;
	struct http_request *request = reading->request;
	struct http_header *header = &request->headers[request->n_headers];

	(void)kind;
	if (name != reading->next || reading->room == 0 || !value)
		reading->wrong = "the request has a header line that is folded, has a NUL byte or "
				 "does not end with CR LF";
	else if (!is_token(name, name_len))
		reading->wrong = "the request has a header name with a byte that is not allowed";
	else if (!is_field(value, len))
		reading->wrong = "the request has a header value with a control byte";
	if (reading->wrong)
		return MHD_NO;
	reading->next = value + len + LINE_END_BYTES;
	reading->room--;
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	header->name = copy(reading, name, name_len);
	header->value = copy(reading, value, len);
	request->n_headers++;
	reading->wrong = note(reading, header->name, header->value);
	return reading->wrong ? MHD_NO : MHD_YES;
}

static const char *
check_line(const struct http_request *request, const struct http_line *line)
{
	size_t method_len = strlen(line->method);

	if (!is_token(line->method, method_len) || method_len >= sizeof request->method)
		return "the request's method is not one";
	if (line->target != line->method + method_len + 1 || line->target != request->raw_at
	    || line->version != line->target + request->raw_len + 1)
		return "the request line is not METHOD SP TARGET SP VERSION";
	if (memcmp(line->version, "HTTP/1.1", VERSION_BYTES) != 0
	    && memcmp(line->version, "HTTP/1.0", VERSION_BYTES) != 0)
		return "the request's HTTP version is neither 1.1 nor 1.0";
	if (request->raw && (!is_visible(request->raw) || strchr(request->raw, '#')))
		return "the URL has a byte that must be percent-encoded";
	return NULL;
}

static const char *
check_length(struct http_request *request, const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > MAX_LENGTH_BYTES || strspn(text, "0123456789") != len)
		return "the request's Content-Length is not a number";
	request->declared_bytes = strtoull(text, NULL, 10);
	return NULL;
}

static const char *
check_framing(struct reading *reading, bool is_1_0)
{
	if (!reading->host && !is_1_0)
		return "the request has no Host header";
	if (reading->host && (!is_visible(reading->host) || strpbrk(reading->host, ",/@?#\\\"<>")))
		return "the request's Host header is not a host";
	if (reading->coding && reading->length)
		return "the request has both Content-Length and Transfer-Encoding";
	if (reading->coding && is_1_0)
		return "the request is HTTP/1.0 and has a Transfer-Encoding";
	if (reading->coding && strcasecmp(reading->coding, "chunked") != 0)
		return "the request's Transfer-Encoding is not chunked";
	reading->request->is_chunked = reading->coding != NULL;
	return reading->length ? check_length(reading->request, reading->length) : NULL;
}

static tally_status
read_headers(struct http_request *request, const struct http_line *line, size_t block_len,
	     struct tally_error *err)
{
	int n = MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, NULL, NULL);
	struct reading reading = { .request = request,
				   .next = line->version + VERSION_BYTES + LINE_END_BYTES,
				   .room = n > 0 ? (size_t)n : 0 };

	/* One more, so that malloc(0) is none. */
	request->headers = calloc(reading.room + 1, sizeof *request->headers);
	/* A header may lie elsewhere when it is folded: it is not copied then. */
	request->header_text = malloc(block_len + 1);
	if (!request->headers || !request->header_text)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	reading.to = request->header_text;
	(void)MHD_get_connection_values_n(request->mhd, MHD_HEADER_KIND, read_header, &reading);
	if (!reading.wrong && reading.next + LINE_END_BYTES != line->method + block_len)
		reading.wrong = "the request has a header line that is folded, has a NUL byte or "
				"does not end with CR LF";
	if (!reading.wrong)
		reading.wrong = check_framing(&reading, line->version[VERSION_BYTES - 1] == '0');
	return reading.wrong ? tally_fail(err, TALLY_BAD_REQUEST, "%s", reading.wrong) : TALLY_OK;
}

tally_status
http_framing_read(struct http_request *request, const struct http_line *line,
		  struct tally_error *err)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	const char *wrong = check_line(request, line);

	if (wrong || !info)
		return tally_fail(err, TALLY_BAD_REQUEST, "%s",
				  wrong ? wrong : "the request is malformed");
	memcpy(request->method, line->method, strlen(line->method) + 1);
	return read_headers(request, line, info->header_size, err);
}
