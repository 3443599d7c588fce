#include "gateway/job_cursor.h"

#include <inttypes.h>
#include <string.h>

#define TIME_DIGITS 12

bool
job_cursor_write(const struct job *job, char out[JOB_CURSOR_CHARS + 1])
{
	if (job->created_ms <= 0 || job->created_ms >> (4 * TIME_DIGITS) != 0)
		return false;
	snprintf(out, JOB_CURSOR_CHARS + 1, "%012" PRIx64 "%s", (uint64_t)job->created_ms,
		 job->id.text);
	return true;
}

bool
job_cursor_read(const char *text, size_t len, int64_t *out_created_ms, struct tally_job_id *out_id)
{
	static const char digits[] = "0123456789abcdef";
	struct tally_job_id_parts parts;
	struct tally_job_id id;
	int64_t created_ms = 0;

	if (len != JOB_CURSOR_CHARS)
		return false;
	for (size_t i = 0; i < TIME_DIGITS; i++) {
		const char *digit = memchr(digits, text[i], sizeof digits - 1);
		if (!digit)
			return false;
		created_ms = created_ms << 4 | (digit - digits);
	}
	if (created_ms == 0
	    || tally_job_id_parse(text + TIME_DIGITS, TALLY_JOB_ID_CHARS, &id, &parts) != TALLY_OK)
		return false;
	*out_created_ms = created_ms;
	*out_id = id;
	return true;
}
