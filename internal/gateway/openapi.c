#include "gateway/openapi.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/schema.h"

#define TEMPLATE_PATH "/api/{dataset}"

/* A parameter of the query for each parameter of the dataset. */
static void
add_parameters(json_t *parameters, const json_t *schema)
{
	const json_t *required = json_object_get(schema, "required");
	json_t *properties = json_object_get(schema, "properties"), *property, *name;
	const char *key;
	size_t i;

	json_object_foreach(properties, key, property)
	{
		bool is_required = false;
		json_array_foreach(required, i, name)
		{
			is_required = is_required || strcmp(json_string_value(name), key) == 0;
		}
		(void)json_array_append_new(
		    parameters, json_pack("{s:s, s:s, s:b, s:O}", "name", key, "in", "query",
					  "required", (int)is_required, "schema", property));
	}
}

/* What the operation has beside the dataset's name, which is the path's now. */
static json_t *
own_parameters(const json_t *operation, const json_t *dataset)
{
	json_t *parameters = json_array(), *parameter;
	size_t i;

	json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
	{
		const char *in = json_string_value(json_object_get(parameter, "in"));
		if (!in || strcmp(in, "path") != 0)
			(void)json_array_append(parameters, parameter);
	}
	add_parameters(parameters, json_object_get(dataset, "params"));
	return parameters;
}

/* Says what a row is, in the answer's schema. */
static void
set_rows(json_t *operation, const json_t *dataset)
{
	json_t *ok = json_object_get(json_object_get(operation, "responses"), "200");
	json_t *json = json_object_get(json_object_get(ok, "content"), "application/json");

	(void)json_object_set_new(json, "schema",
				  json_pack("{s:s, s:[s,s], s:{s:{s:s}, s:{s:s, s:O}}}", "type",
					    "object", "required", "status", "data", "properties",
					    "status", "const", "ok", "data", "type", "array",
					    "items", json_object_get(dataset, "row")));
}

/* The operation of one dataset, from that of all. */
static json_t *
operation_of(const json_t *general, const struct definition *definition)
{
	char *text = schema_of_dataset(definition);
	json_auto_t *dataset = text ? json_loads(text, 0, NULL) : NULL;
	json_t *operation = json_deep_copy(general);
	char id[128];

	free(text);
	if (!dataset || !operation) {
		json_decref(operation);
		return NULL;
	}
	(void)snprintf(id, sizeof id, "get_%s", definition->name);
	(void)json_object_set_new(operation, "operationId", json_string(id));
	(void)json_object_set_new(operation, "summary", json_string(definition->title));
	(void)json_object_set_new(operation, "parameters", own_parameters(general, dataset));
	set_rows(operation, dataset);
	return operation;
}

char *
openapi_document(const struct catalog *catalog)
{
	size_t len;
	const char *text = openapi_text(&len);
	json_auto_t *document = json_loadb(text, len, 0, NULL);
	json_t *paths = json_object_get(document, "paths");
	const json_t *general = json_object_get(json_object_get(paths, TEMPLATE_PATH), "get");
	char path[128];

	for (size_t i = 0; general && i < catalog_count(catalog); i++) {
		const struct definition *definition = catalog_at(catalog, i);
		(void)snprintf(path, sizeof path, "/api/%s", definition->name);
		if (json_object_set_new(
			paths, path, json_pack("{s:o}", "get", operation_of(general, definition)))
		    != 0)
			return NULL;
	}
	return general ? json_dumps(document, JSON_COMPACT) : NULL;
}
