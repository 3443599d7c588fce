#include "gateway/job_document.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define POLL_LEAST_MS 100
#define POLL_MOST_MS  5000
#define POLL_PART     10 /* of the age */
#define TAG_HASH      12 /* bytes of the SHA-256 that make the tag */

int64_t
job_document_poll_after_ms(int64_t created_ms, int64_t now_ms)
{
	int64_t ms = (now_ms - created_ms) / POLL_PART;

	return ms < POLL_LEAST_MS ? POLL_LEAST_MS : ms > POLL_MOST_MS ? POLL_MOST_MS : ms;
}

void
job_document_time(int64_t unix_ms, char out[JOB_DOCUMENT_TIME_BYTES])
{
	int64_t ms = unix_ms % 1000;
	time_t seconds = (time_t)(unix_ms / 1000) - (ms < 0);
	struct tm tm;
	size_t len;

	out[0] = '\0';
	if (!gmtime_r(&seconds, &tm))
		return;
	len = strftime(out, JOB_DOCUMENT_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + len, JOB_DOCUMENT_TIME_BYTES - len, ".%03dZ",
		 (int)(ms < 0 ? ms + 1000 : ms));
}

/* ---- members; what fails leaves NULL, and json_object_set_new says so ---------- */

static json_t *
time_or_null(int64_t unix_ms)
{
	char text[JOB_DOCUMENT_TIME_BYTES];

	if (unix_ms == 0)
		return json_null();
	job_document_time(unix_ms, text);
	return json_string(text);
}

static json_t *
text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *
object_or_null(const char *text)
{
	return text ? json_loads(text, 0, NULL) : json_null();
}

/* Times of sources: Unix ms become text. */
static json_t *
as_of_or_null(const char *text)
{
	json_t *as_of = object_or_null(text);
	const char *source;
	json_t *value;
	void *next;

	json_object_foreach_safe(as_of, next, source, value)
	{
		if (json_object_set_new(as_of, source, time_or_null(json_integer_value(value)))
		    != 0) {
			json_decref(as_of);
			return NULL;
		}
	}
	return as_of;
}

static json_t *
result_or_null(const struct job *job)
{
	char href[sizeof "/v1/jobs//result" + TALLY_JOB_ID_CHARS];
	char sha256[2 * TALLY_SHA256_BYTES + 1];
	json_t *result;

	if (job->state != JOB_SUCCEEDED)
		return json_null();
	snprintf(href, sizeof href, "/v1/jobs/%s/result", job->id.text);
	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++)
		snprintf(sha256 + 2 * i, 3, "%02x", job->sha256[i]);
	result = json_pack("{s:s, s:I, s:I}", "href", href, "rows", (json_int_t)job->n_rows,
			   "bytes", (json_int_t)job->n_bytes);
	if (job->has_sha256 && json_object_set_new(result, "sha256", json_string(sha256)) != 0) {
		json_decref(result);
		return NULL;
	}
	if (json_object_set_new(result, "partition", json_integer(job->partition)) != 0
	    || json_object_set_new(result, "offset", json_integer((json_int_t)job->offset)) != 0) {
		json_decref(result);
		return NULL;
	}
	return result;
}

static json_t *
links_of(const struct tally_job_id *id)
{
	char self[sizeof "/v1/jobs/" + TALLY_JOB_ID_CHARS];
	char result[sizeof self + sizeof "/result"], events[sizeof self + sizeof "/events"];

	snprintf(self, sizeof self, "/v1/jobs/%s", id->text);
	snprintf(result, sizeof result, "%s/result", self);
	snprintf(events, sizeof events, "%s/events", self);
	return json_pack("{s:s, s:s, s:s, s:s}", "self", self, "result", result, "events", events,
			 "cancel", self);
}

/* ---- documents ----------------------------------------------------------------- */

/* What every document begins with, and its end. */
static json_t *
begin(const struct tally_job_id *id, enum job_state state, int64_t created_ms)
{
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:i, s:o}", "id", id->text, "state",
			 job_state_name(state), "final", (int)job_state_is_final(state),
			 "created_at", time_or_null(created_ms), "expires_at",
			 time_or_null(created_ms + JOB_RETENTION_MS), "poll_after_ms", 0, "links",
			 links_of(id));
}

