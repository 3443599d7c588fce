/* The client library over the mock broker; test/e2e/test_library.py runs it beside a real one. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/client.h>
#include <tally/results.h>

#include "base/clock.h"
#include "kafka/producer.h"
#include "support/broker.h"

#define PARTITIONS 12 /* of the results topic */
#define SOON_MS    20000

static struct broker broker;
static struct kafka_producer *producer;
static struct reports reports;
static size_t n_sent;
static struct tally_error err;
static struct tally_property properties[] = {
	{ "fetch.wait.max.ms", "5" }
};

static void
begin(void)
{
	reports_init(&reports);
	broker_open(&broker, false);
	cr_assert_eq(kafka_producer_start(&broker.config, KAFKA_ALL, SOON_MS, &producer, &err),
		     TALLY_OK);
}

static void
end(void)
{
	kafka_producer_stop(producer, SOON_MS);
	broker_close(&broker);
}

#define LIBRARY(name) Test(library, name, .init = begin, .fini = end, .timeout = 60)

static struct tally_kafka
kafka(void)
{
	return (struct tally_kafka){ broker.config.brokers, properties, 1 };
}

/* ---- what a worker would publish --------------------------------------------- */

static void
publish(int32_t partition, const struct tally_job_result *result, const char *value)
{
	struct tally_headers headers;

	cr_assert_eq(tally_job_result_write(result, clock_unix_ms(), &headers), TALLY_OK);
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = partition,
		.key = result->id.text,
		.key_len = TALLY_JOB_ID_CHARS,
		.value = value,
		.value_len = strlen(value),
		.headers = headers.items,
		.n_headers = headers.n,
		.on_delivered = reports_add,
		.ctx = &reports,
	};
	cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
	cr_assert(reports_await(&reports, ++n_sent, SOON_MS));
}

static struct tally_job_result
result_of(const struct tally_job_id *id, uint64_t run)
{
	return (struct tally_job_result){
		.id = *id,
		.tenant = "default",
		.run = run,
		.created_ms = clock_unix_ms(),
		.deadline_ms = clock_unix_ms() + 60000,
	};
}

static void
set_whole(struct tally_job_result *result, uint64_t n_rows, const char *whole)
{
	result->rows = n_rows;
	result->has_sha256 = true;
	cr_assert_eq(tally_sha256(whole, strlen(whole), result->sha256), TALLY_OK);
}

static void
succeed(int32_t partition, const struct tally_job_id *id, uint64_t n_rows, const char *body)
{
	struct tally_job_result result = result_of(id, n_rows);

	set_whole(&result, n_rows, body);
	publish(partition, &result, body);
}

/* A part; the last one has whole. */
static void
send_part(int32_t partition, const struct tally_job_id *id, uint32_t number, const char *text,
	  const char *whole)
{
	struct tally_job_result result = result_of(id, 77);

	result.part = number;
	if (whole) {
		result.n_parts = number;
		set_whole(&result, number, whole);
	}
	publish(partition, &result, text);
}

/* Which partition a client named is in its request: all of them are answered. */
static void
succeed_everywhere(const struct tally_job_id *id, uint64_t n_rows, const char *body)
{
	for (int32_t i = 0; i < PARTITIONS; i++)
		succeed(i, id, n_rows, body);
}

/* ---- tally_client ------------------------------------------------------------ */

static struct tally_client *
open_client(size_t max_bytes, size_t max_jobs)
{
	const struct tally_client_settings settings = {
		.kafka = kafka(),
		.source = "/test",
		.max_bytes = max_bytes,
		.max_jobs = max_jobs,
		.send_ms = 2000,
	};
	struct tally_client *client = NULL;

	cr_assert_eq(tally_client_open(&settings, SOON_MS, &client, &err), TALLY_OK, "%s",
		     err.detail);
	return client;
}

