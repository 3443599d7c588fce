#include <stdio.h>
#include <time.h>

#include "api.h"
#include "base/clock.h"

#define DEFAULT_TIMEOUT_S 3600
#define MAX_TIMEOUT_S     86400
#define MAX_PAUSE_S       10

static void
pause_for(int seconds, int64_t left_ms)
{
	int64_t ms = seconds < 1             ? 1000
		     : seconds > MAX_PAUSE_S ? MAX_PAUSE_S * 1000
					     : seconds * 1000;
	struct timespec time;

	if (ms > left_ms)
		ms = left_ms > 0 ? left_ms : 0;
	time = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
	(void)nanosleep(&time, NULL);
}

static bool
is_final(const struct http_answer *answer)
{
	json_auto_t *job = json_loadb(answer->body, answer->body_len, 0, NULL);

	return api_job_is_final(job);
}

/* A gateway that is away, or that asks to come again, is asked again until the time is up. */
static int
wait_for(const struct api *api, const char *id, int timeout_s, bool as_json)
{
	int64_t until_ms = clock_mono_ms() + (int64_t)timeout_s * 1000;

	for (;;) {
		struct http_answer answer = { 0 };
		struct tally_error err = { 0 };
		int64_t left_ms = until_ms - clock_mono_ms();
		int64_t wait_s = left_ms < 0 ? 0 : left_ms / 1000;
		char prefer[32];
		bool is_over, is_there;
		tally_status status;
		int code = CLI_FAILED;

		(void)snprintf(prefer, sizeof prefer, "Prefer: wait=%d",
			       wait_s > API_MAX_WAIT_S ? API_MAX_WAIT_S : (int)wait_s);
		status = api_call_job(api, "GET", id, prefer, &answer, &err);
		left_ms = until_ms - clock_mono_ms();
		is_there = status == TALLY_OK && answer.status == 200;
		is_over = is_there ? is_final(&answer)
				   : status == TALLY_BAD_REQUEST
					 || (status == TALLY_OK && answer.status != 503
					     && answer.status != 429);
		if (is_over || left_ms <= 0)
			code = status == TALLY_OK ? api_print_answer(&answer, as_json)
						  : cli_fail(status, &err);
		else if (!is_there)
			pause_for(answer.retry_after_s, left_ms);
		http_answer_fini(&answer);
		if (is_over)
			return code;
		if (left_ms <= 0) {
			(void)fprintf(stderr, "tally: it is not final after %d s\n", timeout_s);
			return CLI_FAILED;
		}
	}
}

static int
run(struct cli *cli)
{
	bool as_json = cli_flag(cli, "--json");
	int timeout_s = DEFAULT_TIMEOUT_S;
	const char *timeout = NULL;
	struct api api = { 0 };
	int code;

	if (!cli_option(cli, "--timeout", &timeout)
	    || !cli_number(timeout, 0, MAX_TIMEOUT_S, &timeout_s))
		return cli_usage(&command_wait, "--timeout takes seconds, %d at most",
				 MAX_TIMEOUT_S);
	code = api_open(cli, &command_wait, &api);
	if (code == CLI_OK && cli->n_words != 1)
		code = cli_usage(&command_wait, "wait takes the id of a job");
	if (code == CLI_OK)
		code = wait_for(&api, cli->words[0], timeout_s, as_json);
	api_close(&api);
	return code;
}

const struct cli_command command_wait = {
	"wait",
	"wait for a job to end",
	"usage: tally wait ID [--timeout SECONDS] [--json] [--url URL]\n"
	"\n"
	"Waits until the job is final and prints what became of it, or with --json the job.\n"
	"Fails when the job failed or was cancelled, and when it is not final after SECONDS, an\n"
	"hour without it; 0 only looks.\n"
	"\n"
	"    tally wait $(tally submit comments login=vladimir)\n",
	run,
};
