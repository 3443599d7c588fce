#include <tally/message.h>

#include <tally/rules.h>

static const char *const state_names[] = { "succeeded", "failed", "cancelled" };

const char *
tally_state_name(enum tally_state state)
{
	return state_names[state];
}

/* ---- write ------------------------------------------------------------------- */

tally_status
tally_sync_request_write(const struct tally_sync_request *request,
			 struct tally_headers *out_headers)
{
	char id[TALLY_REQUEST_ID_HEX + 1];

	tally_headers_start(out_headers);
	tally_request_id_format(&request->id, id);
	tally_headers_add(out_headers, TALLY_HEADER_ID, id);
	tally_headers_add_number(out_headers, TALLY_HEADER_REPLY_PARTITION,
				 request->reply_partition);
	tally_headers_add_number(out_headers, TALLY_HEADER_BUDGET_MS, request->budget_ms);
	tally_headers_add(out_headers, TALLY_HEADER_TENANT, request->tenant);
	if (request->no_cache)
		tally_headers_add(out_headers, TALLY_HEADER_NO_CACHE, "1");
	tally_headers_add(out_headers, TALLY_HEADER_TRACEPARENT, request->trace.text);
	return tally_headers_finish(out_headers);
}

tally_status
tally_sync_reply_write(const struct tally_sync_reply *reply, struct tally_headers *out_headers)
{
	tally_headers_start(out_headers);
	tally_headers_add(out_headers, TALLY_HEADER_STATE, state_names[reply->state]);
	tally_headers_add_run(out_headers, TALLY_HEADER_RUN, reply->run);
	if (reply->state == TALLY_FAILED)
		tally_headers_add(out_headers, TALLY_HEADER_ERROR_CODE,
				  tally_status_code(reply->error_code));
	tally_headers_add_as_of(out_headers, reply->as_of, reply->n_as_of);
	if (reply->timing[0])
		tally_headers_add(out_headers, TALLY_HEADER_TIMING, reply->timing);
	return tally_headers_finish(out_headers);
}

/* ---- read -------------------------------------------------------------------- */

static bool
read_request_id(const char *text, size_t len, void *field)
{
	return tally_request_id_parse(text, len, field);
}

tally_status
tally_sync_request_read(const struct tally_header *headers, size_t n,
			struct tally_sync_request *out_request, struct tally_error *err)
{
#define AT(name) offsetof(struct tally_sync_request, name)
	static const struct tally_rule rules[] = {
		RULE_MUST(ID, read_request_id, AT(id)),
		RULE_MUST(REPLY_PARTITION, tally_read_partition, AT(reply_partition)),
		RULE_MUST(BUDGET_MS, tally_read_budget, AT(budget_ms)),
		RULE_MUST(TENANT, tally_read_tenant, AT(tenant)),
		RULE_MAY(NO_CACHE, tally_read_flag, AT(no_cache)),
		RULE_MAY(TRACEPARENT, tally_read_trace, AT(trace)),
	};
#undef AT
	struct tally_sync_request request = { 0 };
	tally_status status;

	status = tally_rules_read(rules, sizeof rules / sizeof *rules, headers, n, &request, err);
	if (status == TALLY_OK)
		*out_request = request;
	return status;
}

tally_status
tally_sync_reply_read(const void *key, size_t key_len, const struct tally_header *headers, size_t n,
		      struct tally_sync_reply *out_reply, struct tally_error *err)
{
#define AT(name) offsetof(struct tally_sync_reply, name)
	static const struct tally_rule rules[] = {
		RULE_MUST(STATE, tally_read_state, AT(state)),
		RULE_MUST(RUN, tally_read_run, AT(run)),
		RULE_MAY(ERROR_CODE, tally_read_code, AT(error_code)),
		RULE_MAY(TIMING, tally_read_timing, AT(timing)),
	};
#undef AT
	struct tally_sync_reply reply = { 0 };
	tally_status status;

	if (!key || !tally_request_id_parse(key, key_len, &reply.id))
		return tally_fail(err, TALLY_BAD_REQUEST, "the key is not a request id");
	status = tally_rules_read(rules, sizeof rules / sizeof *rules, headers, n, &reply, err);
	if (status == TALLY_OK)
		status = tally_as_of_read(headers, n, reply.as_of, &reply.n_as_of, err);
	if (status == TALLY_OK && (reply.state == TALLY_FAILED) != (reply.error_code != TALLY_OK))
		status = tally_header_fail(err, TALLY_HEADER_ERROR_CODE, "does not fit the state");
	if (status == TALLY_OK)
		*out_reply = reply;
	return status;
}