static struct tally_job_id
submit(struct tally_client *client, const char *event_id)
{
	const struct tally_request_view request = { .dataset = "comments" };
	const struct tally_submission how = { .event_id = event_id, .budget_ms = 60000 };
	struct tally_job_id id;

	cr_assert_eq(tally_client_submit(client, &request, &how, &id, &err), TALLY_OK, "%s",
		     err.detail);
	return id;
}

static void
check_answer(struct tally_client *client, const struct tally_job_id *id, uint64_t n_rows,
	     const char *body)
{
	struct tally_answer answer;
	tally_status status = tally_client_await(client, id, SOON_MS, &answer, &err);

	cr_assert_eq(status, TALLY_OK, "%s: %s", tally_status_code(status), err.detail);
	cr_expect_str_eq(answer.result.id.text, id->text);
	cr_expect_eq(answer.result.rows, n_rows);
	cr_expect_str_eq(answer.body, body);
	cr_expect_eq(answer.len, strlen(body));
	cr_expect_eq(answer.error.status, TALLY_OK);
	cr_expect_gt(answer.at_ms, 0);
	tally_answer_fini(&answer);
}

LIBRARY(answers_are_awaited_in_any_order)
{
	struct tally_client *client = open_client(0, 0);
	struct tally_job_id ids[3];

	for (int i = 0; i < 3; i++)
		ids[i] = submit(client, NULL);
	for (int i = 0; i < 3; i++)
		succeed_everywhere(&ids[i], (uint64_t)i + 1, i == 0 ? "zero" : "more");
	check_answer(client, &ids[2], 3, "more");
	check_answer(client, &ids[0], 1, "zero");
	check_answer(client, &ids[1], 2, "more");
	/* After a pause, in which nothing was read: */
	ids[0] = submit(client, NULL);
	succeed_everywhere(&ids[0], 9, "again");
	check_answer(client, &ids[0], 9, "again");
	tally_client_free(client);
}

LIBRARY(the_first_result_counts_and_those_of_others_do_not)
{
	struct tally_client *client = open_client(0, 0);
	struct tally_job_id id = submit(client, "one");
	struct tally_job_id foreign, other = submit(client, "other");

	cr_assert_eq(tally_job_id_foreign("default", "/test", "one", &foreign), TALLY_OK);
	cr_expect_str_eq(id.text, foreign.text);
	cr_assert_eq(tally_job_id_foreign("default", "/another", "one", &foreign), TALLY_OK);
	for (int32_t i = 0; i < PARTITIONS; i++) {
		succeed(i, &foreign, 8, "another's");
		succeed(i, &id, 1, "the first");
		succeed(i, &id, 2, "the second");
		succeed(i, &other, 3, "the other");
	}
	check_answer(client, &other, 3, "the other");
	check_answer(client, &id, 1, "the first");
	tally_client_free(client);
}

LIBRARY(parts_are_put_together_for_the_one_who_asked)
{
	struct tally_client *client = open_client(0, 0);
	struct tally_job_id id = submit(client, NULL);

	for (int32_t i = 0; i < PARTITIONS; i++) {
		send_part(i, &id, 1, "ab", NULL);
		send_part(i, &id, 2, "cd", NULL);
		send_part(i, &id, 3, "e", "abcde");
	}
	check_answer(client, &id, 3, "abcde");
	tally_client_free(client);
}

LIBRARY(a_job_that_failed_says_why)
{
	static const char document[] = "{\"code\":\"source_error\",\"detail\":\"no such column\"}";
	struct tally_client *client = open_client(0, 0);
	struct tally_job_id id = submit(client, NULL);
	struct tally_job_result result = result_of(&id, 5);
	struct tally_answer answer;

	result.state = TALLY_FAILED;
	result.error_code = TALLY_SOURCE_ERROR;
	for (int32_t i = 0; i < PARTITIONS; i++)
		publish(i, &result, document);
	cr_assert_eq(tally_client_await(client, &id, SOON_MS, &answer, &err), TALLY_OK);
	cr_expect_eq(answer.result.state, TALLY_FAILED);
	cr_expect_eq(answer.error.status, TALLY_SOURCE_ERROR);
	cr_expect_str_eq(answer.error.detail, "no such column");
	cr_expect_str_eq(answer.body, document);
	tally_answer_fini(&answer);
	tally_client_free(client);
}

