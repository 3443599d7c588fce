/* submit.h - what a single submission and many share. */
#ifndef TALLY_SUBMIT_H
#define TALLY_SUBMIT_H

#include "api.h"

/* What to submit. */
struct submission {
	const char *json; /* a job request */
	size_t len;
	const char *key; /* of Idempotency-Key; NULL: none */
	int wait_s;      /* of Prefer: wait; 0: none */
};

/* Posts it to the gateway.  client is this thread's.  Statuses as http_call. */
TALLY_MUST_CHECK tally_status submit_post(const struct api *api, struct http_client *client,
					  const struct submission *submission,
					  struct http_answer *out_answer, struct tally_error *err);

/* How many to submit, and how. */
struct submit_many {
	const struct api *api;
	const char *path; /* "-": standard input */
	const char *key;  /* line N gets the key "KEY-N"; NULL: none */
	unsigned concurrency;
	bool as_json; /* print the job documents instead of ids */
};

/* Submits a job request a line; prints ids to standard output in the order of the lines, failures
 * to standard error.  Returns an exit code: CLI_FAILED when any failed. */
int submit_many(const struct submit_many *many);

#endif
