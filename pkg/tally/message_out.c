#include <tally/message_out.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <tally/consume.h>
#include <tally/digest.h>

#define RANDOM_BYTES 16

static void
format_hex(const unsigned char *bytes, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static tally_status
choose_event_id(const struct tally_submission *how, struct tally_job_request *job,
		struct tally_error *err)
{
	unsigned char random[RANDOM_BYTES];
	size_t len = how->event_id ? strlen(how->event_id) : 0;

	if (how->event_id && (len == 0 || len > TALLY_EVENT_ID_MAX))
		return tally_fail(err, TALLY_BAD_REQUEST, "an event id has 1 to %d bytes",
				  TALLY_EVENT_ID_MAX);
	if (how->event_id)
		memcpy(job->event_id, how->event_id, len + 1);
	else if (getrandom(random, sizeof random, 0) == sizeof random)
		format_hex(random, sizeof random, job->event_id);
	else
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness for an event id");
	return TALLY_OK;
}

/* The headers, and the job's id.  They are read as a worker will, which refuses what it would. */
static tally_status
write_headers(struct tally_job_request *job, struct tally_message_out *message,
	      struct tally_error *err)
{
	const struct tally_job_context context = { job->created_ms, TALLY_PARTITION_MAX + 1 };
	struct tally_job_request read;
	tally_status status;

	if (tally_job_request_write(job, &message->headers) != TALLY_OK)
		return tally_fail(err, TALLY_BAD_REQUEST, "the headers are too long");
	status = tally_job_request_read(message->headers.items, message->headers.n, &context, &read,
					err);
	if (status == TALLY_OK)
		message->id = read.id;
	return status;
}

static tally_status
write_value(const struct tally_request_view *request, struct tally_message_out *message,
	    struct tally_error *err)
{
	unsigned char sha256[TALLY_SHA256_BYTES];
	tally_status status;

	message->value = malloc(TALLY_MAX_REQUEST_BYTES);
	if (!message->value)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status =
	    tally_request_encode(request, message->value, TALLY_MAX_REQUEST_BYTES, &message->len);
	if (status == TALLY_OK)
		status = tally_sha256(message->value, message->len, sha256);
	if (status != TALLY_OK) {
		free(message->value);
		return tally_fail(err, TALLY_BAD_REQUEST, "a request has at most %d bytes",
				  TALLY_MAX_REQUEST_BYTES);
	}
	format_hex(sha256, TALLY_MESSAGE_KEY_HEX / 2, message->key);
	return TALLY_OK;
}

tally_status
tally_message_out_make(struct tally_job_request *job, const struct tally_request_view *request,
		       const struct tally_submission *how, struct tally_message_out *out_message,
		       struct tally_error *err)
{
	static const struct tally_submission plain = { .event_id = NULL };
	tally_status status;

	how = how ? how : &plain;
	job->is_foreign = true;
	job->created_ms = tally_consume_unix_ms();
	job->budget_ms = how->budget_ms;
	job->no_cache = how->no_cache;
	if (how->trace)
		job->trace = *how->trace;
	else if (tally_trace_make(&job->trace) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no randomness for a trace");
	status = choose_event_id(how, job, err);
	if (status == TALLY_OK)
		status = write_headers(job, out_message, err);
	return status == TALLY_OK ? write_value(request, out_message, err) : status;
}
