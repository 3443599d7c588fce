#include "support/job_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET      "a secret of the tests, 32 chars!"
#define SOURCE      "//crm.example/orders"
#define FINGERPRINT "00112233445566778899aabbccddeeff"
#define TRACE       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

const struct tally_secrets sample_secrets = { { { SECRET, sizeof SECRET - 1 } }, 1 };

static void
check(tally_status status, const char *what)
{
	if (status == TALLY_OK)
		return;
	(void)fprintf(stderr, "job_messages: %s: %s\n", what, tally_status_code(status));
	abort();
}

struct sample
sample_ours(const char *tenant, int64_t created_ms, int32_t partition)
{
	struct sample job = { .created_ms = created_ms,
			      .partition = partition,
			      .deadline_ms = created_ms + 3600000 };

	(void)snprintf(job.tenant, sizeof job.tenant, "%s", tenant);
	check(tally_job_id_make(&sample_secrets, tenant, created_ms, partition, &job.id, NULL),
	      "id");
	return job;
}

struct sample
sample_foreign(const char *event_id, int64_t stamp_ms)
{
	struct sample job = {
		.tenant = "default",
		.created_ms = stamp_ms,
		.deadline_ms = stamp_ms + TALLY_JOB_DEADLINE_MS,
		.partition = tally_job_foreign_partition(SOURCE, event_id, SAMPLE_PARTITIONS),
	};

	(void)snprintf(job.event_id, sizeof job.event_id, "%s", event_id);
	check(tally_job_id_foreign(job.tenant, SOURCE, event_id, &job.id), "foreign id");
	return job;
}

static void
begin(struct sample_message *message, enum projection_topic topic, const char *key)
{
	message->topic = topic;
	message->partition = 0;
	message->value = "{}";
	message->value_len = 2;
	(void)snprintf(message->key, sizeof message->key, "%s", key);
}

void
sample_request(struct sample_message *message, const struct sample *job, const char *value,
	       const char *idempotency_key)
{
	struct tally_job_request request = {
		.id = job->id,
		.is_foreign = job->event_id[0] != '\0',
		.event_source = SOURCE,
		.created_ms = job->created_ms,
		.reply_partition = job->partition,
		.deadline_ms = job->deadline_ms,
		.budget_ms = (uint32_t)(job->deadline_ms - job->created_ms),
		.trace = { TRACE },
	};

	begin(message, PROJECTION_REQUESTS, FINGERPRINT);
	message->value = value;
	message->value_len = strlen(value);
	memcpy(request.event_id, job->event_id, sizeof request.event_id);
	memcpy(request.tenant, job->tenant, sizeof request.tenant);
	if (request.is_foreign) { /* the least that one may send */
		request.deadline_ms = 0;
		request.budget_ms = 0;
		request.reply_partition = -1;
		request.tenant[0] = '\0';
	}
	if (idempotency_key) {
		(void)snprintf(request.idempotency_key, sizeof request.idempotency_key, "%s",
			       idempotency_key);
		check(tally_sha256(value, message->value_len, request.body_hash), "digest");
	}
	check(tally_job_request_write(&request, &message->headers), "request");
}

void
sample_result(struct sample_message *message, const struct sample *job,
	      const struct sample_end *end)
{
	struct tally_job_result result = {
		.id = job->id,
		.dataset = "comments",
		.state = end->code == TALLY_OK          ? TALLY_SUCCEEDED
			 : end->code == TALLY_CANCELLED ? TALLY_STATE_CANCELLED
							: TALLY_FAILED,
		.run = end->run,
		.attempt = 1,
		.error_code = end->code,
		.created_ms = job->created_ms,
		.started_ms = end->run ? job->created_ms + 5 : 0,
		.deadline_ms = job->deadline_ms,
		.part = end->part,
		.n_parts = end->n_parts,
		.trace = { TRACE },
	};

	begin(message, PROJECTION_RESULTS, job->id.text);
	message->partition = job->partition;
	message->value = end->body ? end->body : "";
	message->value_len = end->len ? end->len : strlen(message->value);
	memcpy(result.tenant, job->tenant, sizeof result.tenant);
	if (end->code == TALLY_OK && tally_job_result_is_last(&result)) {
		result.rows = 3;
		result.has_sha256 = true;
		result.n_as_of = 1;
		result.as_of[0] = (struct tally_as_of){ "db1", job->created_ms + 7 };
		check(tally_sha256(message->value, message->value_len, result.sha256), "digest");
	}
	check(tally_job_result_write(&result, job->created_ms + 10, &message->headers), "result");
}

static void
make_control(struct sample_message *message, const struct sample *job, enum tally_control_kind kind,
	     uint32_t attempt)
{
	struct tally_control control = {
		.kind = kind,
		.id = job->id,
		.created_ms = job->created_ms,
		.deadline_ms = job->deadline_ms,
		.run = 77,
		.attempt = attempt,
		.at_ms = job->created_ms + 1000,
	};

	begin(message, PROJECTION_CONTROL, job->id.text);
	memcpy(control.tenant, job->tenant, sizeof control.tenant);
	check(tally_control_write(&control, &message->headers), "control");
}

void
sample_started(struct sample_message *message, const struct sample *job, uint32_t attempt)
{
	make_control(message, job, TALLY_CONTROL_STARTED, attempt);
}

void
sample_cancel(struct sample_message *message, const struct sample *job)
{
	make_control(message, job, TALLY_CONTROL_CANCEL, 0);
}
