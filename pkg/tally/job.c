#include <tally/job.h>

#include <string.h>

#include <tally/rules.h>

#define FOREIGN_TENANT "default"

/* ---- the partition of a foreign job ------------------------------------------ */

static uint32_t
little_endian(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16
	       | (uint32_t)bytes[3] << 24;
}

/* MurmurHash2 (Austin Appleby, public domain) with the seed of Kafka's clients:
 * org.apache.kafka.common.utils.Utils.murmur2, and rd_murmur2 of librdkafka. */
static uint32_t
murmur2(const unsigned char *bytes, size_t len)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t h = 0x9747b28c ^ (uint32_t)len;

	for (; len >= 4; bytes += 4, len -= 4) {
		uint32_t k = little_endian(bytes) * m;

		k ^= k >> 24;
		h = (h * m) ^ (k * m);
	}
	if (len > 2)
		h ^= (uint32_t)bytes[2] << 16;
	if (len > 1)
		h ^= (uint32_t)bytes[1] << 8;
	if (len > 0)
		h = (h ^ bytes[0]) * m;
	h = (h ^ h >> 13) * m;
	return h ^ h >> 15;
}

int
tally_job_foreign_partition(const char *ce_source, const char *ce_id, int results_partitions)
{
	unsigned char key[TALLY_EVENT_SOURCE_MAX + 1 + TALLY_EVENT_ID_MAX];
	size_t source_len = strnlen(ce_source, TALLY_EVENT_SOURCE_MAX);
	size_t id_len = strnlen(ce_id, TALLY_EVENT_ID_MAX);

	memcpy(key, ce_source, source_len);
	key[source_len] = 0;
	memcpy(key + source_len + 1, ce_id, id_len);
	/* Without the sign, as Utils.toPositive. */
	return (int)((murmur2(key, source_len + 1 + id_len) & 0x7fffffff)
		     % (uint32_t)results_partitions);
}

/* ---- write ------------------------------------------------------------------- */

/* Whether our own id says what the request says. */
static bool
agrees_with_id(const struct tally_job_request *request)
{
	struct tally_job_id_parts parts;
	struct tally_job_id id;

	return tally_job_id_parse(request->id.text, strlen(request->id.text), &id, &parts)
		   == TALLY_OK
	       && !parts.is_foreign && parts.partition == request->reply_partition
	       && parts.created_ms == request->created_ms;
}

static void
add_idempotency(struct tally_headers *headers, const struct tally_job_request *request)
{
	if (!request->idempotency_key[0])
		return;
	tally_headers_add(headers, TALLY_HEADER_IDEMPOTENCY_KEY, request->idempotency_key);
	tally_headers_add_sha256(headers, TALLY_HEADER_BODY_HASH, request->body_hash);
}

tally_status
tally_job_request_write(const struct tally_job_request *request, struct tally_headers *out_headers)
{
	bool is_foreign = request->is_foreign;

	if (!is_foreign && !agrees_with_id(request))
		return TALLY_BAD_REQUEST;
	tally_headers_start(out_headers);
	tally_headers_add_event(out_headers,
				is_foreign ? request->event_source : TALLY_EVENT_SOURCE,
				TALLY_TYPE_REQUEST, request->created_ms);
	tally_headers_add(out_headers, TALLY_HEADER_CE_ID,
			  is_foreign ? request->event_id : request->id.text);
	if (!is_foreign)
		tally_headers_add(out_headers, TALLY_HEADER_CE_SUBJECT, request->id.text);
	if (request->reply_partition >= 0)
		tally_headers_add_number(out_headers, TALLY_HEADER_REPLY_PARTITION,
					 request->reply_partition);
	if (request->deadline_ms > 0)
		tally_headers_add_number(out_headers, TALLY_HEADER_DEADLINE_MS,
					 request->deadline_ms);
	if (request->budget_ms > 0)
		tally_headers_add_number(out_headers, TALLY_HEADER_BUDGET_MS, request->budget_ms);
	if (request->tenant[0])
		tally_headers_add(out_headers, TALLY_HEADER_TENANT, request->tenant);
	if (request->no_cache)
		tally_headers_add(out_headers, TALLY_HEADER_NO_CACHE, "1");
	if (!is_foreign)
		add_idempotency(out_headers, request);
	if (request->trace.text[0])
		tally_headers_add(out_headers, TALLY_HEADER_TRACEPARENT, request->trace.text);
	return tally_headers_finish(out_headers);
}

