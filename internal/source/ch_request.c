#include "source/ch_request.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "source/ch_sql.h"

#define MAX_URL_BYTES  ((size_t)64 << 10)
#define MAX_BODY_BYTES ((size_t)96 << 20)
#define IN_URL_BYTES   2048 /* of all values, which grow threefold at most */

/* No value has a control character, so none can end a part of the form. */
#define BOUNDARY "tally-form-end-of-part"

static const char plain_type[] = "Content-Type: text/plain; charset=UTF-8";
static const char form_type[] = "Content-Type: multipart/form-data; boundary=" BOUNDARY;

static tally_status
write_encoded(const char *text, size_t len, struct buf *url)
{
	static const char hex[] = "0123456789ABCDEF";
	tally_status status = TALLY_OK;

	for (size_t i = 0; i < len && status == TALLY_OK; i++) {
		unsigned char c = (unsigned char)text[i];
		const char code[] = { '%', hex[c >> 4], hex[c & 15] };

		if (c < 0x80 && (isalnum(c) || strchr("-_.~", c)))
			status = buf_append(url, &c, 1);
		else
			status = buf_append(url, code, sizeof code);
	}
	return status;
}

static tally_status
write_url(const struct ch_asking *asking, struct buf *url)
{
	tally_status status =
	    buf_printf(url, "%squery_id=%s", asking->settings->url, asking->query_id);

	/* Whole seconds: the deadline itself is kept on our side. */
	if (status == TALLY_OK && asking->timeout_ms > 0)
		status = buf_printf(url, "&max_execution_time=%" PRId64,
				    (asking->timeout_ms + 999) / 1000);
	if (status == TALLY_OK && asking->is_compressed)
		status = buf_puts(url, "&enable_http_compression=1");
	return status;
}

static tally_status
write_params_into_url(const struct ch_asking *asking, const struct ch_params *params,
		      struct buf *url)
{
	tally_status status = TALLY_OK;
	char name[CH_NAME_BYTES];

	for (size_t i = 0; i < params->n && status == TALLY_OK; i++) {
		const struct ch_param *param = &params->items[i];

		ch_param_name(asking->statement, param, name);
		status = buf_printf(url, "&param_%s=", name);
		if (status == TALLY_OK)
			status = write_encoded(params->texts.data + param->at, param->len, url);
	}
	return status;
}

/* The line before the statement may not be lost to a comment at its end. */
static tally_status
write_statement(const struct ch_asking *asking, const struct ch_params *params, struct buf *body)
{
	tally_status status = asking->is_describe ? buf_puts(body, "DESCRIBE TABLE (") : TALLY_OK;

	if (status == TALLY_OK)
		status = ch_sql_write(asking->statement, params, body);
	return status == TALLY_OK && asking->is_describe ? buf_puts(body, "\n)") : status;
}

static tally_status
begin_part(const char *prefix, const char *name, struct buf *body)
{
	return buf_printf(body,
			  "--" BOUNDARY "\r\n"
			  "Content-Disposition: form-data; name=\"%s%s\"\r\n\r\n",
			  prefix, name);
}

static tally_status
write_form(const struct ch_asking *asking, const struct ch_params *params, struct buf *body)
{
	tally_status status = begin_part("", "query", body);
	char name[CH_NAME_BYTES];

	if (status == TALLY_OK)
		status = write_statement(asking, params, body);
	for (size_t i = 0; i < params->n && status == TALLY_OK; i++) {
		const struct ch_param *param = &params->items[i];

		ch_param_name(asking->statement, param, name);
		status = buf_puts(body, "\r\n");
		if (status == TALLY_OK)
			status = begin_part("param_", name, body);
		if (status == TALLY_OK)
			status = buf_append(body, params->texts.data + param->at, param->len);
	}
	return status == TALLY_OK ? buf_puts(body, "\r\n--" BOUNDARY "--\r\n") : status;
}

/* The statement in the URL: it is short then. */
static tally_status
write_insert(const struct ch_asking *asking, struct buf *url)
{
	const char *sql = asking->statement->sql;
	tally_status status = buf_puts(url, "&query=");

	return status == TALLY_OK ? write_encoded(sql, strlen(sql), url) : status;
}

static tally_status
write_request(struct ch_request *request, const struct ch_asking *asking,
	      const struct ch_params *params)
{
	bool is_form = params->texts.len > IN_URL_BYTES;
	tally_status status = write_url(asking, &request->url);

	request->content_type = is_form ? form_type : plain_type;
	if (status == TALLY_OK && !is_form)
		status = write_params_into_url(asking, params, &request->url);
	if (status == TALLY_OK && asking->data)
		status = write_insert(asking, &request->url);
	if (status == TALLY_OK)
		status = buf_append(&request->url, "", 1);
	if (status != TALLY_OK || asking->data)
		return status;
	return is_form ? write_form(asking, params, &request->body)
		       : write_statement(asking, params, &request->body);
}

tally_status
ch_request_init(struct ch_request *request, const struct ch_asking *asking)
{
	struct ch_params params;
	tally_status status = ch_params_init(&params, asking->statement,
					     asking->is_describe ? NULL : asking->arguments);

	*request = (struct ch_request){
		.url = BUF_INIT(MAX_URL_BYTES),
		.body = BUF_INIT(MAX_BODY_BYTES),
	};
	if (status == TALLY_OK)
		status = write_request(request, asking, &params);
	ch_params_fini(&params);
	return status;
}

void
ch_request_fini(struct ch_request *request)
{
	buf_fini(&request->url);
	buf_fini(&request->body);
	*request = (struct ch_request){ 0 };
}
