#include "http/client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define MAX_RETRY_AFTER_S 86400

struct http_client {
	CURL *curl;
};

struct exchange {
	const struct http_call *call;
	CURL *curl;
	struct curl_slist *headers;
	struct buf body;
	tally_status body_status; /* why the body was cut off */
	char reason[CURL_ERROR_SIZE];
};

struct http_client *
http_client_new(void)
{
	struct http_client *client = calloc(1, sizeof *client);

	if (!client)
		return NULL;
	client->curl = curl_easy_init();
	if (client->curl)
		return client;
	free(client);
	return NULL;
}

void
http_client_free(struct http_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	free(client);
}

/* ---- what comes -------------------------------------------------------------- */

static size_t
take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct exchange *exchange = ctx;
	const struct http_call *call = exchange->call;
	long code = 0;

	(void)curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &code);
	if (call->take && code == 200)
		exchange->body_status = call->take(call->ctx, data, size * n);
	else
		exchange->body_status = buf_append(&exchange->body, data, size * n);
	return exchange->body_status == TALLY_OK ? size * n : 0;
}

static tally_status
fail_curl(const struct exchange *exchange, CURLcode code, struct tally_error *err)
{
	const struct http_call *call = exchange->call;

	if (exchange->body_status == TALLY_TOO_LARGE && !call->take)
		return tally_fail(err, TALLY_TOO_LARGE, "the answer is larger than %zu bytes",
				  call->max_body_bytes);
	if (exchange->body_status != TALLY_OK)
		return tally_fail(err, exchange->body_status, "%s",
				  tally_status_title(exchange->body_status));
	if (code == CURLE_OUT_OF_MEMORY)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return tally_fail(err, TALLY_BAD_REQUEST, "not an http or https URL: %s",
				  call->url);
	if (code == CURLE_OPERATION_TIMEDOUT && call->timeout_ms > 0)
		return tally_fail(err, TALLY_DEADLINE_EXCEEDED, "no answer within %d ms",
				  call->timeout_ms);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return tally_fail(err, TALLY_DEADLINE_EXCEEDED, "the answer stands still");
	return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s",
			  exchange->reason[0] ? exchange->reason : curl_easy_strerror(code));
}

static void
take_header(CURL *curl, const char *name, char *out, size_t size)
{
	struct curl_header *header;

	if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
		(void)snprintf(out, size, "%s", header->value);
}

/* Seconds; a date, which Tally never sends, is as if there were none. */
static int
parse_retry_after(const char *text)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	return end == text || *end || seconds < 0 ? -1
	       : seconds > MAX_RETRY_AFTER_S      ? MAX_RETRY_AFTER_S
						  : (int)seconds;
}

static tally_status
take_answer(struct exchange *exchange, struct http_answer *answer, struct tally_error *err)
{
	char retry_after[64] = "";
	long code = 0;

	if (buf_append(&exchange->body, "", 1) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	(void)curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &code);
	answer->status = (int)code;
	answer->body = buf_take(&exchange->body, &answer->body_len);
	answer->body_len--;
	take_header(exchange->curl, "Content-Type", answer->content_type,
		    sizeof answer->content_type);
	take_header(exchange->curl, "Location", answer->location, sizeof answer->location);
	take_header(exchange->curl, "Link", answer->link, sizeof answer->link);
	take_header(exchange->curl, "Retry-After", retry_after, sizeof retry_after);
	answer->retry_after_s = parse_retry_after(retry_after);
	return TALLY_OK;
}

/* ---- what goes --------------------------------------------------------------- */

static bool
add_header(struct exchange *exchange, const char *line)
{
	struct curl_slist *longer = curl_slist_append(exchange->headers, line);

	if (longer)
		exchange->headers = longer;
	return longer != NULL;
}

static tally_status
add_headers(struct exchange *exchange, struct tally_error *err)
{
	const struct http_call *call = exchange->call;
	char *line = NULL;
	bool is_added = true;

	if (call->authorization) {
		is_added = asprintf(&line, "Authorization: %s", call->authorization) >= 0;
		is_added = is_added && add_header(exchange, line);
		free(line);
	}
	/* A body is sent at once: there is nothing to ask before it. */
	if (is_added && call->json)
		is_added = add_header(exchange, "Content-Type: application/json")
			   && add_header(exchange, "Expect:");
	for (size_t i = 0; is_added && i < HTTP_CALL_MAX_HEADERS && call->headers[i]; i++)
		is_added = add_header(exchange, call->headers[i]);
	return is_added ? TALLY_OK : tally_fail(err, TALLY_NO_MEMORY, "out of memory");
}

/* These cannot fail: curl_easy_setopt(3) of each. */
static void
set_limits(CURL *curl, const struct http_call *call)
{
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)call->connect_ms);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	if (call->stall_ms > 0) {
		(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
				       (long)(call->stall_ms + 999) / 1000);
	}
}

static CURLcode
set_up(struct exchange *exchange)
{
	const struct http_call *call = exchange->call;
	CURL *curl = exchange->curl;
	CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, call->url);

	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exchange->headers);
	if (code == CURLE_OK && call->json) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				       (curl_off_t)call->json_len);
		code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->json);
	}
	if (code == CURLE_OK && call->method)
		code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
	set_limits(curl, call);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->reason);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
	return code;
}

tally_status
http_call(struct http_client *client, const struct http_call *call, struct http_answer *out_answer,
	  struct tally_error *err)
{
	/* One byte more than the ceiling, for the terminator. */
	struct exchange exchange = { .call = call,
				     .curl = client->curl,
				     .body = BUF_INIT(call->max_body_bytes + 1) };
	tally_status status = add_headers(&exchange, err);
	CURLcode code;

	*out_answer = (struct http_answer){ .retry_after_s = -1 };
	/* Its connections stay. */
	curl_easy_reset(client->curl);
	if (status == TALLY_OK) {
		code = set_up(&exchange);
		if (code == CURLE_OK)
			code = curl_easy_perform(client->curl);
		status = code == CURLE_OK ? take_answer(&exchange, out_answer, err)
					  : fail_curl(&exchange, code, err);
	}
	buf_fini(&exchange.body);
	/* The handle must not keep what ends here. */
	curl_easy_reset(client->curl);
	curl_slist_free_all(exchange.headers);
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
