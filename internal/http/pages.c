#include "http/pages.h"

#include <string.h>

#include "base/metrics.h"

#define METRICS_MAX_BYTES (4 * 1024 * 1024)

void
http_reply_text(struct http_request *request, unsigned code, const char *text)
{
	struct http_response response;

	http_response_init(&response, code);
	http_response_header(&response, "Content-Type", "text/plain; charset=utf-8");
	http_response_header(&response, "Cache-Control", "no-store");
	http_response_static(&response, text, strlen(text));
	http_reply(request, &response);
}

void
http_reply_metrics(struct http_request *request)
{
	struct buf buf = BUF_INIT(METRICS_MAX_BYTES);
	struct http_response response;
	size_t len;

	if (metrics_write(&buf) != TALLY_OK) {
		buf_fini(&buf);
		http_reply_text(request, 500, "no memory for the metrics\n");
		return;
	}
	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", METRICS_CONTENT_TYPE);
	char *text = buf_take(&buf, &len);
	http_response_owned(&response, text, len);
	http_reply(request, &response);
}
