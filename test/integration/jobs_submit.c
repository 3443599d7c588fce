/* A gateway that submits jobs, over the mock broker and a private job store.  There is no worker:
 * what comes back is published here, in the wrong order, twice, or too much of it. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <tally/digest.h>
#include <tally/job.h>

#include "base/clock.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "support/service.h"

#define REQUESTS 12 /* partitions */
#define SECRET   "a secret for tests of 34 characters"

static struct cluster *shared; /* in the runner's process */
static struct cluster *own;    /* of a test that harms it */
static struct service service;
static struct kafka_producer *producer;
static struct kafka_reader *readers[REQUESTS];
static struct inbox inbox; /* requests of jobs */

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

/* Starts a gateway with jobs; more is a flag and its value, or NULL. */
static void
start(const char *flag, const char *value)
{
	const char *const flags[] = { "--jobs",
				      getenv("TEST_POSTGRES_URL_JOBS"),
				      "--job-secret",
				      SECRET,
				      "--jobs-timeout-ms",
				      "1000",
				      flag,
				      value,
				      NULL };
	struct tally_error err = { 0 };

	service_init(&service, flags);
	inbox_init(&inbox);
	inbox.keeps_messages = true;
	for (int32_t i = 0; i < REQUESTS; i++) {
		const struct kafka_reader_options options = { .topic = TALLY_TOPIC_REQUESTS_JOBS,
							      .partition = i,
							      .on_message = inbox_add,
							      .ctx = &inbox };
		cr_assert_eq(
		    kafka_reader_start(&service.broker.config, &options, &readers[i], &err),
		    TALLY_OK);
	}
	for (int i = 0; i < REQUESTS; i++)
		SERVICE_AWAIT(kafka_reader_is_positioned(readers[i]));
	cr_assert_eq(
	    kafka_producer_start(&service.broker.config, KAFKA_ALL, 20000, &producer, &err),
	    TALLY_OK);
	service_start_gateway(&service);
}

static void
begin(void)
{
	start(NULL, NULL);
}

static void
end(void)
{
	kafka_producer_stop(producer, 1000);
	for (int i = 0; i < REQUESTS; i++)
		kafka_reader_quiesce(readers[i]);
	inbox_fini(&inbox);
	for (int i = 0; i < REQUESTS; i++)
		kafka_reader_stop(readers[i]);
	service_stop(&service);
	cluster_stop(own);
}

#define SUBMIT(name)    Test(jobs_submit, name, .timeout = 120, .init = begin, .fini = end)
#define UNSTARTED(name) Test(jobs_submit, name, .timeout = 120, .fini = end)

/* ---- helpers ----------------------------------------------------------------- */

#define ECHO "{\"dataset\":\"echo\",\"params\":{\"text\":\"a\"}}"

static struct call
submit(const char *headers)
{
	return call_post(&service, "/v1/jobs", headers, ECHO);
}

static int
submit_status(const char *headers)
{
	struct call call = submit(headers);
	struct answer answer;

	call_end(&call, &answer);
	answer_fini(&answer);
	return answer.status;
}

/* The same as rows. */
static struct call
submit_rows(const char *headers)
{
	return call_begin(&service, "/api/echo/?text=a", headers);
}

/* The n-th request that was published (from 1), as its headers tell it. */
static struct tally_job_request
request_at(size_t n)
{
	const struct tally_job_context context = { .stamp_ms = clock_unix_ms(),
						   .results_partitions = 12 };
	struct tally_header headers[TALLY_HEADERS_MAX];
	struct tally_job_request request;
	struct tally_error err = { 0 };

	cr_assert(inbox_await(&inbox, n, SERVICE_PATIENCE_MS));
	size_t n_headers =
	    kafka_message_headers(inbox.all[n - 1].message, headers, TALLY_HEADERS_MAX);
	cr_assert_eq(tally_job_request_read(headers, n_headers, &context, &request, &err), TALLY_OK,
		     "%s", err.detail);
	return request;
}

