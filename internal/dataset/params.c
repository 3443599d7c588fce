#include "dataset/params.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <tally/fingerprint.h>
#include <tally/topics.h>

#include "base/own.h"
#include "base/utf8.h"

/* One allocation: the head, the values, the bytes of texts and decimals. */
struct params {
	const struct definition *definition;
	struct value values[];
};

OWN_DEFINE(params);

/* Parameters that are being made. */
struct maker {
	const struct definition *definition;
	struct params *params;
	char *texts; /* where the next text goes; there is room for all */
	struct params_faults *faults;
};

static void add_fault(struct maker *maker, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
add_fault(struct maker *maker, const char *name, const char *format, ...)
{
	struct params_faults *faults = maker->faults;
	va_list args;

	if (faults->n == PARAMS_MAX_FAULTS)
		return;
	struct params_fault *fault = &faults->items[faults->n++];
	size_t len = utf8_cut(name, strlen(name), sizeof fault->name - 1);
	memcpy(fault->name, name, len);
	fault->name[len] = '\0';
	va_start(args, format);
	vsnprintf(fault->detail, sizeof fault->detail, format, args);
	va_end(args);
}

/* Room for n_bytes of texts besides the values. */
static tally_status
begin(struct maker *maker, const struct definition *definition, size_t n_bytes,
      struct params_faults *faults)
{
	size_t values = definition->n_params * sizeof(struct value);
	struct params *params = calloc(1, sizeof *params + values + n_bytes);

	if (!params)
		return TALLY_NO_MEMORY;
	params->definition = definition;
	for (size_t i = 0; i < definition->n_params; i++)
		params->values[i].type = (uint8_t)definition->params[i].type;
	faults->n = 0;
	*maker = (struct maker){ definition, params, (char *)params->values + values, faults };
	return TALLY_OK;
}

static void
check_range(struct maker *maker, const struct definition_param *param, const struct value *value)
{
	const struct value *broken = NULL;
	char text[VALUE_FORMAT_MAX];
	size_t points;

	if (param->type == TALLY_TEXT) {
		if (!utf8_valid(value->text, value->len, &points))
			add_fault(maker, param->name, "must be UTF-8");
		else if (points > param->max_length)
			add_fault(maker, param->name, "must be at most %u characters long",
				  param->max_length);
		return;
	}
	if (param->min.state == VALUE_SET && value_compare(value, &param->min) < 0)
		broken = &param->min;
	else if (param->max.state == VALUE_SET && value_compare(value, &param->max) > 0)
		broken = &param->max;
	if (broken)
		add_fault(maker, param->name, "must be at %s %.*s",
			  broken == &param->min ? "least" : "most", (int)value_format(broken, text),
			  text);
}

/* Sets the value of a parameter from its public form. */
static void
set(struct maker *maker, size_t index, const char *text, size_t len)
{
	const struct definition_param *param = &maker->definition->params[index];
	struct value *value = &maker->params->values[index];
	struct tally_error why = { 0 };

	if (value->state == VALUE_SET) {
		add_fault(maker, param->name, "is given more than once");
		return;
	}
	if (value_parse(param->type, text, len, value, &why) != TALLY_OK) {
		*value = (struct value){ .type = (uint8_t)param->type };
		add_fault(maker, param->name, "%s", why.detail);
		return;
	}
	if (param->type == TALLY_TEXT || param->type == TALLY_DECIMAL) {
		value->text = memcpy(maker->texts, value->text, value->len);
		maker->texts += value->len;
	}
	check_range(maker, param, value);
}

static size_t
find(const struct definition *definition, const char *name)
{
	size_t i = 0;

	while (i < definition->n_params && strcmp(definition->params[i].name, name) != 0)
		i++;
	return i;
}

static void
add_unknown(struct maker *maker, const char *name)
{
	char known[120] = "none";
	size_t n = 0;

	for (size_t i = 0; i < maker->definition->n_params && n < sizeof known; i++)
		n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "",
				      maker->definition->params[i].name);
	add_fault(maker, name, "is not a parameter here; there are: %s", known);
}

static void
take_fallback(struct value *value, const struct definition_param *param)
{
	if (param->fallback.state == VALUE_SET)
		*value = param->fallback;
}

/* -0 equals 0, and JSON's whole number -0 is 0 when it is read: the worker's fingerprint must be
 * that of the gateway. */
static void
drop_sign_of_zero(struct value *value)
{
	if (value->type == TALLY_FLOAT && value->state == VALUE_SET && value->f == 0)
		value->f = 0;
}

