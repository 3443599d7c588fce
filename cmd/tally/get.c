#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "output.h"

static tally_status
add_pair(struct buf *url, const char *word)
{
	const char *equals = strchr(word, '=');
	char name[256];

	(void)snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
	return api_url_argument(url, name, equals + 1);
}

/* Writes BASE/api/DATASET?name=value&..., terminated. */
static tally_status
make_url(const struct cli *cli, const struct api *api, const char *format, struct buf *url)
{
	const char *const segments[] = { cli->words[0], NULL };
	tally_status status = api_url(api, url, "/api", segments);

	for (size_t i = 1; status == TALLY_OK && i < cli->n_words; i++)
		status = add_pair(url, cli->words[i]);
	return status == TALLY_OK ? api_url_argument(url, "format", format) : status;
}

static int
get(const struct cli *cli, const struct api *api, const char *format)
{
	struct buf url = BUF_INIT(API_MAX_URL_BYTES);
	struct output output = { .file = stdout };
	struct tally_error err = { 0 };
	tally_status status = make_url(cli, api, format, &url);
	int code;

	if (status == TALLY_OK)
		code = output_fetch(&output, api, url.data);
	else
		code = cli_fail(status, &err);
	buf_fini(&url);
	return code;
}

static int
run(struct cli *cli)
{
	const char *format = NULL;
	struct api api = { 0 };
	int code;

	if (!cli_option(cli, "--format", &format))
		return cli_usage(&command_get, "--format needs a value");
	code = api_open(cli, &command_get, &api);
	if (code == CLI_OK && cli->n_words == 0)
		code = cli_usage(&command_get, "get takes the name of a dataset");
	for (size_t i = 1; code == CLI_OK && i < cli->n_words; i++) {
		if (!strchr(cli->words[i], '='))
			code = cli_usage(&command_get, "%s is not name=value", cli->words[i]);
	}
	if (code == CLI_OK)
		code = get(cli, &api, format);
	api_close(&api);
	return code;
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