static struct tally_job_result
result_of(const struct tally_job_request *request, uint64_t run)
{
	struct tally_job_result result = {
		.id = request->id,
		.tenant = "default",
		.dataset = "echo",
		.state = TALLY_SUCCEEDED,
		.run = run,
		.attempt = 1,
		.created_ms = request->created_ms,
		.started_ms = request->created_ms + 1,
		.deadline_ms = request->deadline_ms,
		.as_of = { { .source = "db1", .at_ms = 1700000000001 } },
		.n_as_of = 1,
		.trace = request->trace,
	};

	return result;
}

/* Publishes a message of a result, and waits until it is stored. */
static void
send_message(const struct tally_job_request *request, const struct tally_job_result *result,
	     const void *value, size_t len)
{
	struct tally_headers headers;
	struct reports reports;

	cr_assert_eq(tally_job_result_write(result, clock_unix_ms(), &headers), TALLY_OK);
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = request->reply_partition,
		.key = request->id.text,
		.key_len = strlen(request->id.text),
		.value = value,
		.value_len = len,
		.headers = headers.items,
		.n_headers = headers.n,
		.on_delivered = reports_add,
		.ctx = &reports,
	};
	reports_init(&reports);
	cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
	cr_assert(reports_await(&reports, 1, SERVICE_PATIENCE_MS));
}

/* A result in one message, or a part of one: of body the len bytes at offset. */
struct piece {
	uint64_t run;
	uint32_t part; /* 0: all of it */
	bool is_last;
	size_t offset;
	size_t len;
};

static void
send_piece(const struct tally_job_request *request, const struct piece *piece, const char *body)
{
	struct tally_job_result result = result_of(request, piece->run);

	result.part = piece->part;
	result.n_parts = piece->is_last ? piece->part : 0;
	if (piece->part == 0 || piece->is_last) {
		result.has_sha256 = true;
		result.rows = 1;
		cr_assert_eq(tally_sha256(body, strlen(body), result.sha256), TALLY_OK);
	}
	send_message(request, &result, body + piece->offset, piece->len);
}

static void
send_rows(const struct tally_job_request *request, const char *body)
{
	const struct piece all = { .run = 1, .len = strlen(body) };

	send_piece(request, &all, body);
}

static void
send_failure(const struct tally_job_request *request, enum tally_state state, tally_status code)
{
	struct tally_job_result result = result_of(request, 7);
	struct tally_error error = { 0 };
	char value[1024];
	size_t len;

	result.state = state;
	result.error_code = code;
	(void)tally_fail(&error, code, "told by the test");
	cr_assert_eq(tally_error_encode(&error, value, sizeof value, &len), TALLY_OK);
	send_message(request, &result, value, len);
}

static void
expect_problem(const struct answer *answer, int status, const char *code)
{
	char member[64];

	(void)snprintf(member, sizeof member, "\"code\":\"%s\"", code);
	cr_expect_eq(answer->status, status, "%d %s", answer->status, answer->body);
	cr_expect_not_null(strstr(answer->body, member), "%s", answer->body);
}

static bool
says(const struct answer *answer, const char *text)
{
	return strstr(answer->body, text) != NULL;
}

static void
expect_accepted(struct call *call, const struct tally_job_request *request)
{
	struct answer answer;
	char location[64];

	call_end(call, &answer);
	cr_expect_eq(answer.status, 202, "%d %s", answer.status, answer.body);
	if (answer.status == 202) {
		(void)snprintf(location, sizeof location, "/v1/jobs/%s", request->id.text);
		cr_expect_str_eq(answer_header(&answer, "Location"), location);
		cr_expect(says(&answer, "\"state\":\"queued\""), "%s", answer.body);
	}
	answer_fini(&answer);
}

static void
expect_nothing_left(void)
{
	SERVICE_AWAIT(metric_here("tally_job_waits") == 0);
	SERVICE_AWAIT(metric_here("tally_results_bytes") == 0);
}

#define ROWS    "{\"status\":\"ok\",\"data\":[{\"text\":\"a\",\"n\":1}]}"
#define OTHERS  "{\"status\":\"ok\",\"data\":[{\"text\":\"b\",\"n\":1}]}"
#define PATIENT "Prefer: respond-async, wait=20\r\n"

/* ---- results ----------------------------------------------------------------- */

