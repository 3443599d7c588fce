/* job.h - a job as the job store knows it: a request half and a result half, either of which may
 * have come first.  Texts are owned by whoever made the struct (the store, for its callbacks). */
#ifndef JOBS_JOB_H
#define JOBS_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/job.h>

#define JOB_RETENTION_MS (24 * 3600 * 1000)
/* Contract: once all requests up to so long after an id was made are recorded, an id without a row
 * is nobody's.  Clocks of gateways and brokers may differ by that much. */
#define JOB_SURE_MS 60000

#define JOB_ERROR_BYTES 16384 /* a longer error document is not kept as it is */

/* The last three are final: a job never leaves them. */
enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_STATES };

struct job {
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	int64_t created_ms; /* Unix */
	enum job_state state;
	int64_t deadline_ms; /* Unix; 0: not known */
	/* request half; NULL until it is there */
	bool has_request;
	char *dataset;
	char *params; /* a JSON object */
	char *format; /* NULL: none was asked for */
	char *labels; /* a JSON object, or NULL */
	/* started, or result half */
	uint32_t attempt;
	int64_t started_ms; /* Unix; 0: not known */
	/* result half, when state is final */
	int64_t finished_ms; /* Unix: the broker's stamp of the result */
	uint64_t run;
	uint64_t n_rows;
	uint64_t n_bytes;
	uint32_t n_parts; /* messages that the body came in; 1: one */
	bool has_sha256;
	unsigned char sha256[TALLY_SHA256_BYTES];
	int32_t partition; /* of the result */
	int64_t offset;    /* of the result; of its last part */
	char *as_of;       /* a JSON object, source: Unix ms; or NULL */
	char *error;       /* an error document (message.h), when failed or cancelled; or NULL */
};

/* "queued", "running", "succeeded", "failed", "cancelled"; a static string. */
const char *job_state_name(enum job_state state);

/* Finds a state by its name; false, and *out_state untouched, without one. */
bool job_state_parse(const char *name, size_t len, enum job_state *out_state);

/* Whether the state is one of the last three. */
bool job_state_is_final(enum job_state state);

#endif
