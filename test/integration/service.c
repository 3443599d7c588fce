/* A gateway and a lane in one process, over the mock broker and a private PostgreSQL: what callers
 * see when all is well, and when something is not. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "support/service.h"

static struct cluster *shared; /* in the runner's process */
static struct service service;
static struct cluster *own; /* of a test that harms it */

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
begin(void)
{
	service_start(&service, NULL);
}

static void
end(void)
{
	service_stop(&service);
	cluster_stop(own);
}

/* A test of a service that runs, and of one that the test starts itself. */
#define SERVICE(name)   Test(service, name, .timeout = 120, .init = begin, .fini = end)
#define UNSTARTED(name) Test(service, name, .timeout = 120, .fini = end)

/* ---- helpers ----------------------------------------------------------------- */

static void
expect_echo(const char *text)
{
	char path[600], body[8192];
	struct answer answer;

	(void)snprintf(path, sizeof path, "/api/echo/?text=%s", text);
	echo_expect(text, body, sizeof body);
	ask(&service, path, "", &answer);
	cr_assert_eq(answer.status, 200, "%s: %d %s", path, answer.status, answer.body);
	cr_expect_str_eq(answer.body, body);
	answer_fini(&answer);
}

/* A problem document with this status and code. */
static void
expect_problem(const struct answer *answer, int status, const char *code)
{
	char member[64];

	(void)snprintf(member, sizeof member, "\"code\":\"%s\"", code);
	cr_expect_eq(answer->status, status, "%d %s", answer->status, answer->body);
	cr_expect_not_null(strstr(answer->body, member), "%s", answer->body);
	cr_assert_not_null(answer_header(answer, "Content-Type"));
	cr_expect_str_eq(answer_header(answer, "Content-Type"), "application/problem+json");
	cr_assert_not_null(answer_header(answer, "traceparent"));
	cr_expect_eq(strlen(answer_header(answer, "traceparent")), 55);
}

static int
ask_status(const char *path)
{
	struct answer answer;

	ask(&service, path, "", &answer);
	answer_fini(&answer);
	return answer.status;
}

/* Begins n slow calls, each a request of its own or all the same. */
static void
begin_slow(struct call *calls, int n, int ms, bool is_same, const char *headers)
{
	for (int i = 0; i < n; i++) {
		char path[100];

		(void)snprintf(path, sizeof path, "/api/slow/?text=t%d&ms=%d", is_same ? 0 : i, ms);
		calls[i] = call_begin(&service, path, headers);
	}
}

/* How many of the calls end with this status. */
static int
end_all(struct call *calls, int n, int status)
{
	struct answer answer;
	int n_found = 0;

	for (int i = 0; i < n; i++) {
		call_end(&calls[i], &answer);
		n_found += answer.status == status;
		if (answer.status != status)
			(void)fprintf(stderr, "%d %s\n", answer.status, answer.body);
		answer_fini(&answer);
	}
	return n_found;
}

/* ---- when all is well -------------------------------------------------------- */

SERVICE(answers_with_rows)
{
	static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	char header[100];
	struct answer answer;

	(void)snprintf(header, sizeof header, "traceparent: %s\r\nPrefer: wait=5\r\n", trace);
	ask(&service, "/api/echo?text=ab", header, &answer);
	cr_expect_eq(answer.status, 200);
	cr_expect_str_eq(answer.body, "{\"status\":\"ok\",\"data\":[{\"text\":\"ab\",\"n\":1},"
				      "{\"text\":\"ab\",\"n\":2}]}");
	cr_expect_str_eq(answer_header(&answer, "traceparent"), trace);
	cr_expect_str_eq(answer_header(&answer, "Preference-Applied"), "wait=5");
	cr_expect_str_eq(answer_header(&answer, "Content-Type"), "application/json");
	cr_expect_not_null(answer_header(&answer, "Server-Timing"));
	answer_fini(&answer);
	ask(&service, "/api/echo/?text=b&format=csv", "", &answer);
	cr_expect_eq(answer.status, 200);
	cr_expect_not_null(strstr(answer.body, "text,n\r\n"), "%s", answer.body);
	cr_expect_not_null(strstr(answer.body, "b,1\r\n"), "%s", answer.body);
	answer_fini(&answer);
	expect_echo("");
	cr_expect_eq(ask_status("/readyz"), 200);
}

