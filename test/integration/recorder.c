/* The recorder, between a broker (the mock; where TEST_KAFKA names one, a real one too) and a real
 * PostgreSQL that is killed, frozen and empty. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "jobs/recorder_inner.h"
#include "kafka/admin.h"
#include "kafka/mock.h"
#include "kafka/producer.h"
#include "support/broker.h"
#include "support/job_messages.h"
#include "support/job_store.h"

#define PATIENCE_MS 40000
#define HOUR_MS     3600000

static struct kafka_mock *mock; /* NULL: the real broker */
static struct kafka_property properties[] = {
	{ "fetch.wait.max.ms", "5" }
};
static struct kafka_config kafka = { .client_id = "test",
				     .properties = properties,
				     .n_properties = 1 };
static struct kafka_producer *producer;
static struct reports reports;
static struct tally_error err;
static size_t n_sent;

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
	(void)set;
	store_before_all();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	store_after_all();
}

/* ---- helpers ----------------------------------------------------------------- */

static void
open_lane(void)
{
	reports_init(&reports);
	cr_assert_eq(kafka_producer_start(&kafka, KAFKA_ALL, 20000, &producer, &err), TALLY_OK);
}

static void
begin(void)
{
	cr_assert_eq(kafka_mock_start(&mock, &err), TALLY_OK, "%s", err.detail);
	kafka.brokers = kafka_mock_brokers(mock);
	open_lane();
	store_begin();
}

/* For a test that harms its database. */
static void
begin_without_store(void)
{
	cr_assert_eq(kafka_mock_start(&mock, &err), TALLY_OK, "%s", err.detail);
	kafka.brokers = kafka_mock_brokers(mock);
	open_lane();
}

static void
begin_real(void)
{
	struct kafka_topic_report states[32];
	size_t n;
	const struct tally_topic *topics = tally_topics(&n);

	kafka.brokers = getenv("TEST_KAFKA");
	if (!kafka.brokers)
		return;
	cr_assert_eq(kafka_topics_create(&kafka, topics, n, states, &err), TALLY_OK, "%s",
		     err.detail);
	open_lane();
	store_begin();
}

static void
end(void)
{
	kafka_producer_stop(producer, 0);
	kafka_mock_stop(mock);
}

#define CASE(name)      Test(recorder, name, .init = begin, .fini = end, .timeout = 120)
#define HARMFUL(name)   Test(recorder, name, .init = begin_without_store, .fini = end, .timeout = 120)
#define WITH_REAL(name) Test(recorder_real, name, .init = begin_real, .fini = end, .timeout = 120)

