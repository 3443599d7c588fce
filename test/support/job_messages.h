/* job_messages.h - messages of the job lane, made for the tests as gateways, workers and foreign
 * producers make them.  Helpers end the test's process when a message cannot be made. */
#ifndef SUPPORT_JOB_MESSAGES_H
#define SUPPORT_JOB_MESSAGES_H

#include <tally/job.h>

#include "jobs/projection.h"

#define SAMPLE_PARTITIONS 4
#define SAMPLE_VALUE      "{\"dataset\":\"comments\",\"params\":{\"login\":\"ann\"}}"

/* The secrets of the tests; an id made with another is forged. */
extern const struct tally_secrets sample_secrets;

/* A job. */
struct sample {
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	int64_t created_ms;
	int32_t partition;
	int64_t deadline_ms;
	char event_id[TALLY_EVENT_ID_MAX + 1]; /* of a foreign one; "": ours */
};

/* A job of ours, and one of a foreign producer (tenant default), both with an hour's time. */
struct sample sample_ours(const char *tenant, int64_t created_ms, int32_t partition);
struct sample sample_foreign(const char *event_id, int64_t stamp_ms);

/* A message; its value is borrowed. */
struct sample_message {
	enum projection_topic topic;
	int32_t partition; /* of the results: the job's; others: 0, to be changed */
	struct tally_headers headers;
	char key[TALLY_JOB_ID_CHARS + 1];
	const char *value;
	size_t value_len;
};

/* The request of a job; idempotency_key may be NULL. */
void sample_request(struct sample_message *message, const struct sample *job, const char *value,
		    const char *idempotency_key);

/* How a job ended: TALLY_OK: with this body. */
struct sample_end {
	uint64_t run;
	tally_status code;
	uint32_t part;
	uint32_t n_parts;
	const char *body;
	size_t len; /* 0: of the text */
};

/* A result, or a part of one. */
void sample_result(struct sample_message *message, const struct sample *job,
		   const struct sample_end *end);

/* It has begun, one second after its creation; and it is to be cancelled. */
void sample_started(struct sample_message *message, const struct sample *job, uint32_t attempt);
void sample_cancel(struct sample_message *message, const struct sample *job);

#endif
