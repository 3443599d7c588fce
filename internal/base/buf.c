#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_BYTES 256

void
buf_fini(struct buf *buf)
{
	if (!buf)
		return;
	free(buf->data);
	*buf = BUF_INIT(buf->limit_bytes);
}

tally_status
buf_reserve(struct buf *buf, size_t len)
{
	size_t cap = buf->cap ? buf->cap : BUF_FIRST_BYTES;
	char *data;

	if (len > buf->limit_bytes - buf->len)
		return TALLY_TOO_LARGE;
	if (len <= buf->cap - buf->len)
		return TALLY_OK;
	while (cap - buf->len < len)
		cap *= 2;
	if (cap > buf->limit_bytes)
		cap = buf->limit_bytes;
	data = realloc(buf->data, cap);
	if (!data)
		return TALLY_NO_MEMORY;
	buf->data = data;
	buf->cap = cap;
	return TALLY_OK;
}

tally_status
buf_append(struct buf *buf, const void *data, size_t len)
{
	tally_status status = buf_reserve(buf, len);

	if (status != TALLY_OK || len == 0)
		return status;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return TALLY_OK;
}

tally_status
buf_puts(struct buf *buf, const char *text)
{
	return buf_append(buf, text, strlen(text));
}

tally_status
buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int len;
	tally_status status;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	/* vsnprintf writes an end that we do not count. */
	status = buf_reserve(buf, (size_t)len + 1);
	if (status != TALLY_OK)
		return status;
	va_start(args, format);
	(void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
	return TALLY_OK;
}

char *
buf_take(struct buf *buf, size_t *out_len)
{
	char *data = buf->data;

	*out_len = buf->len;
	*buf = BUF_INIT(buf->limit_bytes);
	return data;
}
