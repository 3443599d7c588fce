#include "http/response.h"

#include <stdlib.h>
#include <string.h>

void
http_response_init(struct http_response *response, unsigned status)
{
	response->status = status;
	response->n_headers = 0;
	response->used = 0;
	http_response_static(response, "", 0);
}

void
http_response_header(struct http_response *response, const char *name, const char *value)
{
	size_t len = strlen(value);
	char *copy = response->storage + response->used;

	if (response->n_headers == RESPONSE_MAX_HEADERS
	    || len >= sizeof response->storage - response->used || strpbrk(value, "\r\n"))
		return;
	memcpy(copy, value, len + 1);
	response->used += len + 1;
	response->names[response->n_headers] = name;
	response->values[response->n_headers++] = copy;
}

void
http_response_static(struct http_response *response, const char *data, size_t len)
{
	response->kind = HTTP_BODY_STATIC;
	response->data = data;
	response->len = len;
	response->read = NULL;
	response->free_body = NULL;
	response->ctx = NULL;
}

void
http_response_owned(struct http_response *response, char *data, size_t len)
{
	http_response_foreign(response, data, len, free, data);
}

void
http_response_foreign(struct http_response *response, const char *data, size_t len,
		      http_free_fn *free_body, void *ctx)
{
	http_response_static(response, data, len);
	response->kind = HTTP_BODY_FOREIGN;
	response->free_body = free_body;
	response->ctx = ctx;
}

void
http_response_stream(struct http_response *response, http_read_fn *read, http_free_fn *free_body,
		     void *ctx)
{
	http_response_static(response, NULL, 0);
	response->kind = HTTP_BODY_STREAM;
	response->read = read;
	response->free_body = free_body;
	response->ctx = ctx;
}

void
http_response_drop(struct http_response *response)
{
	if (response->free_body)
		response->free_body(response->ctx);
	http_response_static(response, "", 0);
}
