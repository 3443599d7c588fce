#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cli.h"
#include "http/client.h"

#define MAX_URL_BYTES  16384
#define MAX_BODY_BYTES ((size_t)64 * 1024 * 1024)
#define CONNECT_MS     5000
#define GRACE_MS       5000 /* past the gateway's own wait */

static tally_status
put_pair(struct buf *url, const char *word, size_t index)
{
	const char *equals = strchr(word, '=');
	tally_status status = buf_puts(url, index == 0 ? "?" : "&");
	char name[256];

	(void)snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
	if (status == TALLY_OK)
		status = http_put_encoded(url, name);
	if (status == TALLY_OK)
		status = buf_puts(url, "=");
	return status == TALLY_OK ? http_put_encoded(url, equals + 1) : status;
}

/* Writes BASE/api/DATASET/?name=value&..., terminated. */
static tally_status
make_url(const struct cli *cli, const char *base, const char *format, struct buf *url)
{
	size_t len = strlen(base);
	tally_status status;

	while (len > 0 && base[len - 1] == '/')
		len--;
	status = buf_append(url, base, len);
	if (status == TALLY_OK)
		status = buf_puts(url, "/api/");
	if (status == TALLY_OK)
		status = http_put_encoded(url, cli->words[0]);
	if (status == TALLY_OK)
		status = buf_puts(url, "/");
	for (size_t i = 1; status == TALLY_OK && i < cli->n_words; i++)
		status = put_pair(url, cli->words[i], i - 1);
	if (status == TALLY_OK && format)
		status = buf_printf(url, "%cformat=", cli->n_words > 1 ? '&' : '?');
	if (status == TALLY_OK && format)
		status = http_put_encoded(url, format);
	return status == TALLY_OK ? buf_append(url, "", 1) : status;
}

/* A problem document in words: what, and which parameter is wrong. */
static void
print_problem(const struct http_answer *answer)
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
}

static int
print_answer(const struct http_answer *answer)
{
	if (answer->status != 200) {
		print_problem(answer);
		return CLI_FAILED;
	}
	(void)fwrite(answer->body, 1, answer->body_len, stdout); /* main looks at ferror */
	if (isatty(STDOUT_FILENO) && answer->body_len > 0
	    && answer->body[answer->body_len - 1] != '\n')
		(void)fputc('\n', stdout);
	return CLI_OK;
}

static int
get(const struct cli *cli, const char *base, const char *format)
{
	struct buf url = BUF_INIT(MAX_URL_BYTES);
	struct http_answer answer = { 0 };
	struct tally_error err = { 0 };
	tally_status status = make_url(cli, base, format, &url);
	int code;

	if (status == TALLY_OK) {
		const struct http_get what = {
			.url = url.data,
			.connect_ms = CONNECT_MS,
			.timeout_ms = (int)cli->config->wait_max_ms + GRACE_MS,
			.max_body_bytes = MAX_BODY_BYTES,
		};

		status = http_get(&what, &answer, &err);
	}
	code = status == TALLY_OK ? print_answer(&answer) : cli_fail(status, &err);
	http_answer_fini(&answer);
	buf_fini(&url);
	return code;
}

static int
run(struct cli *cli)
{
	const char *format = NULL;
	const char *base;
	char own[300];

	(void)snprintf(own, sizeof own, "http://%s", cli->config->listen);
	base = own;
	if (!cli_option(cli, "--url", &base) || !cli_option(cli, "--format", &format))
		return cli_usage(&command_get, "a flag needs a value");
	if (cli_unknown_flag(cli))
		return cli_usage(&command_get, "there is no flag %s", cli_unknown_flag(cli));
	if (cli->n_words == 0)
		return cli_usage(&command_get, "get takes the name of a dataset");
	for (size_t i = 1; i < cli->n_words; i++) {
		if (!strchr(cli->words[i], '='))
			return cli_usage(&command_get, "%s is not name=value", cli->words[i]);
	}
	return get(cli, base, format);
}

const struct cli_command command_get = {
	"get",
	"get a dataset from a gateway over HTTP",
	"usage: tally get DATASET [NAME=VALUE]... [--format json|csv|ndjson] [--url URL]\n"
	"\n"
	"Asks the gateway at URL, http://TALLY_LISTEN without one, and prints the answer's body.\n"
	"A failure prints what the gateway says is wrong.\n"
	"\n"
	"    tally get comments login=vladimir --format csv\n",
	run,
};
