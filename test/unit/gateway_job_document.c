#include <criterion/criterion.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/job_document.h"

#define CREATED INT64_C(1700000000123) /* 2023-11-14T22:13:20.123Z */
#define ID      "0abcdefghjkmnpqrstvwxyz0123456789abcdeg"

/* The struct's texts are its owner's; here nobody frees them. */
static char dataset[] = "comments", params[] = "{\"login\":\"vladimir\"}", wrong[] = "{",
	    format[] = "csv", labels[] = "{\"team\":\"a\"}",
	    as_of[] = "{\"db1\":1700000001500,\"db2\":1700000001499}",
	    error[] = "{\"code\":\"source_error\",\"title\":\"t\",\"detail\":\"d\","
		      "\"retryable\":false,\"source\":\"db1\"}";

static struct job
new_job(enum job_state state)
{
	return (struct job){ .id = { ID },
			     .tenant = "default",
			     .created_ms = CREATED,
			     .state = state,
			     .deadline_ms = CREATED + 3600000,
			     .has_request = true,
			     .dataset = dataset,
			     .params = params };
}

static json_t *
read_document(const struct job *job, int64_t now_ms, char tag[JOB_DOCUMENT_TAG_BYTES])
{
	struct job_document document;
	json_t *json;

	cr_assert_eq(job_document_make(job, now_ms, &document), TALLY_OK);
	cr_expect_eq(document.len, strlen(document.text));
	json = json_loads(document.text, JSON_REJECT_DUPLICATES, NULL);
	cr_assert(json, "%s", document.text);
	if (tag)
		memcpy(tag, document.tag, JOB_DOCUMENT_TAG_BYTES);
	free(document.text);
	return json;
}

static void
expect_member(const json_t *json, const char *name, const char *text)
{
	char *found = json_dumps(json_object_get(json, name), JSON_COMPACT | JSON_ENCODE_ANY);

	cr_expect_str_eq(found ? found : "(nothing)", text, "%s", name);
	free(found);
}

Test(job_document, tells_all_of_a_job_that_succeeded)
{
	struct job job = new_job(JOB_SUCCEEDED);

	job.format = format;
	job.labels = labels;
	job.attempt = 2;
	job.started_ms = CREATED + 1000;
	job.finished_ms = CREATED + 2007;
	job.n_rows = 3;
	job.n_bytes = 70;
	job.has_sha256 = true;
	job.sha256[0] = 0xAB;
	job.partition = 5;
	job.offset = 1234567890123;
	job.as_of = as_of;

	json_t *json = read_document(&job, CREATED + 5000, NULL);
	expect_member(json, "id", "\"" ID "\"");
	expect_member(json, "dataset", "\"comments\"");
	expect_member(json, "params", "{\"login\":\"vladimir\"}");
	expect_member(json, "format", "\"csv\"");
	expect_member(json, "labels", "{\"team\":\"a\"}");
	expect_member(json, "state", "\"succeeded\"");
	expect_member(json, "final", "true");
	expect_member(json, "overdue", "false");
	expect_member(json, "attempt", "2");
	expect_member(json, "created_at", "\"2023-11-14T22:13:20.123Z\"");
	expect_member(json, "started_at", "\"2023-11-14T22:13:21.123Z\"");
	expect_member(json, "finished_at", "\"2023-11-14T22:13:22.130Z\"");
	expect_member(json, "deadline", "\"2023-11-14T23:13:20.123Z\"");
	expect_member(json, "expires_at", "\"2023-11-15T22:13:20.123Z\"");
	expect_member(json, "poll_after_ms", "0");
	expect_member(
	    json, "as_of",
	    "{\"db1\":\"2023-11-14T22:13:21.500Z\",\"db2\":\"2023-11-14T22:13:21.499Z\"}");
	expect_member(json, "result",
		      "{\"href\":\"/v1/jobs/" ID "/result\",\"rows\":3,\"bytes\":70,\"sha256\":"
		      "\"ab00000000000000000000000000000000000000000000000000000000000000\","
		      "\"partition\":5,\"offset\":1234567890123}");
	expect_member(json, "error", "null");
	expect_member(json, "links",
		      "{\"self\":\"/v1/jobs/" ID "\",\"result\":\"/v1/jobs/" ID "/result\","
		      "\"events\":\"/v1/jobs/" ID "/events\",\"cancel\":\"/v1/jobs/" ID "\"}");
	json_decref(json);
}

