/* Idempotency keys.  Each statement changes one row and ends its transaction, so that nobody who
 * changes many of them (the recorder) can be in a deadlock with it. */
#include "base/clock.h"
#include "jobs/store_inner.h"
#include "source/pg_wire.h"

#define TRIES 3 /* a key may be deleted between the two statements of one try */

/* A key past the retention counts as free: its job is gone. */
static const char insert_sql[] =
    "INSERT INTO keys AS k (tenant, key, body_hash, id, created_ms, deadline_ms, fingerprint,"
    " trace, no_cache, request) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    " ON CONFLICT (tenant, key) DO UPDATE SET body_hash = excluded.body_hash, id = excluded.id,"
    " created_ms = excluded.created_ms, deadline_ms = excluded.deadline_ms,"
    " fingerprint = excluded.fingerprint, trace = excluded.trace, no_cache = excluded.no_cache,"
    " request = excluded.request, confirmed = false"
    " WHERE k.created_ms <= excluded.created_ms - $11"
    " RETURNING 1";

static const char select_sql[] =
    "SELECT body_hash, id, created_ms, deadline_ms, fingerprint, trace, no_cache, request,"
    " confirmed FROM keys WHERE tenant = $1 AND key = $2";

enum column {
	BODY_HASH,
	ID,
	CREATED_MS,
	DEADLINE_MS,
	FINGERPRINT,
	TRACE,
	NO_CACHE,
	REQUEST,
	CONFIRMED
};

struct claiming {
	struct question question; /* first */
	struct job_claim claim;
	job_claimed_fn *claimed;
	void *ctx;
	char request[]; /* of the claim */
};

static void
fail_claim(struct question *question, tally_status status)
{
	struct claiming *claiming = (struct claiming *)question;

	claiming->claimed(claiming->ctx, status, false, NULL);
	free(claiming);
}

/* Statuses of store_ask; *out_is_new. */
static tally_status
insert(struct asker *asker, const struct job_claim *claim, int64_t deadline_ms, bool *out_is_new)
{
	const struct job_pg_param params[] = {
		job_pg_text(claim->tenant),
		job_pg_text(claim->key),
		job_pg_bytes(claim->body_hash, sizeof claim->body_hash),
		job_pg_text(claim->id.text),
		job_pg_int8(claim->created_ms),
		job_pg_int8(claim->deadline_ms),
		job_pg_text(claim->fingerprint),
		job_pg_text(claim->trace),
		job_pg_bool(claim->no_cache),
		job_pg_bytes(claim->request, claim->request_len),
		job_pg_int8(JOB_RETENTION_MS),
	};
	const struct job_pg_query query = { .sql = insert_sql,
					    .name = "claim",
					    .params = params,
					    .n_params = sizeof params / sizeof *params,
					    .deadline_ms = deadline_ms };
	PGresult *result = NULL;
	tally_status status = store_ask(asker, &query, &result);

	if (status == TALLY_OK)
		*out_is_new = PQntuples(result) == 1;
	PQclear(result);
	return status;
}

static tally_status
look_up(struct asker *asker, const struct job_claim *claim, int64_t deadline_ms,
	PGresult **out_result)
{
	const struct job_pg_param params[] = { job_pg_text(claim->tenant),
					       job_pg_text(claim->key) };
	const struct job_pg_query query = { .sql = select_sql,
					    .name = "claimed",
					    .params = params,
					    .n_params = 2,
					    .is_binary = true,
					    .deadline_ms = deadline_ms };

	return store_ask(asker, &query, out_result);
}

static int64_t
read_number(const PGresult *result, int at)
{
	/* libpq's cells are chars; these are 8 bytes of a number. */
	return (int64_t)pg_get64((const unsigned char *)PQgetvalue(result, 0, at));
}

static void
read_text(const PGresult *result, int at, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s", PQgetvalue(result, 0, at));
}

/* The claim under asked's key; its request is the result's. */
static void
read_claim(const PGresult *result, const struct job_claim *asked, struct job_claim *out)
{
	*out = (struct job_claim){ .created_ms = read_number(result, CREATED_MS),
				   .deadline_ms = read_number(result, DEADLINE_MS),
				   .no_cache = PQgetvalue(result, 0, NO_CACHE)[0],
				   .request = PQgetvalue(result, 0, REQUEST),
				   .request_len = (size_t)PQgetlength(result, 0, REQUEST),
				   .is_confirmed = PQgetvalue(result, 0, CONFIRMED)[0] };
	memcpy(out->tenant, asked->tenant, sizeof out->tenant);
	memcpy(out->key, asked->key, sizeof out->key);
	if (PQgetlength(result, 0, BODY_HASH) == (int)sizeof out->body_hash)
		memcpy(out->body_hash, PQgetvalue(result, 0, BODY_HASH), sizeof out->body_hash);
	read_text(result, ID, out->id.text, sizeof out->id.text);
	read_text(result, FINGERPRINT, out->fingerprint, sizeof out->fingerprint);
	read_text(result, TRACE, out->trace, sizeof out->trace);
}

