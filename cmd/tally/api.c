#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 5000
#define TIMEOUT_MS 40000 /* the longest wait of a gateway, and some grace */

/* ---- the gateway ------------------------------------------------------------- */

static void
set_base(struct api *api, const char *url)
{
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	(void)snprintf(api->base_text, sizeof api->base_text, "%.*s", (int)len, url);
	api->base = api->base_text;
}

int
api_open(struct cli *cli, const struct cli_command *command, struct api *out_api)
{
	const char *key = cli->config->api_key;
	const char *url = NULL;
	char own[300];

	*out_api = (struct api){ 0 };
	if (!cli_option(cli, "--url", &url))
		return cli_usage(command, "--url needs a value");
	if (cli_unknown_flag(cli))
		return cli_usage(command, "there is no flag %s", cli_unknown_flag(cli));
	(void)snprintf(own, sizeof own, "http://%s", cli->config->listen);
	set_base(out_api, url ? url : own);
	if (key[0]) {
		(void)snprintf(out_api->authorization_text, sizeof out_api->authorization_text,
			       "Bearer %s", key);
		out_api->authorization = out_api->authorization_text;
	}
	out_api->client = http_client_new();
	if (out_api->client)
		return CLI_OK;
	(void)fputs("tally: out of memory\n", stderr);
	return CLI_FAILED;
}

void
api_close(struct api *api)
{
	http_client_free(api->client);
	*api = (struct api){ 0 };
}

tally_status
api_url(const struct api *api, struct buf *url, const char *path, const char *const *segments)
{
	tally_status status = buf_puts(url, api->base);

	if (status == TALLY_OK)
		status = buf_puts(url, path);
	for (; status == TALLY_OK && segments && *segments; segments++) {
		status = buf_puts(url, "/");
		if (status == TALLY_OK)
			status = http_put_encoded(url, *segments);
	}
	return status == TALLY_OK ? buf_append(url, "", 1) : status;
}

tally_status
api_url_argument(struct buf *url, const char *name, const char *value)
{
	tally_status status;

	if (!value)
		return TALLY_OK;
	url->len--; /* the end */
	status = buf_puts(url, memchr(url->data, '?', url->len) ? "&" : "?");
	if (status == TALLY_OK)
		status = http_put_encoded(url, name);
	if (status == TALLY_OK)
		status = buf_puts(url, "=");
	if (status == TALLY_OK)
		status = http_put_encoded(url, value);
	return status == TALLY_OK ? buf_append(url, "", 1) : status;
}

tally_status
api_call(const struct api *api, struct http_client *client, struct http_call *call,
	 struct http_answer *out_answer, struct tally_error *err)
{
	call->authorization = api->authorization;
	call->connect_ms = CONNECT_MS;
	if (call->take)
		call->stall_ms = TIMEOUT_MS; /* however long it is */
	else
		call->timeout_ms = TIMEOUT_MS;
	call->max_body_bytes = API_MAX_BYTES;
	return http_call(client, call, out_answer, err);
}

tally_status
api_call_job(const struct api *api, const char *method, const char *id, const char *prefer,
	     struct http_answer *out_answer, struct tally_error *err)
{
	const char *const segments[] = { id, NULL };
	struct buf url = BUF_INIT(API_MAX_URL_BYTES);
	tally_status status = api_url(api, &url, "/v1/jobs", segments);

	*out_answer = (struct http_answer){ 0 };
	if (status == TALLY_OK) {
		struct http_call call = { .method = method,
					  .url = url.data,
					  .headers = { prefer } };

		status = api_call(api, api->client, &call, out_answer, err);
	} else {
		(void)tally_fail(err, status, "the id is too long");
	}
	buf_fini(&url);
	return status;
}

/* ---- what it says ------------------------------------------------------------ */

const char *
api_problem_code(const json_t *problem)
{
	return api_job_text(problem, "code");
}

int
api_print_problem(const struct http_answer *answer)
{
	json_auto_t *problem = json_loadb(answer->body, answer->body_len, 0, NULL);
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	size_t index;
	json_t *fault;

	(void)fprintf(stderr, "tally: HTTP %d%s%s%s%s\n", answer->status, title ? ": " : "",
		      title ? title : "", detail ? ": " : "", detail ? detail : "");
	json_array_foreach(json_object_get(problem, "errors"), index, fault)
	{
		const char *name = json_string_value(json_object_get(fault, "name"));
		const char *what = json_string_value(json_object_get(fault, "detail"));

		if (name && what)
			(void)fprintf(stderr, "tally:   %s %s\n", name, what);
	}
	return CLI_FAILED;
}

const char *
api_job_text(const json_t *job, const char *name)
{
	const char *text = json_string_value(json_object_get(job, name));

	return text ? text : "";
}

bool
api_job_is_final(const json_t *job)
{
	return json_is_true(json_object_get(job, "final"));
}

static void
print_for_a_person(const json_t *job)
{
	const json_t *result = json_object_get(job, "result");
	const json_t *error = json_object_get(job, "error");

	(void)printf("%s %s", api_job_text(job, "id"), api_job_text(job, "state"));
	if (json_is_object(result))
		(void)printf(" rows=%" JSON_INTEGER_FORMAT " bytes=%" JSON_INTEGER_FORMAT,
			     json_integer_value(json_object_get(result, "rows")),
			     json_integer_value(json_object_get(result, "bytes")));
	if (json_is_object(error))
		(void)printf(
		    " %s: %s", api_job_text(error, "code"),
		    api_job_text(error, json_object_get(error, "detail") ? "detail" : "title"));
	(void)fputc('\n', stdout); /* main looks at ferror */
}

void
api_print_job(const json_t *job, bool as_json)
{
	if (!as_json) {
		print_for_a_person(job);
		return;
	}
	(void)json_dumpf(job, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
}

int
api_print_answer(const struct http_answer *answer, bool as_json)
{
	json_auto_t *job = NULL;
	const char *state;

	if (answer->status != 200 && answer->status != 202)
		return api_print_problem(answer);
	job = json_loadb(answer->body, answer->body_len, 0, NULL);
	if (!json_is_object(job)) {
		(void)fputs("tally: that is no gateway: the answer is not a job\n", stderr);
		return CLI_FAILED;
	}
	api_print_job(job, as_json);
	state = api_job_text(job, "state");
	return strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0 ? CLI_FAILED
									       : CLI_OK;
}
