/* job.h - the messages of the job lane: requests, results and control, as CloudEvents 1.0 in binary
 * mode (CloudEvents, Kafka protocol binding, section 3.2) with Tally's own headers.
 *
 * Whoever writes to tally.requests.jobs without being a gateway is a foreign producer: ce_source
 * and ce_id are the identity of its request, and the job's id is made from them.  A gateway's
 * requests have ce_source TALLY_EVENT_SOURCE and the job's id in ce_subject.  Rules as in
 * message.h: unknown headers are ignored, a known one that is wrong or comes twice makes the
 * message unreadable.  Nothing is allocated.  Any thread. */
#ifndef TALLY_JOB_H
#define TALLY_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/digest.h>
#include <tally/id.h>
#include <tally/message.h>
#include <tally/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_EVENT_SOURCE "tally" /* ce_source of what Tally itself publishes */
#define TALLY_TYPE_REQUEST "tally.request.v1"
#define TALLY_TYPE_RESULT  "tally.result.v1"
#define TALLY_TYPE_CANCEL  "tally.cancel.v1"
#define TALLY_TYPE_STARTED "tally.started.v1"

#define TALLY_EVENT_ID_MAX        64
#define TALLY_EVENT_SOURCE_MAX    256
#define TALLY_IDEMPOTENCY_KEY_MAX 64
#define TALLY_DATASET_NAME_MAX    64
#define TALLY_PARTS_MAX           65536
#define TALLY_JOB_DEADLINE_MS     (3600 * 1000)      /* by default, after the job's creation */
#define TALLY_JOB_DEADLINE_MAX_MS (12 * 3600 * 1000) /* half the retention of the requests */

/* A request of the job lane; the message's key is the fingerprint, its value a request. */
struct tally_job_request {
	struct tally_job_id id;
	bool is_foreign;
	char event_source[TALLY_EVENT_SOURCE_MAX + 1]; /* ce_source; ours: TALLY_EVENT_SOURCE */
	char event_id[TALLY_EVENT_ID_MAX + 1];         /* ce_id; ours: the job's id */
	int64_t created_ms;      /* Unix; of the id, and of a foreign job the broker's stamp */
	int32_t reply_partition; /* of the results topic */
	int64_t deadline_ms;     /* Unix */
	uint32_t budget_ms;      /* the same as a length, from the broker's stamp on */
	char tenant[TALLY_TENANT_MAX + 1];
	bool no_cache;
	/* Of a request with an Idempotency-Key; "" without one. */
	char idempotency_key[TALLY_IDEMPOTENCY_KEY_MAX + 1];
	unsigned char body_hash[TALLY_SHA256_BYTES];
	struct tally_trace trace;
};

/* What a reader of requests knows beside the headers. */
struct tally_job_context {
	int64_t stamp_ms;       /* the broker's stamp of the message, Unix */
	int results_partitions; /* of the results topic; 1 .. 65536 */
};

/* The partition of the results topic that answers a foreign request which names none:
 * murmur2(ce_source 0 ce_id) modulo results_partitions (at least 1). */
int tally_job_foreign_partition(const char *ce_source, const char *ce_id, int results_partitions);

/* Writes the headers of a request.  A foreign one is event_source and event_id; a deadline, budget,
 * tenant, trace or partition that is 0, "" or -1 is left out.  TALLY_BAD_REQUEST when partition or
 * created_ms are not those of an id of ours. */
TALLY_MUST_CHECK tally_status tally_job_request_write(const struct tally_job_request *request,
						      struct tally_headers *out_headers);