SUBMIT(answers_with_the_document_of_the_first_result)
{
	struct call call = submit("Prefer: wait=20\r\n");
	struct tally_job_request request = request_at(1);
	struct answer answer;
	char offset[32];

	send_rows(&request, ROWS);
	send_failure(&request, TALLY_STATE_CANCELLED, TALLY_CANCELLED);
	call_end(&call, &answer);
	cr_expect_eq(answer.status, 200, "%s", answer.body);
	cr_expect(says(&answer, "\"state\":\"succeeded\",\"final\":true"), "%s", answer.body);
	cr_expect(says(&answer, "\"params\":{\"text\":\"a\"}"), "%s", answer.body);
	cr_expect(says(&answer, "\"as_of\":{\"db1\":\"2023-11-14T22:13:20.001Z\"}"), "%s",
		  answer.body);
	(void)snprintf(offset, sizeof offset, "\"partition\":%d,\"offset\":0",
		       (int)request.reply_partition);
	cr_expect(says(&answer, offset), "%s", answer.body);
	cr_expect_str_eq(answer_header(&answer, "Preference-Applied"), "wait=20");
	answer_fini(&answer);
	expect_nothing_left();
}

SUBMIT(answers_with_the_cancellation_that_was_first)
{
	struct call document = submit("Prefer: wait=20\r\n");
	struct call rows = submit_rows(PATIENT);
	struct answer answer;

	for (size_t i = 1; i <= 2; i++) {
		struct tally_job_request request = request_at(i);
		send_failure(&request, TALLY_STATE_CANCELLED, TALLY_CANCELLED);
		send_rows(&request, ROWS);
	}
	call_end(&document, &answer);
	cr_expect_eq(answer.status, 200, "%s", answer.body);
	cr_expect(says(&answer, "\"state\":\"cancelled\",\"final\":true"), "%s", answer.body);
	cr_expect(says(&answer, "told by the test"), "%s", answer.body);
	answer_fini(&answer);
	call_end(&rows, &answer);
	expect_problem(&answer, 409, "cancelled");
	answer_fini(&answer);
	expect_nothing_left();
}

SUBMIT(gives_rows_in_each_format_and_failures_as_problems)
{
	static const struct {
		const char *query;
		const char *body;
	} cases[] = {
		{ "",               ROWS                         },
		{ "&format=csv",    "text,n\r\na,1\r\n"          },
		{ "&format=ndjson", "{\"text\":\"a\",\"n\":1}\n" },
	};
	struct answer answer;
	char path[64];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		(void)snprintf(path, sizeof path, "/api/echo?text=a%s", cases[i].query);
		struct call call = call_begin(&service, path, PATIENT);
		struct tally_job_request request = request_at(i + 1);
		send_rows(&request, ROWS);
		call_end(&call, &answer);
		cr_expect_eq(answer.status, 200, "%s", answer.body);
		cr_expect(says(&answer, cases[i].body), "%s", answer.body); /* in chunks */
		answer_fini(&answer);
	}
	struct call call = submit_rows(PATIENT);
	struct tally_job_request request = request_at(4);
	send_failure(&request, TALLY_FAILED, TALLY_SOURCE_UNAVAILABLE);
	call_end(&call, &answer);
	expect_problem(&answer, 503, "source_unavailable");
	answer_fini(&answer);
	expect_nothing_left();
}

SUBMIT(puts_parts_of_one_run_together_and_never_mixes_two)
{
	const struct piece pieces[] = {
		{ .run = 1, .part = 1, .offset = 0, .len = 10 },
		{ .run = 2, .part = 1, .offset = 0, .len = 12 },
		{ .run = 1, .part = 3, .is_last = true, .offset = 20, .len = 1 }, /* 2 is lost */
		{ .run = 2, .part = 2, .offset = 12, .len = 8 },
		{ .run = 2, .part = 3, .is_last = true, .offset = 20, .len = strlen(ROWS) - 20 },
	};
	struct call rows = submit_rows(PATIENT);
	struct call document = submit("Prefer: wait=20\r\n");
	struct answer answer;

	for (size_t n = 1; n <= 2; n++) {
		struct tally_job_request request = request_at(n);
		for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
			send_piece(&request, &pieces[i], ROWS);
		send_rows(&request, OTHERS); /* too late */
	}
	call_end(&rows, &answer);
	cr_expect_eq(answer.status, 200, "%s", answer.body);
	cr_expect_str_eq(answer.body, ROWS);
	answer_fini(&answer);
	call_end(&document, &answer);
	cr_expect_eq(answer.status, 200, "%s", answer.body);
	cr_expect(says(&answer, "\"bytes\":43"), "%s", answer.body);
	cr_expect(says(&answer, "\"offset\":"), "%s", answer.body);
	answer_fini(&answer);
	expect_nothing_left();
}

