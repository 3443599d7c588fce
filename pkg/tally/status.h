/* status.h - the one vocabulary of outcomes: in code, in HTTP problems, in Kafka headers and in
 * metrics.  A status is an enum, a code (its public name), whether trying again may help, and a
 * title.  The HTTP status of each is a table of the gateway. */
#ifndef TALLY_STATUS_H
#define TALLY_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, code, retryable, title).  Codes are public: never rename one. */
#define TALLY_STATUS_MAP(X)                                                                        \
	X(OK, "ok", false, "Done")                                                                 \
	/* what the caller sent */                                                                 \
	X(BAD_REQUEST, "bad_request", false, "The request is malformed")                           \
	X(UNAUTHORIZED, "unauthorized", false, "A valid key is needed")                            \
	X(FORBIDDEN, "forbidden", false, "This key may not do that")                               \
	X(NOT_FOUND, "not_found", false, "There is nothing here")                                  \
	X(UNKNOWN_DATASET, "unknown_dataset", false, "There is no such dataset")                   \
	X(METHOD_NOT_ALLOWED, "method_not_allowed", false, "This method is not allowed here")      \
	X(NOT_ACCEPTABLE, "not_acceptable", false, "No format that the caller accepts")            \
	X(RESULT_NOT_READY, "result_not_ready", true, "The result is not ready yet")               \
	X(EXPIRED, "expired", false, "The job is past its retention")                              \
	X(BODY_TOO_LARGE, "body_too_large", false, "The request body is too large")                \
	X(URI_TOO_LONG, "uri_too_long", false, "The request target is too long")                   \
	X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", false, "This media type is not read")  \
	X(INVALID_PARAMETER, "invalid_parameter", false, "A parameter is missing or wrong")        \
	X(IDEMPOTENCY_KEY_REUSED, "idempotency_key_reused", false,                                 \
	  "The key was used for another request")                                                  \
	X(RATE_LIMITED, "rate_limited", true, "This caller's limit is reached")                    \
	X(HEADERS_TOO_LARGE, "headers_too_large", false, "The request headers are too large")      \
	/* how a request or job ended */                                                           \
	X(UNSUPPORTED_VALUE, "unsupported_value", false, "A value cannot be represented")          \
	X(SOURCE_ERROR, "source_error", false, "A database refused the query")                     \
	X(POISONED, "poisoned", false, "The request stopped every worker that took it")            \
	X(RESULT_TOO_LARGE, "result_too_large", false, "The result is past its size limit")        \
	X(SOURCE_UNAVAILABLE, "source_unavailable", true, "A database cannot be reached")          \
	X(DATASET_MISMATCH, "dataset_mismatch", true, "The worker has another definition")         \
	X(KAFKA_UNAVAILABLE, "kafka_unavailable", true, "Kafka cannot be reached")                 \
	X(SATURATED, "saturated", true, "The service is at its limit")                             \
	X(OUTCOME_UNKNOWN, "outcome_unknown", true, "The broker's answer never came")              \
	X(JOB_STORE_UNAVAILABLE, "job_store_unavailable", true, "The job store cannot be reached") \
	X(DEADLINE_EXCEEDED, "deadline_exceeded", true, "The deadline has passed")                 \
	X(CANCELLED, "cancelled", false, "The job was cancelled")                                  \
	X(INTERNAL_ERROR, "internal_error", true, "Something went wrong inside")                   \
	/* inside the process: never sent to a caller as they are */                               \
	X(WRONG_DEFINITION, "wrong_definition", false, "A dataset definition is wrong")            \
	X(WRONG_SETTING, "wrong_setting", false, "A setting is wrong")                             \
	X(TOO_LARGE, "too_large", false, "A buffer is at its ceiling")                             \
	X(FULL, "full", true, "A queue is full")                                                   \
	X(CLOSED, "closed", false, "No more work is taken")                                        \
	X(NO_MEMORY, "no_memory", true, "Out of memory")

typedef enum tally_status {
#define TALLY_STATUS_ENUM(name, code, retryable, title) TALLY_##name,
	TALLY_STATUS_MAP(TALLY_STATUS_ENUM)
#undef TALLY_STATUS_ENUM
	    TALLY_STATUSES /* how many there are */
} tally_status;

#define TALLY_MUST_CHECK __attribute__((warn_unused_result))

/* The public name, as in a problem document's "code"; a static string. */
const char *tally_status_code(tally_status status);

/* One sentence without a full stop; a static string. */
const char *tally_status_title(tally_status status);

/* Whether the same request may succeed later without being changed. */
bool tally_status_is_retryable(tally_status status);

/* Finds the status of a public code of len bytes; false, and *out_status untouched, without one. */
bool tally_status_parse(const char *code, size_t len, tally_status *out_status);

/* What went wrong, in words for the person who reads it.  The caller owns it; zero it before use.
 * No login, payload or password goes into detail. */
struct tally_error {
	tally_status status;
	char detail[512];
	char source[32];  /* "http", "kafka", "db1" ...; empty when unknown */
	char sqlstate[6]; /* of a database's error; empty when there is none */
};

/* Fills err (which may be NULL) from a printf format, clears source and sqlstate, and returns
 * status, so that a failure is one line: return tally_fail(err, TALLY_FULL, "...").  Any thread. */
tally_status tally_fail(struct tally_error *err, tally_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif

#endif
