/* The job lane in one process, over the mock broker and a private PostgreSQL: what becomes of jobs,
 * and of those that are wrong, late, large or cancelled. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/jobs_expect.h"

static struct cluster *shared; /* in the runner's process */
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
}

/* A test of a lane that runs, and of one that the test starts itself. */
#define JOBS(name)      Test(jobs, name, .timeout = 120, .init = begin, .fini = end)
#define UNSTARTED(name) Test(jobs, name, .timeout = 120, .fini = end)

#define OPEN      "tally_requests_open{lane=\"jobs\"}"
#define RUNNING   "tally_batches_running{lane=\"jobs\"}"
#define LETTERS   "tally_dead_letters_total{lane=\"jobs\"}"
#define CANCELLED "tally_requests_dropped_total{lane=\"jobs\",why=\"cancelled\"}"
#define FORGOTTEN "tally_requests_dropped_total{lane=\"jobs\",why=\"forgotten\"}"
#define BATCHES   "tally_batch_requests_count{lane=\"jobs\"}"

/* ---- results ----------------------------------------------------------------- */

JOBS(answers_a_job_and_says_all_about_it)
{
	struct tally_job_request request = jobs_request();
	int64_t now_ms = clock_unix_ms();

	jobs_send(&jobs, &request, "{\"dataset\":\"echo\",\"params\":{\"text\":\"abc\"}}", 0);
	const struct job_result *result = jobs_await(&jobs, &request.id);
	const struct tally_job_result *head = &result->head;
	jobs_expect_rows(result, "abc");
	cr_expect_str_eq(head->dataset, "echo");
	cr_expect_eq(strlen(head->dataset_hash), 16);
	cr_expect_str_eq(head->tenant, "default");
	cr_expect_str_eq(head->trace.text, request.trace.text);
	cr_expect_neq(head->run, 0);
	cr_expect_eq(head->attempt, 1);
	cr_expect_eq(head->created_ms, request.created_ms);
	cr_expect_eq(head->deadline_ms, request.deadline_ms);
	cr_expect(head->started_ms >= now_ms && head->started_ms <= clock_unix_ms());
	cr_expect_eq(head->part, 0);
	cr_assert_eq(head->n_as_of, 1);
	cr_expect_str_eq(head->as_of[0].source, "db1");
	cr_expect_eq(strncmp(head->timing, "queue;dur=", 10), 0);
	cr_expect_not_null(strstr(head->timing, ", rows;dur="));
	SERVICE_AWAIT(metric_here(OPEN) == 0);
	cr_expect_eq(metric_here("tally_jobs_answered_total{dataset=\"echo\",outcome=\"ok\"}"), 1);
}

JOBS(answers_equal_jobs_each_with_the_same_rows)
{
	struct tally_job_id ids[50];

	for (int i = 0; i < 50; i++)
		ids[i] = jobs_send_echo(&jobs, i % 2 ? "one" : "another");
	for (int i = 0; i < 50; i++)
		jobs_expect_rows(jobs_await(&jobs, &ids[i]), i % 2 ? "one" : "another");
	SERVICE_AWAIT(metric_here(OPEN) == 0);
	cr_expect_eq(metric_here("tally_answers_bytes{lane=\"jobs\"}"), 0);
}

UNSTARTED(sends_in_parts_what_one_message_does_not_hold)
{
	static const char *const flags[] = { "--part-bytes", "1024", NULL };
	char text[121];

	memset(text, 'x', 120);
	text[120] = '\0';
	init(flags);
	service_start_jobs(&service);
	struct tally_job_id id = jobs_send_echo(&jobs, text);
	const struct job_result *result = jobs_await(&jobs, &id);
	jobs_expect_rows(result, text);
	cr_expect_eq(result->head.n_parts, (result->len + 1023) / 1024);
	cr_expect_gt(result->head.n_parts, 10);
	/* What fits is one message still. */
	id = jobs_send_echo(&jobs, "a");
	cr_expect_eq(jobs_await(&jobs, &id)->head.part, 0);
}