SERVICE(answers_what_is_wrong_with_a_request)
{
	static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	char header[100];
	struct answer answer;

	(void)snprintf(header, sizeof header, "traceparent: %s\r\n", trace);
	ask(&service, "/api/none/", header, &answer);
	expect_problem(&answer, 404, "unknown_dataset");
	cr_expect_str_eq(answer_header(&answer, "traceparent"), trace);
	answer_fini(&answer);
	ask(&service, "/api/echo/", "traceparent: nonsense\r\n", &answer);
	expect_problem(&answer, 422, "invalid_parameter");
	cr_expect_not_null(strstr(answer.body, "\"name\":\"text\""), "%s", answer.body);
	answer_fini(&answer);
	ask(&service, "/nothing", "", &answer);
	expect_problem(&answer, 404, "not_found");
	answer_fini(&answer);
	ask(&service, "/api/echo?text=%zz", header, &answer); /* refused before it is read */
	expect_problem(&answer, 400, "bad_request");
	answer_fini(&answer);
}

static void
execute(const char *url, const char *sql)
{
	PGconn *pg = PQconnectdb(url);
	PGresult *result = PQexec(pg, sql);

	cr_assert(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
}

UNSTARTED(joins_both_databases)
{
	static const char *const flags[] = { "--datasets", "deploy/datasets", NULL };
	struct answer answer;

	own = service_databases();
	execute(getenv("TALLY_SOURCE_DB1"),
		"INSERT INTO users (id, login, email) VALUES (1, 'ann', 'a@x.org'),"
		" (2, 'bob', 'b@x.org');"
		"INSERT INTO blog (id, owner_id, name) VALUES (1, 2, 'b');"
		"INSERT INTO post (id, header, text, author_id, blog_id)"
		" VALUES (7, 'seven', 't', 2, 1), (8, 'eight', 't', 1, 1)");
	execute(getenv("TALLY_SOURCE_DB2"),
		"INSERT INTO logs (datetime, user_id, space_type_id, event_type_id, object_id)"
		" VALUES ('2024-01-01 10:00', 1, 3, 2, 7), ('2024-01-02 10:00', 1, 3, 2, 7),"
		" ('2024-01-02 11:00', 1, 3, 2, 8), ('2024-01-02 11:00', 2, 3, 2, 8),"
		" ('2024-01-02 12:00', 1, 1, 1, 0)");
	service_start(&service, flags);
	ask(&service, "/api/comments/?login=ann", "", &answer);
	cr_expect_eq(answer.status, 200);
	cr_expect_str_eq(answer.body,
			 "{\"status\":\"ok\",\"data\":[{\"user_login\":\"ann\",\"post_header\":"
			 "\"seven\",\"post_author_login\":\"bob\",\"total_comments\":2},"
			 "{\"user_login\":\"ann\",\"post_header\":\"eight\","
			 "\"post_author_login\":\"ann\",\"total_comments\":1}]}");
	answer_fini(&answer);
	ask(&service, "/api/comments/?login=nobody", "", &answer);
	cr_expect_str_eq(answer.body, "{\"status\":\"ok\",\"data\":[]}");
	answer_fini(&answer);
}

SERVICE(sends_identical_requests_once)
{
	struct call calls[40];

	begin_slow(calls, 40, 700, true, "");
	cr_expect_eq(end_all(calls, 40, 200), 40);
	cr_expect_eq(service_metric(&service, "tally_coalesced_total"), 39);
	cr_expect_eq(service_metric(&service, "tally_batch_requests_count{lane=\"sync\"}"), 1);
	begin_slow(calls, 10, 300, true, "Cache-Control: no-cache\r\n"); /* each its own */
	cr_expect_eq(end_all(calls, 10, 200), 10);
	cr_expect_eq(service_metric(&service, "tally_coalesced_total"), 39);
}

static void *
ask_many(void *arg)
{
	long thread = (long)(intptr_t)arg;

	for (int i = 0; i < 100; i++) {
		char path[64], text[40], body[8192];
		struct answer answer;

		(void)snprintf(text, sizeof text, "t%ldn%d", thread, i % 50);
		(void)snprintf(path, sizeof path, "/api/echo/?text=%s", text);
		echo_expect(text, body, sizeof body);
		ask(&service, path, "", &answer);
		if (answer.status != 200 || strcmp(answer.body, body) != 0) {
			(void)fprintf(stderr, "%s: %d %s\n", path, answer.status, answer.body);
			arg = NULL;
		}
		answer_fini(&answer);
	}
	return arg;
}

SERVICE(gives_each_caller_its_own_rows)
{
	pthread_t threads[8];
	void *result;

	for (intptr_t i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, ask_many, (void *)(i + 1));
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		cr_expect_not_null(result);
	}
	cr_expect_eq(service_metric(&service, "tally_waiters"), 0);
	SERVICE_AWAIT(service_metric(&service, "tally_requests_open{lane=\"sync\"}") == 0);
}

