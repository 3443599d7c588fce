#include <tally/message.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[] = { "succeeded", "failed", "cancelled" };

const char *
tally_state_name(enum tally_state state)
{
	return state_names[state];
}

/* ---- write ------------------------------------------------------------------- */

static const char *
store(struct tally_headers *headers, const char *text, size_t len)
{
	char *at = headers->storage + headers->used;

	if (len >= sizeof headers->storage - headers->used) {
		headers->is_full = true;
		return NULL;
	}
	memcpy(at, text, len);
	at[len] = '\0';
	headers->used += len + 1;
	return at;
}

void
tally_headers_add(struct tally_headers *headers, const char *name, const char *value)
{
	size_t len = strlen(value);
	const char *own_name = store(headers, name, strlen(name));
	const char *own_value = store(headers, value, len);

	if (headers->n == TALLY_HEADERS_MAX || headers->is_full) {
		headers->is_full = true;
		return;
	}
	headers->items[headers->n++] = (struct tally_header){ own_name, own_value, len };
}

static void
add_number(struct tally_headers *headers, const char *name, int64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRId64, number);
	tally_headers_add(headers, name, text);
}

static void
start(struct tally_headers *headers)
{
	headers->n = 0;
	headers->used = 0;
	headers->is_full = false;
}

static tally_status
finish(const struct tally_headers *headers)
{
	return headers->is_full ? TALLY_TOO_LARGE : TALLY_OK;
}

tally_status
tally_sync_request_write(const struct tally_sync_request *request,
			 struct tally_headers *out_headers)
{
	char id[TALLY_REQUEST_ID_HEX + 1];

	start(out_headers);
	tally_request_id_format(&request->id, id);
	tally_headers_add(out_headers, TALLY_HEADER_ID, id);
	add_number(out_headers, TALLY_HEADER_REPLY_PARTITION, request->reply_partition);
	add_number(out_headers, TALLY_HEADER_BUDGET_MS, request->budget_ms);
	tally_headers_add(out_headers, TALLY_HEADER_TENANT, request->tenant);
	if (request->no_cache)
		tally_headers_add(out_headers, TALLY_HEADER_NO_CACHE, "1");
	tally_headers_add(out_headers, TALLY_HEADER_TRACEPARENT, request->trace.text);
	return finish(out_headers);
}

tally_status
tally_sync_reply_write(const struct tally_sync_reply *reply, struct tally_headers *out_headers)
{
	char text[sizeof TALLY_HEADER_AS_OF + TALLY_SOURCE_NAME_MAX];

	start(out_headers);
	tally_headers_add(out_headers, TALLY_HEADER_STATE, state_names[reply->state]);
	(void)snprintf(text, sizeof text, "%016" PRIx64, reply->run);
	tally_headers_add(out_headers, TALLY_HEADER_RUN, text);
	if (reply->state == TALLY_FAILED)
		tally_headers_add(out_headers, TALLY_HEADER_ERROR_CODE,
				  tally_status_code(reply->error_code));
	for (size_t i = 0; i < reply->n_as_of; i++) {
		(void)snprintf(text, sizeof text, TALLY_HEADER_AS_OF "%s", reply->as_of[i].source);
		add_number(out_headers, text, reply->as_of[i].at_ms);
	}
	if (reply->timing[0])
		tally_headers_add(out_headers, TALLY_HEADER_TIMING, reply->timing);
	return finish(out_headers);
}

/* ---- read -------------------------------------------------------------------- */

/* How one header is read into a struct of ours; false: wrong. */
typedef bool read_fn(const char *text, size_t len, void *field);

/* Rows: a header, where it goes, and whether it must be there. */
struct rule {
	const char *name;
	read_fn *read;
	size_t offset;
	bool is_required;
};

static bool
read_number(const char *text, size_t len, int64_t max, int64_t *out_number)
{
	int64_t number = 0;

	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (text[i] - '0');
	}
	*out_number = number;
	return number <= max;
}

static bool
read_request_id(const char *text, size_t len, void *field)
{
	return tally_request_id_parse(text, len, field);
}

static bool
read_partition(const char *text, size_t len, void *field)
{
	int64_t number;

	if (!read_number(text, len, TALLY_PARTITION_MAX, &number))
		return false;
	*(int32_t *)field = (int32_t)number;
	return true;
}

static bool
read_budget(const char *text, size_t len, void *field)
{
	int64_t number;

	if (!read_number(text, len, TALLY_BUDGET_MAX_MS, &number) || number == 0)
		return false;
	*(uint32_t *)field = (uint32_t)number;
	return true;
}

static bool
read_tenant(const char *text, size_t len, void *field)
{
	if (!tally_tenant_is_valid(text, len))
		return false;
	memcpy(field, text, len);
	((char *)field)[len] = '\0';
	return true;
}

static bool
read_flag(const char *text, size_t len, void *field)
{
	*(bool *)field = true;
	return len == 1 && text[0] == '1';
}

static bool
read_trace(const char *text, size_t len, void *field)
{
	return tally_trace_parse(text, len, field);
}

static bool
read_state(const char *text, size_t len, void *field)
{
	for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++) {
		if (strlen(state_names[i]) == len && memcmp(state_names[i], text, len) == 0) {
			*(enum tally_state *)field = (enum tally_state)i;
			return true;
		}
	}
	return false;
}

static bool
read_run(const char *text, size_t len, void *field)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t run = 0;

	if (len != 16)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *at = text[i] ? strchr(digits, text[i]) : NULL;

		if (!at)
			return false;
		run = run << 4 | (uint64_t)(at - digits);
	}
	*(uint64_t *)field = run;
	return true;
}

