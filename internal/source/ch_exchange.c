#include "source/ch_exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/own.h"
#include "source/ch_error.h"

#define UNKNOWN_EXCEPTION 1002 /* ClickHouse's own for what it does not know */
#define DESCRIBE_BYTES    ((size_t)1 << 20)

OWN_DEFINE(source_shape);

/* ---- what comes -------------------------------------------------------------- */

/* The value of a header line of this name, without its end; false for another. */
static bool
read_header(const char *line, size_t len, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);
	size_t at = name_len + 1;

	if (len < at || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
		return false;
	while (at < len && line[at] == ' ')
		at++;
	while (len > at && (unsigned char)line[len - 1] <= ' ')
		len--;
	(void)snprintf(out, cap, "%.*s", (int)(len - at), line + at);
	return true;
}

static size_t
on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct ch_exchange *exchange = ctx;
	size_t len = size * n;
	char number[16];

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		exchange->code = 0;
		exchange->tag[0] = '\0';
	}
	if (read_header(line, len, "X-ClickHouse-Exception-Code", number, sizeof number))
		exchange->code = (int)strtol(number, NULL, 10);
	(void)read_header(line, len, "X-ClickHouse-Exception-Tag", exchange->tag,
			  sizeof exchange->tag);
	return len;
}

static long
http_status(const struct ch_exchange *exchange)
{
	long status = 0;

	(void)curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static bool
is_refused(const struct ch_exchange *exchange)
{
	return http_status(exchange) != 200 || exchange->code != 0;
}

/* Keeps the last bytes of the answer. */
static void
keep_end(struct ch_exchange *exchange, const char *data, size_t len)
{
	size_t kept = exchange->tail_len;

	if (len > CH_TAIL_BYTES) {
		data += len - CH_TAIL_BYTES;
		len = CH_TAIL_BYTES;
	}
	if (kept > CH_TAIL_BYTES - len)
		kept = CH_TAIL_BYTES - len;
	memmove(exchange->tail, exchange->tail + exchange->tail_len - kept, kept);
	memcpy(exchange->tail + kept, data, len);
	exchange->tail_len = kept + len;
}

static void
keep_begin(struct ch_exchange *exchange, const char *data, size_t len)
{
	if (len > CH_TAIL_BYTES - exchange->tail_len)
		len = CH_TAIL_BYTES - exchange->tail_len;
	memcpy(exchange->tail + exchange->tail_len, data, len);
	exchange->tail_len += len;
}

/* Less than it was given ends the transfer. */
static size_t
on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct ch_exchange *exchange = ctx;
	size_t len = size * n;

	exchange->n_bytes += len;
	if (is_refused(exchange)) {
		keep_begin(exchange, data, len);
		return exchange->tail_len < CH_TAIL_BYTES ? len : 0;
	}
	keep_end(exchange, data, len);
	if (ch_rows_feed(&exchange->answer, data, len, &exchange->failure) != TALLY_OK)
		return 0;
	return len;
}

/* ---- begin and end ----------------------------------------------------------- */

