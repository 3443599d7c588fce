/* message_out.h - inner: a request of the client library as a message of Kafka. */
#ifndef TALLY_MESSAGE_OUT_H
#define TALLY_MESSAGE_OUT_H

#include <stddef.h>

#include <tally/client.h>
#include <tally/message.h>

#pragma GCC visibility push(hidden)

#define TALLY_MESSAGE_KEY_HEX 32 /* as long as a fingerprint */

struct tally_message_out {
	struct tally_job_id id;
	/* Equal requests share a key; a fingerprint needs the definition of the dataset. */
	char key[TALLY_MESSAGE_KEY_HEX + 1];
	struct tally_headers headers;
	char *value; /* malloc'ed; the caller's to free */
	size_t len;
};

/* Makes the message.  job has source, tenant and partition, and gets the rest; how may be NULL.
 * TALLY_BAD_REQUEST, TALLY_INTERNAL_ERROR, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_message_out_make(struct tally_job_request *job,
						     const struct tally_request_view *request,
						     const struct tally_submission *how,
						     struct tally_message_out *out_message,
						     struct tally_error *err);

#pragma GCC visibility pop

#endif