/* Inserts, or reads what is there; *out_result stays NULL for a claim that is new. */
static tally_status
claim_once(struct asker *asker, const struct job_claim *claim, int64_t deadline_ms,
	   bool *out_is_new, PGresult **out_result)
{
	tally_status status = insert(asker, claim, deadline_ms, out_is_new);

	if (status != TALLY_OK || *out_is_new)
		return status;
	return look_up(asker, claim, deadline_ms, out_result);
}

static void
answer_claim(const struct claiming *claiming, const PGresult *result)
{
	struct job_claim claim;

	read_claim(result, &claiming->claim, &claim);
	/* Its own: the first answer got lost, and the question was asked again. */
	claiming->claimed(
	    claiming->ctx, TALLY_OK,
	    strcmp(claim.id.text, claiming->claim.id.text) == 0 && !claim.is_confirmed, &claim);
}

static void
ask_claim(struct asker *asker, struct question **questions, size_t n, int64_t deadline_ms)
{
	struct claiming *claiming = (struct claiming *)questions[0]; /* n is 1 */
	PGresult *result = NULL;
	tally_status status = TALLY_OK;
	bool is_new = false;

	(void)n;
	for (int i = 0; i < TRIES && status == TALLY_OK && !is_new && PQntuples(result) == 0; i++) {
		PQclear(result);
		result = NULL;
		status = claim_once(asker, &claiming->claim, deadline_ms, &is_new, &result);
	}
	if (status == TALLY_OK && is_new)
		claiming->claimed(claiming->ctx, TALLY_OK, true, &claiming->claim);
	else if (status == TALLY_OK && PQntuples(result) == 1)
		answer_claim(claiming, result);
	else
		claiming->claimed(claiming->ctx,
				  status == TALLY_OK ? TALLY_JOB_STORE_UNAVAILABLE : status, false,
				  NULL);
	PQclear(result);
	free(claiming);
}

static const struct question_kind kind_claim = { 1, false, ask_claim, fail_claim };

tally_status
job_store_claim(struct job_store *store, const struct job_claim *claim, job_claimed_fn *claimed,
		void *ctx)
{
	struct claiming *claiming = calloc(1, sizeof *claiming + claim->request_len);
	tally_status status;

	if (!claiming)
		return TALLY_NO_MEMORY;
	claiming->claim = *claim;
	memcpy(claiming->request, claim->request, claim->request_len);
	claiming->claim.request = claiming->request;
	claiming->claim.is_confirmed = false;
	claiming->claimed = claimed;
	claiming->ctx = ctx;
	status = store_put(store, &claiming->question, &kind_claim);
	if (status != TALLY_OK)
		free(claiming);
	return status;
}

/* ---- confirming -------------------------------------------------------------- */

/* It need not be on disk when this returns: a note that is lost costs a harmless second message. */
static const char confirm_sql[] =
    "UPDATE keys SET confirmed = true WHERE tenant = $1 AND key = $2 AND NOT confirmed"
    " AND set_config('synchronous_commit', 'off', true) IS NOT NULL";

struct confirming {
	struct question question; /* first */
	char tenant[TALLY_TENANT_MAX + 1];
	char key[TALLY_IDEMPOTENCY_KEY_MAX + 1];
	void (*done)(void *ctx, tally_status status);
	void *ctx;
};

static void
end_confirm(struct question *question, tally_status status)
{
	struct confirming *confirming = (struct confirming *)question;

	if (confirming->done)
		confirming->done(confirming->ctx, status);
	free(confirming);
}

static void
ask_confirm(struct asker *asker, struct question **questions, size_t n, int64_t deadline_ms)
{
	const struct confirming *confirming = (const struct confirming *)questions[0];
	const struct job_pg_param params[] = { job_pg_text(confirming->tenant),
					       job_pg_text(confirming->key) };
	const struct job_pg_query query = { .sql = confirm_sql,
					    .name = "confirm",
					    .params = params,
					    .n_params = 2,
					    .deadline_ms = deadline_ms };

	(void)n; /* 1 */
	end_confirm(questions[0], store_ask(asker, &query, NULL));
}

static const struct question_kind kind_confirm = { 1, false, ask_confirm, end_confirm };

tally_status
job_store_confirm(struct job_store *store, const char *tenant, const char *key,
		  void (*done)(void *ctx, tally_status status), void *ctx)
{
	struct confirming *confirming = calloc(1, sizeof *confirming);
	tally_status status;

	if (!confirming)
		return TALLY_NO_MEMORY;
	(void)snprintf(confirming->tenant, sizeof confirming->tenant, "%s", tenant);
	(void)snprintf(confirming->key, sizeof confirming->key, "%s", key);
	confirming->done = done;
	confirming->ctx = ctx;
	status = store_put(store, &confirming->question, &kind_confirm);
	if (status != TALLY_OK)
		free(confirming);
	return status;
}
