/* What a batch of messages does to the job store. */
#include <criterion/criterion.h>

#include <string.h>

#include "support/job_messages.h"

#define DAY_MS INT64_C(86400000)
#define DAY    20000 /* of most jobs here */
#define NOON   (DAY * DAY_MS + DAY_MS / 2)

static struct projection *projection;
static struct projection_rules rules;
static struct tally_error err;
static int64_t next_offset;

static void
begin(void)
{
	projection = projection_new();
	cr_assert_not_null(projection);
	rules = (struct projection_rules){
		.secrets = &sample_secrets,
		.results_partitions = SAMPLE_PARTITIONS,
		.days = { .first = DAY - 1, .mask = 15, .last = DAY + 1 },
	};
	next_offset = 100;
}

static void
end(void)
{
	projection_free(projection);
}

#define CASE(name) Test(projection, name, .init = begin, .fini = end)

static enum projection_outcome
add_at(const struct sample_message *message, int64_t offset, int64_t stamp_ms)
{
	const struct projection_message it = {
		.topic = message->topic,
		.partition = message->partition,
		.offset = offset,
		.stamp_ms = stamp_ms,
		.key = message->key,
		.key_len = strlen(message->key),
		.value = message->value,
		.value_len = message->value_len,
		.headers = message->headers.items,
		.n_headers = message->headers.n,
	};

	return projection_add(projection, &rules, &it, &err);
}

static enum projection_outcome
add(const struct sample_message *message)
{
	int64_t offset = next_offset++;

	return add_at(message, offset, NOON + offset);
}

static enum projection_outcome
add_request(const struct sample *job)
{
	struct sample_message message;

	sample_request(&message, job, SAMPLE_VALUE, NULL);
	return add_at(&message, next_offset++, job->created_ms);
}

static enum projection_outcome
add_end(const struct sample *job, struct sample_end how)
{
	struct sample_message message;

	sample_result(&message, job, &how);
	return add(&message);
}

static enum projection_outcome
add_started(const struct sample *job, uint32_t attempt)
{
	struct sample_message message;

	sample_started(&message, job, attempt);
	return add(&message);
}

/* The text is set to this; NULL: it is not set. */
static void
expect_text(const struct projection_text *text, const char *expected)
{
	cr_assert_eq(text->is_set, expected != NULL);
	if (!expected)
		return;
	cr_expect_eq(text->len, strlen(expected), "not %s", expected);
	cr_expect_arr_eq(projection_text(projection, text), expected, strlen(expected));
}

static const struct projection_change *
only_change(void)
{
	cr_assert_eq(projection->n_changes, 1);
	return &projection->changes[0];
}

CASE(fills_the_request_half)
{
	struct sample job = sample_ours("acme", NOON, 2);
	struct sample_message message;
	const struct projection_change *change;

	sample_request(
	    &message, &job,
	    "{\"dataset\":\"comments\",\"format\":\"csv\",\"labels\":{\"a\":\"\\u00e9\"},"
	    "\"params\":{\"login\":\"an\\\"n\",\"n\":5,\"b\":true,\"z\":null}}",
	    NULL);
	cr_assert_eq(add(&message), PROJECTION_DONE, "%s", err.detail);
	change = only_change();
	cr_expect_str_eq(change->id.text, job.id.text);
	cr_expect_str_eq(change->tenant, "acme");
	cr_expect(change->has_request);
	cr_expect_eq(change->state, JOB_QUEUED);
	cr_expect_eq(change->created_ms, NOON);
	cr_expect_eq(change->deadline_ms, job.deadline_ms);
	cr_expect_eq(change->partition, 2);
	expect_text(&change->dataset, "comments");
	expect_text(&change->params, "{\"login\":\"an\\\"n\",\"n\":5,\"b\":true}");
	expect_text(&change->format, "csv");
	expect_text(&change->labels, "{\"a\":\"é\"}");
}

CASE(fills_the_result_half)
{
	struct sample job = sample_ours("acme", NOON, 2);
	const struct projection_change *change;

	cr_assert_eq(add_end(&job, (struct sample_end){ .run = 5, .body = "{...}" }),
		     PROJECTION_DONE, "%s", err.detail);
	change = only_change();
	cr_expect_not(change->has_request);
	cr_expect_eq(change->state, JOB_SUCCEEDED);
	cr_expect_eq(change->finished_ms, NOON + 100);
	cr_expect_eq(change->started_ms, NOON + 5);
	cr_expect_eq(change->deadline_ms, job.deadline_ms);
	cr_expect_eq(change->run, 5);
	cr_expect_eq(change->n_rows, 3);
	cr_expect_eq(change->n_bytes, 5);
	cr_expect_eq(change->n_parts, 1);
	cr_expect(change->has_sha256);
	cr_expect_eq(change->partition, 2);
	cr_expect_eq(change->offset, 100);
	expect_text(&change->dataset, "comments");
	expect_text(&change->as_of, "{\"db1\":1728043200007}");
	expect_text(&change->error, NULL);
	cr_assert_eq(projection->n_bodies, 1);
	cr_expect_eq(projection->bodies[0].part, 1);
	cr_expect_eq(projection->bodies[0].len, 5);
}

