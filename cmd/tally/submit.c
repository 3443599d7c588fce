#include "submit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/job.h>

#define MAX_CONCURRENCY 256
#define MAX_TIMEOUT_S   (TALLY_JOB_DEADLINE_MAX_MS / 1000)

/* What the words say. */
struct asked {
	const char *format;
	const char *timeout;
	const char *key;
	const char *wait;
	const char *file;
	const char *concurrency;
	bool as_json;
	json_t *labels; /* an object; NULL: none */
	int timeout_ms; /* 0: the gateway's default */
	int wait_s;
	int n_at_once;
};

tally_status
submit_post(const struct api *api, struct http_client *client, const struct submission *submission,
	    struct http_answer *out_answer, struct tally_error *err)
{
	struct buf url = BUF_INIT(API_MAX_URL_BYTES);
	struct http_call call = { .json = submission->json, .json_len = submission->len };
	char key[512], prefer[32];
	size_t n = 0;
	tally_status status = api_url(api, &url, "/v1/jobs", NULL);

	*out_answer = (struct http_answer){ 0 };
	if (submission->key) {
		(void)snprintf(key, sizeof key, "Idempotency-Key: %s", submission->key);
		call.headers[n++] = key;
	}
	if (submission->wait_s > 0) {
		(void)snprintf(prefer, sizeof prefer, "Prefer: wait=%d", submission->wait_s);
		call.headers[n++] = prefer;
	}
	call.url = url.data;
	if (status == TALLY_OK)
		status = api_call(api, client, &call, out_answer, err);
	else
		(void)tally_fail(err, status, "the URL is too long");
	buf_fini(&url);
	return status;
}

/* ---- one --------------------------------------------------------------------- */

/* A parameter as JSON of the type that the dataset declares.  What does not fit goes as a string:
 * the gateway says what is wrong with it.  NULL when it is not UTF-8, or out of memory. */
static json_t *
parameter(const json_t *schema, const char *value)
{
	const char *type = api_job_text(schema, "type");
	bool is_number = strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
	json_t *typed = NULL;

	if (is_number || strcmp(type, "boolean") == 0)
		typed = json_loads(value, JSON_DECODE_ANY, NULL);
	if (is_number ? json_is_number(typed) : json_is_boolean(typed))
		return typed;
	json_decref(typed);
	return json_string(value);
}

/* Fills params from the words after the dataset; schemas are the dataset's, by name. */
static tally_status
add_params(const struct cli *cli, const json_t *schemas, json_t *params, struct tally_error *err)
{
	for (size_t i = 1; i < cli->n_words; i++) {
		const char *equals = strchr(cli->words[i], '=');
		char name[256];

		if (!equals || equals - cli->words[i] >= (ptrdiff_t)sizeof name)
			return tally_fail(err, TALLY_INVALID_PARAMETER, "%s is not name=value",
					  cli->words[i]);
		(void)snprintf(name, sizeof name, "%.*s", (int)(equals - cli->words[i]),
			       cli->words[i]);
		if (json_object_get(params, name))
			return tally_fail(err, TALLY_INVALID_PARAMETER, "%s is given twice", name);
		if (json_object_set_new(params, name,
					parameter(json_object_get(schemas, name), equals + 1))
		    != 0)
			return tally_fail(err, TALLY_INVALID_PARAMETER, "%s is not UTF-8", name);
	}
	return TALLY_OK;
}

/* The job request as text; the caller frees it.  NULL when out of memory. */
static char *
request_text(const struct cli *cli, const struct asked *asked, json_t *params)
{
	json_auto_t *request = json_pack("{s:s, s:O}", "dataset", cli->words[0], "params", params);

	if (asked->format)
		(void)json_object_set_new(request, "format", json_string(asked->format));
	if (asked->timeout_ms > 0)
		(void)json_object_set_new(request, "timeout_ms", json_integer(asked->timeout_ms));
	if (asked->labels)
		(void)json_object_set(request, "labels", asked->labels);
	return json_dumps(request, JSON_COMPACT);
}

static int
print_id(const struct http_answer *answer)
{
	json_auto_t *job = NULL;

	if (answer->status != 200 && answer->status != 202)
		return api_print_problem(answer);
	job = json_loadb(answer->body, answer->body_len, 0, NULL);
	(void)puts(api_job_text(job, "id")); /* main looks at ferror */
	return CLI_OK;
}

static int
post_one(const struct api *api, const struct asked *asked, const char *text)
{
	const struct submission submission = { text, strlen(text), asked->key, asked->wait_s };
	struct http_answer answer = { 0 };
	struct tally_error err = { 0 };
	tally_status status = submit_post(api, api->client, &submission, &answer, &err);
	int code;

	if (status != TALLY_OK)
		code = cli_fail(status, &err);
	else if (asked->as_json || asked->wait_s > 0)
		code = api_print_answer(&answer, asked->as_json);
	else
		code = print_id(&answer);
	http_answer_fini(&answer);
	return code;
}

/* Asks for the dataset's parameters.  Returns an exit code. */
static int
look_up(const struct api *api, const char *dataset, json_t **out_description)
{
	const char *const segments[] = { dataset, NULL };
	struct buf url = BUF_INIT(API_MAX_URL_BYTES);
	struct http_answer answer = { 0 };
	struct tally_error err = { 0 };
	tally_status status = api_url(api, &url, "/v1/datasets", segments);
	struct http_call call = { .url = url.data };
	int code = CLI_OK;

	if (status == TALLY_OK)
		status = api_call(api, api->client, &call, &answer, &err);
	if (status != TALLY_OK)
		code = cli_fail(status, &err);
	else if (answer.status != 200)
		code = api_print_problem(&answer);
	else
		*out_description = json_loadb(answer.body, answer.body_len, 0, NULL);
	http_answer_fini(&answer);
	buf_fini(&url);
	return code;
}

