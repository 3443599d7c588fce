#include "worker/answer.h"

#include <stdlib.h>

#define DOCUMENT_MAX 2048 /* of an error: its texts are bounded */

struct answer *
answer_new(struct answer_store *store)
{
	struct answer *answer = calloc(1, sizeof *answer);

	if (!answer)
		return NULL;
	answer->store = store;
	atomic_init(&answer->n_owners, 1);
	return answer;
}

struct answer *
answer_of_error(struct answer_store *store, const struct tally_error *error)
{
	struct answer *answer = answer_new(store);
	char *body = malloc(DOCUMENT_MAX);
	size_t len;

	if (!answer) {
		free(body);
		return NULL;
	}
	answer->status = error->status;
	if (body && tally_error_encode(error, body, DOCUMENT_MAX, &len) == TALLY_OK)
		answer_set_body(answer, body, len);
	else
		free(body);
	return answer;
}

void
answer_set_body(struct answer *answer, char *body, size_t len)
{
	answer->body = body;
	answer->len = len;
	atomic_fetch_add(&answer->store->held_bytes, len);
}

struct answer *
answer_share(struct answer *answer)
{
	atomic_fetch_add(&answer->n_owners, 1);
	return answer;
}

void
answer_release(struct answer *answer)
{
	if (!answer || atomic_fetch_sub(&answer->n_owners, 1) > 1)
		return;
	struct answer_store *store = answer->store;
	atomic_fetch_sub(&store->held_bytes, answer->len);
	free(answer->body);
	free(answer);
	store->on_release(store->ctx);
}