/* ---- limits ------------------------------------------------------------------ */

SERVICE(answers_504_when_the_wait_runs_out)
{
	struct answer answer;

	ask(&service, "/api/slow/?text=a&ms=4000", "Prefer: wait=1\r\n", &answer);
	expect_problem(&answer, 504, "deadline_exceeded");
	cr_expect_str_eq(answer_header(&answer, "Preference-Applied"), "wait=1");
	cr_expect(answer.took_ms >= 950 && answer.took_ms < 2500, "%ld ms", (long)answer.took_ms);
	answer_fini(&answer);
	expect_echo("x");
}

/* ---- databases that refuse ---------------------------------------------------- */

static const char *const faulty[] = { "--datasets", "test/support/faulty", NULL };

/* A service whose first queries of dataset flaky fail: each leaves a lock behind, which is what
 * outlives a transaction that may not write. */
static void
init_faulty(void)
{
	own = service_databases();
	execute(getenv("TALLY_SOURCE_DB1"),
		"CREATE FUNCTION flaky(fails int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
		"  FOR i IN 1 .. fails LOOP"
		"    IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
		"                   AND classid = 42 AND objid = i) THEN"
		"      PERFORM pg_advisory_lock(42, i);"
		"      RAISE EXCEPTION 'in passing' USING ERRCODE = '40001';"
		"    END IF;"
		"  END LOOP;"
		"  RETURN true; END $$");
	service_init(&service, faulty);
}

UNSTARTED(a_request_that_a_database_refuses_fails_alone)
{
	enum { N = 12 };
	struct call calls[N];
	struct answer answer;
	char text[80];

	init_faulty();
	service_start_gateway(&service);
	for (int i = 0; i < N; i++) {
		(void)snprintf(text, sizeof text, "/api/share/?text=t%d&pieces=%d", i, i % 7);
		calls[i] = call_begin(&service, text, "Prefer: wait=30\r\n");
	}
	SERVICE_AWAIT(service_metric(&service, "tally_waiters") == N);
	service_start_lane(&service); /* takes them together */
	for (int i = 0; i < N; i++) {
		call_end(&calls[i], &answer);
		if (i % 7 == 0) {
			expect_problem(&answer, 500, "source_error");
		} else {
			(void)snprintf(text, sizeof text,
				       "{\"status\":\"ok\",\"data\":[{\"text\":\"t%d\","
				       "\"size\":%d}]}",
				       i, 60 / (i % 7));
			cr_expect_eq(answer.status, 200, "%d: %d", i, answer.status);
			cr_expect_str_eq(answer.body, text);
		}
		answer_fini(&answer);
	}
}

UNSTARTED(what_a_database_refuses_in_passing_is_tried_again_a_few_times)
{
	struct answer answer;

	init_faulty();
	service_start_gateway(&service);
	service_start_lane(&service);
	ask(&service, "/api/flaky/?text=a&fails=3", "Prefer: wait=30\r\n", &answer);
	cr_expect_eq(answer.status, 200, "%d %s", answer.status, answer.body);
	cr_expect_str_eq(answer.body, "{\"status\":\"ok\",\"data\":[{\"text\":\"a\"}]}");
	answer_fini(&answer);
	ask(&service, "/api/flaky/?text=b&fails=8", "Prefer: wait=30\r\n", &answer);
	expect_problem(&answer, 503, "source_unavailable"); /* the fourth to the seventh time */
	answer_fini(&answer);
	ask(&service, "/api/flaky/?text=c&fails=8", "Prefer: wait=30\r\n", &answer);
	cr_expect_eq(answer.status, 200, "%d %s", answer.status, answer.body);
	answer_fini(&answer);
}