UNSTARTED(goes_on_where_the_producer_had_no_room)
{
	static const char *const flags[] = { "--part-bytes", "1024", NULL };
	struct tally_job_id ids[8];
	char text[121];

	memset(text, 'y', 120);
	text[120] = '\0';
	init(flags);
	broker_set(&service.broker, "queue.buffering.max.messages", "4");
	service_start_jobs(&service);
	for (int i = 0; i < 8; i++)
		ids[i] = jobs_send_echo(&jobs, text + i);
	for (int i = 0; i < 8; i++)
		jobs_expect_rows(jobs_await(&jobs, &ids[i]), text + i);
	SERVICE_AWAIT(metric_here(OPEN) == 0);
	cr_expect_eq(metric_here("tally_batch_requests_sum{lane=\"jobs\"}"), 8, "none ran twice");
}

UNSTARTED(fails_at_once_what_is_past_its_ceiling)
{
	static const char *const flags[] = { "--job-result-max-bytes", "2048", NULL };
	char text[101];

	memset(text, 'x', 100);
	text[100] = '\0';
	init(flags);
	service_start_jobs(&service);
	struct tally_job_id id = jobs_send_echo(&jobs, text);
	jobs_expect_failure(jobs_await(&jobs, &id), TALLY_RESULT_TOO_LARGE);
	jobs_expect_on(&jobs);
}

JOBS(serves_a_foreign_producer)
{
	struct tally_headers headers;
	struct tally_job_request request = { .is_foreign = true,
					     .event_source = "/shop",
					     .event_id = "order 4711",
					     .reply_partition = JOBS_PARTITION };
	struct tally_job_id id;

	cr_assert_eq(tally_job_id_foreign("default", "/shop", "order 4711", &id), TALLY_OK);
	request.created_ms = clock_unix_ms();
	cr_assert_eq(tally_job_request_write(&request, &headers), TALLY_OK);
	jobs_send_raw(&jobs, TALLY_TOPIC_REQUESTS_JOBS, &headers, "k",
		      "{\"dataset\":\"echo\",\"params\":{\"text\":\"abc\"}}", 0);
	const struct job_result *result = jobs_await(&jobs, &id);
	jobs_expect_rows(result, "abc");
	cr_expect_eq(result->head.deadline_ms, result->head.created_ms + TALLY_JOB_DEADLINE_MS);
}

/* ---- what is wrong ----------------------------------------------------------- */

JOBS(keeps_as_dead_letters_what_it_cannot_read_and_tells_whom_it_can)
{
	struct tally_job_request request = jobs_request();
	struct tally_headers headers;

	/* No head: nobody to be told. */
	jobs_send_raw(&jobs, TALLY_TOPIC_REQUESTS_JOBS, NULL, "k", "garbage", 0);
	cr_assert(inbox_await(&jobs.letters, 1, SERVICE_PATIENCE_MS));
	/* A partition that does not exist: nowhere to tell it. */
	request.is_foreign = true;
	(void)snprintf(request.event_source, sizeof request.event_source, "/shop");
	(void)snprintf(request.event_id, sizeof request.event_id, "1");
	request.reply_partition = 12;
	cr_assert_eq(tally_job_request_write(&request, &headers), TALLY_OK);
	jobs_send_raw(&jobs, TALLY_TOPIC_REQUESTS_JOBS, &headers, "k", "{}", 0);
	cr_assert(inbox_await(&jobs.letters, 2, SERVICE_PATIENCE_MS));
	cr_expect_eq(inbox_count(&jobs.results), 0);
	/* A head, and a value that is none. */
	request = jobs_request();
	jobs_send(&jobs, &request, "{\"dataset\":", 0);
	jobs_expect_failure(jobs_await(&jobs, &request.id), TALLY_BAD_REQUEST);
	cr_assert(inbox_await(&jobs.letters, 3, SERVICE_PATIENCE_MS));
	/* A request that does not fit the worker's datasets is no dead letter. */
	request = jobs_request();
	jobs_send(&jobs, &request, "{\"dataset\":\"none\",\"params\":{}}", 0);
	jobs_expect_failure(jobs_await(&jobs, &request.id), TALLY_DATASET_MISMATCH);
	jobs_expect_on(&jobs);
	cr_expect_eq(inbox_count(&jobs.letters), 3);
	cr_expect_eq(metric_here(LETTERS), 3);
}