tally_status
ch_exchange_init(struct ch_exchange *exchange, const struct ch_settings *settings, void *ctx)
{
	*exchange = (struct ch_exchange){ .easy = curl_easy_init() };
	if (!exchange->easy || ch_settings_apply(settings, exchange->easy) != TALLY_OK
	    || curl_easy_setopt(exchange->easy, CURLOPT_PRIVATE, ctx) != CURLE_OK
	    || curl_easy_setopt(exchange->easy, CURLOPT_HEADERFUNCTION, on_header) != CURLE_OK
	    || curl_easy_setopt(exchange->easy, CURLOPT_HEADERDATA, exchange) != CURLE_OK
	    || curl_easy_setopt(exchange->easy, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK
	    || curl_easy_setopt(exchange->easy, CURLOPT_WRITEDATA, exchange) != CURLE_OK)
		return TALLY_NO_MEMORY;
	return TALLY_OK;
}

void
ch_exchange_drop(struct ch_exchange *exchange)
{
	ch_request_fini(&exchange->request);
	ch_rows_fini(&exchange->answer);
	curl_slist_free_all(exchange->headers);
	exchange->headers = NULL;
}

void
ch_exchange_fini(struct ch_exchange *exchange)
{
	curl_easy_cleanup(exchange->easy);
	exchange->easy = NULL;
	ch_exchange_drop(exchange);
}

/* The settings' headers and the content's type. */
static tally_status
make_headers(struct ch_exchange *exchange, const struct ch_settings *settings)
{
	const struct curl_slist *line = settings->headers;
	struct curl_slist *longer = curl_slist_append(NULL, exchange->request.content_type);

	for (exchange->headers = longer; longer && line; line = line->next) {
		longer = curl_slist_append(exchange->headers, line->data);
		exchange->headers = longer ? longer : exchange->headers;
	}
	return longer ? TALLY_OK : TALLY_NO_MEMORY;
}

static tally_status
set_options(struct ch_exchange *exchange, const struct ch_asking *asking)
{
	CURL *easy = exchange->easy;
	const struct ch_request *request = &exchange->request;
	const struct buf *body = asking->data ? asking->data : &request->body;

	if (make_headers(exchange, asking->settings) != TALLY_OK
	    || curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers) != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_URL, request->url.data) != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data) != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len)
		   != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING,
				asking->is_compressed ? "gzip" : NULL)
		   != CURLE_OK)
		return TALLY_NO_MEMORY;
	return TALLY_OK;
}

tally_status
ch_exchange_begin(struct ch_exchange *exchange, const struct ch_asking *asking, size_t budget_bytes,
		  struct tally_error *err)
{
	const char *where = asking->statement->where;
	tally_status status = ch_request_init(&exchange->request, asking);

	exchange->where = where;
	exchange->is_describe = asking->is_describe;
	exchange->is_command = asking->is_command;
	exchange->tells_all = asking->tells_all || asking->is_describe;
	exchange->n_bytes = exchange->tail_len = 0;
	exchange->code = 0;
	exchange->tag[0] = '\0';
	exchange->failure = (struct tally_error){ .status = TALLY_OK };
	ch_rows_init(&exchange->answer, asking->is_describe ? NULL : asking->statement->shape,
		     where, asking->is_describe ? DESCRIBE_BYTES : budget_bytes);
	if (status == TALLY_OK)
		status = set_options(exchange, asking);
	exchange->sent_us = clock_mono_us();
	exchange->sent_at_ms = clock_unix_ms();
	switch (status) {
	case TALLY_OK:
		return TALLY_OK;
	case TALLY_TOO_LARGE:
		return tally_fail(err, status, "%s: the keys take too many bytes", where);
	case TALLY_SOURCE_ERROR:
		return tally_fail(err, status, "%s: a key cannot be represented", where);
	default:
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	}
}

bool
ch_exchange_is_unsent(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_OPERATION_TIMEDOUT: /* only connecting has a limit of curl's */
		return true;
	default:
		return false;
	}
}

/* ---- judgement --------------------------------------------------------------- */

/* What the server has said instead of rows, or behind them. */
static bool
find_refusal(const struct ch_exchange *exchange, struct ch_refusal *refusal)
{
	const char *text = exchange->tail;
	const char *end = text + exchange->tail_len;

	*refusal =
	    (struct ch_refusal){ http_status(exchange), exchange->code, text, exchange->tail_len };
	if (refusal->http_status == 0)
		return false;
	if (is_refused(exchange)) {
		if (refusal->code == 0)
			refusal->code = ch_error_code(text, exchange->tail_len);
		return true;
	}
	refusal->text = ch_error_in_body(text, exchange->tail_len, exchange->tag);
	if (!refusal->text)
		return false;
	refusal->len = (size_t)(end - refusal->text);
	refusal->code = ch_error_code(refusal->text, refusal->len);
	if (refusal->code == 0)
		refusal->code = UNKNOWN_EXCEPTION;
	return true;
}

