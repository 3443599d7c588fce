/* job_cursor.h - where a page of the list of jobs ends: opaque to callers, 51 characters of a-z and
 * 0-9 that need no escapes in a URL: created_ms in 12 hex digits and the id of the page's last job.
 * Pure functions; any thread. */
#ifndef GATEWAY_JOB_CURSOR_H
#define GATEWAY_JOB_CURSOR_H

#include <stdbool.h>

#include "jobs/job.h"

#define JOB_CURSOR_CHARS (12 + TALLY_JOB_ID_CHARS)

/* Writes the cursor of a job; false when created_ms has no 12 digits. */
bool job_cursor_write(const struct job *job, char out[JOB_CURSOR_CHARS + 1]);

/* Reads a cursor of len characters; false, and the rest untouched, when it is none of ours. */
bool
job_cursor_read(const char *text, size_t len, int64_t *out_created_ms, struct tally_job_id *out_id);

#endif
