#include <tally/request.h>

#include <jansson.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/topics.h>

struct tally_request {
	struct tally_request_view view;
	struct tally_request_param params[TALLY_REQUEST_MAX_PARAMS];
	struct tally_request_label labels[TALLY_REQUEST_MAX_LABELS];
	char numbers[TALLY_REQUEST_MAX_PARAMS][32]; /* text of numbers */
	int64_t *timeout_ms;                        /* NULL: there may be none */
	json_t *document;                           /* owns the strings */
};

void
tally_request_free(struct tally_request *request)
{
	if (!request)
		return;
	json_decref(request->document);
	free(request);
}

const struct tally_request_view *
tally_request_view(const struct tally_request *request)
{
	return &request->view;
}

/* ---- decode ------------------------------------------------------------------ */

/* jansson's own ceiling is 2048 levels; ours is checked before it recurses. */
static bool
is_too_deep(const char *data, size_t len)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_string && data[i] == '\\') {
			i++;
		} else if (in_string) {
			in_string = data[i] != '"';
		} else if (data[i] == '"') {
			in_string = true;
		} else if (data[i] == '{' || data[i] == '[') {
			if (++depth > TALLY_REQUEST_MAX_DEPTH)
				return true;
		} else if (data[i] == '}' || data[i] == ']') {
			depth--;
		}
	}
	return false;
}

static tally_status
read_param(struct tally_request *request, const char *name, const json_t *value,
	   struct tally_error *err)
{
	size_t index = request->view.n_params;
	struct tally_request_param *param = &request->params[index];
	char *number = request->numbers[index];

	if (index == TALLY_REQUEST_MAX_PARAMS)
		return tally_fail(err, TALLY_BAD_REQUEST, "more than %d parameters",
				  TALLY_REQUEST_MAX_PARAMS);
	*param = (struct tally_request_param){ .name = name, .text = number };
	switch (json_typeof(value)) {
	case JSON_STRING:
		param->kind = TALLY_JSON_STRING;
		param->text = json_string_value(value);
		param->len = json_string_length(value);
		break;
	case JSON_INTEGER:
		param->kind = TALLY_JSON_INT;
		param->len = (size_t)snprintf(number, sizeof *request->numbers, "%" PRId64,
					      (int64_t)json_integer_value(value));
		break;
	case JSON_REAL:
		param->kind = TALLY_JSON_REAL;
		param->len = (size_t)snprintf(number, sizeof *request->numbers, "%.17g",
					      json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		param->kind = TALLY_JSON_BOOL;
		param->text = json_is_true(value) ? "true" : "false";
		param->len = strlen(param->text);
		break;
	case JSON_NULL:
		param->kind = TALLY_JSON_NULL;
		break;
	default:
		return tally_fail(err, TALLY_BAD_REQUEST,
				  "a parameter must be a string, a number or a boolean");
	}
	request->view.n_params++;
	return TALLY_OK;
}

static tally_status
read_params(struct tally_request *request, json_t *params, struct tally_error *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(params))
		return tally_fail(err, TALLY_BAD_REQUEST, "\"params\" must be an object");
	json_object_foreach(params, name, value)
	{
		tally_status status = read_param(request, name, value, err);

		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

static tally_status
read_labels(struct tally_request *request, json_t *labels, struct tally_error *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(labels) || json_object_size(labels) > TALLY_REQUEST_MAX_LABELS)
		return tally_fail(err, TALLY_BAD_REQUEST,
				  "\"labels\" must be an object of at most %d strings",
				  TALLY_REQUEST_MAX_LABELS);
	json_object_foreach(labels, name, value)
	{
		if (!json_is_string(value) || !name[0] || strlen(name) > 64
		    || json_string_length(value) > 256)
			return tally_fail(err, TALLY_BAD_REQUEST,
					  "a label is a name of 1 to 64 bytes and a string of at "
					  "most 256");
		request->labels[request->view.n_labels++] = (struct tally_request_label){
			.name = name,
			.value = json_string_value(value),
		};
	}
	return TALLY_OK;
}

static tally_status
read_timeout(struct tally_request *request, const json_t *value, struct tally_error *err)
{
	if (!json_is_integer(value))
		return tally_fail(err, TALLY_BAD_REQUEST, "\"timeout_ms\" must be a whole number");
	*request->timeout_ms = (int64_t)json_integer_value(value);
	return TALLY_OK;
}

static tally_status
read_member(struct tally_request *request, const char *name, json_t *value, struct tally_error *err)
{
	if (strcmp(name, "dataset") == 0) {
		if (!json_is_string(value) || json_string_length(value) == 0)
			return tally_fail(err, TALLY_BAD_REQUEST,
					  "\"dataset\" must be a dataset's name");
		request->view.dataset = json_string_value(value);
		return TALLY_OK;
	}
	if (strcmp(name, "params") == 0)
		return read_params(request, value, err);
	if (strcmp(name, "labels") == 0)
		return read_labels(request, value, err);
	if (strcmp(name, "format") == 0) {
		if (!json_is_string(value))
			return tally_fail(err, TALLY_BAD_REQUEST, "\"format\" must be a string");
		request->view.format = json_string_value(value);
		return TALLY_OK;
	}
	if (request->timeout_ms && strcmp(name, "timeout_ms") == 0)
		return read_timeout(request, value, err);
	return tally_fail(err, TALLY_BAD_REQUEST, "a request has dataset, params, format%s",
			  request->timeout_ms ? ", labels and timeout_ms, nothing else"
					      : " and labels, nothing else");
}

static tally_status
read_document(struct tally_request *request, struct tally_error *err)
{
	const char *name;
	json_t *value;

	if (!json_is_object(request->document))
		return tally_fail(err, TALLY_BAD_REQUEST, "a request must be a JSON object");
	json_object_foreach(request->document, name, value)
	{
		tally_status status = read_member(request, name, value, err);

		if (status != TALLY_OK)
			return status;
	}
	if (!request->view.dataset)
		return tally_fail(err, TALLY_BAD_REQUEST, "\"dataset\" is missing");
	return TALLY_OK;
}

static tally_status
parse_document(const void *data, size_t len, json_t **out_document, struct tally_error *err)
{
	json_error_t error;

	if (len > TALLY_MAX_REQUEST_BYTES)
		return tally_fail(err, TALLY_BAD_REQUEST, "a request is at most %d bytes",
				  TALLY_MAX_REQUEST_BYTES);
	if (is_too_deep(data, len))
		return tally_fail(err, TALLY_BAD_REQUEST, "more than %d levels of JSON",
				  TALLY_REQUEST_MAX_DEPTH);
	*out_document = json_loadb(data, len, JSON_REJECT_DUPLICATES, &error);
	if (*out_document)
		return TALLY_OK;
	if (json_error_code(&error) == json_error_out_of_memory)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	/* jansson's text quotes what it read, which may be anybody's login. */
	return tally_fail(err, TALLY_BAD_REQUEST, "not valid JSON at line %d, column %d",
			  error.line, error.column);
}

static tally_status
decode(const void *data, size_t len, struct tally_request **out_request, int64_t *timeout_ms,
       struct tally_error *err)
{
	struct tally_request *request = calloc(1, sizeof *request);
	tally_status status;