JOBS(fails_a_job_whose_deadline_comes)
{
	struct tally_job_request request = jobs_request();
	int64_t began_ms = clock_mono_ms();

	request.budget_ms = 1000;
	request.deadline_ms = request.created_ms + 1000;
	jobs_send(&jobs, &request, "{\"dataset\":\"slow\",\"params\":{\"text\":\"a\",\"ms\":9000}}",
		  0);
	jobs_expect_failure(jobs_await(&jobs, &request.id), TALLY_DEADLINE_EXCEEDED);
	cr_expect_lt(clock_mono_ms() - began_ms, 8000);
}

/* Publishes a job whose budget of 20 s ended late_ms ago, by the broker's stamp; its id. */
static struct tally_job_id
send_late(int64_t late_ms)
{
	struct tally_job_request request = jobs_request();

	return jobs_send(&jobs, &request, "{\"dataset\":\"echo\",\"params\":{\"text\":\"a\"}}",
			 20000 + late_ms);
}

JOBS(does_not_run_what_is_late_and_does_not_answer_what_is_forgotten)
{
	struct tally_job_id forgotten = send_late(12 * 60 * 1000);
	struct tally_job_id late = send_late(5 * 60 * 1000);

	jobs_expect_failure(jobs_await(&jobs, &late), TALLY_DEADLINE_EXCEEDED);
	cr_expect_null(jobs_look(&jobs, &forgotten));
	cr_expect_eq(metric_here(FORGOTTEN), 1);
	jobs_expect_on(&jobs);
	cr_expect_eq(metric_here(BATCHES), 1);
}

UNSTARTED(says_when_the_number_of_partitions_is_another)
{
	static const char *const flags[] = { "--results-partitions", "7", NULL };

	init(flags);
	service.may_fail = true;
	service_start_jobs_unready(&service);
	SERVICE_AWAIT(atomic_load(&service.is_fatal));
	cr_expect_eq(service.fatal.status, TALLY_WRONG_SETTING);
	cr_expect_not_null(strstr(service.fatal.detail, "is 7"), "%s", service.fatal.detail);
	cr_expect_not_null(strstr(service.fatal.detail, "has 12"), "%s", service.fatal.detail);
	cr_expect_not(lane_is_ready(service.jobs));
}

/* ---- cancelling -------------------------------------------------------------- */

UNSTARTED(does_not_run_what_was_cancelled_before_it_was_there)
{
	struct tally_job_request request;

	init(NULL);
	struct tally_job_id id = jobs_send_echo(&jobs, "cancelled");
	jobs_cancel(&jobs, &id);
	service_start_jobs(&service);
	jobs_expect_on(&jobs);
	cr_expect_eq(metric_here(CANCELLED), 1);
	cr_expect_null(jobs_look(&jobs, &id));
	/* And while it is there: told first, then asked. */
	request = jobs_request();
	jobs_cancel(&jobs, &request.id);
	jobs_cancel(&jobs, &id);
	SERVICE_AWAIT(inbox_count(&jobs.control) == 3);
	jobs_send(&jobs, &request, "{\"dataset\":\"echo\",\"params\":{\"text\":\"a\"}}", 0);
	/* The worker and this test read the same topic: it may be a moment behind. */
	SERVICE_AWAIT(metric_here(CANCELLED) == 2 || jobs_look(&jobs, &request.id));
	jobs_expect_on(&jobs);
}