SUBMIT(reads_over_what_is_no_result_of_the_job)
{
	struct call call = submit_rows(PATIENT);
	struct tally_job_request request = request_at(1);
	struct tally_job_request other = request;
	struct answer answer;
	struct tally_error err = { 0 };
	const struct tally_secrets secrets = { .items = { { SECRET, strlen(SECRET) } }, .n = 1 };
	const struct kafka_outgoing bare = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = request.reply_partition,
		.key = request.id.text,
		.key_len = strlen(request.id.text),
		.value = "garbage",
		.value_len = 7,
	};

	cr_assert_eq(kafka_producer_send(producer, &bare), TALLY_OK);
	cr_assert_eq(tally_job_id_make(&secrets, "default", request.created_ms,
				       request.reply_partition, &other.id, &err),
		     TALLY_OK);
	send_rows(&other, OTHERS);
	send_rows(&request, ROWS);
	call_end(&call, &answer);
	cr_expect_eq(answer.status, 200);
	cr_expect_str_eq(answer.body, ROWS);
	answer_fini(&answer);
}

UNSTARTED(gives_the_address_of_a_result_that_there_is_no_memory_for)
{
	size_t len = 1200000;
	char *body = malloc(len + 1);
	struct call call;

	start("--results-bytes", "1048576");
	call = submit_rows(PATIENT);
	struct tally_job_request request = request_at(1);
	memset(body, 'x', len);
	body[len] = '\0';
	const struct piece first = { .run = 1, .part = 1, .len = 700000 };
	const struct piece second = {
		.run = 1, .part = 2, .is_last = true, .offset = 700000, .len = len - 700000
	};
	send_piece(&request, &first, body);
	SERVICE_AWAIT(metric_here("tally_results_bytes") == 700000);
	send_piece(&request, &second, body);
	expect_accepted(&call, &request);
	expect_nothing_left();
	free(body);
}

/* ---- waits ------------------------------------------------------------------- */

SUBMIT(ends_a_wait_in_time_and_drops_what_has_come)
{
	struct call call = submit_rows("Prefer: respond-async, wait=1\r\n");
	struct tally_job_request request = request_at(1);
	const struct piece first = { .run = 1, .part = 1, .len = 10 };

	send_piece(&request, &first, ROWS);
	SERVICE_AWAIT(metric_here("tally_results_bytes") == 10);
	expect_accepted(&call, &request);
	expect_nothing_left();
}

SUBMIT(frees_the_wait_of_a_caller_who_leaves)
{
	struct call call = submit("Prefer: wait=20\r\n");
	struct tally_job_request request = request_at(1);
	const struct piece first = { .run = 1, .part = 1, .len = 10 };

	send_piece(&request, &first, ROWS);
	SERVICE_AWAIT(metric_here("tally_results_bytes") == 10);
	call_leave(&call);
	expect_nothing_left();
}

UNSTARTED(lets_no_more_wait_than_it_may_and_publishes_nothing_for_them)
{
	struct answer answer;

	start("--waiters-max", "1");
	struct call call = submit("Prefer: wait=1\r\n");
	struct tally_job_request request = request_at(1);
	struct call refused = submit("Prefer: wait=1\r\n");
	call_end(&refused, &answer);
	expect_problem(&answer, 503, "saturated");
	answer_fini(&answer);
	expect_accepted(&call, &request);
	struct call next = submit("");
	request = request_at(2);
	expect_accepted(&next, &request);
	cr_expect_eq(inbox_count(&inbox), 2);
}