	if (!request)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	request->timeout_ms = timeout_ms;
	request->view.params = request->params;
	request->view.labels = request->labels;
	status = parse_document(data, len, &request->document, err);
	if (status == TALLY_OK)
		status = read_document(request, err);
	if (status != TALLY_OK) {
		tally_request_free(request);
		return status;
	}
	*out_request = request;
	return TALLY_OK;
}

tally_status
tally_request_decode(const void *data, size_t len, struct tally_request **out_request,
		     struct tally_error *err)
{
	return decode(data, len, out_request, NULL, err);
}

tally_status
tally_request_decode_http(const void *data, size_t len, struct tally_request **out_request,
			  int64_t *out_timeout_ms, struct tally_error *err)
{
	int64_t timeout_ms = *out_timeout_ms;
	tally_status status = decode(data, len, out_request, &timeout_ms, err);

	if (status != TALLY_OK)
		return status;
	(*out_request)->timeout_ms = NULL;
	*out_timeout_ms = timeout_ms;
	return TALLY_OK;
}

/* ---- encode ------------------------------------------------------------------ */

/* Counts what is needed also past the end of buf. */
struct writer {
	char *buf;
	size_t cap;
	size_t len;
};

static void
put(struct writer *writer, const char *text, size_t len)
{
	if (writer->len <= writer->cap && len <= writer->cap - writer->len)
		memcpy(writer->buf + writer->len, text, len);
	writer->len += len;
}

static void
put_escape(struct writer *writer, unsigned char c)
{
	char escape[8];

	if (c == '"' || c == '\\')
		put(writer, (const char[]){ '\\', (char)c }, 2);
	else
		put(writer, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
}

static void
put_string(struct writer *writer, const char *text, size_t len)
{
	size_t start = 0;

	put(writer, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		put(writer, text + start, i - start);
		put_escape(writer, c);
		start = i + 1;
	}
	put(writer, text + start, len - start);
	put(writer, "\"", 1);
}

static void
put_params(struct writer *writer, const struct tally_request_view *view)
{
	bool is_first = true;

	put(writer, ",\"params\":{", 11);
	for (size_t i = 0; i < view->n_params; i++) {
		const struct tally_request_param *param = &view->params[i];

		if (param->kind == TALLY_JSON_NULL)
			continue;
		put(writer, ",", is_first ? 0 : 1);
		is_first = false;
		put_string(writer, param->name, strlen(param->name));
		put(writer, ":", 1);
		if (param->kind == TALLY_JSON_STRING)
			put_string(writer, param->text, param->len);
		else
			put(writer, param->text, param->len);
	}
	put(writer, "}", 1);
}

static void
put_labels(struct writer *writer, const struct tally_request_view *view)
{
	put(writer, ",\"labels\":{", 11);
	for (size_t i = 0; i < view->n_labels; i++) {
		put(writer, ",", i > 0);
		put_string(writer, view->labels[i].name, strlen(view->labels[i].name));
		put(writer, ":", 1);
		put_string(writer, view->labels[i].value, strlen(view->labels[i].value));
	}
	put(writer, "}", 1);
}

tally_status
tally_request_encode(const struct tally_request_view *view, char *buf, size_t cap, size_t *out_len)
{
	struct writer writer = { .buf = buf, .cap = cap };

	put(&writer, "{\"dataset\":", 11);
	put_string(&writer, view->dataset, strlen(view->dataset));
	put_params(&writer, view);
	if (view->format) {
		put(&writer, ",\"format\":", 10);
		put_string(&writer, view->format, strlen(view->format));
	}
	if (view->n_labels > 0)
		put_labels(&writer, view);
	put(&writer, "}", 1);
	*out_len = writer.len;
	if (writer.len > TALLY_MAX_REQUEST_BYTES)
		return TALLY_BAD_REQUEST;
	return writer.len > cap ? TALLY_TOO_LARGE : TALLY_OK;
}
