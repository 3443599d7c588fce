#include "jobs/secrets.h"

#include <string.h>

tally_status
job_secrets_parse(const char *text, struct tally_secrets *out_secrets, struct tally_error *err)
{
	struct tally_secrets secrets = { .n = 0 };

	for (const char *at = text; at;) {
		size_t len = strcspn(at, ",");
		if (secrets.n == TALLY_SECRETS_MAX)
			return tally_fail(err, TALLY_WRONG_SETTING,
					  "TALLY_JOB_SECRET has more than %d secrets",
					  TALLY_SECRETS_MAX);
		if (len < JOB_SECRET_MIN_CHARS)
			return tally_fail(err, TALLY_WRONG_SETTING,
					  "TALLY_JOB_SECRET: a secret has at least %d characters",
					  JOB_SECRET_MIN_CHARS);
		secrets.items[secrets.n].bytes = at;
		secrets.items[secrets.n++].len = len;
		at = at[len] ? at + len + 1 : NULL;
	}
	*out_secrets = secrets;
	return TALLY_OK;
}