/* Fills in defaults, misses what is required, and ends. */
static tally_status
end(struct maker *maker, struct params **out_params, struct tally_error *err)
{
	OWN(params) params = maker->params;

	for (size_t i = 0; i < maker->definition->n_params; i++) {
		const struct definition_param *param = &maker->definition->params[i];
		bool is_faulty = false;
		for (size_t k = 0; k < maker->faults->n; k++)
			is_faulty |= strcmp(maker->faults->items[k].name, param->name) == 0;
		if (params->values[i].state != VALUE_SET && !is_faulty && param->is_required)
			add_fault(maker, param->name, "is required");
		else if (params->values[i].state != VALUE_SET && !is_faulty)
			take_fallback(&params->values[i], param);
		drop_sign_of_zero(&params->values[i]);
	}
	if (maker->faults->n > 0)
		return tally_fail(err, TALLY_INVALID_PARAMETER, "%s %s",
				  maker->faults->items[0].name, maker->faults->items[0].detail);
	*out_params = TAKE(params);
	return TALLY_OK;
}

tally_status
params_from_texts(const struct definition *definition, const struct params_text *texts,
		  size_t n_texts, struct params **out_params, struct params_faults *faults,
		  struct tally_error *err)
{
	struct maker maker;
	size_t n_bytes = 0;

	for (size_t i = 0; i < n_texts; i++)
		n_bytes += texts[i].value ? texts[i].len : 0;
	if (begin(&maker, definition, n_bytes, faults) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < n_texts; i++) {
		size_t index = find(definition, texts[i].name);
		if (index == definition->n_params)
			add_unknown(&maker, texts[i].name);
		else if (texts[i].value)
			set(&maker, index, texts[i].value, texts[i].len);
	}
	return end(&maker, out_params, err);
}

/* Whether a JSON value may stand for a type: numbers and booleans as themselves, the rest as
 * strings. */
static bool
is_fit(enum tally_type type, enum tally_json_kind kind)
{
	switch (type) {
	case TALLY_INT:
		return kind == TALLY_JSON_INT;
	case TALLY_FLOAT:
		return kind == TALLY_JSON_INT || kind == TALLY_JSON_REAL;
	case TALLY_BOOL:
		return kind == TALLY_JSON_BOOL;
	default:
		return kind == TALLY_JSON_STRING;
	}
}

static void
set_member(struct maker *maker, size_t index, const struct tally_request_param *member)
{
	const struct definition_param *param = &maker->definition->params[index];

	if (member->kind == TALLY_JSON_NULL)
		return;
	if (is_fit(param->type, member->kind))
		set(maker, index, member->text, member->len);
	else
		add_fault(maker, param->name, "must be a JSON %s (type %s)",
			  param->type == TALLY_BOOL                                ? "boolean"
			  : param->type == TALLY_INT || param->type == TALLY_FLOAT ? "number"
										   : "string",
			  tally_type_name(param->type));
}

tally_status
params_from_request(const struct definition *definition, const struct tally_request_view *request,
		    struct params **out_params, struct params_faults *faults,
		    struct tally_error *err)
{
	struct maker maker;
	size_t n_bytes = 0;

	for (size_t i = 0; i < request->n_params; i++)
		n_bytes += request->params[i].len;
	if (begin(&maker, definition, n_bytes, faults) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < request->n_params; i++) {
		size_t index = find(definition, request->params[i].name);
		if (index == definition->n_params)
			add_unknown(&maker, request->params[i].name);
		else
			set_member(&maker, index, &request->params[i]);
	}
	return end(&maker, out_params, err);
}

void
params_free(struct params *params)
{
	free(params);
}

const struct definition *
params_definition(const struct params *params)
{
	return params->definition;
}

const struct value *
params_value(const struct params *params, size_t index)
{
	return &params->values[index];
}

bool
params_same(const struct params *params, const struct params *others, size_t index)
{
	const struct value *a = &params->values[index];
	const struct value *b = &others->values[index];

	if (!value_equal(a, b))
		return false;
	return a->type != TALLY_DECIMAL || a->state != VALUE_SET
	       || (a->len == b->len && memcmp(a->text, b->text, a->len) == 0);
}

bool
params_equal(const struct params *a, const struct params *b)
{
	for (size_t i = 0; i < a->definition->n_params; i++) {
		if (!params_same(a, b, i))
			return false;
	}
	return true;
}

uint64_t
params_hash(const struct params *params)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < params->definition->n_params; i++)
		hash = value_hash(&params->values[i], hash + i + 1);
	return hash;
}

/* The public form of each value; those that are not text lie in room. */
struct texts {
	const char *text[DEFINITION_MAX_PARAMS];
	size_t len[DEFINITION_MAX_PARAMS];
	char room[DEFINITION_MAX_PARAMS][VALUE_FORMAT_MAX + 1];
};

