#include <tally/job.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tally/rules.h>

/* "ID/RUN/PART" and an end; those of control messages are shorter. */
#define EVENT_ID_MAX (TALLY_JOB_ID_CHARS + 1 + 16 + 1 + 10 + 1)

#define DATASET_HASH_HEX 16

/* What results and control messages have in common. */
struct event {
	struct tally_span id;
	struct tally_span source;
	struct tally_span subject;
	struct tally_span type;
	int64_t time_ms;
};

bool
tally_job_result_is_part(const struct tally_job_result *result)
{
	return result->part > 0;
}

bool
tally_job_result_is_last(const struct tally_job_result *result)
{
	return result->part == result->n_parts;
}

static tally_status
read_key(const void *key, size_t key_len, struct tally_job_id *id,
	 struct tally_job_id_parts *out_parts, struct tally_error *err)
{
	if (!key || tally_job_id_parse(key, key_len, id, out_parts) != TALLY_OK)
		return tally_fail(err, TALLY_BAD_REQUEST, "the key is not a job id");
	return TALLY_OK;
}

/* Whether the event is one of ours about this job, and its id the one it must have. */
static tally_status
check_event(const struct event *event, const struct tally_job_id *id, const char *event_id,
	    struct tally_error *err)
{
	if (!tally_span_equals(event->source, TALLY_EVENT_SOURCE))
		return tally_header_fail(err, TALLY_HEADER_CE_SOURCE, "is not " TALLY_EVENT_SOURCE);
	if (!tally_span_equals(event->subject, id->text))
		return tally_header_fail(err, TALLY_HEADER_CE_SUBJECT, "is not the key");
	if (!tally_span_equals(event->id, event_id))
		return tally_header_fail(err, TALLY_HEADER_CE_ID, "does not fit the message");
	return TALLY_OK;
}

static tally_status
check_created(int64_t created_ms, const struct tally_job_id_parts *parts, struct tally_error *err)
{
	if (!parts->is_foreign && parts->created_ms != created_ms)
		return tally_header_fail(err, TALLY_HEADER_CREATED_MS,
					 "does not agree with the job id");
	return TALLY_OK;
}

/* ---- results ----------------------------------------------------------------- */

static void
format_result_id(const struct tally_job_result *result, char out[EVENT_ID_MAX])
{
	int len = snprintf(out, EVENT_ID_MAX, "%s/%016" PRIx64, result->id.text, result->run);

	if (result->part > 0)
		(void)snprintf(out + len, (size_t)(EVENT_ID_MAX - len), "/%" PRIu32, result->part);
}

static bool
fits_state(enum tally_state state, tally_status code)
{
	switch (state) {
	case TALLY_SUCCEEDED:
		return code == TALLY_OK;
	case TALLY_FAILED:
		return code != TALLY_OK && code != TALLY_CANCELLED;
	case TALLY_STATE_CANCELLED:
		return code == TALLY_CANCELLED;
	}
	return false;
}

/* Whether this is the message that says what the whole body is. */
static bool
is_whole(const struct tally_job_result *result)
{
	return result->state == TALLY_SUCCEEDED && tally_job_result_is_last(result);
}

/* The header that does not fit the others; NULL: all do. */
static const char *
wrong_header(const struct tally_job_result *result)
{
	if (!fits_state(result->state, result->error_code))
		return TALLY_HEADER_ERROR_CODE;
	if (result->part > TALLY_PARTS_MAX
	    || (result->part > 0 && result->state != TALLY_SUCCEEDED))
		return TALLY_HEADER_PART;
	if (result->n_parts > 0 && result->n_parts != result->part)
		return TALLY_HEADER_PARTS;
	if (result->has_sha256 != is_whole(result))
		return TALLY_HEADER_SHA256;
	return NULL;
}

static void
add_whole(struct tally_headers *headers, const struct tally_job_result *result)
{
	if (result->part > 0)
		tally_headers_add_number(headers, TALLY_HEADER_PART, result->part);
	if (result->n_parts > 0)
		tally_headers_add_number(headers, TALLY_HEADER_PARTS, result->n_parts);
	if (!is_whole(result))
		return;
	tally_headers_add_number(headers, TALLY_HEADER_ROWS, (int64_t)result->rows);
	tally_headers_add_sha256(headers, TALLY_HEADER_SHA256, result->sha256);
}

