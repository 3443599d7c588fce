#include "source/ch_session.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

#define ANSWER_MS ((long)3600 * 1000) /* the longest statement */

tally_status
ch_session_open(struct ch_session *session, const char *name, const char *url,
		struct tally_error *err)
{
	tally_status status;

	*session = (struct ch_session){ .instance = (uint64_t)clock_unix_ms() };
	status = ch_settings_init(&session->settings, name, url, CH_WRITES, err);
	if (status != TALLY_OK)
		return status;
	if (ch_exchange_init(&session->exchange, &session->settings, session) != TALLY_OK
	    || curl_easy_setopt(session->exchange.easy, CURLOPT_TIMEOUT_MS, ANSWER_MS) != CURLE_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	return TALLY_OK;
}

void
ch_session_close(struct ch_session *session)
{
	ch_exchange_fini(&session->exchange);
	ch_settings_fini(&session->settings);
}

static tally_status
perform(struct ch_session *session, struct ch_asking *asking, struct rows **out_rows,
	struct tally_error *err)
{
	struct source_outcome outcome;
	char query_id[64];
	tally_status status;

	(void)snprintf(query_id, sizeof query_id, "tally-cli-%" PRIx64 "-%" PRIu64,
		       session->instance, session->n_sent++);
	asking->settings = &session->settings;
	asking->query_id = query_id;
	asking->tells_all = true;
	status = ch_exchange_begin(&session->exchange, asking, CH_SESSION_ROW_BYTES, err);
	if (status != TALLY_OK) {
		ch_exchange_drop(&session->exchange);
		return status;
	}
	ch_exchange_end(&session->exchange, curl_easy_perform(session->exchange.easy), &outcome);
	if (outcome.status != TALLY_OK && err)
		*err = outcome.err;
	if (out_rows)
		*out_rows = outcome.rows;
	else
		rows_free(outcome.rows);
	return outcome.status;
}

tally_status
ch_session_run(struct ch_session *session, const char *where, const char *sql,
	       const struct buf *data, struct tally_error *err)
{
	const struct source_statement statement = { .sql = sql, .where = where };

	return perform(
	    session,
	    &(struct ch_asking){ .statement = &statement, .data = data, .is_command = true }, NULL,
	    err);
}

tally_status
ch_session_ask(struct ch_session *session, const char *where, const char *sql,
	       struct rows **out_rows, struct tally_error *err)
{
	const struct source_statement statement = { .sql = sql, .where = where };

	return perform(session, &(struct ch_asking){ .statement = &statement }, out_rows, err);
}
