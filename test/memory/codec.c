/* Every allocation of what reads and writes messages, requests and files fails in turn. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tally/parts.h>
#include <tally/request.h>

#include "config/config.h"
#include "dataset/catalog.h"
#include "dataset/params.h"
#include "dataset/transcode.h"
#include "gateway/tenants.h"
#include "http/server.h"
#include "http/target.h"
#include "memory/failing.h"
#include "support/job_messages.h"

#define NOON (INT64_C(20000) * 86400000 + 43200000)

static const char dataset[] = "-- dataset t: a title\n"
			      "-- param login text required max=64\n"
			      "-- param note text default='it''s'\n"
			      "-- param price decimal min=-1.10 max=38.50\n"
			      "-- param since date default=2024-02-29\n"
			      "-- column login text\n"
			      "-- column n int = count(distinct note) default 0\n"
			      "-- group by login\n"
			      "-- order n desc\n"
			      "-- step s on db1 by login keep cache 5s\n"
			      "SELECT :login, :note, ':no', $$ :no $$;\n"
			      "-- step s on db1 by login keep cache 5s for clickhouse\n"
			      "SELECT :login, :note;\n";
static const char message[] = "{\"dataset\":\"t\",\"params\":{\"login\":\"ann\",\"note\":\"b\","
			      "\"price\":\"1.10\"},\"format\":\"csv\",\"labels\":{\"a\":\"b\"}}";

static void
each(failing_work_fn *work, void *ctx)
{
	tally_status status;
	uint64_t n;

	cr_assert(failing_each(work, ctx, &n, &status), "allocation %lu: %s", n,
		  tally_status_code(status));
	cr_assert_gt(n, 0, "nothing was allocated");
	cr_log_info("%lu allocations", n);
}

/* ---- requests and their parameters -------------------------------------------- */

static struct definition *definition;

static void
define(void)
{
	cr_assert_eq(definition_parse("t.sql", dataset, sizeof dataset - 1, &definition, NULL),
		     TALLY_OK);
}

static void
undefine(void)
{
	definition_free(definition);
}

static tally_status
decode(void *ctx)
{
	struct tally_request *request = NULL;
	int64_t timeout_ms = 0;

	(void)ctx;
	tally_status status = tally_request_decode(message, sizeof message - 1, &request, NULL);
	if (status == TALLY_OK && strcmp(tally_request_view(request)->dataset, "t") != 0)
		status = TALLY_INTERNAL_ERROR;
	tally_request_free(request);
	request = NULL;
	if (status == TALLY_OK)
		status = tally_request_decode_http(message, sizeof message - 1, &request,
						   &timeout_ms, NULL);
	tally_request_free(request);
	return status;
}

Test(codec, reads_a_request_or_says_that_memory_is_short)
{
	each(decode, NULL);
}

static tally_status
read_params(void *ctx)
{
	const struct tally_request *request = ctx;
	struct params *params = NULL;
	struct params_faults faults;
	char print[33];

	tally_status status =
	    params_from_request(definition, tally_request_view(request), &params, &faults, NULL);
	if (status == TALLY_OK)
		status = params_fingerprint(params, "default", print, NULL);
	if (status == TALLY_OK && params_value(params, 0)->len != 3)
		status = TALLY_INTERNAL_ERROR;
	params_free(params);
	return status;
}

static tally_status
take_texts(void *ctx)
{
	const struct params_text texts[] = {
		{ "login", "ann",  3 },
                { "price", "1.10", 4 }
	};
	struct params *params = NULL;
	struct params_faults faults;

	(void)ctx;
	tally_status status = params_from_texts(definition, texts, 2, &params, &faults, NULL);
	params_free(params);
	return status;
}

static tally_status
write_message(void *ctx)
{
	const struct tally_request_label labels[] = {
		{ "b", "2" },
                { "a", "1" }
	};
	const struct tally_request_view more = { .format = "csv", .labels = labels, .n_labels = 2 };
	char text[1024];
	size_t len;

	tally_status status = params_encode_job(ctx, &more, text, sizeof text, &len, NULL);
	if (status == TALLY_OK && !memmem(text, len, "\"a\":\"1\",\"b\":\"2\"", 15))
		status = TALLY_INTERNAL_ERROR;
	return status;
}

Test(codec, types_parameters_or_says_that_memory_is_short, .init = define, .fini = undefine)
{
	struct tally_request *request;
	struct params *params;
	struct params_faults faults;
	tally_status status;
	uint64_t n;

	cr_assert_eq(tally_request_decode(message, sizeof message - 1, &request, NULL), TALLY_OK);
	each(read_params, request);
	each(take_texts, NULL);
	cr_assert_eq(
	    params_from_request(definition, tally_request_view(request), &params, &faults, NULL),
	    TALLY_OK);
	cr_assert(failing_each(write_message, params, &n, &status), "allocation %lu", n);
	params_free(params);
	tally_request_free(request);
}

