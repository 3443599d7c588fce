#include "jobs/job.h"

#include <string.h>

/* As in the job store's type job_state, and in job documents. */
static const char *const names[JOB_STATES] = { "queued", "running", "succeeded", "failed",
					       "cancelled" };

const char *
job_state_name(enum job_state state)
{
	return names[state];
}

bool
job_state_parse(const char *name, size_t len, enum job_state *out_state)
{
	for (size_t i = 0; i < JOB_STATES; i++) {
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
			*out_state = (enum job_state)i;
			return true;
		}
	}
	return false;
}

bool
job_state_is_final(enum job_state state)
{
	return state >= JOB_SUCCEEDED;
}