static void
add_text(struct tally_headers *headers, const char *name, const char *text)
{
	if (text[0])
		tally_headers_add(headers, name, text);
}

tally_status
tally_job_result_write(const struct tally_job_result *result, int64_t at_ms,
		       struct tally_headers *out_headers)
{
	char id[EVENT_ID_MAX];

	if (wrong_header(result))
		return TALLY_BAD_REQUEST;
	format_result_id(result, id);
	tally_headers_start(out_headers);
	tally_headers_add_event(out_headers, TALLY_EVENT_SOURCE, TALLY_TYPE_RESULT, at_ms);
	tally_headers_add(out_headers, TALLY_HEADER_CE_ID, id);
	tally_headers_add(out_headers, TALLY_HEADER_CE_SUBJECT, result->id.text);
	tally_headers_add(out_headers, TALLY_HEADER_TENANT, result->tenant);
	add_text(out_headers, TALLY_HEADER_DATASET, result->dataset);
	add_text(out_headers, TALLY_HEADER_DATASET_HASH, result->dataset_hash);
	tally_headers_add(out_headers, TALLY_HEADER_STATE, tally_state_name(result->state));
	tally_headers_add_run(out_headers, TALLY_HEADER_RUN, result->run);
	tally_headers_add_number(out_headers, TALLY_HEADER_ATTEMPT, result->attempt);
	if (result->error_code != TALLY_OK)
		tally_headers_add(out_headers, TALLY_HEADER_ERROR_CODE,
				  tally_status_code(result->error_code));
	add_whole(out_headers, result);
	tally_headers_add_number(out_headers, TALLY_HEADER_CREATED_MS, result->created_ms);
	if (result->started_ms > 0)
		tally_headers_add_number(out_headers, TALLY_HEADER_STARTED_MS, result->started_ms);
	tally_headers_add_number(out_headers, TALLY_HEADER_DEADLINE_MS, result->deadline_ms);
	tally_headers_add_as_of(out_headers, result->as_of, result->n_as_of);
	add_text(out_headers, TALLY_HEADER_TIMING, result->timing);
	add_text(out_headers, TALLY_HEADER_TRACEPARENT, result->trace.text);
	return tally_headers_finish(out_headers);
}

/* A result as its headers tell it. */
struct result_fields {
	struct tally_job_result result;
	struct event event;
	struct tally_span rows;
	struct tally_span sha256;
};

static bool
read_dataset(const char *text, size_t len, void *field)
{
	return tally_read_text(text, len, TALLY_DATASET_NAME_MAX, field);
}

static bool
read_dataset_hash(const char *text, size_t len, void *field)
{
	uint64_t number;

	if (!tally_read_run(text, len, &number))
		return false;
	memcpy(field, text, DATASET_HASH_HEX);
	((char *)field)[DATASET_HASH_HEX] = '\0';
	return true;
}

static tally_status
read_result_rules(const struct tally_header *headers, size_t n, struct result_fields *fields,
		  struct tally_error *err)
{
#define RESULT(name) offsetof(struct result_fields, result.name)
#define FIELD(name)  offsetof(struct result_fields, name)
	static const struct tally_rule rules[] = {
		RULE_MUST(CE_SPECVERSION, tally_read_specversion, 0),
		RULE_MUST(CE_ID, tally_read_span, FIELD(event.id)),
		RULE_MUST(CE_SOURCE, tally_read_span, FIELD(event.source)),
		RULE_MUST(CE_TYPE, tally_read_span, FIELD(event.type)),
		RULE_MUST(CE_TIME, tally_read_time, FIELD(event.time_ms)),
		RULE_MUST(CE_SUBJECT, tally_read_span, FIELD(event.subject)),
		RULE_MAY(CONTENT_TYPE, tally_read_content_type, 0),
		RULE_MUST(TENANT, tally_read_tenant, RESULT(tenant)),
		RULE_MAY(DATASET, read_dataset, RESULT(dataset)),
		RULE_MAY(DATASET_HASH, read_dataset_hash, RESULT(dataset_hash)),
		RULE_MUST(STATE, tally_read_state, RESULT(state)),
		RULE_MUST(RUN, tally_read_run, RESULT(run)),
		RULE_MUST(ATTEMPT, tally_read_u32, RESULT(attempt)),
		RULE_MAY(ERROR_CODE, tally_read_code, RESULT(error_code)),
		RULE_MAY(PART, tally_read_ordinal, RESULT(part)),
		RULE_MAY(PARTS, tally_read_ordinal, RESULT(n_parts)),
		RULE_MAY(ROWS, tally_read_span, FIELD(rows)),
		RULE_MAY(SHA256, tally_read_span, FIELD(sha256)),
		RULE_MUST(CREATED_MS, tally_read_ms, RESULT(created_ms)),
		RULE_MAY(STARTED_MS, tally_read_ms, RESULT(started_ms)),
		RULE_MUST(DEADLINE_MS, tally_read_ms, RESULT(deadline_ms)),
		RULE_MAY(TIMING, tally_read_timing, RESULT(timing)),
		RULE_MAY(TRACEPARENT, tally_read_trace, RESULT(trace)),
	};
#undef RESULT
#undef FIELD
	struct tally_job_result *result = &fields->result;
	tally_status status =
	    tally_rules_read(rules, sizeof rules / sizeof *rules, headers, n, fields, err);