CASE(makes_one_change_of_both_halves_in_either_order)
{
	for (int is_reverse = 0; is_reverse < 2; is_reverse++) {
		struct sample job = sample_ours("acme", NOON, 1);
		const struct projection_change *change;

		for (int i = 0; i < 2; i++) {
			if (i == is_reverse)
				cr_assert_eq(add_request(&job), PROJECTION_DONE);
			else
				cr_assert_eq(
				    add_end(&job, (struct sample_end){ .run = 1, .body = "[]" }),
				    PROJECTION_DONE);
		}
		change = only_change();
		cr_expect(change->has_request);
		cr_expect_eq(change->state, JOB_SUCCEEDED);
		expect_text(&change->dataset, "comments");
		expect_text(&change->params, "{\"login\":\"ann\"}");
		cr_expect_eq(change->partition, 1);
		projection_reset(projection);
	}
}

CASE(takes_the_first_result_and_no_other)
{
	static const struct {
		struct sample_end first;
		struct sample_end second;
		enum job_state state;
	} cases[] = {
		{ { .run = 1, .body = "[1]" },              { .run = 2, .body = "[2]" }, JOB_SUCCEEDED },
		{ { .run = 1, .body = "[1]" },              { .code = TALLY_CANCELLED }, JOB_SUCCEEDED },
		{ { .code = TALLY_CANCELLED },              { .run = 1, .body = "[1]" }, JOB_CANCELLED },
		{ { .code = TALLY_SOURCE_ERROR, .run = 3 },
                 { .run = 1, .body = "[1]" },
                 JOB_FAILED									    },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sample job = sample_ours("acme", NOON, 1);

		cr_assert_eq(add_end(&job, cases[i].first), PROJECTION_DONE, "%s", err.detail);
		cr_assert_eq(add_end(&job, cases[i].second), PROJECTION_DONE);
		cr_expect_eq(only_change()->state, cases[i].state);
		cr_expect_eq(only_change()->run, cases[i].first.run);
		cr_expect_eq(projection->n_bodies, cases[i].state == JOB_SUCCEEDED);
		projection_reset(projection);
	}
}

CASE(keeps_the_error_document_or_makes_one_when_it_is_none)
{
	static const char document[] =
	    "{\"code\":\"source_error\",\"title\":\"t\",\"detail\":\"d\","
	    "\"retryable\":false,\"source\":\"db1\"}";
	struct sample job = sample_ours("acme", NOON, 1);

	(void)add_end(&job, (struct sample_end){ .code = TALLY_SOURCE_ERROR, .body = document });
	expect_text(&only_change()->error, document);
	projection_reset(projection);
	(void)add_end(&job, (struct sample_end){ .code = TALLY_SOURCE_ERROR, .body = "\xff\xfe" });
	cr_assert(only_change()->error.is_set);
	cr_expect(memmem(projection->texts.data, projection->texts.len, "source_error", 12));
	cr_expect_not(memchr(projection->texts.data, 0xff, projection->texts.len));
}

CASE(says_running_only_while_nothing_else_is_known)
{
	struct sample job = sample_ours("acme", NOON, 1);

	(void)add_request(&job);
	cr_expect_eq(add_started(&job, 1), PROJECTION_DONE);
	cr_expect_eq(add_started(&job, 2), PROJECTION_DONE);
	cr_expect_eq(only_change()->state, JOB_RUNNING);
	cr_expect_eq(only_change()->attempt, 1);
	cr_expect_eq(only_change()->started_ms, NOON + 1000);
	(void)add_end(&job, (struct sample_end){ .code = TALLY_CANCELLED });
	cr_expect_eq(only_change()->state, JOB_CANCELLED);
	cr_expect_eq(only_change()->started_ms, 0, "as when the start was never read");
	cr_expect_eq(add_started(&job, 3), PROJECTION_DONE);
	cr_expect_eq(only_change()->state, JOB_CANCELLED);
}

