#include "output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static tally_status
take(void *ctx, const char *data, size_t len)
{
	struct output *output = ctx;

	if (len == 0)
		return TALLY_OK;
	output->last = data[len - 1];
	return fwrite(data, 1, len, output->file) == len ? TALLY_OK : TALLY_CLOSED;
}

int
output_fetch(struct output *output, const struct api *api, const char *url)
{
	struct http_call call = { .url = url, .take = take, .ctx = output };
	struct http_answer answer = { 0 };
	struct tally_error err = { 0 };
	tally_status status = api_call(api, api->client, &call, &answer, &err);
	int code = CLI_OK;

	if (status == TALLY_CLOSED)
		(void)tally_fail(&err, status, "the output cannot be written: %s", strerror(errno));
	if (status != TALLY_OK)
		code = cli_fail(status, &err);
	else if (answer.status != 200)
		code = api_print_problem(&answer);
	else if (isatty(fileno(output->file)) && output->last && output->last != '\n')
		(void)fputc('\n', output->file);
	http_answer_fini(&answer);
	return code;
}