#define AWAIT(expression)                                                                          \
	do {                                                                                       \
		const struct timespec look_ = { 0, 20000000 };                                     \
		int64_t until_ms_ = clock_mono_ms() + PATIENCE_MS;                                 \
		bool holds_;                                                                       \
		while (!(holds_ = (expression)) && clock_mono_ms() < until_ms_)                    \
			nanosleep(&look_, NULL);                                                   \
		cr_assert(holds_, #expression);                                                    \
	} while (0)

static void
on_log(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (getenv("TEST_VERBOSE"))
		(void)fprintf(stderr, "%d %s\n", level, text);
}

static const struct recorder_options *
options(void)
{
	static struct recorder_options all;

	all = (struct recorder_options){
		.kafka = &kafka,
		.url = store_url(),
		.secrets = sample_secrets,
		.results_partitions = SAMPLE_PARTITIONS,
		.timeout_ms = 3000,
		.on_log = on_log,
	};
	return &all;
}

static struct recorder *
start(void)
{
	struct recorder *recorder = NULL;

	cr_assert_eq(recorder_start(options(), &recorder, &err), TALLY_OK, "%s", err.detail);
	return recorder;
}

static void
publish(const struct sample_message *message)
{
	static const char *const topics[] = { TALLY_TOPIC_REQUESTS_JOBS, TALLY_TOPIC_RESULTS,
					      TALLY_TOPIC_CONTROL };
	const struct kafka_outgoing outgoing = {
		.topic = topics[message->topic],
		.partition = message->partition,
		.key = message->key,
		.key_len = strlen(message->key),
		.value = message->value,
		.value_len = message->value_len,
		.headers = message->headers.items,
		.n_headers = message->headers.n,
		.on_delivered = reports_add,
		.ctx = &reports,
	};

	cr_assert_eq(kafka_producer_send(producer, &outgoing), TALLY_OK);
	n_sent++;
}

static void
await_sent(void)
{
	cr_assert(reports_await(&reports, n_sent, PATIENCE_MS));
	cr_assert_eq(reports.n_ok, n_sent);
}

static void
publish_request(const struct sample *job, const char *key)
{
	static int32_t n;
	struct sample_message message;

	sample_request(&message, job, SAMPLE_VALUE, key);
	message.partition = n++ % SAMPLE_PARTITIONS;
	publish(&message);
}

static void
publish_end(const struct sample *job, struct sample_end how)
{
	struct sample_message message;

	sample_result(&message, job, &how);
	publish(&message);
}

static void
publish_started(const struct sample *job)
{
	struct sample_message message;

	sample_started(&message, job, 1);
	publish(&message);
}

/* Jobs of all sorts; all of them end. */
static void
publish_jobs(int n)
{
	static const char body[] = "{\"status\":\"ok\",\"data\":[]}";

	for (int i = 0; i < n; i++) {
		struct sample job = sample_ours("acme", clock_unix_ms() - i, i % SAMPLE_PARTITIONS);
		char key[16];

		(void)snprintf(key, sizeof key, "key %d", i);
		publish_request(&job, i % 10 ? NULL : key);
		if (i % 7 == 0)
			publish_started(&job);
		if (i % 5 == 0)
			publish_end(&job,
				    (struct sample_end){ .run = 9, .part = 1, .body = "part" });
		if (i % 6 == 0)
			publish_end(&job, (struct sample_end){ .code = TALLY_CANCELLED });
		if (i % 5 == 0)
			publish_end(&job, (struct sample_end){
					      .run = 9, .part = 2, .n_parts = 2, .body = "part" });
		publish_end(&job, (struct sample_end){ .run = 1, .body = body });
	}
}

static int64_t
count_final(void)
{
	return store_number("SELECT count(*) FROM jobs WHERE has_request AND state >= 'succeeded'");
}

/* ---- recording --------------------------------------------------------------- */

CASE(records_what_comes_and_does_not_read_it_again)
{
	struct recorder *recorder = start();
	struct recorder_stats stats;

	publish_jobs(300);
	AWAIT(count_final() == 300);
	AWAIT(recorder_stats(recorder).lag == 0);
	stats = recorder_stats(recorder);
	cr_expect_eq(stats.recorded, n_sent);
	cr_expect_eq(stats.refused, 0);
	cr_expect(stats.is_up);
	recorder_stop(recorder, 10000);
	recorder = start();
	publish_jobs(1);
	AWAIT(count_final() == 301);
	AWAIT(recorder_stats(recorder).recorded >= 6);
	cr_expect_eq(recorder_stats(recorder).recorded, 6, "%d: offsets were committed",
		     (int)recorder_stats(recorder).recorded);
	recorder_stop(recorder, 10000);
}

CASE(leaves_out_what_is_forged_and_goes_on)
{
	static const struct tally_secrets others = { { { "another secret, of 32 characters", 32 } },
						     1 };
	struct recorder *recorder = start();
	struct sample forged = sample_ours("acme", clock_unix_ms(), 1);

	cr_assert_eq(tally_job_id_make(&others, "acme", forged.created_ms, 1, &forged.id, NULL),
		     TALLY_OK);
	publish_request(&forged, NULL);
	publish_end(&forged, (struct sample_end){ .run = 1, .body = "[]" });
	publish_jobs(10);
	AWAIT(count_final() == 10);
	AWAIT(recorder_stats(recorder).refused == 2);
	cr_expect_eq(store_number("SELECT count(*) FROM jobs"), 10);
	recorder_stop(recorder, 10000);
}

CASE(leaves_out_the_one_message_that_the_store_never_takes)
{
	struct recorder *recorder;
	struct sample bad = sample_ours("bad", clock_unix_ms(), 1);

	store_execute("ALTER TABLE jobs ADD CONSTRAINT testing CHECK (tenant <> 'bad')");
	publish_jobs(40);
	publish_request(&bad, NULL);
	publish_jobs(40);
	await_sent();
	recorder = start();
	AWAIT(count_final() == 80);
	cr_expect_eq(recorder_stats(recorder).refused, 1);
	recorder_stop(recorder, 10000);
}

CASE(shares_the_work_between_two_and_gives_what_a_rebuild_gives)
{
	struct recorder *one = start();
	struct recorder *two = start();
	char live[STORE_TEXT_MAX];

	publish_jobs(200);
	AWAIT(count_final() >= 50);
	recorder_stop(one, 10000); /* in the middle: the other takes over */
	publish_jobs(200);
	AWAIT(count_final() >= 250);
	one = start();
	publish_jobs(200);
	AWAIT(count_final() == 600);
	AWAIT(recorder_stats(one).lag <= 0 && recorder_stats(two).lag <= 0);
	recorder_stop(one, 10000);
	(void)snprintf(live, sizeof live, "%s", store_digest());
	cr_expect_eq(recorder_rebuild(options(), NULL, &err), TALLY_JOB_STORE_UNAVAILABLE,
		     "it is written to");
	recorder_stop(two, 10000);
	AWAIT(recorder_rebuild(options(), NULL, &err) == TALLY_WRONG_SETTING); /* not empty */
	store_clear();
	cr_assert_eq(recorder_rebuild(options(), NULL, &err), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(store_digest(), live);
	cr_expect_eq(store_number("SELECT count(*) FROM keys WHERE confirmed"), 20);
}

WITH_REAL(gives_what_a_rebuild_gives)
{
	struct recorder *recorder;
	char live[STORE_TEXT_MAX];

	if (!kafka.brokers)
		cr_skip_test("TEST_KAFKA is not set");
	recorder = start();
	publish_jobs(500);
	AWAIT(count_final() == 500);
	AWAIT(recorder_stats(recorder).lag == 0);
	AWAIT(recorder_stats(recorder).watermark_ms > clock_unix_ms() - 5000);
	recorder_stop(recorder, 10000);
	(void)snprintf(live, sizeof live, "%s", store_digest());
	store_clear();
	tally_status rebuilt = recorder_rebuild(options(), NULL, &err);
	cr_assert_eq(rebuilt, TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(store_digest(), live);
}

static void
note_progress(void *ctx, const struct recorder_progress *progress)
{
	(void)ctx;
	cr_expect_leq(progress->n_done, progress->n_all);
	n_sent = progress->n_done;
}

CASE(rebuilds_large_results_and_tells_how_far_it_is)
{
	struct sample job = sample_ours("acme", clock_unix_ms(), 2);
	char *part = malloc(1 << 20);
	size_t n;

	memset(part, 'x', 1 << 20);
	for (uint32_t i = 1; i <= 4; i++)
		publish_end(&job, (struct sample_end){ .run = 4,
						       .part = i,
						       .n_parts = i == 4 ? 4 : 0,
						       .body = part,
						       .len = 1 << 20 });
	publish_jobs(50);
	await_sent();
	n = n_sent;
	cr_assert_eq(recorder_rebuild(options(), note_progress, &err), TALLY_OK, "%s", err.detail);
	cr_expect_eq(n_sent, n);
	cr_expect_eq(store_number("SELECT n_bytes FROM jobs WHERE n_parts = 4"), 4 << 20);
	free(part);
}

/* ---- a database that fails --------------------------------------------------- */

HARMFUL(loses_nothing_when_the_database_is_killed_and_comes_back)
{
	struct cluster *cluster = store_start_own();
	struct recorder *recorder = start();

	publish_jobs(200);
	AWAIT(count_final() >= 20);
	cluster_kill(cluster);
	publish_jobs(200);
	await_sent();
	AWAIT(!recorder_stats(recorder).is_up);
	cluster_restart(cluster);
	AWAIT(count_final() == 400);
	AWAIT(recorder_stats(recorder).is_up);
	recorder_stop(recorder, 10000);
	cluster_stop(cluster);
}

HARMFUL(loses_nothing_when_the_database_freezes)
{
	struct cluster *cluster = store_start_own();
	struct recorder *recorder = start();

	publish_jobs(50);
	AWAIT(count_final() == 50);
	cluster_signal(cluster, SIGSTOP);
	publish_jobs(50);
	await_sent();
	AWAIT(!recorder_stats(recorder).is_up);
	cluster_signal(cluster, SIGCONT);
	AWAIT(count_final() == 100);
	recorder_stop(recorder, 10000);
	cluster_stop(cluster);
}

HARMFUL(holds_little_and_stops_in_time_while_the_database_is_away)
{
	struct cluster *cluster = store_start_own();
	struct recorder *recorder;
	char *body = malloc(1 << 20);
	int64_t began_ms;

	cluster_signal(cluster, SIGSTOP);
	recorder = start();
	memset(body, 'x', 1 << 20);
	for (int i = 0; i < 40; i++) {
		struct sample job =
		    sample_ours("acme", clock_unix_ms(), i % 12 /* the mock keeps 5 MB of each */);

		publish_end(&job, (struct sample_end){ .run = 1, .body = body, .len = 1 << 20 });
	}
	await_sent();
	/* without the lock: only looked at */
	AWAIT(recorder->intake.is_full[PROJECTION_RESULTS]);
	cr_expect_leq(recorder->intake.bytes, 10 << 20);
	began_ms = clock_mono_ms();
	recorder_stop(recorder, 500);
	cr_expect_leq(clock_mono_ms() - began_ms, 5000);
	cluster_signal(cluster, SIGCONT);
	recorder = start();
	AWAIT(store_number("SELECT count(*) FROM jobs WHERE state = 'succeeded'") == 40);
	recorder_stop(recorder, 10000);
	cluster_stop(cluster);
	free(body);
}

/* ---- the house --------------------------------------------------------------- */

CASE(moves_the_watermark_of_a_topic_where_nothing_comes)
{
	struct recorder *recorder = start();
	int64_t first_ms;

	AWAIT(recorder_stats(recorder).watermark_ms > 0);
	first_ms = recorder_stats(recorder).watermark_ms;
	cr_expect_geq(first_ms, clock_unix_ms() - 10000);
	AWAIT(recorder_stats(recorder).watermark_ms > first_ms + 1000);
	recorder_stop(recorder, 10000);
}

CASE(holds_the_watermark_while_something_is_not_recorded)
{
	struct recorder *recorder;
	int64_t stamp_ms;

	store_execute("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
		      " $$ BEGIN RAISE 'not yet' USING ERRCODE = '40001'; END $$;"
		      "CREATE TRIGGER wait BEFORE INSERT ON jobs EXECUTE FUNCTION wait()");
	publish_jobs(20);
	await_sent();
	recorder = start();
	AWAIT(store_number("SELECT count(*) FROM progress WHERE stamp_ms > 0"
			   " AND topic = 'tally.requests.jobs'")
	      == 12 - SAMPLE_PARTITIONS);
	stamp_ms = store_number("SELECT max(stamp_ms) FROM progress");
	AWAIT(store_number("SELECT max(stamp_ms) FROM progress") > stamp_ms);
	cr_expect_eq(recorder_stats(recorder).watermark_ms, 0);
	store_execute("DROP TRIGGER wait ON jobs");
	AWAIT(recorder_stats(recorder).watermark_ms > stamp_ms);
	cr_expect_eq(count_final(), 20);
	recorder_stop(recorder, 10000);
}

CASE(ends_jobs_that_are_past_their_deadline_and_only_those)
{
	struct sample late = sample_ours("acme", clock_unix_ms() - 2 * HOUR_MS, 1);
	struct sample answered = sample_ours("acme", clock_unix_ms() - 2 * HOUR_MS, 1);
	struct sample foreign = sample_foreign("order-1", clock_unix_ms() - 2 * HOUR_MS);
	struct sample young = sample_ours("acme", clock_unix_ms() - HOUR_MS - 10000, 1);
	struct recorder *recorder;

	publish_request(&late, NULL);
	publish_request(&answered, NULL);
	publish_request(&young, NULL);
	publish_end(&answered, (struct sample_end){ .run = 1, .body = "[]" });
	publish_started(&foreign); /* its request would have the broker's time */
	await_sent();
	recorder = start();
	AWAIT(store_number("SELECT count(*) FROM jobs WHERE state = 'failed'") == 1);
	cr_expect_str_eq(store_text("SELECT id FROM jobs WHERE state = 'failed'"), late.id.text);
	cr_expect(strstr(store_text("SELECT error FROM jobs WHERE state = 'failed'"),
			 "deadline_exceeded"));
	cr_expect_eq(store_number("SELECT n_rows FROM jobs WHERE state = 'succeeded'"), 3);
	AWAIT(recorder_stats(recorder).overdue > 0);
	cr_expect_eq(recorder_stats(recorder).overdue, 1);
	recorder_stop(recorder, 10000);
}

CASE(drops_old_days_and_keys)
{
	struct recorder *recorder;

	store_execute("SELECT make_job_days(current_date - 9, current_date - 8);"
		      "INSERT INTO keys SELECT 'acme', 'key ' || i, '', 'id', 1000, 1, 'f', 't',"
		      " false, '', true FROM generate_series(1, 2500) AS i");
	recorder = start();
	AWAIT(store_number("SELECT count(*) FROM keys") == 0);
	AWAIT(store_number("SELECT count(*) FROM pg_class WHERE relkind = 'r'"
			   " AND relname = 'jobs_' || to_char(current_date - 9, 'YYYYMMDD')")
	      == 0);
	cr_expect_eq(store_number("SELECT count(*) FROM pg_class WHERE relkind = 'r'"
				  " AND relname = 'jobs_' || to_char(current_date, 'YYYYMMDD')"),
		     1);
	recorder_stop(recorder, 10000);
}
