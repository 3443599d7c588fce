/* secrets.h - the secrets that sign job ids, as TALLY_JOB_SECRET has them. */
#ifndef JOBS_SECRETS_H
#define JOBS_SECRETS_H

#include <tally/id.h>

#define JOB_SECRET_MIN_CHARS 32

/* Reads "SECRET" or "NEW,OLD": the first signs, both verify.  *out_secrets points into text.
 * TALLY_WRONG_SETTING: fewer than JOB_SECRET_MIN_CHARS characters, or more than two of them; none
 * of it is quoted.  Any thread. */
TALLY_MUST_CHECK tally_status job_secrets_parse(const char *text, struct tally_secrets *out_secrets,
						struct tally_error *err);

#endif