UNSTARTED(answers_503_past_the_most_that_may_wait)
{
	static const char *const flags[] = { "--waiters-max", "3", NULL };
	struct call calls[3];
	struct answer answer;

	service_start(&service, flags);
	begin_slow(calls, 3, 1500, false, "");
	SERVICE_AWAIT(service_metric(&service, "tally_waiters") == 3);
	ask(&service, "/api/echo/?text=a", "", &answer);
	expect_problem(&answer, 503, "saturated");
	cr_assert_not_null(answer_header(&answer, "Retry-After"));
	cr_expect_geq(strtol(answer_header(&answer, "Retry-After"), NULL, 10), 1);
	answer_fini(&answer);
	cr_expect_eq(end_all(calls, 3, 200), 3);
	expect_echo("a");
}

SERVICE(forgets_callers_that_have_left)
{
	struct call calls[20];
	int64_t began_ms = clock_mono_ms();

	begin_slow(calls, 10, 8000, false, "");
	begin_slow(calls + 10, 10, 8000, true, "");
	SERVICE_AWAIT(service_metric(&service, "tally_waiters") == 20);
	for (int i = 0; i < 20; i++)
		call_leave(&calls[i]);
	SERVICE_AWAIT(service_metric(&service, "tally_waiters") == 0);
	cr_expect_lt(clock_mono_ms() - began_ms, 7000);
	service_stop_lane(&service, 0); /* do not wait for what nobody wants */
}

/* ---- Kafka ------------------------------------------------------------------- */

SERVICE(answers_503_while_the_broker_is_away_and_recovers)
{
	struct answer answer;

	expect_echo("before");
	kafka_mock_down(service.broker.mock);
	ask(&service, "/api/echo/?text=during", "", &answer);
	cr_expect_eq(answer.status, 503, "%d %s", answer.status, answer.body);
	cr_expect_lt(answer.took_ms, 5500, "%ld ms", (long)answer.took_ms);
	cr_expect_not_null(answer_header(&answer, "Retry-After"));
	cr_expect_not_null(strstr(answer.body, "\"source\":\"kafka\""), "%s", answer.body);
	answer_fini(&answer);
	kafka_mock_up(service.broker.mock);
	SERVICE_AWAIT(ask_status("/api/echo/?text=after") == 200);
	expect_echo("afterwards");
}

SERVICE(answers_what_was_asked_while_the_broker_was_gone_for_a_moment)
{
	struct call calls[10];

	expect_echo("before");
	kafka_mock_down(service.broker.mock);
	begin_slow(calls, 10, 0, false, "");
	kafka_mock_up(service.broker.mock);
	cr_expect_eq(end_all(calls, 10, 200), 10);
}

SERVICE(goes_on_when_the_broker_refuses_single_requests)
{
	static const enum kafka_mock_request requests[] = { KAFKA_MOCK_FETCH, KAFKA_MOCK_PRODUCE,
							    KAFKA_MOCK_COMMIT };

	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		char text[20];

		kafka_mock_fail(service.broker.mock, requests[i], 6, 3);
		(void)snprintf(text, sizeof text, "round%zu", i);
		expect_echo(text);
	}
}

UNSTARTED(is_not_ready_before_it_has_met_its_broker)
{
	struct answer answer;

	service_init(&service, NULL);
	kafka_mock_down(service.broker.mock);
	service_start_gateway_unready(&service);
	cr_expect_eq(ask_status("/livez"), 200);
	cr_expect_eq(ask_status("/readyz"), 503);
	ask(&service, "/api/echo/?text=a", "", &answer);
	expect_problem(&answer, 503, "kafka_unavailable");
	answer_fini(&answer);
	kafka_mock_up(service.broker.mock);
	SERVICE_AWAIT(ask_status("/readyz") == 200);
	service_start_lane(&service);
	expect_echo("a");
}

UNSTARTED(stops_though_it_never_met_its_broker)
{
	int64_t began_ms;

	service_init(&service, NULL);
	kafka_mock_down(service.broker.mock);
	service_start_gateway_unready(&service);
	service_start_lane_unready(&service);
	began_ms = clock_mono_ms();
	service_stop_gateway(&service, 10000);
	service_stop_lane(&service, 10000);
	cr_expect_lt(clock_mono_ms() - began_ms, 12000, "%ld ms",
		     (long)(clock_mono_ms() - began_ms));
}

