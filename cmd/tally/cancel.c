#include "api.h"

static int
cancel(const struct api *api, const char *id, bool as_json)
{
	struct http_answer answer = { 0 };
	struct tally_error err = { 0 };
	tally_status status = api_call_job(api, "DELETE", id, NULL, &answer, &err);
	int code;

	if (status != TALLY_OK) {
		code = cli_fail(status, &err);
	} else {
		code = api_print_answer(&answer, as_json);
		/* A job that ended before, or is cancelled now, is what was asked for. */
		if (answer.status == 200 || answer.status == 202)
			code = CLI_OK;
	}
	http_answer_fini(&answer);
	return code;
}

static int
run(struct cli *cli)
{
	bool as_json = cli_flag(cli, "--json");
	struct api api = { 0 };
	int code = api_open(cli, &command_cancel, &api);

	if (code == CLI_OK && cli->n_words != 1)
		code = cli_usage(&command_cancel, "cancel takes the id of a job");
	if (code == CLI_OK)
		code = cancel(&api, cli->words[0], as_json);
	api_close(&api);
	return code;
}

const struct cli_command command_cancel = {
	"cancel",
	"cancel a job",
	"usage: tally cancel ID [--json] [--url URL]\n"
	"\n"
	"Cancels the job, unless it has ended, and prints what has become of it.\n"
	"\n"
	"    tally cancel $(tally submit comments login=vladimir)\n",
	run,
};