static tally_status
parse_target(void *ctx)
{
	struct http_target target;
	tally_status status = http_target_parse("/a%20b?login=%C3%A4&n=2", &target, NULL);

	(void)ctx;
	if (status == TALLY_OK && target.n_arguments != 2)
		status = TALLY_INTERNAL_ERROR;
	http_target_fini(&target);
	return status;
}

Test(codec, decodes_a_target_or_says_that_memory_is_short)
{
	each(parse_target, NULL);
}

static void
nobody(void *ctx, struct http_request *request)
{
	(void)ctx;
	(void)request;
}

static tally_status
start_server(void *ctx)
{
	const struct http_server_options options = { .listen = "127.0.0.1:0",
						     .n_threads = 2,
						     .max_connections = 4,
						     .request_timeout_ms = 1000,
						     .idle_timeout_ms = 1000,
						     .stall_timeout_ms = 1000,
						     .handler = nobody };
	struct http_server *server = NULL;
	tally_status status = http_server_start(&options, &server, NULL);

	(void)ctx;
	http_server_stop(server);
	return status;
}

Test(codec, starts_a_server_or_says_that_memory_is_short)
{
	each(start_server, NULL);
}

/* ---- results ------------------------------------------------------------------ */

static tally_status
gather(void *ctx)
{
	struct sample_message *messages = ctx;
	struct tally_parts *parts = tally_parts_new(1 << 16, 4);
	struct tally_body body = { 0 };
	tally_status status = parts ? TALLY_RESULT_NOT_READY : TALLY_NO_MEMORY;

	for (int i = 0; i < 2 && status == TALLY_RESULT_NOT_READY; i++) {
		struct tally_job_result result;

		status = tally_job_result_read(messages[i].key, strlen(messages[i].key),
					       messages[i].headers.items, messages[i].headers.n,
					       &result, NULL);
		if (status == TALLY_OK)
			status = tally_parts_add(parts, &result, messages[i].value,
						 messages[i].value_len, i, &body);
	}
	if (status == TALLY_OK && (body.len != 6 || memcmp(body.bytes, "abcdef", 6) != 0))
		status = TALLY_INTERNAL_ERROR;
	free(status == TALLY_OK ? body.bytes : NULL);
	tally_parts_free(parts);
	return status;
}

Test(codec, puts_parts_together_or_says_that_memory_is_short)
{
	struct sample job = sample_ours("acme", NOON, 2);
	const struct sample_end ends[] = {
		{ .run = 7, .part = 1, .body = "abc" },
		{ .run = 7, .part = 2, .n_parts = 2, .body = "def" }
	};
	static struct sample_message messages[2];

	for (int i = 0; i < 2; i++)
		sample_result(&messages[i], &job, &ends[i]);
	/* The digest of a sample is that of its message, here that of the whole. */
	unsigned char sha256[TALLY_SHA256_BYTES];
	cr_assert_eq(tally_sha256("abcdef", 6, sha256), TALLY_OK);
	struct tally_job_result last;
	cr_assert_eq(tally_job_result_read(messages[1].key, strlen(messages[1].key),
					   messages[1].headers.items, messages[1].headers.n, &last,
					   NULL),
		     TALLY_OK);
	memcpy(last.sha256, sha256, sizeof sha256);
	cr_assert_eq(tally_job_result_write(&last, NOON, &messages[1].headers), TALLY_OK);
	each(gather, messages);
}

static tally_status
write_csv(void *ctx)
{
	static const char body[] = "{\"status\":\"ok\",\"data\":[{\"login\":\"=a\",\"n\":1}]}";
	struct transcode *stream =
	    transcode_new(definition, TRANSCODE_CSV, true, body, sizeof body - 1);
	char out[64];
	size_t len = 0;

	(void)ctx;
	tally_status status =
	    stream ? transcode_read(stream, out, sizeof out, &len) : TALLY_NO_MEMORY;
	if (status == TALLY_OK && (len != 16 || memcmp(out, "login,n\r\n'=a,1\r\n", 16) != 0))
		status = TALLY_INTERNAL_ERROR;
	transcode_free(stream);
	return status;
}

Test(codec, writes_csv_or_says_that_memory_is_short, .init = define, .fini = undefine)
{
	each(write_csv, NULL);
}

/* ---- the recorder's batch ------------------------------------------------------ */