static bool
is_overdue(const struct job *job, int64_t now_ms)
{
	return !job_state_is_final(job->state) && job->deadline_ms > 0 && now_ms > job->deadline_ms;
}

/* The request's half. */
static bool
add_request(json_t *document, const struct job *job)
{
	if (job->dataset
	    && json_object_set_new(document, "dataset", json_string(job->dataset)) != 0)
		return false;
	if (job->params
	    && json_object_set_new(document, "params", object_or_null(job->params)) != 0)
		return false;
	if (job->deadline_ms > 0
	    && json_object_set_new(document, "deadline", time_or_null(job->deadline_ms)) != 0)
		return false;
	return json_object_set_new(document, "format", text_or_null(job->format)) == 0
	       && json_object_set_new(document, "labels", object_or_null(job->labels)) == 0;
}

static bool
add_rest(json_t *document, const struct job *job, int64_t now_ms)
{
	struct {
		const char *name;
		json_t *value;
	} members[] = {
		{ "overdue", json_boolean(is_overdue(job, now_ms)) },
		{ "attempt", json_integer(job->attempt) },
		{ "started_at", time_or_null(job->started_ms) },
		{ "finished_at", time_or_null(job->finished_ms) },
		{ "as_of", as_of_or_null(job->as_of) },
		{ "result", result_or_null(job) },
		{ "error", object_or_null(job->error) },
	};
	bool is_whole = true;

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
		if (json_object_set_new(document, members[i].name, members[i].value) != 0)
			is_whole = false;
	}
	return is_whole;
}

static void
write_tag(const char *text, size_t len, bool is_final, char out[JOB_DOCUMENT_TAG_BYTES])
{
	unsigned char hash[TALLY_SHA256_BYTES] = { 0 };
	size_t n;

	out[0] = '\0';
	/* Without a hash there is no tag, and the document comes whole. */
	if (tally_sha256(text, len, hash) != TALLY_OK)
		return;
	n = (size_t)snprintf(out, JOB_DOCUMENT_TAG_BYTES, "%s\"", is_final ? "" : "W/");
	for (size_t i = 0; i < TAG_HASH; i++)
		n += (size_t)snprintf(out + n, JOB_DOCUMENT_TAG_BYTES - n, "%02x", hash[i]);
	snprintf(out + n, JOB_DOCUMENT_TAG_BYTES - n, "\"");
}

/* Takes the document, whose poll_after_ms is 0 so far. */
static tally_status
finish(json_t *document, bool is_final, int64_t poll_after_ms, struct job_document *out_document)
{
	struct job_document made = { .text = json_dumps(document, JSON_COMPACT) };

	if (made.text) {
		made.len = strlen(made.text);
		write_tag(made.text, made.len, is_final, made.tag);
	}
	if (made.text && !is_final) {
		free(made.text);
		made.text = NULL;
		if (json_object_set_new(document, "poll_after_ms", json_integer(poll_after_ms))
		    == 0)
			made.text = json_dumps(document, JSON_COMPACT);
		made.len = made.text ? strlen(made.text) : 0;
	}
	json_decref(document);
	if (!made.text)
		return TALLY_NO_MEMORY;
	*out_document = made;
	return TALLY_OK;
}

tally_status
job_document_make(const struct job *job, int64_t now_ms, struct job_document *out_document)
{
	json_t *document = begin(&job->id, job->state, job->created_ms);

	if (!document)
		return TALLY_NO_MEMORY;
	if (!add_request(document, job) || !add_rest(document, job, now_ms)) {
		json_decref(document);
		return TALLY_INTERNAL_ERROR;
	}
	return finish(document, job_state_is_final(job->state),
		      job_document_poll_after_ms(job->created_ms, now_ms), out_document);
}

tally_status
job_document_make_early(const struct tally_job_id *id, int64_t created_ms, enum job_state state,
			int64_t now_ms, struct job_document *out_document)
{
	json_t *document = begin(id, state, created_ms);

	if (!document)
		return TALLY_NO_MEMORY;
	return finish(document, job_state_is_final(state),
		      job_document_poll_after_ms(created_ms, now_ms), out_document);
}
