/* jobs_expect.h - what becomes of jobs, in tests by Criterion. */
#ifndef SUPPORT_JOBS_EXPECT_H
#define SUPPORT_JOBS_EXPECT_H

#include <criterion/criterion.h>

#include <string.h>

#include <tally/digest.h>

#include "support/jobs.h"

/* The rows of echo for a text, and all that is said about them. */
static inline void
jobs_expect_rows(const struct job_result *result, const char *text)
{
	unsigned char digest[TALLY_SHA256_BYTES];
	char body[32768];

	echo_expect(text, body, sizeof body);
	cr_expect_eq(result->head.state, TALLY_SUCCEEDED);
	cr_assert_eq(result->len, strlen(body), "%.*s", (int)result->len, result->body);
	cr_expect_eq(memcmp(result->body, body, result->len), 0);
	cr_expect_eq(result->head.rows, strlen(text));
	cr_assert_eq(tally_sha256(body, strlen(body), digest), TALLY_OK);
	cr_expect(result->head.has_sha256);
	cr_expect_eq(memcmp(result->head.sha256, digest, sizeof digest), 0);
}

/* A job that failed, and why. */
static inline void
jobs_expect_failure(const struct job_result *result, tally_status code)
{
	struct tally_error error = { 0 };

	cr_expect_eq(result->head.state, TALLY_FAILED);
	cr_expect_eq(result->head.error_code, code, "%s",
		     tally_status_code(result->head.error_code));
	cr_expect_not(result->head.has_sha256);
	cr_assert_eq(tally_error_decode(result->body, result->len, &error), TALLY_OK);
	cr_expect_eq(error.status, code);
}

/* A job is answered, and with it all those before it in its partition. */
static inline void
jobs_expect_on(struct jobs *jobs)
{
	struct tally_job_id id = jobs_send_echo(jobs, "on");

	jobs_expect_rows(jobs_await(jobs, &id), "on");
	SERVICE_AWAIT(metric_here("tally_requests_open{lane=\"jobs\"}") == 0);
}

#endif