static bool
read_code(const char *text, size_t len, void *field)
{
	return tally_status_parse(text, len, field);
}

static bool
read_timing(const char *text, size_t len, void *field)
{
	if (len > TALLY_TIMING_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	}
	memcpy(field, text, len);
	((char *)field)[len] = '\0';
	return true;
}

/* Applies the rule of one header; seen has a bit for each rule. */
static tally_status
read_header(const struct rule *rules, size_t n_rules, const struct tally_header *header, void *out,
	    uint64_t *seen, struct tally_error *err)
{
	for (size_t i = 0; i < n_rules; i++) {
		if (strcmp(rules[i].name, header->name) != 0)
			continue;
		if (*seen >> i & 1)
			return tally_fail(err, TALLY_BAD_REQUEST, "header %s comes twice",
					  rules[i].name);
		*seen |= UINT64_C(1) << i;
		if (!header->value
		    || !rules[i].read(header->value, header->len, (char *)out + rules[i].offset))
			return tally_fail(err, TALLY_BAD_REQUEST, "header %s is not valid",
					  rules[i].name);
		return TALLY_OK;
	}
	return TALLY_OK;
}

static tally_status
read_headers(const struct rule *rules, size_t n_rules, const struct tally_header *headers, size_t n,
	     void *out, struct tally_error *err)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < n; i++) {
		tally_status status = read_header(rules, n_rules, &headers[i], out, &seen, err);

		if (status != TALLY_OK)
			return status;
	}
	for (size_t i = 0; i < n_rules; i++) {
		if (rules[i].is_required && !(seen >> i & 1))
			return tally_fail(err, TALLY_BAD_REQUEST, "header %s is missing",
					  rules[i].name);
	}
	return TALLY_OK;
}

tally_status
tally_sync_request_read(const struct tally_header *headers, size_t n,
			struct tally_sync_request *out_request, struct tally_error *err)
{
#define FIELD(name) offsetof(struct tally_sync_request, name)
	static const struct rule rules[] = {
		{ TALLY_HEADER_ID,              read_request_id, FIELD(id),              true  },
		{ TALLY_HEADER_REPLY_PARTITION, read_partition,  FIELD(reply_partition), true  },
		{ TALLY_HEADER_BUDGET_MS,       read_budget,     FIELD(budget_ms),       true  },
		{ TALLY_HEADER_TENANT,          read_tenant,     FIELD(tenant),          true  },
		{ TALLY_HEADER_NO_CACHE,        read_flag,       FIELD(no_cache),        false },
		{ TALLY_HEADER_TRACEPARENT,     read_trace,      FIELD(trace),           false },
	};
#undef FIELD
	struct tally_sync_request request = { 0 };
	tally_status status;

	status = read_headers(rules, sizeof rules / sizeof *rules, headers, n, &request, err);
	if (status == TALLY_OK)
		*out_request = request;
	return status;
}

static bool
has_source(const struct tally_sync_reply *reply, const char *source)
{
	for (size_t i = 0; i < reply->n_as_of; i++) {
		if (strcmp(reply->as_of[i].source, source) == 0)
			return true;
	}
	return false;
}

static tally_status
read_as_of(const struct tally_header *header, struct tally_sync_reply *reply,
	   struct tally_error *err)
{
	const char *source = header->name + strlen(TALLY_HEADER_AS_OF);
	struct tally_as_of *as_of = &reply->as_of[reply->n_as_of];

	if (reply->n_as_of == TALLY_SOURCES_MAX || !source[0]
	    || strlen(source) > TALLY_SOURCE_NAME_MAX || has_source(reply, source) || !header->value
	    || !read_number(header->value, header->len, INT64_MAX, &as_of->at_ms))
		return tally_fail(err, TALLY_BAD_REQUEST, "header %s is not valid",
				  TALLY_HEADER_AS_OF);
	(void)snprintf(as_of->source, sizeof as_of->source, "%s", source);
	reply->n_as_of++;
	return TALLY_OK;
}

tally_status
tally_sync_reply_read(const void *key, size_t key_len, const struct tally_header *headers, size_t n,
		      struct tally_sync_reply *out_reply, struct tally_error *err)
{
#define FIELD(name) offsetof(struct tally_sync_reply, name)
	static const struct rule rules[] = {
		{ TALLY_HEADER_STATE,      read_state,  FIELD(state),      true  },
		{ TALLY_HEADER_RUN,        read_run,    FIELD(run),        true  },
		{ TALLY_HEADER_ERROR_CODE, read_code,   FIELD(error_code), false },
		{ TALLY_HEADER_TIMING,     read_timing, FIELD(timing),     false },
	};
#undef FIELD
	struct tally_sync_reply reply = { 0 };
	tally_status status;

	if (!key || !tally_request_id_parse(key, key_len, &reply.id))
		return tally_fail(err, TALLY_BAD_REQUEST, "the key is not a request id");
	status = read_headers(rules, sizeof rules / sizeof *rules, headers, n, &reply, err);
	for (size_t i = 0; i < n && status == TALLY_OK; i++) {
		if (strncmp(headers[i].name, TALLY_HEADER_AS_OF, strlen(TALLY_HEADER_AS_OF)) == 0)
			status = read_as_of(&headers[i], &reply, err);
	}
	if (status == TALLY_OK && (reply.state == TALLY_FAILED) != (reply.error_code != TALLY_OK))
		status = tally_fail(err, TALLY_BAD_REQUEST, "header %s does not fit the state",
				    TALLY_HEADER_ERROR_CODE);
	if (status == TALLY_OK)
		*out_reply = reply;
	return status;
}