JOBS(stops_a_query_that_nobody_wants)
{
	struct tally_job_id id = jobs_send_slow(&jobs, "a", 60000);
	int64_t began_ms = clock_mono_ms();

	SERVICE_AWAIT(metric_here(RUNNING) == 1);
	jobs_cancel(&jobs, &id);
	SERVICE_AWAIT(metric_here(RUNNING) == 0);
	cr_expect_lt(clock_mono_ms() - began_ms, 8000);
	jobs_expect_on(&jobs);
	cr_expect_null(jobs_look(&jobs, &id));
	cr_expect_eq(metric_here(CANCELLED), 1);
}

UNSTARTED(goes_on_for_those_of_a_batch_who_want_it)
{
	static const char *const one_at_a_time[] = { "--batches-in-flight", "1", NULL };
	struct tally_job_id ids[3];

	init(one_at_a_time);
	service_start_jobs(&service);
	/* While one batch is at the database the next one gathers: they share it for certain. */
	struct tally_job_id before = jobs_send_slow(&jobs, "before", 60000);
	SERVICE_AWAIT(metric_here(RUNNING) == 1);
	for (int i = 0; i < 3; i++) /* the first and the last are equal */
		ids[i] = jobs_send_slow(&jobs, i == 1 ? "b" : "a", 3000);
	SERVICE_AWAIT(metric_here(OPEN) == 4);
	jobs_cancel(&jobs, &before);
	SERVICE_AWAIT(metric_here(BATCHES) == 2);
	cr_expect_eq(metric_here("tally_batch_requests_sum{lane=\"jobs\"}"), 1 + 3);
	jobs_cancel(&jobs, &ids[0]);
	jobs_cancel(&jobs, &ids[1]);
	cr_expect_eq(jobs_await(&jobs, &ids[2])->head.state, TALLY_SUCCEEDED);
	SERVICE_AWAIT(metric_here(OPEN) == 0);
	cr_expect_null(jobs_look(&jobs, &ids[0]));
	cr_expect_null(jobs_look(&jobs, &ids[1]));
	cr_expect_eq(metric_here(CANCELLED), 1 + 2);
}

UNSTARTED(lets_nobody_wait_for_those_who_came_later)
{
	static const char *const one_each[] = { "--batches-in-flight", "1", "--batch-max", "1",
						NULL };
	const struct job_result *results[5];
	struct tally_job_id ids[5];

	init(one_each);
	service_start_jobs(&service);
	struct tally_job_id before = jobs_send_slow(&jobs, "before", 60000);
	SERVICE_AWAIT(metric_here(RUNNING) == 1);
	for (int i = 0; i < 5; i++) /* the third is of another dataset */
		ids[i] = i == 2
			     ? jobs_send_slow(&jobs, "c", 1)
			     : jobs_send_echo(&jobs, (const char *[]){ "a", "b", "", "d", "e" }[i]);
	SERVICE_AWAIT(metric_here(OPEN) == 6);
	jobs_cancel(&jobs, &before);
	for (int i = 0; i < 5; i++)
		results[i] = jobs_await(&jobs, &ids[i]);
	for (int i = 0; i < 4; i++)
		cr_expect_lt(results[i], results[i + 1], "in the order in which they came: %d", i);
}

JOBS(says_that_a_job_runs_when_it_has_for_a_second)
{
	struct tally_job_id id = jobs_send_slow(&jobs, "a", 2500);
	struct tally_header headers[TALLY_HEADERS_MAX];
	struct tally_control control;
	struct tally_error err;
	size_t key_len;

	const struct job_result *result = jobs_await(&jobs, &id);
	jobs_expect_on(&jobs); /* and that nothing is said of a short one */
	cr_assert_eq(inbox_count(&jobs.control), 1);
	const struct kafka_message *message = jobs.control.all[0].message;
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);
	const void *key = kafka_message_key(message, &key_len);
	cr_assert_eq(tally_control_read(key, key_len, headers, n, &control, &err), TALLY_OK);
	cr_expect_eq(control.kind, TALLY_CONTROL_STARTED);
	cr_expect_str_eq(control.id.text, id.text);
	cr_expect_eq(control.run, result->head.run);
	cr_expect_eq(control.attempt, 1);
}
