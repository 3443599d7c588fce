/* The API's documents say what the code's own tables say: every route, HTTP status, code, topic and
 * header, and nothing else. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <tally/topics.h>

#include "gateway/openapi.h"
#include "gateway/problem.h"
#include "gateway/routes.h"

static json_t *openapi, *asyncapi;

static void
init(void)
{
	size_t len;
	const char *text = openapi_text(&len);

	openapi = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	cr_assert(openapi, "api/openapi.json is no JSON");
	text = asyncapi_text(&len);
	asyncapi = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	cr_assert(asyncapi, "api/asyncapi.json is no JSON");
}

static void
fini(void)
{
	json_decref(openapi);
	json_decref(asyncapi);
}

TestSuite(documents, .init = init, .fini = fini);

static void
lower(const char *text, char out[8])
{
	size_t i;

	for (i = 0; text[i] && i < 7; i++)
		out[i] = (char)(text[i] | 0x20);
	out[i] = '\0';
}

static json_t *
operation_of(const struct route *route)
{
	char method[8];

	lower(route->method, method);
	return json_object_get(json_object_get(json_object_get(openapi, "paths"), route->path),
			       method);
}

static bool
has_text(const json_t *array, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		if (strcmp(json_string_value(item), text) == 0)
			return true;
	}
	return false;
}

/* The set of a route's codes is x-codes, and that of its HTTP statuses is responses. */
static void
compare(const struct route *route, const json_t *operation)
{
	const json_t *codes = json_object_get(operation, "x-codes");
	const json_t *responses = json_object_get(operation, "responses");
	bool may_be[600] = { false };
	size_t n_codes = 0, n_responses = 0;

	for (int i = 0; i < ROUTE_PLAIN_MAX && route->plain[i]; i++)
		may_be[route->plain[i]] = true;
	for (int status = 0; status < TALLY_STATUSES; status++) {
		if (!(route->problems >> status & 1))
			continue;
		n_codes++;
		may_be[problem_http_status((tally_status)status)] = true;
		cr_expect(has_text(codes, tally_status_code((tally_status)status)),
			  "%s %s can be %s", route->method, route->path,
			  tally_status_code((tally_status)status));
	}
	cr_expect_eq(json_array_size(codes), n_codes, "%s %s: x-codes says too much", route->method,
		     route->path);
	for (unsigned http = 0; http < 600; http++) {
		char text[8];

		(void)snprintf(text, sizeof text, "%u", http);
		n_responses += may_be[http];
		cr_expect_eq(may_be[http], json_object_get(responses, text) != NULL, "%s %s: %u",
			     route->method, route->path, http);
	}
	cr_expect_eq(json_object_size(responses), n_responses);
}

Test(documents, every_route_is_in_the_openapi_document_with_all_it_can_answer)
{
	size_t n;
	const struct route *routes = gateway_routes(&n);

	for (size_t i = 0; i < n; i++) {
		const json_t *operation = operation_of(&routes[i]);

		cr_expect(operation, "%s %s is missing", routes[i].method, routes[i].path);
		if (operation)
			compare(&routes[i], operation);
	}
}

Test(documents, every_operation_of_the_openapi_document_is_a_route)
{
	size_t n, n_operations = 0;
	const char *path, *method;
	json_t *item, *operation;

	(void)gateway_routes(&n);
	json_object_foreach(json_object_get(openapi, "paths"), path, item)
	{
		json_object_foreach(item, method, operation)
		{
			n_operations++;
		}
	}
	cr_expect_eq(n_operations, n);
}

Test(documents, a_key_is_asked_for_where_the_openapi_document_says_so)
{
	size_t n;
	const struct route *routes = gateway_routes(&n);

	for (size_t i = 0; i < n; i++)
		cr_expect_eq(json_array_size(json_object_get(operation_of(&routes[i]), "security"))
				 > 0,
			     routes[i].needs_key, "%s", routes[i].path);
}

Test(documents, the_list_of_codes_is_closed_and_the_same)
{
	const json_t *schemas = json_object_get(json_object_get(openapi, "components"), "schemas");
	const json_t *codes = json_object_get(json_object_get(schemas, "Code"), "enum");
	size_t n = 0;

	for (int status = TALLY_OK + 1; status < TALLY_STATUSES; status++) {
		bool is_public =
		    problem_public_status((tally_status)status) == (tally_status)status;

		n += is_public;
		cr_expect_eq(has_text(codes, tally_status_code((tally_status)status)), is_public,
			     "%s", tally_status_code((tally_status)status));
	}
	cr_expect_eq(json_array_size(codes), n);
}