CASE(leaves_cancelling_to_the_result_that_says_so)
{
	struct sample job = sample_ours("acme", NOON, 1);
	struct sample_message message;

	sample_cancel(&message, &job);
	cr_expect_eq(add(&message), PROJECTION_DONE, "%s", err.detail);
	cr_expect_eq(projection->n_changes, 0);
}

CASE(gathers_the_parts_of_two_runs_and_ends_with_the_last_of_one)
{
	struct sample job = sample_ours("acme", NOON, 1);

	(void)add_end(&job, (struct sample_end){ .run = 1, .part = 1, .body = "[1" });
	(void)add_end(&job, (struct sample_end){ .run = 2, .part = 1, .body = "[2" });
	(void)add_end(&job, (struct sample_end){ .run = 2, .part = 2, .body = ",2" });
	cr_expect_eq(only_change()->state, JOB_QUEUED);
	cr_expect(only_change()->has_results);
	(void)add_end(&job, (struct sample_end){ .run = 2, .part = 3, .n_parts = 3, .body = "]" });
	cr_expect_eq(only_change()->state, JOB_SUCCEEDED);
	cr_expect_eq(only_change()->run, 2);
	cr_expect_eq(only_change()->n_parts, 3);
	cr_expect_eq(projection->n_bodies, 4);
	cr_expect_eq(projection->bodies[3].part, 3);
}

CASE(asks_the_store_before_another_result_follows_one_in_parts)
{
	struct sample job = sample_ours("acme", NOON, 1);
	struct sample_end other = { .run = 2, .body = "[]" };

	(void)add_end(&job, (struct sample_end){ .run = 1, .part = 2, .n_parts = 2, .body = "]" });
	cr_expect_eq(add_end(&job, other), PROJECTION_FLUSH);
	cr_expect_eq(only_change()->run, 1);
	cr_expect_eq(projection->progress[0].next_offset, 101, "the second is not read yet");
	projection_reset(projection);
	cr_expect_eq(add_end(&job, other), PROJECTION_DONE);
}

CASE(changes_nothing_when_a_request_comes_again)
{
	struct sample job = sample_ours("acme", NOON, 1);

	(void)add_request(&job);
	cr_expect_eq(add_request(&job), PROJECTION_DONE);
	cr_expect_eq(projection->n_changes, 1);
}

CASE(refuses_what_is_forged_and_skips_what_is_too_old)
{
	static const struct tally_secrets others = { { { "another secret, of 32 characters", 32 } },
						     1 };
	struct sample job = sample_ours("acme", NOON, 1);
	struct sample stolen = job;
	struct sample forged = job;
	struct sample elsewhere = job;
	struct sample old = sample_ours("acme", NOON - 2 * DAY_MS, 1);
	struct sample coming = sample_ours("acme", NOON + 2 * DAY_MS, 1);

	memcpy(stolen.tenant, "evil", 5);
	cr_assert_eq(tally_job_id_make(&others, "acme", NOON, 1, &forged.id, NULL), TALLY_OK);
	elsewhere.partition = 3;
	cr_expect_eq(add_request(&stolen), PROJECTION_REFUSED);
	cr_expect_eq(add_request(&forged), PROJECTION_REFUSED);
	cr_expect_eq(add_end(&stolen, (struct sample_end){ .body = "[]" }), PROJECTION_REFUSED);
	cr_expect_eq(add_end(&forged, (struct sample_end){ .body = "[]" }), PROJECTION_REFUSED);
	cr_expect_eq(add_end(&elsewhere, (struct sample_end){ .body = "[]" }), PROJECTION_REFUSED);
	cr_expect_eq(add_started(&forged, 1), PROJECTION_REFUSED);
	cr_expect_eq(add_request(&old), PROJECTION_SKIPPED);
	cr_expect_eq(add_request(&coming), PROJECTION_REFUSED);
	cr_expect_eq(projection->n_changes, 0);
	cr_expect_eq(projection->n_progress, 3,
		     "of all that has been read: requests, results 1, 3");
}

CASE(refuses_what_is_no_message_of_its_topic)
{
	struct sample job = sample_ours("acme", NOON, 1);
	struct sample_message message;

	sample_request(&message, &job, "{\"dataset\":", NULL);
	cr_expect_eq(add(&message), PROJECTION_REFUSED);
	sample_request(&message, &job, SAMPLE_VALUE, NULL);
	message.topic = PROJECTION_RESULTS;
	cr_expect_eq(add(&message), PROJECTION_REFUSED);
	message.topic = PROJECTION_CONTROL;
	cr_expect_eq(add(&message), PROJECTION_REFUSED);
	message.topic = PROJECTION_REQUESTS;
	message.headers.n = 0;
	cr_expect_eq(add(&message), PROJECTION_REFUSED);
}