static int
submit_one(const struct cli *cli, const struct api *api, const struct asked *asked)
{
	json_auto_t *description = NULL;
	json_auto_t *params = json_object();
	struct tally_error err = { 0 };
	const json_t *schemas;
	tally_status status;
	char *text;
	int code = look_up(api, cli->words[0], &description);

	if (code != CLI_OK)
		return code;
	schemas = json_object_get(json_object_get(description, "params"), "properties");
	status = add_params(cli, schemas, params, &err);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	text = request_text(cli, asked, params);
	if (!text)
		return cli_fail(TALLY_NO_MEMORY, &err);
	code = post_one(api, asked, text);
	free(text);
	return code;
}

/* ---- the words --------------------------------------------------------------- */

static bool
add_label(struct asked *asked, const char *word)
{
	const char *equals = strchr(word, '=');

	if (!equals || equals == word)
		return false;
	if (!asked->labels)
		asked->labels = json_object();
	return json_object_setn_new(asked->labels, word, (size_t)(equals - word),
				    json_string(equals + 1))
	       == 0;
}

/* Takes every --label out of the words. */
static bool
take_labels(struct cli *cli, struct asked *asked)
{
	for (;;) {
		const char *word = NULL;

		if (!cli_option(cli, "--label", &word))
			return false;
		if (!word)
			return true;
		if (!add_label(asked, word))
			return false;
	}
}

static int
check(const struct cli *cli, struct asked *asked)
{
	bool is_single = asked->format || asked->timeout || asked->labels || asked->wait;

	if (asked->file && (cli->n_words > 0 || is_single))
		return cli_usage(&command_submit,
				 "with --file each line says its dataset, format, timeout_ms and"
				 " labels, and nothing waits");
	if (!asked->file && asked->concurrency)
		return cli_usage(&command_submit, "--concurrency goes with --file");
	if (!asked->file && cli->n_words == 0)
		return cli_usage(&command_submit, "submit takes the name of a dataset, or --file");
	if (!cli_number(asked->timeout, 1, MAX_TIMEOUT_S, &asked->timeout_ms)
	    || !cli_number(asked->wait, 0, API_MAX_WAIT_S, &asked->wait_s)
	    || !cli_number(asked->concurrency, 1, MAX_CONCURRENCY, &asked->n_at_once))
		return cli_usage(&command_submit,
				 "--timeout takes 1 to %d seconds, --wait 0 to %d, --concurrency 1"
				 " to %d",
				 MAX_TIMEOUT_S, API_MAX_WAIT_S, MAX_CONCURRENCY);
	asked->timeout_ms *= 1000;
	return CLI_OK;
}

static int
submit(const struct cli *cli, const struct api *api, struct asked *asked)
{
	const struct submit_many many = { .api = api,
					  .path = asked->file,
					  .key = asked->key,
					  .concurrency = (unsigned)asked->n_at_once,
					  .as_json = asked->as_json };
	int code = check(cli, asked);

	if (code != CLI_OK)
		return code;
	return asked->file ? submit_many(&many) : submit_one(cli, api, asked);
}

static int
run(struct cli *cli)
{
	struct asked asked = { .as_json = cli_flag(cli, "--json"), .n_at_once = 8 };
	struct api api = { 0 };
	int code = CLI_OK;

	if (!take_labels(cli, &asked))
		code = cli_usage(&command_submit, "--label takes NAME=VALUE");
	else if (!cli_option(cli, "--format", &asked.format)
		 || !cli_option(cli, "--timeout", &asked.timeout)
		 || !cli_option(cli, "--key", &asked.key) || !cli_option(cli, "--wait", &asked.wait)
		 || !cli_option(cli, "--file", &asked.file)
		 || !cli_option(cli, "--concurrency", &asked.concurrency))
		code = cli_usage(&command_submit, "a flag needs a value");
	if (code == CLI_OK)
		code = api_open(cli, &command_submit, &api);
	if (code == CLI_OK)
		code = submit(cli, &api, &asked);
	json_decref(asked.labels);
	api_close(&api);
	return code;
}

const struct cli_command command_submit = {
	"submit",
	"submit a job, or many from a file",
	"usage: tally submit DATASET [NAME=VALUE]... [--format json|csv|ndjson]\n"
	"                    [--timeout SECONDS] [--label NAME=VALUE]... [--key KEY]\n"
	"                    [--wait SECONDS] [--json] [--url URL]\n"
	"       tally submit --file FILE|- [--concurrency N] [--key KEY] [--json] [--url URL]\n"
	"\n"
	"Submits a job to the gateway at URL, http://TALLY_LISTEN without one, and prints its id,\n"
	"or with --wait what became of it by then, or with --json the job.\n"
	"\n"
	"  --timeout      when the job fails for lack of a result, in seconds\n"
	"  --key          an Idempotency-Key: the same again is the same job\n"
	"  --wait         for at most that many seconds (30 at most)\n"
	"  --file         submits a job request a line, such as\n"
	"                 {\"dataset\":\"comments\",\"params\":{\"login\":\"vladimir\"}}\n"
	"                 - is standard input.  The ids are printed in the order of the lines, an\n"
	"                 empty line for each that failed; failures are said on standard error,\n"
	"                 and a terminal there gets a progress bar.  With --key, line N has\n"
	"                 KEY-N, so that the same file may be submitted again.\n"
	"  --concurrency  how many at once, 8 without it\n"
	"\n"
	"    tally submit comments login=vladimir --wait 10\n"
	"    tally submit --file requests.ndjson --concurrency 32 >ids\n",
	run,
};
