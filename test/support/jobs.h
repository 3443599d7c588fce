/* jobs.h - the job lane from outside, for tests: requests and cancellations are published by hand,
 * results and what else comes are read.
 *
 * Jobs of ours are answered in partition JOBS_PARTITION, which is the one that is read.  Helpers
 * end the test's process with a message when something fails that is not under test. */
#ifndef SUPPORT_JOBS_H
#define SUPPORT_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/job.h>
#include <tally/parts.h>

#include "kafka/reader.h"
#include "support/broker.h"
#include "support/service.h"

#define JOBS_PARTITION 3
#define JOBS_MAX       1000

/* A result as it came. */
struct job_result {
	struct tally_job_result head; /* of its last part */
	char *body;                   /* whole */
	size_t len;
};

struct jobs {
	struct service *service;
	struct kafka_reader *results_reader;
	struct kafka_reader *control_reader;
	struct kafka_reader *letters_reader;
	struct inbox results; /* messages of JOBS_PARTITION */
	struct inbox control;
	struct inbox letters;
	struct tally_parts *parts;
	size_t n_read; /* messages that were looked at */
	size_t n;      /* results that are whole */
	struct job_result all[JOBS_MAX];
};

/* Begins to read; after service_init.  jobs is large: a static one. */
void jobs_open(struct jobs *jobs, struct service *service);

/* Stops reading and frees what came. */
void jobs_close(struct jobs *jobs);

/* A request of ours with a new id and 20 s. */
struct tally_job_request jobs_request(void);

/* Publishes a request of ours to partition 0, as if ago_ms ago; its id. */
struct tally_job_id jobs_send(struct jobs *jobs, const struct tally_job_request *request,
			      const char *value, int64_t ago_ms);

/* The same with a new request: rows of echo, or of slow. */
struct tally_job_id jobs_send_echo(struct jobs *jobs, const char *text);
struct tally_job_id jobs_send_slow(struct jobs *jobs, const char *text, int ms);

/* Publishes a message to a partition of a topic, with these headers; stamp_ms 0: now. */
void jobs_send_raw(struct jobs *jobs, const char *topic, const struct tally_headers *headers,
		   const char *key, const char *value, int64_t stamp_ms);

/* Publishes that a job is cancelled. */
void jobs_cancel(struct jobs *jobs, const struct tally_job_id *id);

/* The first result of a job, waited for. */
const struct job_result *jobs_await(struct jobs *jobs, const struct tally_job_id *id);

/* The first result of a job that has come by now, or NULL. */
const struct job_result *jobs_look(struct jobs *jobs, const struct tally_job_id *id);

#endif