CASE(knows_a_foreign_request_by_its_source_and_id)
{
	struct sample job = sample_foreign("order-1", NOON);

	cr_assert_eq(add_request(&job), PROJECTION_DONE, "%s", err.detail);
	cr_expect_str_eq(only_change()->id.text, job.id.text);
	cr_expect(only_change()->is_foreign);
	cr_expect_eq(only_change()->created_ms, NOON);
	cr_expect_eq(only_change()->deadline_ms, NOON + TALLY_JOB_DEADLINE_MS);
	cr_expect_eq(only_change()->partition, job.partition);
	cr_expect_eq(add_end(&job, (struct sample_end){ .run = 1, .body = "[]" }), PROJECTION_DONE);
	cr_expect_eq(only_change()->state, JOB_SUCCEEDED);
}

CASE(writes_a_foreign_request_before_the_same_one_of_another_time)
{
	struct sample job = sample_foreign("order-1", NOON);
	struct sample again = sample_foreign("order-1", NOON + 1);

	(void)add_request(&job);
	cr_expect_eq(add_request(&again), PROJECTION_FLUSH);
	cr_expect_eq(only_change()->created_ms, NOON);
}

CASE(refills_the_table_of_keys)
{
	struct sample job = sample_ours("acme", NOON, 1);
	struct sample same_key = sample_ours("acme", NOON, 1);
	struct sample same_key_elsewhere = sample_ours("emca", NOON, 1);
	struct sample_message message;

	sample_request(&message, &job, SAMPLE_VALUE, "key 1");
	cr_assert_eq(add(&message), PROJECTION_DONE, "%s", err.detail);
	cr_expect_eq(add(&message), PROJECTION_DONE, "once more");
	cr_assert_eq(projection->n_keys, 1);
	cr_expect_str_eq(projection->keys[0].name.tenant, "acme");
	cr_expect_str_eq(projection->keys[0].name.key, "key 1");
	cr_expect_eq(projection->keys[0].change, only_change());
	cr_expect_eq(projection->keys[0].request_len, strlen(SAMPLE_VALUE));
	sample_request(&message, &same_key, SAMPLE_VALUE, "key 1");
	cr_expect_eq(add(&message), PROJECTION_FLUSH, "the store decides between two");
	sample_request(&message, &same_key_elsewhere, SAMPLE_VALUE, "key 1");
	cr_expect_eq(add(&message), PROJECTION_DONE);
	cr_expect_eq(projection->n_keys, 2);
	sample_request(&message, &same_key, SAMPLE_VALUE, "key 2");
	memcpy(message.key, "no fingerprint", 15);
	cr_expect_eq(add(&message), PROJECTION_REFUSED);
}

CASE(notes_how_far_each_partition_has_been_read)
{
	struct sample one = sample_ours("acme", NOON, 1);
	struct sample two = sample_ours("acme", NOON, 2);
	const struct sample_end how = { .run = 1, .body = "[]" };

	next_offset = 7;
	(void)add_end(&one, how);
	(void)add_end(&two, how);
	(void)add_end(&one, how);
	(void)add_started(&one, 1);
	cr_assert_eq(projection->n_progress, 2, "control is not counted");
	cr_expect_eq(projection->progress[0].partition, 1);
	cr_expect_eq(projection->progress[0].next_offset, 10);
	cr_expect_eq(projection->progress[0].stamp_ms, NOON + 9);
	cr_expect_eq(projection->progress[1].next_offset, 9);
}

CASE(asks_for_a_flush_when_it_is_full)
{
	struct sample job = sample_ours("acme", NOON, 1);
	struct sample last = sample_ours("acme", NOON, 1);

	for (uint32_t i = 1; i <= PROJECTION_MAX; i++)
		cr_assert_eq(add_end(&job, (struct sample_end){ .run = 1, .part = i, .body = "x" }),
			     PROJECTION_DONE);
	cr_expect_eq(add_end(&last, (struct sample_end){ .run = 1, .body = "x" }),
		     PROJECTION_FLUSH);
	projection_reset(projection);
	for (int i = 0; i < PROJECTION_MAX; i++) {
		struct sample one = sample_ours("acme", NOON, 1);

		cr_assert_eq(add_request(&one), PROJECTION_DONE);
	}
	cr_expect_eq(add_request(&last), PROJECTION_FLUSH);
}