static void
format_all(const struct params *params, struct texts *texts)
{
	for (size_t i = 0; i < params->definition->n_params; i++) {
		const struct value *value = &params->values[i];
		bool is_text = value->type == TALLY_TEXT || value->type == TALLY_DECIMAL;
		texts->text[i] = texts->room[i];
		texts->len[i] = 0;
		if (value->state != VALUE_SET)
			continue;
		if (is_text) {
			texts->text[i] = value->text;
			texts->len[i] = value->len;
		} else {
			texts->len[i] = value_format(value, texts->room[i]);
			texts->room[i][texts->len[i]] = '\0';
		}
	}
}

static int
compare_names(const void *a, const void *b)
{
	const struct tally_fingerprint_param *left = a;
	const struct tally_fingerprint_param *right = b;

	return strcmp(left->name, right->name);
}

tally_status
params_fingerprint(const struct params *params, const char *tenant, char out[33],
		   struct tally_error *err)
{
	const struct definition *definition = params->definition;
	struct tally_fingerprint_param items[DEFINITION_MAX_PARAMS];
	struct tally_fingerprint fingerprint;
	struct texts texts;

	format_all(params, &texts);
	for (size_t i = 0; i < definition->n_params; i++) {
		bool is_set = params->values[i].state == VALUE_SET;
		items[i] = (struct tally_fingerprint_param){
			.name = definition->params[i].name,
			.type = is_set ? definition->params[i].type : TALLY_ABSENT,
			.value = texts.text[i],
			.len = (uint32_t)texts.len[i],
		};
	}
	qsort(items, definition->n_params, sizeof items[0], compare_names);
	if (tally_fingerprint_make(tenant, definition->name, items, definition->n_params,
				   &fingerprint)
	    != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no fingerprint can be made");
	tally_fingerprint_format(&fingerprint, out);
	return TALLY_OK;
}

static enum tally_json_kind
json_kind(const struct value *value)
{
	switch ((enum tally_type)value->type) {
	case TALLY_INT:
		return TALLY_JSON_INT;
	case TALLY_FLOAT:
		return TALLY_JSON_REAL;
	case TALLY_BOOL:
		return TALLY_JSON_BOOL;
	default:
		return TALLY_JSON_STRING;
	}
}

/* The parameters of a request; they point into texts, items and params. */
static void
view_params(const struct params *params, struct texts *texts, struct tally_request_param *items,
	    struct tally_request_view *view)
{
	const struct definition *definition = params->definition;

	format_all(params, texts);
	view->dataset = definition->name;
	view->params = items;
	view->n_params = 0;
	for (size_t i = 0; i < definition->n_params; i++) {
		if (params->values[i].state != VALUE_SET)
			continue;
		items[view->n_params++] = (struct tally_request_param){
			.name = definition->params[i].name,
			.kind = json_kind(&params->values[i]),
			.text = texts->text[i],
			.len = texts->len[i],
		};
	}
}

static tally_status
encode(const struct tally_request_view *view, char *buf, size_t cap, size_t *out_len,
       struct tally_error *err)
{
	tally_status status = tally_request_encode(view, buf, cap, out_len);

	if (status != TALLY_OK)
		return tally_fail(err, status, "the request does not fit into a message of %d KiB",
				  TALLY_MAX_REQUEST_BYTES / 1024);
	return TALLY_OK;
}

tally_status
params_encode(const struct params *params, char *buf, size_t cap, size_t *out_len,
	      struct tally_error *err)
{
	struct tally_request_param items[DEFINITION_MAX_PARAMS];
	struct tally_request_view view = { .n_labels = 0 };
	struct texts texts;

	view_params(params, &texts, items, &view);
	return encode(&view, buf, cap, out_len, err);
}

static int
compare_labels(const void *a, const void *b)
{
	const struct tally_request_label *left = a;
	const struct tally_request_label *right = b;

	return strcmp(left->name, right->name);
}

tally_status
params_encode_job(const struct params *params, const struct tally_request_view *more, char *buf,
		  size_t cap, size_t *out_len, struct tally_error *err)
{
	struct tally_request_param items[DEFINITION_MAX_PARAMS];
	struct tally_request_label labels[TALLY_REQUEST_MAX_LABELS];
	struct tally_request_view view = *more;
	struct texts texts;

	assert(more->n_labels <= TALLY_REQUEST_MAX_LABELS);
	view_params(params, &texts, items, &view);
	if (more->n_labels > 0) {
		memcpy(labels, more->labels, more->n_labels * sizeof *labels);
		qsort(labels, more->n_labels, sizeof *labels, compare_labels);
	}
	view.labels = labels;
	return encode(&view, buf, cap, out_len, err);
}
