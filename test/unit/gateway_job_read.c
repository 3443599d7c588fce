/* What the routes that read jobs are made of: entity tags and cursors. */
#include <criterion/criterion.h>

#include <string.h>

#include "gateway/etag.h"
#include "gateway/job_cursor.h"

Test(etag, is_found_in_a_list)
{
	static const struct {
		const char *list, *tag;
		bool is_listed;
	} cases[] = {
		{ "\"a\"",                 "\"a\"",   true  },
		{ "W/\"a\"",               "\"a\"",   true  },
		{ "\"a\"",                 "W/\"a\"", true  },
		{ "W/\"a\"",               "W/\"a\"", true  },
		{ "*",                     "\"a\"",   true  },
		{ " * ",                   "\"a\"",   true  },
		{ "\"b\", W/\"c\" ,\"a\"", "\"a\"",   true  },
		{ ",,\"b\",,\"a\",",       "\"a\"",   true  },
		{ "\"a, b\"",              "\"a\"",   false },
		{ "\"a, \"a\"",            "\"a\"",   false },
		{ "\"aa\"",                "\"a\"",   false },
		{ "\"\"",                  "\"a\"",   false },
		{ "",		      "\"a\"",   false },
		{ "a",                     "\"a\"",   false },
		{ "\"a",                   "\"a\"",   false },
		{ "w/\"a\"",               "\"a\"",   false },
		{ "b, \"a\"",              "\"a\"",   false },
		{ "W/",                    "\"a\"",   false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect_eq(etag_is_listed(cases[i].list, cases[i].tag), cases[i].is_listed,
			     "case %zu: %s", i, cases[i].list);
}

static void
make_job(struct job *job)
{
	static const char secret[] = "0123456789abcdef0123456789abcdef";
	const struct tally_secrets secrets = { .items = { { secret, sizeof secret - 1 } }, .n = 1 };

	*job = (struct job){ .created_ms = 1700000000123 };
	cr_assert_eq(tally_job_id_make(&secrets, "default", job->created_ms, 3, &job->id, NULL),
		     TALLY_OK);
}

Test(cursor, comes_back_as_it_was)
{
	char text[JOB_CURSOR_CHARS + 1];
	struct tally_job_id id;
	int64_t created_ms;
	struct job job;

	make_job(&job);
	cr_assert(job_cursor_write(&job, text));
	cr_expect_eq(strlen(text), JOB_CURSOR_CHARS);
	cr_expect_eq(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789"), strlen(text));
	cr_assert(job_cursor_read(text, strlen(text), &created_ms, &id));
	cr_expect_eq(created_ms, job.created_ms);
	cr_expect_str_eq(id.text, job.id.text);
}

Test(cursor, that_is_none_is_refused)
{
	char good[JOB_CURSOR_CHARS + 1], bad[JOB_CURSOR_CHARS + 2];
	struct tally_job_id id = { "untouched" };
	int64_t created_ms = 7;
	struct job job;

	make_job(&job);
	cr_assert(job_cursor_write(&job, good));
	for (size_t len = 0; len < JOB_CURSOR_CHARS; len++)
		cr_expect_not(job_cursor_read(good, len, &created_ms, &id), "%zu", len);
	(void)snprintf(bad, sizeof bad, "%s0", good);
	cr_expect_not(job_cursor_read(bad, strlen(bad), &created_ms, &id));
	for (size_t i = 0; i < JOB_CURSOR_CHARS; i++) {
		(void)snprintf(bad, sizeof bad, "%s", good);
		bad[i] = 'u'; /* in neither alphabet */
		cr_expect_not(job_cursor_read(bad, JOB_CURSOR_CHARS, &created_ms, &id), "%zu", i);
	}
	memset(bad, '0', 12);
	cr_expect_not(job_cursor_read(bad, JOB_CURSOR_CHARS, &created_ms, &id));
	cr_expect_eq(created_ms, 7);
	cr_expect_str_eq(id.text, "untouched");
}

Test(cursor, is_not_made_of_a_time_that_does_not_fit)
{
	char text[JOB_CURSOR_CHARS + 1];
	struct job job;

	make_job(&job);
	job.created_ms = INT64_C(1) << 48;
	cr_expect_not(job_cursor_write(&job, text));
	job.created_ms = 0;
	cr_expect_not(job_cursor_write(&job, text));
}