LIBRARY(what_is_past_the_ceiling_says_so_and_the_next_one_comes)
{
	struct tally_client *client = open_client(10, 0);
	struct tally_job_id large = submit(client, NULL), parts = submit(client, NULL),
			    small = submit(client, NULL);
	struct tally_answer answer;

	for (int32_t i = 0; i < PARTITIONS; i++) {
		succeed(i, &large, 1, "01234567890");
		send_part(i, &parts, 1, "01234", NULL);
		send_part(i, &parts, 2, "567890", NULL);
		send_part(i, &parts, 3, "1", "012345678901");
		succeed(i, &small, 2, "0123456789");
	}
	cr_expect_eq(tally_client_await(client, &large, SOON_MS, &answer, &err), TALLY_TOO_LARGE);
	cr_expect_eq(tally_client_await(client, &parts, SOON_MS, &answer, &err), TALLY_TOO_LARGE);
	cr_expect_eq(tally_client_await(client, &large, SOON_MS, &answer, &err), TALLY_NOT_FOUND);
	check_answer(client, &small, 2, "0123456789");
	tally_client_free(client);
}

LIBRARY(no_more_jobs_than_allowed_are_awaited)
{
	const struct tally_request_view request = { .dataset = "comments" };
	struct tally_client *client = open_client(0, 2);
	struct tally_job_id id = submit(client, "1"), second = submit(client, "2"), third;

	cr_expect_eq(tally_client_submit(client, &request, NULL, &third, &err), TALLY_FULL);
	(void)submit(client, "2"); /* known already */
	tally_client_forget(client, &id);
	third = submit(client, "3");
	succeed_everywhere(&third, 3, "3");
	succeed_everywhere(&second, 2, "2");
	check_answer(client, &third, 3, "3");
	check_answer(client, &second, 2, "2");
	tally_client_free(client);
}

LIBRARY(an_answer_that_does_not_come_is_not_waited_for_too_long)
{
	struct tally_client *client = open_client(0, 0);
	struct tally_job_id id = submit(client, NULL);
	struct tally_answer answer;
	int64_t before_ms = clock_mono_ms();

	cr_expect_eq(tally_client_await(client, &id, 200, &answer, &err), TALLY_RESULT_NOT_READY);
	cr_expect_geq(clock_mono_ms() - before_ms, 195);
	cr_expect_lt(clock_mono_ms() - before_ms, 5000);
	succeed_everywhere(&id, 1, "late");
	check_answer(client, &id, 1, "late");
	tally_client_free(client);
}

LIBRARY(a_wrong_submission_is_refused_before_it_is_published)
{
	static char long_id[TALLY_EVENT_ID_MAX + 2];
	const struct tally_request_view request = { .dataset = "comments" };
	struct tally_request_view large = request;
	struct tally_client *client = open_client(0, 0);
	char *text = calloc(1, TALLY_MAX_REQUEST_BYTES + 1);
	struct tally_request_param param = { "a", TALLY_JSON_STRING, text,
					     TALLY_MAX_REQUEST_BYTES };
	struct tally_job_id id;

	cr_assert(text);
	memset(long_id, 'x', sizeof long_id - 1);
	memset(text, 'x', TALLY_MAX_REQUEST_BYTES);
	large.params = &param;
	large.n_params = 1;
	const struct tally_submission wrong[] = {
		{ .event_id = "" },
		{ .event_id = long_id },
		{ .event_id = "a\nb" },
		{ .event_id = "\xff" },
		{ .budget_ms = TALLY_JOB_DEADLINE_MAX_MS + 1 },
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		cr_expect_eq(tally_client_submit(client, &request, &wrong[i], &id, &err),
			     TALLY_BAD_REQUEST, "%zu", i);
	cr_expect_eq(tally_client_submit(client, &large, NULL, &id, &err), TALLY_BAD_REQUEST);
	free(text);
	tally_client_free(client);
}

LIBRARY(a_client_says_what_is_wrong_with_its_settings)
{
	static char long_source[TALLY_EVENT_SOURCE_MAX + 2];
	struct tally_property unknown = { "no.such.property", "1" };
	const struct tally_client_settings wrong[] = {
		{ .kafka = kafka() },
		{ .kafka = kafka(), .source = "" },
		{ .kafka = kafka(), .source = "tally" },
		{ .kafka = kafka(), .source = long_source },
		{ .kafka = kafka(), .source = "/test", .tenant = "" },
		{ .kafka = kafka(), .source = "/test", .tenant = "a b" },
		{ .kafka = { broker.config.brokers, &unknown, 1 }, .source = "/test" },
	};
	struct tally_client *client = NULL;

	memset(long_source, 's', sizeof long_source - 1);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		cr_expect_eq(tally_client_open(&wrong[i], SOON_MS, &client, &err),
			     TALLY_WRONG_SETTING, "%zu", i);
		cr_expect_null(client);
	}
	cr_expect(strstr(err.detail, "no.such.property"), "%s", err.detail);
}

