/* The job lane in one process, over the mock broker and a private PostgreSQL: what becomes of jobs
 * whose database, broker or worker goes. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <string.h>

#include "base/clock.h"
#include "support/jobs_expect.h"

static struct cluster *shared; /* in the runner's process */
static struct cluster *own;    /* of a test that harms it */
static struct service service;
static struct jobs jobs;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	shared = service_databases();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	cluster_stop(shared);
}

static void
init(const char *const *flags)
{
	service_init(&service, flags);
	jobs_open(&jobs, &service);
}

static void
begin(void)
{
	init(NULL);
	service_start_jobs(&service);
}

static void
end(void)
{
	service_stop_jobs(&service, 10000);
	jobs_close(&jobs);
	service_stop(&service);
	cluster_stop(own);
}

/* A test of a lane that runs, and of one that the test starts itself. */
#define JOBS(name)      Test(job_faults, name, .timeout = 120, .init = begin, .fini = end)
#define UNSTARTED(name) Test(job_faults, name, .timeout = 120, .fini = end)

#define OPEN    "tally_requests_open{lane=\"jobs\"}"
#define RUNNING "tally_batches_running{lane=\"jobs\"}"
#define PARKED  "tally_requests_parked{lane=\"jobs\"}"

/* ---- databases --------------------------------------------------------------- */

UNSTARTED(waits_for_a_database_that_is_away_for_a_while)
{
	struct tally_job_id ids[2];

	own = service_databases();
	begin();
	jobs_expect_on(&jobs);
	ids[0] = jobs_send_slow(&jobs, "a", 2000);
	SERVICE_AWAIT(metric_here(RUNNING) == 1);
	cluster_kill(own);
	ids[1] = jobs_send_echo(&jobs, "b");
	SERVICE_AWAIT(metric_here(PARKED) == 2);
	cluster_restart(own);
	cr_expect_eq(jobs_await(&jobs, &ids[0])->head.state, TALLY_SUCCEEDED);
	jobs_expect_rows(jobs_await(&jobs, &ids[1]), "b");
	jobs_expect_on(&jobs);
	cr_expect_eq(metric_here(PARKED), 0);
}

UNSTARTED(begins_without_its_databases_and_answers_when_they_come)
{
	own = service_databases();
	cluster_kill(own);
	init(NULL);
	service_start_jobs_unready(&service);
	struct tally_job_id id = jobs_send_echo(&jobs, "a");
	SERVICE_AWAIT(metric_here(PARKED) == 1);
	cluster_restart(own);
	jobs_expect_rows(jobs_await(&jobs, &id), "a");
}

UNSTARTED(fails_a_job_when_its_patience_or_its_deadline_is_over)
{
	static const char *const flags[] = { "--job-patience-ms", "4000", NULL };
	struct tally_job_request urgent;

	own = service_databases();
	init(flags);
	service_start_jobs(&service);
	jobs_expect_on(&jobs);
	cluster_kill(own);
	struct tally_job_id id = jobs_send_echo(&jobs, "a");
	urgent = jobs_request();
	urgent.budget_ms = 3000;
	urgent.deadline_ms = urgent.created_ms + 3000;
	jobs_send(&jobs, &urgent, "{\"dataset\":\"echo\",\"params\":{\"text\":\"b\"}}", 0);
	jobs_expect_failure(jobs_await(&jobs, &id), TALLY_SOURCE_UNAVAILABLE);
	jobs_expect_failure(jobs_await(&jobs, &urgent.id), TALLY_SOURCE_UNAVAILABLE);
	SERVICE_AWAIT(metric_here(OPEN) == 0);
}

UNSTARTED(leaves_to_the_next_worker_what_waits_for_a_database)
{
	own = service_databases();
	begin();
	jobs_expect_on(&jobs);
	cluster_kill(own);
	struct tally_job_id id = jobs_send_echo(&jobs, "a");
	SERVICE_AWAIT(metric_here(PARKED) == 1);
	int64_t began_ms = clock_mono_ms();
	service_stop_jobs(&service, 20000);
	cr_expect_lt(clock_mono_ms() - began_ms, 15000, "it does not wait for the database");
	cr_expect_null(jobs_look(&jobs, &id));
	cluster_restart(own);
	service_start_jobs(&service);
	jobs_expect_rows(jobs_await(&jobs, &id), "a");
}

/* ---- what goes --------------------------------------------------------------- */

UNSTARTED(runs_again_what_was_not_stored_and_never_mixes_two_runs)
{
	static const char *const flags[] = { "--part-bytes", "1024", NULL };
	static const int codes[] = { 29, 87 }; /* refused for good: no rights, a bad record */
	char text[121];

	memset(text, 'z', 120);
	text[120] = '\0';
	init(flags);
	/* Single messages, so that parts before and after the one that is lost are stored. */
	broker_set(&service.broker, "batch.num.messages", "1");
	service_start_jobs(&service);
	jobs_expect_on(&jobs);
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		kafka_mock_fail(service.broker.mock, KAFKA_MOCK_PRODUCE, 0, 3);
		kafka_mock_fail(service.broker.mock, KAFKA_MOCK_PRODUCE, codes[i], 1);
		struct tally_job_id id = jobs_send_echo(&jobs, text + i);
		jobs_expect_rows(jobs_await(&jobs, &id), text + i);
	}
	jobs_expect_on(&jobs);
}

JOBS(answers_all_when_the_broker_was_away_for_a_while)
{
	struct tally_job_id ids[20];

	for (int i = 0; i < 20; i++)
		ids[i] = jobs_send_slow(&jobs, i % 2 ? "a" : "b", 500 + i);
	SERVICE_AWAIT(metric_here(OPEN) > 0);
	kafka_mock_down(service.broker.mock);
	SERVICE_AWAIT(metric_here(RUNNING) == 0 || metric_here(OPEN) == 0);
	kafka_mock_up(service.broker.mock);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(jobs_await(&jobs, &ids[i])->head.state, TALLY_SUCCEEDED);
}

/* Sends before it starts the lane, so that all are open at once however slow the machine is. */
static void
start_with_slow(struct tally_job_id *ids, int n, int ms)
{
	init(NULL);
	for (int i = 0; i < n; i++)
		ids[i] = jobs_send_slow(&jobs, "a", ms + i);
	service_start_jobs(&service);
}

UNSTARTED(leaves_to_the_next_worker_what_one_did_not_answer)
{
	struct tally_job_id ids[5];

	start_with_slow(ids, 5, 2000);
	SERVICE_AWAIT(metric_here(OPEN) == 5);
	service_stop_jobs(&service, 0);
	cr_expect_eq(inbox_count(&jobs.results), 0);
	service_start_jobs(&service);
	for (int i = 0; i < 5; i++)
		cr_expect_eq(jobs_await(&jobs, &ids[i])->head.state, TALLY_SUCCEEDED);
}

UNSTARTED(answers_what_it_has_taken_before_it_stops)
{
	struct tally_job_id ids[5];

	start_with_slow(ids, 5, 2000);
	SERVICE_AWAIT(metric_here(OPEN) == 5);
	service_stop_jobs(&service, 20000);
	for (int i = 0; i < 5; i++)
		cr_expect_not_null(jobs_await(&jobs, &ids[i]));
	service_start_jobs(&service);
	jobs_expect_on(&jobs);
	cr_expect_eq(inbox_count(&jobs.results), 6, "nothing was done twice");
}