SUBMIT(tells_those_who_wait_where_their_jobs_are_when_it_stops)
{
	struct call calls[3] = { submit("Prefer: wait=30\r\n"), submit_rows(PATIENT),
				 submit("Prefer: wait=30\r\n") };
	struct answer answer;
	int64_t began_ms;

	(void)request_at(3);
	SERVICE_AWAIT(metric_here("tally_job_waits") == 3);
	began_ms = clock_mono_ms();
	service_stop_gateway(&service, 20000);
	cr_expect_lt(clock_mono_ms() - began_ms, 10000);
	for (int i = 0; i < 3; i++) {
		call_end(&calls[i], &answer);
		cr_expect_eq(answer.status, 202, "%d %s", answer.status, answer.body);
		answer_fini(&answer);
	}
}

/* ---- a broker or a store that is away ---------------------------------------- */

SUBMIT(answers_503_when_the_broker_is_away_whoever_waits)
{
	struct call calls[3];
	struct answer answer;

	kafka_mock_down(service.broker.mock);
	calls[0] = submit("");
	calls[1] = submit("Prefer: wait=30\r\n");
	calls[2] = submit_rows("Prefer: respond-async, wait=30\r\n");
	for (int i = 0; i < 3; i++) {
		call_end(&calls[i], &answer);
		cr_expect_eq(answer.status, 503, "%d %s", answer.status, answer.body);
		cr_expect(says(&answer, "kafka_unavailable") || says(&answer, "outcome_unknown"),
			  "%s", answer.body);
		cr_expect_lt(answer.took_ms, 10000);
		cr_assert_not_null(answer_header(&answer, "Retry-After"));
		answer_fini(&answer);
	}
	expect_nothing_left();
	kafka_mock_up(service.broker.mock);
}

SUBMIT(answers_everybody_when_it_stops_without_a_broker)
{
	struct call calls[4];
	struct answer answer;

	kafka_mock_down(service.broker.mock);
	calls[0] = submit("");
	calls[1] = submit("Prefer: wait=30\r\n");
	calls[2] = submit("Idempotency-Key: a\r\n");
	calls[3] = submit("Idempotency-Key: a\r\nPrefer: wait=30\r\n");
	service_stop_gateway(&service, 500);
	for (int i = 0; i < 4; i++) {
		call_end(&calls[i], &answer);
		/* 0: it came when nobody listened any more. */
		cr_expect(answer.status == 503 || answer.status == 0, "%d %s", answer.status,
			  answer.body);
		answer_fini(&answer);
	}
}

UNSTARTED(takes_jobs_without_keys_while_the_store_is_away)
{
	struct answer answer;

	own = service_databases();
	start(NULL, NULL);
	cluster_signal(own, SIGSTOP); /* it is there, and does not answer */
	struct call plain = submit("");
	struct tally_job_request request = request_at(1);
	expect_accepted(&plain, &request);
	struct call keyed = submit("Idempotency-Key: k\r\n");
	call_end(&keyed, &answer);
	expect_problem(&answer, 503, "job_store_unavailable");
	answer_fini(&answer);
	struct call waiting = submit("Prefer: wait=20\r\n");
	request = request_at(2);
	send_rows(&request, ROWS);
	call_end(&waiting, &answer);
	cr_expect_eq(answer.status, 200, "%s", answer.body);
	answer_fini(&answer);
	cluster_signal(own, SIGCONT);
	SERVICE_AWAIT(submit_status("Idempotency-Key: l\r\n") == 202);
	cr_expect_eq(metric_here("tally_job_store_up"), 1);
}

SUBMIT(answers_those_who_wait_for_a_key_when_it_stops)
{
	struct answer answer;
	struct call first;

	/* Whoever was first never hears from the broker, so the second waits for that. */
	kafka_mock_slow(service.broker.mock, 3000);
	first = submit("Idempotency-Key: slow\r\n");
	(void)request_at(1);
	struct call second = submit("Idempotency-Key: slow\r\n");
	struct call third = submit("Idempotency-Key: slow\r\nPrefer: wait=20\r\n");
	service_stop_gateway(&service, 6000);
	call_end(&first, &answer);
	cr_expect(answer.status == 202 || answer.status == 503, "%d %s", answer.status,
		  answer.body);
	answer_fini(&answer);
	for (int i = 0; i < 2; i++) {
		call_end(i == 0 ? &second : &third, &answer);
		cr_expect(answer.status == 202 || answer.status == 503 || answer.status == 0,
			  "%d %s", answer.status, answer.body);
		answer_fini(&answer);
	}
}
