/* answer.h - what the two halves of the client library share (client.h asks, results.h listens):
 * where Kafka is, and a result with its body. */
#ifndef TALLY_ANSWER_H
#define TALLY_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include <tally/job.h>
#include <tally/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A property of librdkafka, as security.protocol. */
struct tally_property {
	const char *name;
	const char *value;
};

/* Where Kafka is.  What it borrows is not needed after an open returned. */
struct tally_kafka {
	const char *servers; /* bootstrap.servers: "host:port,host:port" */
	const struct tally_property *properties;
	size_t n_properties;
};

/* A final result. */
struct tally_answer {
	struct tally_job_result result; /* its headers; of parts: those of the last */
	char *body; /* rows as JSON, or an error document; terminated.  NULL: too large to hold */
	size_t len;
	struct tally_error error; /* why it failed, or that it was cancelled; else TALLY_OK */
	int32_t partition;
	int64_t offset; /* of its last part */
	int64_t at_ms;  /* the broker's stamp, Unix */
};

/* Frees what it holds, not the struct itself; it may be filled again.  Accepts NULL. */
void tally_answer_fini(struct tally_answer *answer);

#ifdef __cplusplus
}
#endif

#endif
