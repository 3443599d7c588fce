#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "rebuild.h"
#include "table.h"

#define DEFAULT_LIMIT 20
#define MAX_LIMIT     10000
#define PAGE          200

/* What the words say. */
struct asked {
	const char *state;
	const char *dataset;
	bool as_json;
	int limit;
};

/* The path of the next page, from Link: </v1/jobs?...>; rel="next"; false: there is none. */
static bool
next_page(const char *link, char *out, size_t size)
{
	const char *begin = strchr(link, '<');
	const char *end = begin ? strchr(begin, '>') : NULL;

	if (!end || !strstr(end, "rel=\"next\"") || (size_t)(end - begin) > size)
		return false;
	(void)snprintf(out, size, "%.*s", (int)(end - begin - 1), begin + 1);
	return true;
}

static tally_status
first_page(const struct api *api, const struct asked *asked, struct buf *url)
{
	char limit[16];
	tally_status status = api_url(api, url, "/v1/jobs", NULL);

	(void)snprintf(limit, sizeof limit, "%d", asked->limit < PAGE ? asked->limit : PAGE);
	if (status == TALLY_OK)
		status = api_url_argument(url, "state", asked->state);
	if (status == TALLY_OK)
		status = api_url_argument(url, "dataset", asked->dataset);
	return status == TALLY_OK ? api_url_argument(url, "limit", limit) : status;
}

/* Appends the jobs of a page to the list, as many as are still wanted. */
static bool
take_page(const struct asked *asked, const struct http_answer *answer, json_t *list)
{
	json_auto_t *page = json_loadb(answer->body, answer->body_len, 0, NULL);
	json_t *jobs = json_object_get(page, "jobs");
	size_t index;
	json_t *job;

	json_array_foreach(jobs, index, job)
	{
		if (json_array_size(list) < (size_t)asked->limit)
			(void)json_array_append(list, job);
	}
	return json_array_size(jobs) > 0 && json_array_size(list) < (size_t)asked->limit;
}

/* Gets page after page. */
static int
get_all(const struct api *api, const struct asked *asked, json_t *list)
{
	struct buf url = BUF_INIT(API_MAX_URL_BYTES);
	struct tally_error err = { 0 };
	tally_status status = first_page(api, asked, &url);
	bool has_more = true;
	int code = status == TALLY_OK ? CLI_OK : cli_fail(status, &err);

	while (code == CLI_OK && has_more) {
		struct http_call call = { .url = url.data };
		struct http_answer answer = { 0 };
		char path[sizeof answer.link];

		status = api_call(api, api->client, &call, &answer, &err);
		if (status != TALLY_OK)
			code = cli_fail(status, &err);
		else if (answer.status != 200)
			code = api_print_problem(&answer);
		has_more = code == CLI_OK && take_page(asked, &answer, list)
			   && next_page(answer.link, path, sizeof path);
		buf_fini(&url);
		if (has_more && api_url(api, &url, path, NULL) != TALLY_OK)
			code = CLI_FAILED;
		http_answer_fini(&answer);
	}
	buf_fini(&url);
	return code;
}

static json_t *
row_of(const json_t *job)
{
	const json_t *result = json_object_get(job, "result");
	const json_t *error = json_object_get(job, "error");

	return json_pack("{s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?}", "id",
			 json_object_get(job, "id"), "created", json_object_get(job, "created_at"),
			 "dataset", json_object_get(job, "dataset"), "state",
			 json_object_get(job, "state"), "rows", json_object_get(result, "rows"),
			 "bytes", json_object_get(result, "bytes"), "error",
			 json_object_get(error, "code"));
}

static int
print_table(const json_t *list)
{
	static const struct table_column columns[] = {
		{ "id",      false },
                { "created", false },
                { "dataset", false },
                { "state",   false },
		{ "rows",    true  },
                { "bytes",   true  },
                { "error",   false },
	};
	json_auto_t *rows = json_array();
	tally_status status;
	size_t index;
	json_t *job;

	json_array_foreach(list, index, job)
	{
		(void)json_array_append_new(rows, row_of(job));
	}
	status = table_print_rows(stdout, columns, sizeof columns / sizeof *columns, rows);
	return status == TALLY_OK ? CLI_OK : cli_fail(status, &(struct tally_error){ 0 });
}

static int
list_jobs(const struct api *api, const struct asked *asked)
{
	json_auto_t *list = json_array();
	int code = get_all(api, asked, list);
	size_t index;
	json_t *job;

	if (code != CLI_OK || !asked->as_json)
		return code == CLI_OK ? print_table(list) : code;
	json_array_foreach(list, index, job)
	{
		api_print_job(job, true);
	}
	return CLI_OK;
}

static int
list(struct cli *cli)
{
	struct asked asked = { .as_json = cli_flag(cli, "--json"), .limit = DEFAULT_LIMIT };
	const char *limit = NULL;
	struct api api = { 0 };
	int code;

	if (!cli_option(cli, "--state", &asked.state)
	    || !cli_option(cli, "--dataset", &asked.dataset) || !cli_option(cli, "--limit", &limit)
	    || !cli_number(limit, 1, MAX_LIMIT, &asked.limit))
		return cli_usage(&command_jobs, "a flag needs a value; --limit takes 1 to %d",
				 MAX_LIMIT);
	code = api_open(cli, &command_jobs, &api);
	if (code == CLI_OK && cli->n_words > 0)
		code = cli_usage(&command_jobs, "jobs does not take %s", cli->words[0]);
	if (code == CLI_OK)
		code = list_jobs(&api, &asked);
	api_close(&api);
	return code;
}

static int
run(struct cli *cli)
{
	struct cli rest = { cli->config, cli->words + 1, cli->n_words - 1 };

	if (cli->n_words > 0 && strcmp(cli->words[0], "rebuild") == 0)
		return rebuild_run(&rest);
	return list(cli);
}

const struct cli_command command_jobs = {
	"jobs",
	"list your jobs, newest first; rebuild the job store",
	"usage: tally jobs [--state STATE] [--dataset NAME] [--limit N] [--json] [--url URL]\n"
	"       tally jobs rebuild\n"
	"\n"
	"Lists the caller's jobs of the last 24 hours, the newest 20 unless --limit says so.\n"
	"STATE is queued, running, succeeded, failed or cancelled.\n"
	"\n"
	"    tally jobs --state failed --limit 100\n"
	"\n"
	"rebuild fills an empty job store (TALLY_JOBS) again from all that Kafka holds; it needs\n"
	"TALLY_KAFKA and TALLY_JOB_SECRET too.  Stop the gateways first, and make the tables\n"
	"anew: tally migrate down jobs --all, tally migrate up jobs.\n",
	run,
};