Test(documents, every_topic_is_in_the_asyncapi_document_as_it_is_made)
{
	const json_t *channels = json_object_get(asyncapi, "channels");
	size_t n;
	const struct tally_topic *topics = tally_topics(&n);
	const char *key;
	json_t *channel;

	cr_expect_eq(json_object_size(channels), n);
	json_object_foreach(json_object_get(asyncapi, "channels"), key, channel)
	{
		const char *address = json_string_value(json_object_get(channel, "address"));
		const json_t *kafka =
		    json_object_get(json_object_get(channel, "bindings"), "kafka");
		const json_t *retention =
		    json_object_get(json_object_get(kafka, "topicConfiguration"), "retention.ms");
		bool is_there = false;

		for (size_t i = 0; i < n; i++) {
			if (strcmp(topics[i].name, address) != 0)
				continue;
			is_there = true;
			cr_expect_eq(json_integer_value(json_object_get(kafka, "partitions")),
				     topics[i].partitions, "%s", address);
			cr_expect_eq(json_integer_value(retention), topics[i].retention_ms, "%s",
				     address);
		}
		cr_expect(is_there, "there is no topic %s", address);
	}
}

static bool
is_header_of_ours(const char *name)
{
	static const char *const names[] = {
		TALLY_HEADER_ID,
		TALLY_HEADER_REPLY_PARTITION,
		TALLY_HEADER_BUDGET_MS,
		TALLY_HEADER_TENANT,
		TALLY_HEADER_NO_CACHE,
		TALLY_HEADER_TRACEPARENT,
		TALLY_HEADER_STATE,
		TALLY_HEADER_RUN,
		TALLY_HEADER_ERROR_CODE,
		TALLY_HEADER_TIMING,
		TALLY_HEADER_CE_SPECVERSION,
		TALLY_HEADER_CE_ID,
		TALLY_HEADER_CE_SOURCE,
		TALLY_HEADER_CE_TYPE,
		TALLY_HEADER_CE_TIME,
		TALLY_HEADER_CE_SUBJECT,
		TALLY_HEADER_CONTENT_TYPE,
		TALLY_HEADER_DEADLINE_MS,
		TALLY_HEADER_IDEMPOTENCY_KEY,
		TALLY_HEADER_BODY_HASH,
		TALLY_HEADER_DATASET,
		TALLY_HEADER_DATASET_HASH,
		TALLY_HEADER_ATTEMPT,
		TALLY_HEADER_ROWS,
		TALLY_HEADER_SHA256,
		TALLY_HEADER_CREATED_MS,
		TALLY_HEADER_STARTED_MS,
		TALLY_HEADER_PART,
		TALLY_HEADER_PARTS,
		TALLY_HEADER_REASON,
		TALLY_HEADER_ORIGIN_TOPIC,
		TALLY_HEADER_ORIGIN_PARTITION,
		TALLY_HEADER_ORIGIN_OFFSET,
		TALLY_HEADER_ORIGIN_TIME,
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

Test(documents, every_header_of_the_asyncapi_document_is_one_of_ours)
{
	const char *name, *key;
	json_t *message, *schema;

	json_object_foreach(json_object_get(json_object_get(asyncapi, "components"), "messages"),
			    key, message)
	{
		json_object_foreach(
		    json_object_get(json_object_get(message, "headers"), "properties"), name,
		    schema)
		{
			cr_expect(is_header_of_ours(name), "%s: %s", key, name);
		}
	}
}

Test(documents, the_served_document_has_a_path_for_every_dataset)
{
	struct tally_error err = { 0 };
	struct catalog *catalog;

	cr_assert_eq(catalog_load("deploy/datasets", &catalog, &err), TALLY_OK, "%s", err.detail);
	char *text = openapi_document(catalog);
	json_t *document = json_loads(text, 0, NULL);
	const json_t *operation = json_object_get(
	    json_object_get(json_object_get(document, "paths"), "/api/comments"), "get");
	const json_t *parameters = json_object_get(operation, "parameters"), *parameter;
	bool has_login = false;
	size_t i;

	json_array_foreach(parameters, i, parameter)
	{
		const char *name = json_string_value(json_object_get(parameter, "name"));
		has_login = has_login || (name && strcmp(name, "login") == 0);
		cr_expect(!name || strcmp(name, "dataset") != 0);
	}
	cr_expect(has_login);
	cr_expect(json_object_get(operation, "responses"));
	json_decref(document);
	free(text);
	catalog_free(catalog);
}