SERVICE(stops_in_time_when_the_broker_is_gone)
{
	struct call calls[5];
	int64_t began_ms;

	begin_slow(calls, 5, 500, false, "");
	SERVICE_AWAIT(service_metric(&service, "tally_requests_open{lane=\"sync\"}") == 5);
	kafka_mock_down(service.broker.mock);
	began_ms = clock_mono_ms();
	service_stop_gateway(&service, 1000);
	service_stop_lane(&service, 1000);
	cr_expect_lt(clock_mono_ms() - began_ms, 10000, "%ld ms",
		     (long)(clock_mono_ms() - began_ms));
	cr_expect_eq(end_all(calls, 5, 503), 5);
}

/* Puts a message among the requests. */
static void
send_request(const struct tally_header *headers, size_t n, const char *value)
{
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_REQUESTS_SYNC,
		.partition = 1,
		.key = "key",
		.key_len = 3,
		.value = value,
		.value_len = strlen(value),
		.headers = headers,
		.n_headers = n,
	};
	struct kafka_producer *producer;
	struct tally_error err;

	cr_assert_eq(
	    kafka_producer_start(&service.broker.config, KAFKA_ALL, 20000, &producer, &err),
	    TALLY_OK);
	cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
	kafka_producer_stop(producer, SERVICE_PATIENCE_MS);
}

static struct inbox inbox;

static struct kafka_reader *
read_topic(const char *topic, int32_t partition)
{
	const struct kafka_reader_options options = {
		.topic = topic, .partition = partition, .on_message = inbox_add, .ctx = &inbox
	};
	struct kafka_reader *reader;
	struct tally_error err;

	inbox_init(&inbox);
	inbox.keeps_messages = true;
	cr_assert_eq(kafka_reader_start(&service.broker.config, &options, &reader, &err), TALLY_OK);
	SERVICE_AWAIT(kafka_reader_is_positioned(reader));
	return reader;
}

static bool
has_header(const struct kafka_message *message, const char *name, const char *value)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(headers[i].name, name) == 0
		    && (!value
			|| (headers[i].len == strlen(value)
			    && memcmp(headers[i].value, value, headers[i].len) == 0)))
			return true;
	}
	return false;
}

SERVICE(keeps_what_it_cannot_read_as_dead_letters)
{
	struct kafka_reader *reader = read_topic(TALLY_TOPIC_DEAD_LETTERS, 0);
	size_t len;

	send_request(NULL, 0, "garbage");
	cr_assert(inbox_await(&inbox, 1, SERVICE_PATIENCE_MS));
	const struct kafka_message *letter = inbox.all[0].message;
	const void *value = kafka_message_value(letter, &len);
	cr_expect(len == 7 && memcmp(value, "garbage", 7) == 0);
	cr_expect(has_header(letter, TALLY_HEADER_REASON, NULL));
	cr_expect(has_header(letter, TALLY_HEADER_ORIGIN_TOPIC, TALLY_TOPIC_REQUESTS_SYNC));
	cr_expect(has_header(letter, TALLY_HEADER_ORIGIN_PARTITION, "1"));
	cr_expect(has_header(letter, TALLY_HEADER_ORIGIN_OFFSET, "0"));
	expect_echo("on"); /* it goes on */
	SERVICE_AWAIT(service_metric(&service, "tally_requests_open{lane=\"sync\"}") == 0);
	/* And the garbage is not read again by the next worker. */
	service_stop_lane(&service, 10000);
	service_start_lane(&service);
	expect_echo("again");
	cr_expect_eq(inbox_count(&inbox), 1);
	inbox_fini(&inbox);
	kafka_reader_stop(reader);
}

SERVICE(tells_who_waits_for_what_it_cannot_read)
{
	const struct tally_sync_request head = { .reply_partition = 3,
						 .budget_ms = 10000,
						 .tenant = "default" };
	struct tally_sync_request request = head;
	struct tally_headers headers;
	struct kafka_reader *reader = read_topic(TALLY_TOPIC_REPLIES, 3);

	cr_assert_eq(tally_request_id_make(&request.id), TALLY_OK);
	cr_assert_eq(tally_trace_make(&request.trace), TALLY_OK);
	cr_assert_eq(tally_sync_request_write(&request, &headers), TALLY_OK);
	send_request(headers.items, headers.n, "{\"dataset\":");
	cr_assert(inbox_await(&inbox, 1, SERVICE_PATIENCE_MS));
	cr_expect(has_header(inbox.all[0].message, TALLY_HEADER_STATE, "failed"));
	cr_expect(has_header(inbox.all[0].message, TALLY_HEADER_ERROR_CODE, "bad_request"));
	send_request(headers.items, headers.n, "{\"dataset\":\"none\",\"params\":{}}");
	cr_assert(inbox_await(&inbox, 2, SERVICE_PATIENCE_MS));
	cr_expect(has_header(inbox.all[1].message, TALLY_HEADER_ERROR_CODE, "dataset_mismatch"));
	inbox_fini(&inbox);
	kafka_reader_stop(reader);
	cr_expect_eq(service_metric(&service, "tally_dead_letters_total{lane=\"sync\"}"), 1);
}