Test(job_document, tells_why_a_job_failed)
{
	struct job job = new_job(JOB_FAILED);

	job.error = error;
	json_t *json = read_document(&job, CREATED, NULL);
	expect_member(json, "error", job.error);
	expect_member(json, "result", "null");
	expect_member(json, "final", "true");
	json_decref(json);
}

Test(job_document, leaves_out_what_is_not_recorded_yet)
{
	struct job job = { .id = { ID }, .created_ms = CREATED, .state = JOB_RUNNING };
	json_t *json = read_document(&job, CREATED, NULL);

	cr_expect_null(json_object_get(json, "dataset"));
	cr_expect_null(json_object_get(json, "params"));
	cr_expect_null(json_object_get(json, "deadline"));
	expect_member(json, "started_at", "null");
	expect_member(json, "overdue", "false");
	json_decref(json);
}

Test(job_document, of_an_id_alone_has_seven_members)
{
	const struct tally_job_id id = { ID };
	struct job_document document;

	cr_assert_eq(job_document_make_early(&id, CREATED, JOB_QUEUED, CREATED + 20000, &document),
		     TALLY_OK);
	json_t *json = json_loads(document.text, JSON_REJECT_DUPLICATES, NULL);
	cr_expect_eq(json_object_size(json), 7);
	expect_member(json, "state", "\"queued\"");
	expect_member(json, "final", "false");
	expect_member(json, "poll_after_ms", "2000");
	json_decref(json);
	free(document.text);
}

Test(job_document, asks_to_poll_less_often_as_the_job_grows_old)
{
	static const struct {
		int64_t age_ms, poll_ms;
	} cases[] = {
		{ -5000,  100  },
                { 0,      100  },
                { 1000,   100  },
                { 1500,   150  },
		{ 20000,  2000 },
                { 50000,  5000 },
                { 864000, 5000 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect_eq(job_document_poll_after_ms(CREATED, CREATED + cases[i].age_ms),
			     cases[i].poll_ms, "case %zu", i);
}

Test(job_document, tag_changes_with_the_job_and_not_with_time)
{
	struct job job = new_job(JOB_QUEUED);
	char queued[JOB_DOCUMENT_TAG_BYTES], later[JOB_DOCUMENT_TAG_BYTES];
	char overdue[JOB_DOCUMENT_TAG_BYTES], done[JOB_DOCUMENT_TAG_BYTES];

	json_decref(read_document(&job, CREATED, queued));
	json_decref(read_document(&job, CREATED + 40000, later));
	cr_expect_str_eq(queued, later);
	cr_expect_eq(strncmp(queued, "W/\"", 3), 0, "%s", queued);
	json_decref(read_document(&job, CREATED + 3600001, overdue));
	cr_expect_str_neq(queued, overdue);
	job.state = JOB_SUCCEEDED;
	json_decref(read_document(&job, CREATED + 40000, done));
	cr_expect_str_neq(queued, done);
	cr_expect_eq(done[0], '"', "%s", done);
	json_decref(read_document(&job, CREATED + 7200000, later));
	cr_expect_str_eq(done, later);
}

Test(job_document, refuses_halves_that_are_no_json)
{
	struct job job = new_job(JOB_QUEUED);
	struct job_document document;

	job.params = wrong;
	cr_expect_eq(job_document_make(&job, CREATED, &document), TALLY_INTERNAL_ERROR);
}

Test(job_document, writes_times_before_1970_too)
{
	char text[JOB_DOCUMENT_TIME_BYTES];

	job_document_time(-1, text);
	cr_expect_str_eq(text, "1969-12-31T23:59:59.999Z");
	job_document_time(0, text);
	cr_expect_str_eq(text, "1970-01-01T00:00:00.000Z");
}
