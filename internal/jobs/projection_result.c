#include "jobs/projection_inner.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"

/* ---- texts ------------------------------------------------------------------- */

/* A source's name comes from a header's name, which may be anything; in a dataset file it is a
 * word.  Others are left out. */
static bool
is_word(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";

	return text[0] && strspn(text, allowed) == strlen(text);
}

static bool
keep_as_of(const struct projecting *on, const struct tally_job_result *result,
	   struct projection_text *out_text)
{
	struct buf *texts = &on->projection->texts;
	size_t at = texts->len;
	tally_status status = buf_puts(texts, "{");

	for (size_t i = 0; i < result->n_as_of && status == TALLY_OK; i++) {
		const struct tally_as_of *as_of = &result->as_of[i];

		if (is_word(as_of->source))
			status =
			    buf_printf(texts, "%s\"%s\":%" PRId64, texts->len > at + 1 ? "," : "",
				       as_of->source, as_of->at_ms);
	}
	if (status == TALLY_OK)
		status = buf_puts(texts, "}");
	*out_text = (struct projection_text){ at, texts->len - at, true };
	return status == TALLY_OK;
}

/* The error document of a job that failed; one of our own making when the value is none. */
static bool
keep_error(const struct projecting *on, const struct tally_job_result *result,
	   struct projection_text *out_text)
{
	const struct projection_message *message = on->message;
	struct tally_error error = { .status = result->error_code };
	char document[2048];
	size_t len;

	if (message->value && message->value_len <= JOB_ERROR_BYTES
	    && utf8_valid(message->value, message->value_len, NULL)
	    && tally_error_decode(message->value, message->value_len, &error) == TALLY_OK)
		return projection_keep(on, message->value, message->value_len, out_text);
	error = (struct tally_error){ .status = result->error_code };
	return tally_error_encode(&error, document, sizeof document, &len) == TALLY_OK
	       && projection_keep(on, document, len, out_text);
}

/* ---- the result half --------------------------------------------------------- */

static void
add_body(const struct projecting *on, const struct tally_job_result *result,
	 const struct projection_change *change)
{
	on->projection->bodies[on->projection->n_bodies++] = (struct projection_body){
		.change = change,
		.run = result->run,
		.part = result->part > 0 ? result->part : 1,
		.data = on->message->value ? on->message->value : "",
		.len = on->message->value_len,
	};
}

static bool
keep_texts(const struct projecting *on, const struct tally_job_result *result,
	   struct projection_change *change)
{
	if (!change->has_request && result->dataset[0]
	    && !projection_keep(on, result->dataset, strlen(result->dataset), &change->dataset))
		return false;
	if (result->n_as_of > 0 && !keep_as_of(on, result, &change->as_of))
		return false;
	return result->state == TALLY_SUCCEEDED || keep_error(on, result, &change->error);
}

static enum projection_outcome
finish(const struct projecting *on, const struct tally_job_result *result,
       struct projection_change *change)
{
	static const enum job_state states[] = {
		[TALLY_SUCCEEDED] = JOB_SUCCEEDED,
		[TALLY_FAILED] = JOB_FAILED,
		[TALLY_STATE_CANCELLED] = JOB_CANCELLED,
	};

	if (!keep_texts(on, result, change))
		return PROJECTION_NO_MEMORY;
	change->state = states[result->state];
	change->attempt = result->attempt;
	change->started_ms = result->started_ms;
	change->finished_ms = on->message->stamp_ms;
	change->run = result->run;
	change->partition = on->message->partition;
	change->offset = on->message->offset;
	if (!change->has_request)
		change->deadline_ms = result->deadline_ms;
	if (result->state != TALLY_SUCCEEDED)
		return PROJECTION_DONE;
	change->n_rows = result->rows;
	change->n_parts = result->part > 0 ? result->part : 1;
	change->n_bytes = change->n_parts > 1 ? 0 : on->message->value_len;
	change->has_sha256 = result->has_sha256;
	memcpy(change->sha256, result->sha256, sizeof change->sha256);
	add_body(on, result, change);
	return PROJECTION_DONE;
}

enum projection_outcome
projection_add_result(const struct projecting *on)
{
	const struct projection_message *message = on->message;
	struct tally_job_result result;
	struct projection_owner owner;
	struct projection_change *change;
	enum projection_outcome outcome;

	if (tally_job_result_read(message->key, message->key_len, message->headers,
				  message->n_headers, &result, on->err)
	    != TALLY_OK)
		return PROJECTION_REFUSED;
	owner = (struct projection_owner){ &result.id, result.tenant, result.created_ms,
					   result.deadline_ms };
	outcome = projection_check(on, &owner);
	if (outcome == PROJECTION_DONE && on->projection->n_bodies == PROJECTION_MAX)
		outcome = PROJECTION_FLUSH;
	if (outcome == PROJECTION_DONE)
		outcome = projection_change_of(on, &owner, &change);
	if (outcome != PROJECTION_DONE)
		return outcome;
	if (job_state_is_final(change->state)) {
		/* Whether a result in parts is one, only the store can tell. */
		return change->n_parts > 1 ? PROJECTION_FLUSH : PROJECTION_DONE;
	}
	change->has_results = true;
	if (tally_job_result_is_last(&result))
		return finish(on, &result, change);
	add_body(on, &result, change);
	return PROJECTION_DONE;
}

/* ---- control ----------------------------------------------------------------- */

enum projection_outcome
projection_add_control(const struct projecting *on)
{
	const struct projection_message *message = on->message;
	struct projection_owner owner;
	struct projection_change *change;
	struct tally_control control;
	enum projection_outcome outcome;

	if (tally_control_read(message->key, message->key_len, message->headers, message->n_headers,
			       &control, on->err)
	    != TALLY_OK)
		return PROJECTION_REFUSED;
	owner = (struct projection_owner){ &control.id, control.tenant, control.created_ms,
					   control.deadline_ms };
	outcome = projection_check(on, &owner);
	/* A cancelled job gets a result, which says so. */
	if (outcome != PROJECTION_DONE || control.kind == TALLY_CONTROL_CANCEL)
		return outcome;
	outcome = projection_change_of(on, &owner, &change);
	if (outcome != PROJECTION_DONE || change->state != JOB_QUEUED)
		return outcome;
	change->state = JOB_RUNNING;
	change->attempt = control.attempt;
	change->started_ms = control.at_ms;
	return PROJECTION_DONE;
}