	if (status != TALLY_OK)
		return status;
	return tally_as_of_read(headers, n, result->as_of, &result->n_as_of, err);
}

/* Rows and digest: both of a whole body, and of nothing else. */
static tally_status
read_whole(struct result_fields *fields, struct tally_error *err)
{
	struct tally_job_result *result = &fields->result;

	if (!fields->rows.at != !fields->sha256.at)
		return tally_header_fail(err, TALLY_HEADER_ROWS, "goes with " TALLY_HEADER_SHA256);
	if (!fields->rows.at)
		return TALLY_OK;
	if (!tally_read_count(fields->rows.at, fields->rows.len, &result->rows))
		return tally_header_fail(err, TALLY_HEADER_ROWS, "is not valid");
	if (!tally_read_sha256(fields->sha256.at, fields->sha256.len, result->sha256))
		return tally_header_fail(err, TALLY_HEADER_SHA256, "is not valid");
	result->has_sha256 = true;
	return TALLY_OK;
}

tally_status
tally_job_result_read(const void *key, size_t key_len, const struct tally_header *headers, size_t n,
		      struct tally_job_result *out_result, struct tally_error *err)
{
	struct result_fields fields = { 0 };
	struct tally_job_result *result = &fields.result;
	struct tally_job_id_parts parts;
	char id[EVENT_ID_MAX];
	tally_status status = read_key(key, key_len, &result->id, &parts, err);

	if (status == TALLY_OK)
		status = read_result_rules(headers, n, &fields, err);
	if (status == TALLY_OK)
		status = read_whole(&fields, err);
	if (status != TALLY_OK)
		return status;
	if (!tally_span_equals(fields.event.type, TALLY_TYPE_RESULT))
		return tally_header_fail(err, TALLY_HEADER_CE_TYPE, "is not " TALLY_TYPE_RESULT);
	if (wrong_header(result))
		return tally_header_fail(err, wrong_header(result), "does not fit the others");
	format_result_id(result, id);
	status = check_event(&fields.event, &result->id, id, err);
	if (status == TALLY_OK)
		status = check_created(result->created_ms, &parts, err);
	if (status == TALLY_OK)
		*out_result = *result;
	return status;
}

/* ---- control ----------------------------------------------------------------- */

static const char *
type_of(enum tally_control_kind kind)
{
	return kind == TALLY_CONTROL_CANCEL ? TALLY_TYPE_CANCEL : TALLY_TYPE_STARTED;
}

static void
format_control_id(const struct tally_control *control, char out[EVENT_ID_MAX])
{
	if (control->kind == TALLY_CONTROL_CANCEL)
		(void)snprintf(out, EVENT_ID_MAX, "%s/cancel", control->id.text);
	else
		(void)snprintf(out, EVENT_ID_MAX, "%s/%016" PRIx64 "/started", control->id.text,
			       control->run);
}

