/* pages.h - the answers that every service of ours gives: a line of text, and its metrics. */
#ifndef HTTP_PAGES_H
#define HTTP_PAGES_H

#include "http/server.h"

/* Answers with a text that lives for ever. */
void http_reply_text(struct http_request *request, unsigned code, const char *text);

/* Answers with all metrics of the process in Prometheus' text format. */
void http_reply_metrics(struct http_request *request);

#endif