LIBRARY(a_broker_that_is_away_is_not_waited_for_too_long)
{
	const struct tally_request_view request = { .dataset = "comments" };
	const struct tally_client_settings settings = { .kafka = kafka(), .source = "/test" };
	struct tally_client *client = open_client(0, 0), *none = NULL;
	struct tally_job_id id = submit(client, "before"), other;
	int64_t before_ms;
	tally_status status;

	kafka_mock_down(broker.mock);
	before_ms = clock_mono_ms();
	status = tally_client_submit(client, &request, NULL, &other, &err);
	cr_expect(status == TALLY_KAFKA_UNAVAILABLE || status == TALLY_OUTCOME_UNKNOWN, "%s",
		  tally_status_code(status));
	cr_expect_lt(clock_mono_ms() - before_ms, 10000);
	cr_expect_eq(tally_client_open(&settings, 500, &none, &err), TALLY_KAFKA_UNAVAILABLE);
	kafka_mock_up(broker.mock);
	succeed_everywhere(&id, 1, "after all");
	check_answer(client, &id, 1, "after all");
	tally_client_free(client);
}

/* ---- tally_results ----------------------------------------------------------- */

static struct tally_results *
open_results(const char *group, size_t max_bytes)
{
	const struct tally_results_settings settings = {
		.kafka = kafka(),
		.group = group,
		.max_bytes = max_bytes,
	};
	struct tally_results *results = NULL;

	cr_assert_eq(tally_results_open(&settings, &results, &err), TALLY_OK, "%s", err.detail);
	return results;
}

static struct tally_answer
next(struct tally_results *results)
{
	struct tally_answer answer = { .body = NULL };
	tally_status status = tally_results_next(results, SOON_MS, &answer, &err);

	cr_assert_eq(status, TALLY_OK, "%s: %s", tally_status_code(status), err.detail);
	return answer;
}

/* The next result, which must be this one; body NULL: it was too large. */
static void
check_next(struct tally_results *results, const struct tally_job_id *id, const char *body)
{
	struct tally_answer answer = next(results);

	cr_expect_str_eq(answer.result.id.text, id->text);
	if (body && answer.body)
		cr_expect_str_eq(answer.body, body);
	cr_expect_eq(!body, !answer.body);
	cr_expect_eq(tally_results_done(results, &answer), TALLY_OK);
	tally_answer_fini(&answer);
}

static struct tally_job_id
new_id(int number)
{
	struct tally_job_id id;
	char text[16];

	snprintf(text, sizeof text, "%d", number);
	cr_assert_eq(tally_job_id_foreign("default", "/test", text, &id), TALLY_OK);
	return id;
}

