/* A gateway and a worker in one process, asked while the first, the second, ... allocation of any of
 * their threads fails: each answer is the right one, an error, or none, and never a wrong one; and
 * when memory is back, so are the answers. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "memory/failing.h"
#include "support/service.h"

/* Past it a background thread fails in place of the request's: what is asked is over by then. */
#define MOST 200

static struct cluster *cluster;
static struct service service;

static void
begin(void)
{
	/* Quick to end a wait, to retry, and quiet. */
	static const char *const flags[] = { "--wait-default-ms=1000",  "--jobs-timeout-ms=1000",
					     "--query-timeout-ms=1000", "--log-level=error",
					     "--http-threads=1",        NULL };

	cluster = service_databases();
	(void)setenv("TALLY_JOBS", getenv("TEST_POSTGRES_URL_JOBS"), 1);
	(void)setenv("TALLY_JOB_SECRET", "0123456789abcdef0123456789abcdef", 1);
	failing_spare(true);
	/* Without memory for a request that it has taken, a worker ends (base/memory.h). */
	failing_spare_threads("kafka-group");
	log_open(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	service_start(&service, flags);
	service_start_jobs(&service);
}

static void
end(void)
{
	service_stop(&service);
	cluster_stop(cluster);
}

TestSuite(short_service, .init = begin, .fini = end, .timeout = 500);

/* What is asked, and what of the answer must be the same each time. */
struct question {
	const char *path; /* ID: of the job that is done */
	const char *headers;
	const char *body; /* NULL: a GET */
	const char *part; /* of the right answer */
};

static const struct question questions[] = {
	{ "/api/echo/?text=abc",              "",                                  NULL,
         "{\"status\":\"ok\",\"data\":[{\"text\":\"abc\",\"n\":1},{\"text\":\"abc\",\"n\":2},"
	  "{\"text\":\"abc\",\"n\":3}]}"												    },
	{ "/api/echo/?text=abc&format=csv",   "",                                  NULL, "text,n\r\nabc,1\r\nabc,2\r\nabc,3\r\n"            },
	{ "/api/echo/?text=abcd",             "Cache-Control: no-cache\r\n",       NULL,
         "{\"text\":\"abcd\",\"n\":4}]}"												    },
	{ "/api/echo/?text=ab&format=ndjson", "Prefer: respond-async, wait=2\r\n", NULL,
         "{\"text\":\"ab\",\"n\":1}\n{\"text\":\"ab\",\"n\":2}\n"									   },
	{ "/v1/jobs",			 "Prefer: wait=2\r\n",
         "{\"dataset\":\"echo\",\"params\":{\"text\":\"ab\"},\"labels\":{\"a\":\"b\"}}", "\"state\":\"succeeded\""                          },
	{ "/v1/jobs",			 "Idempotency-Key: a\r\n",
         "{\"dataset\":\"echo\",\"params\":{\"text\":\"ab\"}}",                          "\"state\":\""                                     },
	{ "/v1/jobs?limit=3",                 "",				  NULL, "\"jobs\":["                                       },
	{ "/v1/jobs/ID",                      "",				  NULL, "\"state\":\"succeeded\""                          },
	{ "/v1/jobs/ID",                      "Prefer: wait=2\r\n",                NULL, "\"state\":\"succeeded\""                          },
	{ "/v1/jobs/ID/result",               "",                                  NULL, "{\"status\":\"ok\",\"data\":[{\"text\":\"done\"," },
	{ "/v1/jobs/ID/result?format=csv",    "",                                  NULL, "text,n\r\ndone,1\r\n"                             },
	{ "/v1/jobs/ID/events",               "",                                  NULL, "succeeded"                                        },
	{ "/v1/datasets",                     "",				  NULL, "\"echo\""                                         },
	{ "/v1/datasets/echo",                "",                                  NULL, "\"text\""                                         },
	{ "/metrics",			 "",				  NULL, "tally_waiters "                                   },
	{ "/readyz",			  "",				  NULL, "ok"					       },
};

static char id[TALLY_JOB_ID_CHARS + 1];

static void
ask_it(const struct question *question, struct answer *out_answer)
{
	const char *at = strstr(question->path, "ID");
	int before = at ? (int)(at - question->path) : (int)strlen(question->path);
	char path[128];

	(void)snprintf(path, sizeof path, "%.*s%s%s", before, question->path, at ? id : "",
		       at ? at + 2 : "");
	struct call call = question->body
			       ? call_post(&service, path, question->headers, question->body)
			       : call_begin(&service, path, question->headers);
	call_end(&call, out_answer);
}

/* A job that is done, and recorded by the time that somebody asks for it with patience. */
static void
make_job(void)
{
	const struct question job = { "/v1/jobs", "Prefer: wait=20\r\n",
				      "{\"dataset\":\"echo\",\"params\":{\"text\":\"done\"}}",
				      NULL };
	struct answer answer;

	ask_it(&job, &answer);
	const char *at = strstr(answer.body, "\"id\":\"");
	cr_assert(at, "%d %s", answer.status, answer.body);
	(void)snprintf(id, sizeof id, "%.39s", at + 6);
	answer_fini(&answer);
}

/* 202: whoever waited in vain was told where his job is. */
static bool
is_right(const struct question *question, const struct answer *answer)
{
	return (answer->status == 200 && strstr(answer->body, question->part))
	       || (answer->status == 202 && strstr(answer->body, "\"id\":"));
}

/* Said to be an error, or nothing at all: a head without a whole body is none. */
static bool
is_failure(const struct answer *answer)
{
	const char *length = answer_header(answer, "Content-Length");

	return answer->status == 0 || answer->status == 500 || answer->status == 503
	       || answer->status == 504 || answer->status == 401
	       || (answer->status == 200 && strstr(answer->body, "\"code\":\"no_memory\""))
	       || (answer->status == 200 && length
		   && (size_t)strtoul(length, NULL, 10) != answer->body_len)
	       || (answer->status == 200 && answer_header(answer, "Transfer-Encoding")
		   && !strstr(answer->body, "\r\n0\r\n\r\n"));
}

static void
must_be_well(const struct question *question)
{
	int64_t until_ms = clock_mono_ms() + SERVICE_PATIENCE_MS;
	struct answer answer;
	bool is_well = false;

	while (!is_well) {
		cr_assert_lt(clock_mono_ms(), until_ms, "%s stays broken", question->path);
		ask_it(question, &answer);
		is_well = is_right(question, &answer);
		answer_fini(&answer);
	}
}

static unsigned
fail_each(const struct question *question)
{
	bool failed = true;
	unsigned n = 1;

	for (; failed && n < MOST; n++) {
		struct answer answer;

		failing_begin(n, false);
		ask_it(question, &answer);
		failed = failing_end();
		cr_assert(is_right(question, &answer) || (failed && is_failure(&answer)),
			  "%s, allocation %u: %d %s", question->path, n, answer.status,
			  answer.body);
		answer_fini(&answer);
	}
	return n;
}

Test(short_service, answers_right_or_with_an_error_and_recovers)
{
	make_job();
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
		int64_t began_ms = clock_mono_ms();

		must_be_well(&questions[i]);
		unsigned n = fail_each(&questions[i]);
		cr_log_info("%s: %u allocations, %ld ms", questions[i].path, n,
			    clock_mono_ms() - began_ms);
		cr_assert_gt(n, 2, "%s", questions[i].path);
		must_be_well(&questions[i]);
		must_be_well(&questions[0]);
	}
}
