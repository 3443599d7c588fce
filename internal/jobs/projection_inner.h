/* projection_inner.h - the projection, for the files that make it up: projection.c (tables),
 * projection_request.c, projection_result.c (and control). */
#ifndef JOBS_PROJECTION_INNER_H
#define JOBS_PROJECTION_INNER_H

#include "jobs/projection.h"

/* A message under way. */
struct projecting {
	struct projection *projection;
	const struct projection_rules *rules;
	const struct projection_message *message;
	struct tally_error *err;
};

/* Whose a message is, as it says itself. */
struct projection_owner {
	const struct tally_job_id *id;
	const char *tenant;
	int64_t created_ms;
	int64_t deadline_ms;
};

/* Adds a message of its topic. */
enum projection_outcome projection_add_request(const struct projecting *on);
enum projection_outcome projection_add_result(const struct projecting *on);
enum projection_outcome projection_add_control(const struct projecting *on);

/* Says why a message is refused. */
enum projection_outcome projection_refuse(const struct projecting *on, const char *why);

/* Whether the message may concern this job: an id of ours is genuine (and, of a result, of this
 * partition), its day is there.  Only PROJECTION_DONE goes on. */
enum projection_outcome
projection_check(const struct projecting *on, const struct projection_owner *owner);

/* Finds or makes the change of a job.  PROJECTION_FLUSH: there is no room, or what the batch says
 * of the job has another time of creation. */
enum projection_outcome
projection_change_of(const struct projecting *on, const struct projection_owner *owner,
		     struct projection_change **out_change);

/* Copies a text of len bytes; false without memory. */
bool projection_keep(const struct projecting *on, const void *data, size_t len,
		     struct projection_text *out_text);

#endif
