/* api.h - what the commands that ask a gateway over HTTP share: where it is, the caller's key, and
 * what an answer says.  One thread, unless a function says otherwise. */
#ifndef TALLY_API_H
#define TALLY_API_H

#include <jansson.h>

#include "base/buf.h"
#include "cli.h"
#include "http/client.h"

#define API_MAX_URL_BYTES 16384
#define API_MAX_BYTES     ((size_t)64 * 1024 * 1024) /* of an answer that is kept */
#define API_MAX_WAIT_S    30                         /* of Prefer: wait */

/* A gateway. */
struct api {
	const char *base; /* "http://127.0.0.1:8080", without a slash at the end */
	const char *authorization;
	char base_text[512];
	char authorization_text[256];
	struct http_client *client;
};

/* Takes --url out of the words and makes a client.  Call it when the command's own flags are
 * taken: what is left is unknown.  Returns CLI_OK, or an exit code once it has said what is wrong;
 * close it in every case. */
int api_open(struct cli *cli, const struct cli_command *command, struct api *out_api);

/* Closes the connection.  Accepts a zeroed one. */
void api_close(struct api *api);

/* Writes a terminated URL: base and path, then each of the segments (NULL ends them) encoded and
 * with a slash before it.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status api_url(const struct api *api, struct buf *url, const char *path,
				      const char *const *segments);

/* Appends "?name=value", or with & when there is a question mark already, to a terminated URL; a
 * NULL value appends nothing. */
TALLY_MUST_CHECK tally_status api_url_argument(struct buf *url, const char *name,
					       const char *value);

/* Makes a call with what is the same for all: key, limits.  client may be another than the api's
 * own, on its own thread.  Statuses as http_call. */
TALLY_MUST_CHECK tally_status api_call(const struct api *api, struct http_client *client,
				       struct http_call *call, struct http_answer *out_answer,
				       struct tally_error *err);

/* Calls URL/v1/jobs/ID with a method and a header "Prefer: ..." (may be NULL).  Statuses as
 * http_call. */
TALLY_MUST_CHECK tally_status api_call_job(const struct api *api, const char *method,
					   const char *id, const char *prefer,
					   struct http_answer *out_answer, struct tally_error *err);

/* The code of a problem document, or "". */
const char *api_problem_code(const json_t *problem);

/* Prints what a gateway says is wrong to standard error; CLI_FAILED. */
int api_print_problem(const struct http_answer *answer);

/* ---- job documents */

/* Prints a job: as JSON in one line, or for a person. */
void api_print_job(const json_t *job, bool as_json);

/* Reads an answer with a job document: prints it, and returns CLI_OK, or CLI_FAILED when the job
 * failed or was cancelled, or when there is no job. */
int api_print_answer(const struct http_answer *answer, bool as_json);

/* Members of a job document; "" and false when there is none. */
const char *api_job_text(const json_t *job, const char *name);
bool api_job_is_final(const json_t *job);

#endif
