#define HASH_NONFATAL_OOM 1
#include "jobs/projection_inner.h"

#include <string.h>

#include <tally/request.h>

#include "base/own.h"

OWN_DEFINE(tally_request);

/* What tally_request_encode writes before the parameters, and before the labels. */
#define BEFORE_PARAMS "{\"dataset\":\"\",\"params\":"
#define BEFORE_LABELS BEFORE_PARAMS "{},\"labels\":"

/* A value inside the limit may need more when it is written again: a number of three characters
 * takes up to 24. */
#define ENCODED_MAX (4 * TALLY_MAX_REQUEST_BYTES)

/* Keeps the JSON object that the view encodes to after before, without the last brace. */
static bool
keep_object(const struct projecting *on, const struct tally_request_view *view, const char *before,
	    struct projection_text *out_text)
{
	struct buf *texts = &on->projection->texts;
	size_t skipped = strlen(before);
	size_t at = texts->len;
	size_t len;

	if (buf_reserve(texts, ENCODED_MAX) != TALLY_OK)
		return false;
	/* Past 64 KiB it is no request any more, but still written. */
	if (tally_request_encode(view, texts->data + at, ENCODED_MAX, &len) == TALLY_TOO_LARGE
	    || len > ENCODED_MAX)
		return false;
	*out_text = (struct projection_text){ at + skipped, len - skipped - 1, true };
	texts->len = at + len;
	return true;
}

static bool
keep_view(const struct projecting *on, const struct tally_request_view *view,
	  struct projection_change *change)
{
	struct tally_request_view params = *view;
	struct tally_request_view labels = *view;

	params.dataset = labels.dataset = "";
	params.format = labels.format = NULL;
	params.n_labels = 0;
	labels.n_params = 0;
	return projection_keep(on, view->dataset, strlen(view->dataset), &change->dataset)
	       && keep_object(on, &params, BEFORE_PARAMS, &change->params)
	       && (!view->format
		   || projection_keep(on, view->format, strlen(view->format), &change->format))
	       && (view->n_labels == 0 || keep_object(on, &labels, BEFORE_LABELS, &change->labels));
}

/* ---- idempotency keys -------------------------------------------------------- */

/* A worker takes any key of a message; what goes into the key table is a fingerprint. */
static bool
is_fingerprint(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!strchr("0123456789abcdef", text[i]) || !text[i])
			return false;
	}
	return text && len == 32;
}

/* The batch's entry of a key; name is filled with zeros behind its texts. */
static struct projection_key *
find_key(const struct projecting *on, const struct tally_job_request *request,
	 struct projection_key *out_name)
{
	struct projection_key *found;

	memset(&out_name->name, 0, sizeof out_name->name);
	memcpy(out_name->name.tenant, request->tenant, strlen(request->tenant));
	memcpy(out_name->name.key, request->idempotency_key, strlen(request->idempotency_key));
	HASH_FIND(hh, on->projection->by_key, &out_name->name, sizeof out_name->name, found);
	return found;
}

/* Whether another request of the batch has the same key: the table decides between them, one after
 * the other. */
static bool
has_rival(const struct projecting *on, const struct tally_job_request *request)
{
	struct projection_key name;
	const struct projection_key *found = find_key(on, request, &name);

	return found && strcmp(found->change->id.text, request->id.text) != 0;
}

static bool
add_key(const struct projecting *on, const struct tally_job_request *request,
	const struct projection_change *change)
{
	const struct projection_message *message = on->message;
	struct projection *projection = on->projection;
	struct projection_key *key = &projection->keys[projection->n_keys];

	if (find_key(on, request, key))
		return true;
	key->change = change;
	memcpy(key->body_hash, request->body_hash, sizeof key->body_hash);
	key->fingerprint = message->key;
	key->fingerprint_len = message->key_len;
	key->trace = request->trace;
	key->no_cache = request->no_cache;
	key->deadline_ms = request->deadline_ms;
	key->request = message->value;
	key->request_len = message->value_len;
	HASH_ADD(hh, projection->by_key, name, sizeof key->name, key);
	if (!key->hh.tbl)
		return false;
	projection->n_keys++;
	return true;
}

/* ---- the request half -------------------------------------------------------- */

static bool
fill(const struct projecting *on, const struct tally_job_request *request,
     const struct tally_request_view *view, struct projection_change *change)
{
	if (!keep_view(on, view, change))
		return false;
	if (request->idempotency_key[0] && !add_key(on, request, change))
		return false;
	memcpy(change->tenant, request->tenant, sizeof change->tenant);
	change->deadline_ms = request->deadline_ms;
	if (!job_state_is_final(change->state))
		change->partition = request->reply_partition;
	change->has_request = true;
	return true;
}

static enum projection_outcome
project(const struct projecting *on, const struct tally_job_request *request)
{
	const struct projection_owner owner = { &request->id, request->tenant, request->created_ms,
						request->deadline_ms };
	const struct projection_message *message = on->message;
	OWN(tally_request) value = NULL;
	struct projection_change *change;
	enum projection_outcome outcome = projection_check(on, &owner);

	if (outcome != PROJECTION_DONE)
		return outcome;
	if (request->idempotency_key[0] && !is_fingerprint(message->key, message->key_len))
		return projection_refuse(on, "the key is not a fingerprint");
	switch (tally_request_decode(message->value, message->value_len, &value, on->err)) {
	case TALLY_OK:
		break;
	case TALLY_NO_MEMORY:
		return PROJECTION_NO_MEMORY;
	default:
		return PROJECTION_REFUSED;
	}
	if (request->idempotency_key[0] && has_rival(on, request))
		return PROJECTION_FLUSH;
	outcome = projection_change_of(on, &owner, &change);
	if (outcome != PROJECTION_DONE || change->has_request)
		return outcome;
	return fill(on, request, tally_request_view(value), change) ? PROJECTION_DONE
								    : PROJECTION_NO_MEMORY;
}

enum projection_outcome
projection_add_request(const struct projecting *on)
{
	const struct projection_message *message = on->message;
	const struct tally_job_context context = { message->stamp_ms,
						   on->rules->results_partitions };
	struct tally_job_request request;

	if (tally_job_request_read(message->headers, message->n_headers, &context, &request,
				   on->err)
	    != TALLY_OK)
		return PROJECTION_REFUSED;
	return project(on, &request);
}
