/* consume.h - inner: what the two halves of the client library need of librdkafka. */
#ifndef TALLY_CONSUME_H
#define TALLY_CONSUME_H

#include <librdkafka/rdkafka.h>

#include <tally/answer.h>
#include <tally/parts.h>

#pragma GCC visibility push(hidden)

#define TALLY_RUNS_MAX 256 /* results in parts that come at once, from one partition */

/* The last thing that librdkafka said to be wrong. */
struct tally_trouble {
	char text[256];
};

typedef void
tally_rebalance_fn(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *, void *ctx);
typedef void tally_report_fn(rd_kafka_t *, const rd_kafka_message_t *, void *ctx);

/* What a client is for. */
struct tally_role {
	rd_kafka_type_t type;
	const struct tally_property *properties; /* above the caller's own */
	size_t n;
	tally_rebalance_fn *on_rebalance; /* may be NULL */
	tally_report_fn *on_report;       /* may be NULL */
	void *ctx;                        /* of callbacks; begins with a struct tally_trouble */
};

/* Makes a client; ctx of its role outlives it.  TALLY_WRONG_SETTING names the property. */
TALLY_MUST_CHECK tally_status tally_consume_open(const struct tally_kafka *kafka,
						 const struct tally_role *role,
						 rd_kafka_t **out_client, struct tally_error *err);

/* Notes what is wrong when the message is an error, which librdkafka goes on from by itself;
 * a real message says that all is well. */
void tally_consume_note(struct tally_trouble *trouble, const rd_kafka_message_t *message);

/* Milliseconds of a clock that does not go back, and Unix ms. */
int64_t tally_consume_clock_ms(void);
int64_t tally_consume_unix_ms(void);

/* The broker's stamp of a message, Unix ms. */
int64_t tally_consume_stamp_ms(const rd_kafka_message_t *message);

/* Reads a message of the results topic.  TALLY_BAD_REQUEST when it is none of ours. */
TALLY_MUST_CHECK tally_status tally_consume_read(const rd_kafka_message_t *message,
						 struct tally_job_result *out_result);

/* Fills an answer from the message that completes it: a whole one whose body is copied when it has
 * at most max_bytes (else it is NULL), or the last part, whose body is taken from *body (NULL: too
 * large).  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_consume_answer(const rd_kafka_message_t *message,
						   const struct tally_job_result *result,
						   const struct tally_body *body, size_t max_bytes,
						   struct tally_answer *out_answer);

/* Fills err with "WHAT: WHY" (why may be "") and source "kafka", and returns status. */
tally_status
tally_consume_fail(struct tally_error *err, tally_status status, const char *what, const char *why);

#pragma GCC visibility pop

#endif
