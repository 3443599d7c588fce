/* job_document.h - a job as its caller sees it: a JSON document, and the tag of its contents.
 *
 * Of a job that the store does not have yet only id, state, final, created_at, expires_at,
 * poll_after_ms and links are known.  Of one that is recorded everything is there, null where there
 * is nothing; dataset, params and deadline are left out until the request's half is recorded.
 *
 * poll_after_ms says when to look again: a tenth of the job's age, 100 ms at least and 5 s at most;
 * 0 when the job is final and never changes again.
 *
 * The tag (ETag) is of the document without poll_after_ms, so equal documents have equal tags, and
 * whoever asks with If-None-Match is not sent a document only because it is a moment older.
 * overdue counts.  Because of poll_after_ms the tag of a job that is not final is weak (W/"...",
 * RFC 9110, section 8.8.1): the bytes may differ.  That of a final one is strong.
 *
 * Pure functions; any thread. */
#ifndef GATEWAY_JOB_DOCUMENT_H
#define GATEWAY_JOB_DOCUMENT_H

#include <stddef.h>

#include "jobs/job.h"

#define JOB_DOCUMENT_TAG_BYTES 40

struct job_document {
	char *text; /* malloc'ed, the caller's; one line of JSON */
	size_t len;
	char tag[JOB_DOCUMENT_TAG_BYTES]; /* as in ETag, with its quotes */
};

/* Writes the document of a recorded job; now_ms is Unix time.  TALLY_NO_MEMORY;
 * TALLY_INTERNAL_ERROR: params, labels, as_of or error are no JSON objects. */
TALLY_MUST_CHECK tally_status job_document_make(const struct job *job, int64_t now_ms,
						struct job_document *out_document);

/* The same of a job that is not recorded yet: of an id, when it was made, and the state that is
 * known (queued, or cancelled when that has just been published).  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status job_document_make_early(const struct tally_job_id *id,
						      int64_t created_ms, enum job_state state,
						      int64_t now_ms,
						      struct job_document *out_document);

/* In how many milliseconds to look again at a job that is not final. */
int64_t job_document_poll_after_ms(int64_t created_ms, int64_t now_ms);

#define JOB_DOCUMENT_TIME_BYTES 32

/* Writes a time as in the document: RFC 3339, UTC, milliseconds. */
void job_document_time(int64_t unix_ms, char out[JOB_DOCUMENT_TIME_BYTES]);

#endif