static tally_status
add_to(struct projection *projection, const struct sample_message *messages, size_t n)
{
	const struct projection_rules rules = {
		.secrets = &sample_secrets,
		.results_partitions = SAMPLE_PARTITIONS,
		.days = { .first = 19999, .mask = 7, .last = 20001 },
	};
	struct tally_error err = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct projection_message it = {
			.topic = messages[i].topic,
			.partition = messages[i].partition,
			.offset = (int64_t)i,
			.stamp_ms = NOON,
			.key = messages[i].key,
			.key_len = strlen(messages[i].key),
			.value = messages[i].value,
			.value_len = messages[i].value_len,
			.headers = messages[i].headers.items,
			.n_headers = messages[i].headers.n,
		};
		enum projection_outcome outcome = projection_add(projection, &rules, &it, &err);

		if (outcome == PROJECTION_NO_MEMORY)
			return TALLY_NO_MEMORY;
		/* A message that is right must never be refused because memory is short. */
		if (outcome != PROJECTION_DONE)
			return TALLY_BAD_REQUEST;
	}
	return projection->n_changes == 2 ? TALLY_OK : TALLY_INTERNAL_ERROR;
}

static tally_status
project(void *ctx)
{
	struct projection *projection = projection_new();
	tally_status status = projection ? add_to(projection, ctx, 4) : TALLY_NO_MEMORY;

	projection_free(projection);
	return status;
}

Test(codec, projects_messages_or_says_that_memory_is_short)
{
	static struct sample_message messages[4];
	struct sample ours = sample_ours("acme", NOON, 2), foreign = sample_foreign("1", NOON);

	sample_request(&messages[0], &ours, SAMPLE_VALUE, "a key");
	memset(messages[0].key, 'f', 32);
	messages[0].key[32] = '\0';
	sample_request(&messages[1], &foreign,
		       "{\"dataset\":\"c\",\"format\":\"csv\",\"labels\":{\"a\":\"b\"}}", NULL);
	sample_result(&messages[2], &ours, &(struct sample_end){ .run = 1, .body = "{}" });
	sample_result(&messages[3], &foreign,
		      &(struct sample_end){ .run = 2,
					    .code = TALLY_SOURCE_ERROR,
					    .body = "{\"code\":\"source_error\"}" });
	each(project, messages);
}

/* ---- files --------------------------------------------------------------------- */

static tally_status
parse(void *ctx)
{
	struct definition *parsed = NULL;
	tally_status status = definition_parse("t.sql", dataset, sizeof dataset - 1, &parsed, NULL);

	(void)ctx;
	if (status == TALLY_OK && (parsed->n_steps != 1 || parsed->steps[0].n_sqls != 2))
		status = TALLY_INTERNAL_ERROR;
	definition_free(parsed);
	return status;
}

static tally_status
load_catalog(void *ctx)
{
	struct catalog *catalog = NULL;
	tally_status status = catalog_load(ctx, &catalog, NULL);

	if (status == TALLY_OK && catalog_count(catalog) < 2)
		status = TALLY_INTERNAL_ERROR;
	catalog_free(catalog);
	return status;
}

static char folder[] = "deploy/datasets";

Test(codec, reads_datasets_or_says_that_memory_is_short)
{
	each(parse, NULL);
	each(load_catalog, folder);
}

static tally_status
load_config(void *ctx)
{
	char *argv[] = { (char[]){ "tally" }, (char[]){ "--config" }, ctx,
			 (char[]){ "--batch-max=7" }, NULL };
	struct config *config = NULL;
	tally_status status = config_load(CONFIG_CLI, 4, argv, true, &config, NULL);

	if (status == TALLY_OK && (config->batch_max != 7 || !config_source(config, "db9")))
		status = TALLY_INTERNAL_ERROR;
	config_free(config);
	return status;
}

static tally_status
load_tenants(void *ctx)
{
	struct tenants *tenants = NULL;
	struct tenant *tenant = NULL;
	tally_status status = tenants_new(ctx, &tenants, NULL);

	if (status == TALLY_OK)
		status = tenants_reload(tenants, NULL);
	if (status == TALLY_OK && tenants_find(tenants, "Bearer x", &tenant, NULL) == TALLY_OK)
		status = TALLY_INTERNAL_ERROR;
	tenants_free(tenants);
	return status;
}

static void
write_file(char path[], const char *text)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

Test(codec, reads_settings_and_keys_or_says_that_memory_is_short)
{
	char settings[] = "/tmp/tally-memory-XXXXXX", keys[] = "/tmp/tally-memory-XXXXXX";

	write_file(settings, "TALLY_SOURCE_DB9=postgresql://h/d\nTALLY_KAFKA_A_B=1\n");
	write_file(keys, "acme abababababababababababababababababababababababababababababababab"
			 " 1 2 3\n");
	each(load_config, settings);
	each(load_tenants, keys);
	(void)unlink(settings);
	(void)unlink(keys);
}