/* ---- databases --------------------------------------------------------------- */

UNSTARTED(answers_503_while_a_database_is_away_and_recovers)
{
	struct answer answer;

	own = service_databases();
	service_start(&service, NULL);
	expect_echo("before");
	cluster_kill(own);
	ask(&service, "/api/echo/?text=during", "", &answer);
	expect_problem(&answer, 503, "source_unavailable");
	cr_expect_not_null(strstr(answer.body, "\"source\":\"db1\""), "%s", answer.body);
	cr_expect_lt(answer.took_ms, 10000);
	answer_fini(&answer);
	cr_expect_eq(ask_status("/readyz"), 200); /* the fleet stays */
	cluster_restart(own);
	SERVICE_AWAIT(ask_status("/api/echo/?text=after") == 200);
	expect_echo("afterwards");
}

UNSTARTED(begins_without_its_databases_and_is_whole_when_they_come)
{
	struct answer answer;

	own = service_databases();
	cluster_kill(own);
	service_init(&service, NULL);
	service_start_gateway(&service);
	service_start_lane_unready(&service);
	ask(&service, "/api/echo/?text=a", "Prefer: wait=20\r\n", &answer);
	expect_problem(&answer, 503, "source_unavailable");
	answer_fini(&answer);
	/* Answers that are not stored come back to a lane that still has no plan. */
	kafka_mock_fail(service.broker.mock, KAFKA_MOCK_PRODUCE, 0, 1);
	kafka_mock_fail(service.broker.mock, KAFKA_MOCK_PRODUCE, 87, 1);
	ask(&service, "/api/echo/?text=b", "Prefer: wait=20\r\n", &answer);
	expect_problem(&answer, 503, "source_unavailable");
	answer_fini(&answer);
	cluster_restart(own);
	SERVICE_AWAIT(lane_is_ready(service.lane));
	expect_echo("a");
}

/* ---- stopping ---------------------------------------------------------------- */

SERVICE(answers_everybody_before_the_gateway_stops)
{
	struct call calls[30];

	begin_slow(calls, 20, 100, false, "");
	begin_slow(calls + 20, 10, 900, true, "");
	SERVICE_AWAIT(service_metric(&service, "tally_requests_open{lane=\"sync\"}") > 0);
	service_stop_gateway(&service, 20000);
	cr_expect_eq(end_all(calls, 30, 200), 30);
}

SERVICE(answers_503_to_those_who_wait_longer_than_the_gateway_may_stop)
{
	struct call calls[10];

	begin_slow(calls, 10, 3000, false, "");
	SERVICE_AWAIT(service_metric(&service, "tally_waiters") == 10);
	service_stop_gateway(&service, 0);
	cr_expect_eq(end_all(calls, 10, 503), 10);
	service_stop_lane(&service, 0);
}

SERVICE(answers_everybody_before_the_lane_stops)
{
	struct call calls[20];

	begin_slow(calls, 20, 100, false, "");
	SERVICE_AWAIT(service_metric(&service, "tally_requests_open{lane=\"sync\"}") == 20);
	service_stop_lane(&service, 20000);
	cr_expect_eq(end_all(calls, 20, 200), 20);
}

SERVICE(leaves_to_the_next_worker_what_one_did_not_answer)
{
	struct call calls[5];

	begin_slow(calls, 5, 400, false, "Prefer: wait=30\r\n");
	SERVICE_AWAIT(service_metric(&service, "tally_requests_open{lane=\"sync\"}") == 5);
	service_stop_lane(&service, 0);
	service_start_lane(&service);
	cr_expect_eq(end_all(calls, 5, 200), 5);
}