tally_status
tally_control_write(const struct tally_control *control, struct tally_headers *out_headers)
{
	char id[EVENT_ID_MAX];

	format_control_id(control, id);
	tally_headers_start(out_headers);
	tally_headers_add_event(out_headers, TALLY_EVENT_SOURCE, type_of(control->kind),
				control->at_ms);
	tally_headers_add(out_headers, TALLY_HEADER_CE_ID, id);
	tally_headers_add(out_headers, TALLY_HEADER_CE_SUBJECT, control->id.text);
	tally_headers_add(out_headers, TALLY_HEADER_TENANT, control->tenant);
	tally_headers_add_number(out_headers, TALLY_HEADER_CREATED_MS, control->created_ms);
	tally_headers_add_number(out_headers, TALLY_HEADER_DEADLINE_MS, control->deadline_ms);
	if (control->kind == TALLY_CONTROL_STARTED) {
		tally_headers_add_run(out_headers, TALLY_HEADER_RUN, control->run);
		tally_headers_add_number(out_headers, TALLY_HEADER_ATTEMPT, control->attempt);
	}
	return tally_headers_finish(out_headers);
}

/* A control message as its headers tell it. */
struct control_fields {
	struct tally_control control;
	struct event event;
	struct tally_span run;
};

static tally_status
read_control_rules(const struct tally_header *headers, size_t n, struct control_fields *fields,
		   struct tally_error *err)
{
#define CONTROL(name) offsetof(struct control_fields, control.name)
#define FIELD(name)   offsetof(struct control_fields, name)
	static const struct tally_rule rules[] = {
		RULE_MUST(CE_SPECVERSION, tally_read_specversion, 0),
		RULE_MUST(CE_ID, tally_read_span, FIELD(event.id)),
		RULE_MUST(CE_SOURCE, tally_read_span, FIELD(event.source)),
		RULE_MUST(CE_TYPE, tally_read_span, FIELD(event.type)),
		RULE_MUST(CE_TIME, tally_read_time, CONTROL(at_ms)),
		RULE_MUST(CE_SUBJECT, tally_read_span, FIELD(event.subject)),
		RULE_MAY(CONTENT_TYPE, tally_read_content_type, 0),
		RULE_MUST(TENANT, tally_read_tenant, CONTROL(tenant)),
		RULE_MUST(CREATED_MS, tally_read_ms, CONTROL(created_ms)),
		RULE_MUST(DEADLINE_MS, tally_read_ms, CONTROL(deadline_ms)),
		RULE_MAY(RUN, tally_read_span, FIELD(run)),
		RULE_MAY(ATTEMPT, tally_read_u32, CONTROL(attempt)),
	};
#undef CONTROL
#undef FIELD
	return tally_rules_read(rules, sizeof rules / sizeof *rules, headers, n, fields, err);
}

/* Run and attempt are those of a start, and say nothing in a cancellation. */
static tally_status
read_kind(struct control_fields *fields, struct tally_error *err)
{
	struct tally_control *control = &fields->control;
	const struct tally_span *run = &fields->run;

	if (run->at && !tally_read_run(run->at, run->len, &control->run))
		return tally_header_fail(err, TALLY_HEADER_RUN, "is not valid");
	if (tally_span_equals(fields->event.type, TALLY_TYPE_CANCEL)) {
		control->kind = TALLY_CONTROL_CANCEL;
		control->run = 0;
		control->attempt = 0;
		return TALLY_OK;
	}
	if (!tally_span_equals(fields->event.type, TALLY_TYPE_STARTED))
		return tally_header_fail(err, TALLY_HEADER_CE_TYPE, "is not of a control message");
	control->kind = TALLY_CONTROL_STARTED;
	if (!run->at)
		return tally_header_fail(err, TALLY_HEADER_RUN, "is missing");
	return TALLY_OK;
}

tally_status
tally_control_read(const void *key, size_t key_len, const struct tally_header *headers, size_t n,
		   struct tally_control *out_control, struct tally_error *err)
{
	struct control_fields fields = { 0 };
	struct tally_control *control = &fields.control;
	struct tally_job_id_parts parts;
	char id[EVENT_ID_MAX];
	tally_status status = read_key(key, key_len, &control->id, &parts, err);

	if (status == TALLY_OK)
		status = read_control_rules(headers, n, &fields, err);
	if (status == TALLY_OK)
		status = read_kind(&fields, err);
	if (status != TALLY_OK)
		return status;
	format_control_id(control, id);
	status = check_event(&fields.event, &control->id, id, err);
	if (status == TALLY_OK)
		status = check_created(control->created_ms, &parts, err);
	if (status == TALLY_OK)
		*out_control = *control;
	return status;
}