/* ---- read -------------------------------------------------------------------- */

/* A request as its headers tell it, before they are judged together. */
struct fields {
	struct tally_job_request request;
	struct tally_span type;
	struct tally_span subject;
	struct tally_span body_hash;
	int64_t time_ms; /* of ce_time; -1: absent */
};

static bool
read_event_id(const char *text, size_t len, void *field)
{
	return tally_read_text(text, len, TALLY_EVENT_ID_MAX, field);
}

static bool
read_event_source(const char *text, size_t len, void *field)
{
	return tally_read_text(text, len, TALLY_EVENT_SOURCE_MAX, field);
}

static bool
read_key(const char *text, size_t len, void *field)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	}
	return tally_read_text(text, len, TALLY_IDEMPOTENCY_KEY_MAX, field);
}

static tally_status
read_fields(const struct tally_header *headers, size_t n, struct fields *fields,
	    struct tally_error *err)
{
#define REQUEST(name) offsetof(struct fields, request.name)
#define FIELD(name)   offsetof(struct fields, name)
	static const struct tally_rule rules[] = {
		RULE_MUST(CE_SPECVERSION, tally_read_specversion, 0),
		RULE_MUST(CE_ID, read_event_id, REQUEST(event_id)),
		RULE_MUST(CE_SOURCE, read_event_source, REQUEST(event_source)),
		RULE_MUST(CE_TYPE, tally_read_span, FIELD(type)),
		RULE_MAY(CE_TIME, tally_read_time, FIELD(time_ms)),
		RULE_MAY(CE_SUBJECT, tally_read_span, FIELD(subject)),
		RULE_MAY(CONTENT_TYPE, tally_read_content_type, 0),
		RULE_MAY(REPLY_PARTITION, tally_read_partition, REQUEST(reply_partition)),
		RULE_MAY(DEADLINE_MS, tally_read_ms, REQUEST(deadline_ms)),
		RULE_MAY(BUDGET_MS, tally_read_budget, REQUEST(budget_ms)),
		RULE_MAY(TENANT, tally_read_tenant, REQUEST(tenant)),
		RULE_MAY(NO_CACHE, tally_read_flag, REQUEST(no_cache)),
		RULE_MAY(IDEMPOTENCY_KEY, read_key, REQUEST(idempotency_key)),
		RULE_MAY(BODY_HASH, tally_read_span, FIELD(body_hash)),
		RULE_MAY(TRACEPARENT, tally_read_trace, REQUEST(trace)),
	};
#undef REQUEST
#undef FIELD
	struct tally_job_request *request = &fields->request;
	tally_status status =
	    tally_rules_read(rules, sizeof rules / sizeof *rules, headers, n, fields, err);

	if (status != TALLY_OK)
		return status;
	if (!tally_span_equals(fields->type, TALLY_TYPE_REQUEST))
		return tally_header_fail(err, TALLY_HEADER_CE_TYPE, "is not " TALLY_TYPE_REQUEST);
	if (fields->body_hash.at
	    && !tally_read_sha256(fields->body_hash.at, fields->body_hash.len, request->body_hash))
		return tally_header_fail(err, TALLY_HEADER_BODY_HASH, "is not valid");
	if (!fields->body_hash.at != !request->idempotency_key[0])
		return tally_header_fail(err, TALLY_HEADER_BODY_HASH,
					 "goes with " TALLY_HEADER_IDEMPOTENCY_KEY);
	return TALLY_OK;
}

/* The first header that a request of ours must have and has not; NULL: all are there. */
static const char *
missing_of_ours(const struct fields *fields)
{
	const struct tally_job_request *request = &fields->request;

	if (!fields->subject.at)
		return TALLY_HEADER_CE_SUBJECT;
	if (fields->time_ms < 0)
		return TALLY_HEADER_CE_TIME;
	if (request->reply_partition < 0)
		return TALLY_HEADER_REPLY_PARTITION;
	if (request->deadline_ms == 0)
		return TALLY_HEADER_DEADLINE_MS;
	if (request->budget_ms == 0)
		return TALLY_HEADER_BUDGET_MS;
	return request->tenant[0] ? NULL : TALLY_HEADER_TENANT;
}

