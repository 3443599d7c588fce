#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

static int
fetch(const struct api *api, const char *id, const char *format, struct output *output)
{
	const char *const segments[] = { id, "result", NULL };
	struct buf url = BUF_INIT(API_MAX_URL_BYTES);
	struct tally_error err = { 0 };
	tally_status status = api_url(api, &url, "/v1/jobs", segments);
	int code;

	if (status == TALLY_OK)
		status = api_url_argument(&url, "format", format);
	code = status == TALLY_OK ? output_fetch(output, api, url.data) : cli_fail(status, &err);
	buf_fini(&url);
	return code;
}

/* Whoever finds the file has the whole: it is written beside, under another name. */
static int
fetch_to_file(const struct api *api, const char *id, const char *format, const char *path)
{
	struct output output = { 0 };
	char *beside = NULL;
	int code;

	if (asprintf(&beside, "%s.part", path) < 0)
		return cli_fail(TALLY_NO_MEMORY, &(struct tally_error){ 0 });
	output.file = fopen(beside, "we");
	if (!output.file) {
		(void)fprintf(stderr, "tally: %s: %s\n", beside, strerror(errno));
		free(beside);
		return CLI_FAILED;
	}
	code = fetch(api, id, format, &output);
	if ((fclose(output.file) != 0 || (code == CLI_OK && rename(beside, path) != 0))
	    && code == CLI_OK) {
		(void)fprintf(stderr, "tally: %s: %s\n", path, strerror(errno));
		code = CLI_FAILED;
	}
	if (code != CLI_OK)
		(void)unlink(beside);
	free(beside);
	return code;
}

static int
run(struct cli *cli)
{
	const char *format = NULL;
	const char *path = NULL;
	struct output output = { .file = stdout };
	struct api api = { 0 };
	int code;

	if (!cli_option(cli, "--format", &format) || !cli_option(cli, "--output", &path))
		return cli_usage(&command_result, "a flag needs a value");
	code = api_open(cli, &command_result, &api);
	if (code == CLI_OK && cli->n_words != 1)
		code = cli_usage(&command_result, "result takes the id of a job");
	if (code == CLI_OK)
		code = path ? fetch_to_file(&api, cli->words[0], format, path)
			    : fetch(&api, cli->words[0], format, &output);
	api_close(&api);
	return code;
}

const struct cli_command command_result = {
	"result",
	"get the result of a job",
	"usage: tally result ID [--format json|csv|ndjson] [--output FILE] [--url URL]\n"
	"\n"
	"Prints the rows of a job that succeeded, or writes them to FILE, which is there when it\n"
	"is whole.  A failure prints what the gateway says: why the job failed, or that it is not\n"
	"final yet.\n"
	"\n"
	"    tally result $(tally submit comments login=vladimir --wait 10 | cut -d' ' -f1)\n",
	run,
};
