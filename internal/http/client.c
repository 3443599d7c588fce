#include "http/client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

struct exchange {
	const struct http_get *get;
	CURL *curl;
	struct curl_slist *headers;
	struct buf body;
	tally_status body_status; /* why the body was cut off */
};

static size_t
take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct exchange *exchange = ctx;

	exchange->body_status = buf_append(&exchange->body, data, size * n);
	return exchange->body_status == TALLY_OK ? size * n : 0;
}

static tally_status
fail_curl(const struct exchange *exchange, CURLcode code, const char *reason,
	  struct tally_error *err)
{
	if (exchange->body_status == TALLY_TOO_LARGE)
		return tally_fail(err, TALLY_TOO_LARGE, "the answer is larger than %zu bytes",
				  exchange->get->max_body_bytes);
	if (code == CURLE_OUT_OF_MEMORY || exchange->body_status == TALLY_NO_MEMORY)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return tally_fail(err, TALLY_BAD_REQUEST, "not an http or https URL: %s",
				  exchange->get->url);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return tally_fail(err, TALLY_DEADLINE_EXCEEDED, "no answer within %d ms",
				  exchange->get->timeout_ms);
	return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s",
			  reason[0] ? reason : curl_easy_strerror(code));
}

static tally_status
add_headers(struct exchange *exchange, struct tally_error *err)
{
	char *line = NULL;

	if (!exchange->get->authorization)
		return TALLY_OK;
	if (asprintf(&line, "Authorization: %s", exchange->get->authorization) < 0)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	exchange->headers = curl_slist_append(NULL, line);
	free(line);
	return exchange->headers ? TALLY_OK : tally_fail(err, TALLY_NO_MEMORY, "out of memory");
}

static CURLcode
set_up(struct exchange *exchange, char *reason)
{
	const struct http_get *get = exchange->get;
	CURL *curl = exchange->curl;
	CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, get->url);

	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exchange->headers);
	/* These cannot fail: curl_easy_setopt(3) of each. */
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)get->connect_ms);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)get->timeout_ms);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
	return code;
}

static tally_status
take_answer(struct exchange *exchange, struct http_answer *answer, struct tally_error *err)
{
	const char *content_type = NULL;
	long code = 0;

	if (buf_append(&exchange->body, "", 1) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	(void)curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &code);
	(void)curl_easy_getinfo(exchange->curl, CURLINFO_CONTENT_TYPE, &content_type);
	answer->status = (int)code;
	answer->body = buf_take(&exchange->body, &answer->body_len);
	answer->body_len--;
	if (content_type)
		(void)snprintf(answer->content_type, sizeof answer->content_type, "%s",
			       content_type);
	return TALLY_OK;
}

tally_status
http_get(const struct http_get *get, struct http_answer *out_answer, struct tally_error *err)
{
	char reason[CURL_ERROR_SIZE] = "";
	/* One byte more than the ceiling, for the terminator. */
	struct exchange exchange = { .get = get, .body = BUF_INIT(get->max_body_bytes + 1) };
	tally_status status = add_headers(&exchange, err);
	CURLcode code;

	*out_answer = (struct http_answer){ 0 };
	exchange.curl = curl_easy_init();
	if (status == TALLY_OK && !exchange.curl)
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK) {
		code = set_up(&exchange, reason);
		if (code == CURLE_OK)
			code = curl_easy_perform(exchange.curl);
		status = code == CURLE_OK ? take_answer(&exchange, out_answer, err)
					  : fail_curl(&exchange, code, reason, err);
	}
	buf_fini(&exchange.body);
	curl_slist_free_all(exchange.headers);
	curl_easy_cleanup(exchange.curl);
	return status;
}

void
http_answer_fini(struct http_answer *answer)
{
	free(answer->body);
	*answer = (struct http_answer){ 0 };
}

tally_status
http_put_encoded(struct buf *url, const char *text)
{
	tally_status status = TALLY_OK;

	for (; status == TALLY_OK && *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if ((byte < 0x80 && isalnum(byte)) || (byte && strchr("-._~", byte)))
			status = buf_append(url, text, 1);
		else
			status = buf_printf(url, "%%%02X", byte);
	}
	return status;
}
