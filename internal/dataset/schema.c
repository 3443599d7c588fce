#include "dataset/schema.h"

#include <stdlib.h>

#include <jansson.h>

/* The JSON Schema of a type's public form. */
static json_t *
type_schema(enum tally_type type, bool may_be_null)
{
	static const struct {
		const char *type;
		const char *format;
	} forms[] = {
		[TALLY_TEXT] = { "string",  NULL        },
		[TALLY_INT] = { "integer", NULL        },
		[TALLY_FLOAT] = { "number",  NULL        },
		[TALLY_BOOL] = { "boolean", NULL        },
		[TALLY_DATE] = { "string",  "date"      },
		[TALLY_TIMESTAMP] = { "string",  NULL        },
		[TALLY_TIMESTAMPTZ] = { "string",  "date-time" },
		[TALLY_UUID] = { "string",  "uuid"      },
		[TALLY_DECIMAL] = { "string",  NULL        },
	};
	json_t *schema = json_object();

	if (may_be_null)
		json_object_set_new(schema, "type", json_pack("[ss]", forms[type].type, "null"));
	else
		json_object_set_new(schema, "type", json_string(forms[type].type));
	if (forms[type].format)
		json_object_set_new(schema, "format", json_string(forms[type].format));
	json_object_set_new(schema, "x-tally-type", json_string(tally_type_name(type)));
	return schema;
}

static json_t *
value_json(const struct value *value)
{
	char text[VALUE_FORMAT_MAX];

	switch ((enum tally_type)value->type) {
	case TALLY_INT:
		return json_integer(value->i);
	case TALLY_FLOAT:
		return json_real(value->f);
	case TALLY_BOOL:
		return json_boolean(value->i);
	case TALLY_TEXT:
	case TALLY_DECIMAL:
		return json_stringn(value->text, value->len);
	default:
		return json_stringn(text, value_format(value, text));
	}
}

static void
set_value(json_t *schema, const char *key, const struct value *value)
{
	if (value->state == VALUE_SET)
		json_object_set_new(schema, key, value_json(value));
}

static json_t *
params_schema(const struct definition *definition)
{
	json_t *properties = json_object();
	json_t *required = json_array();

	for (size_t i = 0; i < definition->n_params; i++) {
		const struct definition_param *param = &definition->params[i];
		json_t *schema = type_schema(param->type, false);
		if (param->type == TALLY_TEXT)
			json_object_set_new(schema, "maxLength", json_integer(param->max_length));
		set_value(schema, "default", &param->fallback);
		/* JSON Schema's own bounds are of numbers only. */
		bool is_number = param->type == TALLY_INT || param->type == TALLY_FLOAT;
		set_value(schema, is_number ? "minimum" : "x-tally-minimum", &param->min);
		set_value(schema, is_number ? "maximum" : "x-tally-maximum", &param->max);
		json_object_set_new(properties, param->name, schema);
		if (param->is_required)
			json_array_append_new(required, json_string(param->name));
	}
	return json_pack("{sssoso}", "type", "object", "properties", properties, "required",
			 required);
}

static json_t *
columns_schema(const struct definition *definition)
{
	json_t *properties = json_object();
	json_t *required = json_array();

	for (size_t i = 0; i < definition->n_columns; i++) {
		const struct definition_column *column = &definition->columns[i];
		json_object_set_new(properties, column->name,
				    type_schema(column->type, column->may_be_null));
		json_array_append_new(required, json_string(column->name));
	}
	return json_pack("{sssoso}", "type", "object", "properties", properties, "required",
			 required);
}

char *
schema_of_dataset(const struct definition *definition)
{
	char hash[2 * sizeof definition->hash + 1];

	for (size_t i = 0; i < sizeof definition->hash; i++)
		snprintf(hash + 2 * i, 3, "%02x", definition->hash[i]);
	json_t *document =
	    json_pack("{sssssssoso}", "name", definition->name, "title", definition->title, "hash",
		      hash, "params", params_schema(definition), "row", columns_schema(definition));
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_decref(document);
	return text;
}

char *
schema_of_catalog(const struct catalog *catalog)
{
	json_t *list = json_array();
	char href[128];

	for (size_t i = 0; i < catalog_count(catalog); i++) {
		const struct definition *definition = catalog_at(catalog, i);
		snprintf(href, sizeof href, "/v1/datasets/%s", definition->name);
		json_array_append_new(list, json_pack("{ssssss}", "name", definition->name, "title",
						      definition->title, "href", href));
	}
	json_t *document = json_pack("{so}", "datasets", list);
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_decref(document);
	return text;
}
