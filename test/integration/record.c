/* What a recorder writes, against a real PostgreSQL: the same rows whatever the order of the topics,
 * and however the messages fall into batches. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jobs/record.h"
#include "support/job_messages.h"
#include "support/job_store.h"

#define DAY_MS     INT64_C(86400000)
#define TIMEOUT_MS 10000
#define LOG_MAX    200
#define LOGS       6 /* partitions of the lane here: requests 0, 1; results 0 .. 2; control */

/* A message in its partition. */
struct entry {
	struct sample_message message;
	int64_t stamp_ms;
};

/* A partition, and how far it has been read. */
struct log {
	struct entry entries[LOG_MAX];
	size_t n;
	size_t next;
};

static struct log *logs;
static struct record *record;
static struct projection *projection;
static struct projection_rules rules;
static struct tally_error err;
static int64_t now_ms;

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

static void
open_record(void)
{
	const struct record_options options = { .url = store_url(),
						.timeout_ms = TIMEOUT_MS,
						.stop_fd = -1 };

	cr_assert_eq(record_new(&options, &record, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(record_days(record, now_ms, &rules.days, &err), TALLY_OK, "%s", err.detail);
}

static void
begin(void)
{
	now_ms = clock_unix_ms();
	store_begin();
	logs = calloc(LOGS, sizeof *logs);
	projection = projection_new();
	cr_assert(logs && projection);
	rules.secrets = &sample_secrets;
	rules.results_partitions = SAMPLE_PARTITIONS;
	open_record();
}

static void
end(void)
{
	record_free(record);
	projection_free(projection);
	free(logs);
}

#define CASE(name) Test(record, name, .init = begin, .fini = end, .timeout = 120)

/* ---- logs -------------------------------------------------------------------- */

/* The place of the next message of a partition. */
static struct entry *
append(size_t log)
{
	struct entry *entry = &logs[log].entries[logs[log].n++];

	cr_assert_leq(logs[log].n, LOG_MAX);
	entry->stamp_ms = now_ms + (int64_t)logs[log].n;
	return entry;
}

static void
log_request(int32_t partition, const struct sample *job, const char *key)
{
	struct entry *entry = append((size_t)partition);

	sample_request(&entry->message, job, SAMPLE_VALUE, key);
	entry->message.partition = partition;
	if (job->event_id[0])
		entry->stamp_ms = job->created_ms;
}

static void
log_end(const struct sample *job, struct sample_end how)
{
	sample_result(&append(2 + (size_t)job->partition % 3)->message, job, &how);
}

static void
log_started(const struct sample *job, uint32_t attempt)
{
	sample_started(&append(5)->message, job, attempt);
}

static enum projection_outcome
project(const struct entry *entry, int64_t offset)
{
	const struct sample_message *message = &entry->message;
	const struct projection_message it = {
		.topic = message->topic,
		.partition = message->partition,
		.offset = offset,
		.stamp_ms = entry->stamp_ms,
		.key = message->key,
		.key_len = strlen(message->key),
		.value = message->value,
		.value_len = message->value_len,
		.headers = message->headers.items,
		.n_headers = message->headers.n,
	};

	return projection_add(projection, &rules, &it, &err);
}

static void
flush(void)
{
	cr_assert_eq(record_write(record, projection, &err), TALLY_OK, "%s %s", err.detail,
		     err.sqlstate);
	projection_reset(projection);
}

static void
add(const struct entry *entry, int64_t offset)
{
	if (project(entry, offset) != PROJECTION_FLUSH)
		return;
	flush();
	cr_assert_neq(project(entry, offset), PROJECTION_FLUSH);
}

/* A generator of our own, so that a failure can be seen again. */
static uint64_t seed;

static size_t
draw(size_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (size_t)(seed >> 33) % n;
}

/* Records all logs: the next message is from any of them; batches are of any size; now and then a
 * partition is read again from some way back, as after a rebalance. */
static void
replay(uint64_t with_seed)
{
	size_t left = 0;

	seed = with_seed;
	for (size_t i = 0; i < LOGS; i++) {
		logs[i].next = 0;
		left += logs[i].n;
	}
	while (left > 0) {
		struct log *log = &logs[draw(LOGS)];

		if (log->next == log->n)
			continue;
		add(&log->entries[log->next], (int64_t)log->next);
		log->next++;
		left--;
		if (draw(6) == 0)
			flush();
		if (draw(40) == 0) {
			size_t back = draw(log->next + 1);

			log->next -= back;
			left += back;
		}
	}
	flush();
}

/* Replays in many orders, and expects the same rows of all. */
static void
expect_same_rows(void)
{
	char first[STORE_TEXT_MAX];

	replay(1);
	(void)snprintf(first, sizeof first, "%s", store_digest());
	for (uint64_t i = 2; i <= 25; i++) {
		store_clear();
		replay(i);
		cr_assert_str_eq(store_digest(), first, "with seed %d", (int)i);
	}
}

/* ---- cases ------------------------------------------------------------------- */

CASE(writes_both_halves_of_a_job)
{
	struct sample job = sample_ours("acme", now_ms, 1);
	char sql[512];

	log_request(0, &job, NULL);
	log_end(&job, (struct sample_end){ .run = 5, .body = "{\"data\":[]}" });
	replay(1);
	(void)snprintf(
	    sql, sizeof sql,
	    "SELECT concat_ws('|', tenant, created_ms = %lld, state, deadline_ms - created_ms,"
	    " partition, has_request, dataset, params, format, labels, attempt,"
	    " started_ms - created_ms, finished_ms > 0, run, n_rows, n_bytes, n_parts,"
	    " length(sha256), result_offset, error) FROM jobs",
	    (long long)now_ms);
	cr_expect_str_eq(store_text(sql), "acme|t|succeeded|3600000|1|t|comments|"
					  "{\"login\":\"ann\"}|1|5|t|5|3|11|1|32|0");
	cr_expect_str_eq(store_text("SELECT part || convert_from(body, 'UTF8') FROM results"),
			 "1{\"data\":[]}");
}

CASE(gives_the_same_rows_in_any_order_of_the_topics)
{
	for (int i = 0; i < 12; i++) {
		struct sample job = sample_ours("acme", now_ms + i, i % 3);

		log_request(i % 2, &job, i % 4 ? NULL : "a key");
		if (i % 3 == 0)
			log_started(&job, 1);
		if (i % 5 == 0)
			log_end(&job, (struct sample_end){ .code = TALLY_CANCELLED });
		if (i != 7)
			log_end(&job, (struct sample_end){ .run = 10, .body = "[1]" });
		log_end(&job, (struct sample_end){ .run = 11, .code = TALLY_SOURCE_ERROR });
		if (i % 3 == 1)
			log_started(&job, 2);
	}
	expect_same_rows();
	cr_expect_eq(store_number("SELECT count(*) FROM jobs WHERE state = 'succeeded'"), 8);
	cr_expect_eq(store_number("SELECT count(*) FROM jobs WHERE state = 'cancelled'"), 3);
	cr_expect_eq(store_number("SELECT count(*) FROM jobs WHERE state = 'failed'"), 1);
	cr_expect_eq(store_number("SELECT count(*) FROM results"), 8);
	cr_expect_eq(store_number("SELECT count(*) FROM keys WHERE confirmed"), 1);
}

static void
log_parts(const struct sample *job, uint64_t run, uint32_t first, uint32_t last, uint32_t n_parts)
{
	for (uint32_t i = first; i <= last; i++)
		log_end(job, (struct sample_end){ .run = run,
						  .part = i,
						  .n_parts = i == n_parts ? n_parts : 0,
						  .body = "0123456789" });
}

CASE(takes_the_first_run_of_which_all_parts_are_there)
{
	struct sample whole = sample_ours("acme", now_ms, 0);
	struct sample gap = sample_ours("acme", now_ms, 1);
	struct sample cancelled = sample_ours("acme", now_ms, 2);
	struct sample open = sample_ours("acme", now_ms, 2);

	log_request(0, &whole, NULL);
	log_parts(&whole, 1, 1, 3, 5); /* a worker that died */
	log_parts(&whole, 2, 1, 2, 4);
	log_parts(&whole, 3, 1, 1, 2);
	log_parts(&whole, 2, 3, 4, 4);
	log_parts(&whole, 3, 2, 2, 2);
	log_request(1, &gap, NULL);
	log_parts(&gap, 1, 1, 1, 3);
	log_parts(&gap, 1, 3, 3, 3); /* without the second */
	log_end(&gap, (struct sample_end){ .run = 9, .body = "[]" });
	log_request(1, &cancelled, NULL);
	log_parts(&cancelled, 1, 1, 2, 3);
	log_end(&cancelled, (struct sample_end){ .code = TALLY_CANCELLED });
	log_parts(&cancelled, 1, 3, 3, 3);
	log_request(1, &open, NULL);
	log_parts(&open, 1, 1, 2, 3);
	expect_same_rows();
	cr_expect_str_eq(
	    store_text("SELECT string_agg(concat_ws(' ', state, run, n_parts, n_bytes),"
		       " ', ' ORDER BY state, run) FROM jobs"),
	    "queued 0 0 0, succeeded 2 4 40, succeeded 9 1 2, cancelled 0 0 0");
	cr_expect_str_eq(store_text("SELECT string_agg(run || '/' || part, ' ' ORDER BY run, part)"
				    " FROM results"),
			 "1/1 1/2 2/1 2/2 2/3 2/4 9/1",
			 "those of the job that is open, and of the "
			 "results");
}

CASE(gives_a_foreign_job_one_row_on_the_day_of_its_first_request)
{
	int64_t midnight = now_ms / DAY_MS * DAY_MS;
	struct sample before = sample_foreign("order-1", midnight - 5);
	struct sample after = sample_foreign("order-1", midnight + 5);
	struct sample again = sample_foreign("order-1", midnight + 9);
	struct sample other = sample_foreign("order-2", midnight + 5);

	log_request(0, &before, NULL);
	log_request(0, &after, NULL);
	log_request(1, &again, NULL);
	log_request(1, &other, NULL);
	log_end(&again, (struct sample_end){ .run = 1, .part = 1, .body = "[" });
	log_started(&after, 1);
	log_end(&after, (struct sample_end){ .run = 2, .body = "[]" });
	log_end(&again, (struct sample_end){ .run = 1, .part = 2, .n_parts = 2, .body = "]" });
	log_end(&other, (struct sample_end){ .run = 3, .body = "[3]" });
	expect_same_rows();
	cr_expect_eq(store_number("SELECT count(*) FROM jobs"), 2);
	cr_expect_eq(store_number("SELECT min(created_ms) FROM jobs"), midnight - 5);
	cr_expect_eq(
	    store_number("SELECT count(*) FROM results r JOIN jobs j USING (id, day, run)"), 2);
	cr_expect_eq(store_number("SELECT count(*) FROM results"), 2);
}

CASE(gives_a_key_to_the_elder_of_two_jobs_and_after_a_day_to_the_younger)
{
	struct sample elder = sample_ours("acme", now_ms, 0);
	struct sample younger = sample_ours("acme", now_ms + 1, 0);
	struct sample yesterday = sample_ours("emca", now_ms - DAY_MS, 0);
	struct sample today = sample_ours("emca", now_ms, 0);
	char expected[100];

	log_request(0, &elder, "k");
	log_request(1, &younger, "k");
	log_request(0, &yesterday, "k");
	log_request(1, &today, "k");
	expect_same_rows();
	(void)snprintf(expected, sizeof expected, "%s %s", elder.id.text, today.id.text);
	cr_expect_str_eq(store_text("SELECT string_agg(id, ' ' ORDER BY tenant) FROM keys"),
			 expected);
}

CASE(confirms_a_key_that_a_gateway_has_claimed)
{
	struct sample job = sample_ours("acme", now_ms, 0);
	char sql[512];

	(void)snprintf(
	    sql, sizeof sql,
	    "INSERT INTO keys VALUES ('acme', 'k', '\\x00', '%s', %lld, 1, 'f', 't', true,"
	    " 'r', false)",
	    job.id.text, (long long)now_ms);
	store_execute(sql);
	log_request(0, &job, "k");
	replay(1);
	cr_expect_eq(store_number("SELECT count(*) FROM keys WHERE confirmed"), 1);
}

CASE(keeps_how_far_the_topics_are_recorded)
{
	struct sample job = sample_ours("acme", now_ms, 1);

	cr_assert_eq(record_begin_topic(record, TALLY_TOPIC_REQUESTS_JOBS, 3, &err), TALLY_OK);
	log_request(1, &job, NULL);
	log_request(1, &job, NULL);
	replay(3);
	cr_expect_str_eq(
	    store_text("SELECT string_agg(partition || ':' || next_offset || ':' || (stamp_ms > 0),"
		       " ' ' ORDER BY partition) FROM progress"),
	    "0:0:false 1:2:true 2:0:false");
}

CASE(says_which_values_the_store_will_never_take)
{
	struct sample job = sample_ours("acme", now_ms, 1);

	store_execute("ALTER TABLE jobs ADD CONSTRAINT testing CHECK (tenant <> 'acme')");
	log_request(0, &job, NULL);
	add(&logs[0].entries[0], 0);
	cr_expect_eq(record_write(record, projection, &err), TALLY_BAD_REQUEST);
	cr_expect_str_eq(err.sqlstate, "23514");
	store_execute("ALTER TABLE jobs DROP CONSTRAINT testing");
	projection_reset(projection);
	replay(1);
	cr_expect_eq(store_number("SELECT count(*) FROM jobs"), 1, "the connection goes on");
}

CASE(keeps_others_out_while_the_store_is_rebuilt)
{
	const struct record_options options = {
		.url = store_url(), .timeout_ms = TIMEOUT_MS, .stop_fd = -1, .is_rebuild = true
	};
	struct record *rebuild = NULL;
	bool is_empty;

	cr_assert_eq(record_new(&options, &rebuild, &err), TALLY_OK);
	cr_expect_eq(record_is_empty(rebuild, &is_empty, &err), TALLY_JOB_STORE_UNAVAILABLE,
		     "somebody records");
	record_free(record);
	record = NULL;
	while (record_is_empty(rebuild, &is_empty, &err) != TALLY_OK)
		continue; /* until the server has seen that the connection is gone */
	cr_expect(is_empty);
	rules.days = (struct projection_days){ 0 };
	cr_assert_eq(record_new(&(struct record_options){ .url = store_url(),
							  .timeout_ms = TIMEOUT_MS,
							  .stop_fd = -1 },
				&record, &err),
		     TALLY_OK);
	cr_expect_eq(record_days(record, now_ms, &rules.days, &err), TALLY_JOB_STORE_UNAVAILABLE,
		     "it is rebuilt");
	record_free(rebuild);
}

CASE(makes_the_days_that_lack_and_knows_which_there_are)
{
	int64_t then_ms = now_ms + 5 * DAY_MS;
	struct projection_days days;
	int32_t day = projection_day(then_ms);

	cr_assert_eq(record_days(record, then_ms, &days, &err), TALLY_OK, "%s", err.detail);
	cr_expect(projection_has_day(&days, day));
	cr_expect(projection_has_day(&days, day + 1));
	cr_expect_not(projection_has_day(&days, day + 2));
	cr_expect(projection_has_day(&days, projection_day(now_ms)));
	cr_expect_eq(days.last, day + 1);
}
