/* lane_kind.h - what differs between the lanes: sync_lane.c, job_lane.c.  All runs on the lane's
 * loop thread unless it says otherwise. */
#ifndef WORKER_LANE_KIND_H
#define WORKER_LANE_KIND_H

#include "kafka/producer.h"
#include "worker/lane.h"
#include "worker/task.h"

struct lane_limits {
	int query_timeout_ms; /* the server's own limit for a query */
	size_t batch_bytes;   /* rows and working set of one batch */
	size_t result_bytes;  /* one body */
	size_t held_bytes;    /* bodies on their way to the broker; past it nothing runs */
	int max_uncommitted;  /* requests of a partition */
	int64_t patience_ms;  /* a request waits so long for a database that is away; 0: not */
};

struct lane_kind {
	const char *name; /* "sync": the label lane of metrics */
	const char *topic;
	const char *group;
	const char *answers; /* the topic of answers */
	const char *counter; /* the metric of answers, and its help */
	const char *counter_help;
	enum kafka_durability durability; /* of answers */
	int answer_timeout_ms;            /* an answer may be on its way for so long */
	int64_t clock_slack_ms; /* our clock may differ that much from the broker's; age.h */
	/* So long after its deadline a request is done without an answer: its readers have
	 * forgotten it.  0: nobody waits past the deadline. */
	int64_t forget_ms;
	size_t task_size; /* of the kind's struct, whose first member is the task */

	struct lane_limits (*limits)(const struct config *config);

	/* Whether requests may be read now; asked again soon when not.  May block for a moment. */
	bool (*prepare)(struct lane *lane);

	/* Frees what prepare made, after the thread has ended; NULL: nothing. */
	void (*fini)(struct lane *lane);

	/* Reads the headers into the task.  TALLY_BAD_REQUEST: a dead letter; others: try again. */
	tally_status (*read_head)(struct task *task, struct tally_error *err);

	/* Publishes task->answer; its end is lane_sent. */
	void (*send)(struct task *task);

	/* Whether nobody wants an answer any more; NULL: that is never known. */
	bool (*is_unwanted)(const struct task *task);

	/* A task's run takes longer than a second; once for each run; NULL: nobody asks. */
	void (*on_long_run)(struct task *task, uint64_t run);

	/* Every quarter of a second; NULL: nothing to do. */
	void (*on_tick)(struct lane *lane);
};

#endif