static tally_status
fail_transfer(const struct ch_exchange *exchange, CURLcode code, struct tally_error *err)
{
	if (code == CURLE_OUT_OF_MEMORY)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE
	    || ch_exchange_is_unsent(code))
		return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s: %s", exchange->where,
				  curl_easy_strerror(code));
	return tally_fail(err, TALLY_SOURCE_UNAVAILABLE, "%s: the connection was lost",
			  exchange->where);
}

/* That a description cannot be read is not its statement's fault. */
static tally_status
fail_reading(const struct ch_exchange *exchange, struct tally_error *err)
{
	*err = exchange->failure;
	if (exchange->is_describe && err->status != TALLY_NO_MEMORY)
		err->status = TALLY_SOURCE_UNAVAILABLE;
	return err->status;
}

/* The tables of DESCRIBE begin with name and type. */
static tally_status
make_shape(const struct ch_exchange *exchange, const struct rows *rows, struct source_shape **out,
	   struct tally_error *err)
{
	OWN(source_shape) shape = calloc(1, sizeof *shape);

	if (shape)
		shape->columns = calloc(rows->n_rows + 1, sizeof *shape->columns);
	if (!shape || !shape->columns)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows->n_rows; i++) {
		const struct value *name = rows_cell(rows, i, 0);
		const struct value *type = rows_cell(rows, i, 1);
		struct source_column *column = &shape->columns[i];
		struct ch_type known;

		column->name = strndup(name->text, name->len);
		if (!column->name)
			return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
		shape->n_columns = i + 1;
		if (!ch_type_parse(type->text, type->len, &known))
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: column %s has type %.*s, which Tally does not know; "
					  "cast it, for example with toString",
					  exchange->where, column->name, (int)type->len,
					  type->text);
		column->type = known.type;
	}
	*out = TAKE(shape);
	return TALLY_OK;
}

static bool
is_description(const struct rows *rows)
{
	if (rows->n_columns < 2 || rows->n_rows == 0)
		return false;
	for (size_t i = 0; i < rows->n_rows * 2; i++) {
		const struct value *value = rows_cell(rows, i / 2, i % 2);

		if (value->type != TALLY_TEXT || value->state != VALUE_SET)
			return false;
	}
	return true;
}

static tally_status
take_rows(struct ch_exchange *exchange, struct source_outcome *outcome)
{
	struct rows *rows = ch_rows_take(&exchange->answer);
	tally_status status;

	if (!rows)
		return tally_fail(&outcome->err, TALLY_NO_MEMORY, "out of memory");
	rows->as_of_ms = exchange->sent_at_ms;
	rows->took_us = clock_mono_us() - exchange->sent_us;
	if (!exchange->is_describe) {
		outcome->rows = rows;
		return TALLY_OK;
	}
	if (is_description(rows))
		status = make_shape(exchange, rows, &outcome->shape, &outcome->err);
	else
		status = tally_fail(&outcome->err, TALLY_SOURCE_UNAVAILABLE,
				    "%s: the answer is not that of DESCRIBE", exchange->where);
	rows_free(rows);
	return status;
}

/* The first of what is wrong; what the server says itself says most. */
static tally_status
judge(struct ch_exchange *exchange, CURLcode code, struct source_outcome *outcome)
{
	struct ch_refusal refusal;

	if (find_refusal(exchange, &refusal))
		return ch_error_of(&refusal, exchange->where, exchange->tells_all, &outcome->err);
	if (exchange->failure.status != TALLY_OK)
		return fail_reading(exchange, &outcome->err);
	if (code != CURLE_OK)
		return fail_transfer(exchange, code, &outcome->err);
	if (exchange->is_command && exchange->n_bytes == 0)
		return TALLY_OK;
	if (!ch_rows_is_whole(&exchange->answer))
		return tally_fail(&outcome->err, TALLY_SOURCE_UNAVAILABLE,
				  "%s: the answer broke off", exchange->where);
	return take_rows(exchange, outcome);
}

void
ch_exchange_end(struct ch_exchange *exchange, CURLcode code, struct source_outcome *out_outcome)
{
	*out_outcome = (struct source_outcome){ .status = TALLY_OK };
	out_outcome->status = judge(exchange, code, out_outcome);
	ch_exchange_drop(exchange);
}