LIBRARY(results_are_read_once_each)
{
	struct tally_results *results = open_results("once", 0);
	struct tally_job_id a = new_id(1), b = new_id(2), c = new_id(3);
	struct tally_answer answer;

	succeed(3, &a, 1, "a");
	succeed(3, &a, 2, "a again");
	send_part(3, &b, 1, "b1", NULL);
	succeed(3, &c, 3, "c");
	send_part(3, &b, 2, "b2", "b1b2");
	send_part(3, &b, 1, "b1", NULL);
	send_part(3, &b, 2, "b2", "b1b2");
	check_next(results, &a, "a");
	check_next(results, &c, "c");
	check_next(results, &b, "b1b2");
	cr_expect_eq(tally_results_next(results, 300, &answer, &err), TALLY_RESULT_NOT_READY);
	tally_results_close(results);
}

LIBRARY(results_that_are_too_large_are_told_without_their_body)
{
	struct tally_results *results = open_results("large", 8);
	struct tally_job_id large = new_id(1), whole = new_id(2), other = new_id(3);

	send_part(3, &large, 1, "012345", NULL);
	send_part(5, &other, 1, "abc", NULL);
	send_part(3, &large, 2, "678", NULL);
	send_part(3, &large, 3, "9", "0123456789");
	check_next(results, &large, NULL);
	succeed(3, &whole, 1, "one message is not held");
	check_next(results, &whole, "one message is not held");
	tally_results_close(results);
}

LIBRARY(results_that_were_not_done_come_again)
{
	struct tally_results *results = open_results("again", 0);
	struct tally_job_id a = new_id(1), b = new_id(2);
	struct tally_answer answer;

	succeed(3, &a, 1, "a");
	succeed(3, &b, 2, "b");
	check_next(results, &a, "a");
	cr_expect_eq(tally_results_commit(results, &err), TALLY_OK, "%s", err.detail);
	answer = next(results);
	cr_expect_str_eq(answer.result.id.text, b.text);
	tally_answer_fini(&answer);
	tally_results_close(results);
	results = open_results("again", 0);
	check_next(results, &b, "b");
	tally_results_close(results);
}

/* Waits until the reader's group has partitions: what is published before is not seen. */
static void
settle(struct tally_results *results)
{
	struct tally_answer answer;
	tally_status status;

	for (int i = 100;; i++) {
		struct tally_job_id id = new_id(i);

		for (int32_t partition = 0; partition < PARTITIONS; partition++)
			succeed(partition, &id, 1, "probe");
		status = tally_results_next(results, 200, &answer, &err);
		if (status == TALLY_OK)
			break;
		cr_assert_eq(status, TALLY_RESULT_NOT_READY);
	}
	tally_answer_fini(&answer);
}

LIBRARY(a_new_group_may_begin_at_the_end)
{
	const struct tally_results_settings settings = {
		.kafka = kafka(),
		.group = "end",
		.is_from_end = true,
	};
	struct tally_results *results = NULL;
	struct tally_job_id old = new_id(1), fresh = new_id(2);
	struct tally_answer answer;
	bool is_fresh;

	succeed(3, &old, 1, "old");
	cr_assert_eq(tally_results_open(&settings, &results, &err), TALLY_OK);
	settle(results);
	succeed(3, &fresh, 1, "fresh");
	do {
		answer = next(results);
		cr_expect_str_neq(answer.result.id.text, old.text);
		is_fresh = strcmp(answer.result.id.text, fresh.text) == 0;
		tally_answer_fini(&answer);
	} while (!is_fresh);
	tally_results_close(results);
}

LIBRARY(a_reader_says_what_is_wrong_with_its_settings)
{
	struct tally_property unknown = { "no.such.property", "1" };
	const struct tally_results_settings wrong[] = {
		{ .kafka = kafka() },
		{ .kafka = kafka(), .group = "" },
		{ .kafka = { broker.config.brokers, &unknown, 1 }, .group = "g" },
	};
	struct tally_results *results = NULL;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		cr_expect_eq(tally_results_open(&wrong[i], &results, &err), TALLY_WRONG_SETTING,
			     "%zu", i);
	cr_expect_null(results);
	tally_results_close(NULL);
	tally_client_free(NULL);
}