/* Reads the headers of a request, ours or a foreign one.  Absent in a foreign one: the deadline
 * (its budget, or TALLY_JOB_DEADLINE_MS, after the stamp), the partition
 * (tally_job_foreign_partition), the tenant ("default"); ce_subject and idempotency key mean
 * nothing there.  A trace that is absent is begun.  TALLY_BAD_REQUEST names the header that is
 * wrong, a partition that does not exist, a deadline past TALLY_JOB_DEADLINE_MAX_MS, or what does
 * not agree with an id of ours; TALLY_INTERNAL_ERROR, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_job_request_read(const struct tally_header *headers, size_t n,
						     const struct tally_job_context *context,
						     struct tally_job_request *out_request,
						     struct tally_error *err);

/* A result: the key is the job's id, the value the REST body, a part of it, or an error document.
 * A result in parts is one message a part, all with the same run; rows, sha256 and n_parts count
 * for the whole and stand in the last part, the others have n_parts 0. */
struct tally_job_result {
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	char dataset[TALLY_DATASET_NAME_MAX + 1]; /* may be empty: the request was never read */
	char dataset_hash[17]; /* of the definition that answered; may be empty */
	enum tally_state state;
	uint64_t run; /* random: one for each execution; 0: nothing ran */
	uint32_t attempt;
	tally_status error_code; /* TALLY_OK when succeeded */
	uint64_t rows;
	bool has_sha256; /* of the whole body; a failed or cancelled result has none */
	unsigned char sha256[TALLY_SHA256_BYTES];
	int64_t created_ms; /* Unix, of the job */
	int64_t started_ms; /* 0: it did not start */
	int64_t deadline_ms;
	uint32_t part;    /* 1 .. ; 0: the result is one message */
	uint32_t n_parts; /* in the last part */
	struct tally_as_of as_of[TALLY_SOURCES_MAX];
	size_t n_as_of;
	char timing[TALLY_TIMING_MAX + 1];
	struct tally_trace trace;
};

/* Writes the headers of a result; ce_time is at_ms, ce_id is "ID/RUN" or "ID/RUN/PART".
 * TALLY_BAD_REQUEST when the fields do not fit each other: the error code of a failed result is
 * neither TALLY_OK nor TALLY_CANCELLED, that of a cancelled one is TALLY_CANCELLED; only what
 * succeeded is in parts; has_sha256 is set in the last message of what succeeded, and only there.
 * rows are written with it. */
TALLY_MUST_CHECK tally_status tally_job_result_write(const struct tally_job_result *result,
						     int64_t at_ms,
						     struct tally_headers *out_headers);

/* Reads key and headers of a result.  TALLY_BAD_REQUEST names what is wrong. */
TALLY_MUST_CHECK tally_status tally_job_result_read(const void *key, size_t key_len,
						    const struct tally_header *headers, size_t n,
						    struct tally_job_result *out_result,
						    struct tally_error *err);

/* Whether a message is a part of a result, and whether the result is complete with it: the last
 * part, or a result that is one message. */
bool tally_job_result_is_part(const struct tally_job_result *result);
bool tally_job_result_is_last(const struct tally_job_result *result);

enum tally_control_kind { TALLY_CONTROL_CANCEL, TALLY_CONTROL_STARTED };

/* A message of tally.control: the key is the job's id, there is no value but "{}". */
struct tally_control {
	enum tally_control_kind kind;
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	int64_t created_ms;  /* Unix, of the job: a foreign id does not tell it */
	int64_t deadline_ms; /* until when it is to be remembered */
	uint64_t run;        /* STARTED */
	uint32_t attempt;    /* STARTED */
	int64_t at_ms;       /* Unix */
};

/* Writes the headers of a control message; ce_id is "ID/cancel" or "ID/RUN/started". */
TALLY_MUST_CHECK tally_status tally_control_write(const struct tally_control *control,
						  struct tally_headers *out_headers);

/* Reads key and headers of a control message.  TALLY_BAD_REQUEST names what is wrong. */
TALLY_MUST_CHECK tally_status tally_control_read(const void *key, size_t key_len,
						 const struct tally_header *headers, size_t n,
						 struct tally_control *out_control,
						 struct tally_error *err);

#ifdef __cplusplus
}
#endif

#endif