static tally_status
finish_ours(struct fields *fields, struct tally_error *err)
{
	struct tally_job_request *request = &fields->request;
	const char *missing = missing_of_ours(fields);
	struct tally_job_id_parts parts;

	if (missing)
		return tally_header_fail(err, missing, "is missing");
	if (tally_job_id_parse(request->event_id, strlen(request->event_id), &request->id, &parts)
		!= TALLY_OK
	    || parts.is_foreign)
		return tally_header_fail(err, TALLY_HEADER_CE_ID, "is not a job id of ours");
	if (!tally_span_equals(fields->subject, request->id.text))
		return tally_header_fail(err, TALLY_HEADER_CE_SUBJECT, "is not the job id");
	if (parts.partition != request->reply_partition)
		return tally_header_fail(err, TALLY_HEADER_REPLY_PARTITION,
					 "does not agree with the job id");
	if (parts.created_ms != fields->time_ms)
		return tally_header_fail(err, TALLY_HEADER_CE_TIME,
					 "does not agree with the job id");
	request->created_ms = parts.created_ms;
	return TALLY_OK;
}

/* Deadline and budget are two ways to say the same; either may be there, or none. */
static void
complete_deadline(struct tally_job_request *request, int64_t stamp_ms)
{
	int64_t left;

	if (request->deadline_ms == 0)
		request->deadline_ms =
		    stamp_ms + (request->budget_ms ? request->budget_ms : TALLY_JOB_DEADLINE_MS);
	if (request->budget_ms > 0)
		return;
	left = request->deadline_ms - stamp_ms;
	if (left > TALLY_JOB_DEADLINE_MAX_MS)
		left = TALLY_JOB_DEADLINE_MAX_MS; /* refused in a moment */
	request->budget_ms = left < 1 ? 1 : (uint32_t)left;
}

static tally_status
finish_foreign(struct fields *fields, const struct tally_job_context *context,
	       struct tally_error *err)
{
	struct tally_job_request *request = &fields->request;

	request->is_foreign = true;
	request->created_ms = context->stamp_ms;
	/* Keys belong to HTTP; ce_source and ce_id do the same here. */
	request->idempotency_key[0] = '\0';
	memset(request->body_hash, 0, sizeof request->body_hash);
	if (!request->tenant[0])
		memcpy(request->tenant, FOREIGN_TENANT, sizeof FOREIGN_TENANT);
	if (request->reply_partition < 0)
		request->reply_partition = tally_job_foreign_partition(
		    request->event_source, request->event_id, context->results_partitions);
	complete_deadline(request, context->stamp_ms);
	if (tally_job_id_foreign(request->tenant, request->event_source, request->event_id,
				 &request->id)
	    != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "no memory for a job id");
	return TALLY_OK;
}

tally_status
tally_job_request_read(const struct tally_header *headers, size_t n,
		       const struct tally_job_context *context,
		       struct tally_job_request *out_request, struct tally_error *err)
{
	struct fields fields = { .request = { .reply_partition = -1 }, .time_ms = -1 };
	struct tally_job_request *request = &fields.request;
	tally_status status = read_fields(headers, n, &fields, err);

	if (status != TALLY_OK)
		return status;
	status = strcmp(request->event_source, TALLY_EVENT_SOURCE) == 0
		     ? finish_ours(&fields, err)
		     : finish_foreign(&fields, context, err);
	if (status != TALLY_OK)
		return status;
	if (request->reply_partition >= context->results_partitions)
		return tally_header_fail(err, TALLY_HEADER_REPLY_PARTITION, "does not exist");
	if (request->deadline_ms - request->created_ms > TALLY_JOB_DEADLINE_MAX_MS)
		return tally_header_fail(err, TALLY_HEADER_DEADLINE_MS, "is too late");
	if (!request->trace.text[0] && tally_trace_make(&request->trace) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness for a trace");
	*out_request = *request;
	return TALLY_OK;
}
