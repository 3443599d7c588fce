/* group.h - a member of a consumer group: messages in, offsets back when their work is done.
 *
 * Polling has a thread of its own, apart from working.  Offsets are committed as the lowest
 * contiguous one: a message is committed when it and all before it are done.  At least once. */
#ifndef KAFKA_GROUP_H
#define KAFKA_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "kafka/config.h"
#include "kafka/message.h"

struct kafka_group;

/* A message, on the group's thread; the callee takes it.  epoch tells this assignment of the
 * partition from others: hand it back with the offset.  False when this was the last for which
 * there is room: nothing comes until kafka_group_resume (polling goes on). */
typedef bool kafka_group_fn(void *ctx, struct kafka_message *message, uint64_t epoch);

/* A message on probation (probation.h), which is to run alone: between kafka_group_begin and
 * kafka_group_done or kafka_group_back.  starts: how often it was begun without an end;
 * KAFKA_CONDEMNED: it must not run.  What is not to run is done without a beginning.  Otherwise as
 * kafka_group_fn. */
typedef bool
kafka_group_suspect_fn(void *ctx, struct kafka_message *message, uint64_t epoch, unsigned starts);

/* What became of the last kafka_group_begin. */
enum kafka_news {
	KAFKA_BEGUN, /* its start is stored: it may run */
	KAFKA_GONE,  /* its partition went before that: it must not */
	KAFKA_OVER,  /* and so is its end: another one may begin */
};

/* Any thread, with the group's lock held: it must not call the group. */
typedef void kafka_group_news_fn(void *ctx, enum kafka_news news);

/* Whether whoever works on the messages does not move any more; as above. */
typedef bool kafka_group_stuck_fn(void *ctx);

#define KAFKA_CONDEMNED 3

struct kafka_group_options {
	const char *group;
	const char *topic;
	kafka_group_fn *on_message;
	void *ctx;
	int max_uncommitted; /* for each partition; past it the partition is paused */
	int gather_ms;       /* how long the broker may hold messages back to hand over many at once
				(fetch.min.bytes); 0: not at all */
	/* All three, or NULL: starts are not counted. */
	kafka_group_suspect_fn *on_suspect;
	kafka_group_news_fn *on_news;
	kafka_group_stuck_fn *is_stuck;
};

/* Joins the group and begins to poll.  Returns at once.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_group_start(const struct kafka_config *config,
						const struct kafka_group_options *options,
						struct kafka_group **out_group,
						struct tally_error *err);

/* The work of a message is done: its offset may be committed.  Any thread.  An offset of an older
 * epoch is ignored: the partition's next owner does it again. */
void kafka_group_done(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch);

/* Whether a message on probation may begin (the statuses below), and that it is to.  Any thread;
 * one at a time: not before the news of the last one was KAFKA_GONE or KAFKA_OVER, or after its
 * kafka_group_done or kafka_group_back, when KAFKA_BEGUN of this one stands for its KAFKA_OVER.
 * TALLY_OK: the news comes.  TALLY_FULL: it is not its turn (others of its partition are before it,
 * or the partition goes).  TALLY_CLOSED: its partition is not ours any more. */
TALLY_MUST_CHECK tally_status kafka_group_may_begin(struct kafka_group *group, int32_t partition,
						    int64_t offset, uint64_t epoch);
TALLY_MUST_CHECK tally_status kafka_group_begin(struct kafka_group *group, int32_t partition,
						int64_t offset, uint64_t epoch);

/* What was begun does not go on, and is not done: it may be begun again.  Any thread. */
void kafka_group_back(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch);

/* There is room again.  Any thread. */
void kafka_group_resume(struct kafka_group *group);

/* Takes no more messages, but stays a member, so that what is under way can be committed.  Returns
 * when no on_message can come any more (the calls of librdkafka on the way end within ten
 * seconds). */
void kafka_group_quiesce(struct kafka_group *group);

/* Commits what is done, leaves the group at once, joins the thread and frees the group; free its
 * messages before.  What takes longer than timeout_ms (a coordinator that is away) goes on in the
 * background, without another call of on_message or on_log.  Accepts NULL. */
void kafka_group_stop(struct kafka_group *group, int timeout_ms);

/* Partitions assigned now. */
int kafka_group_partitions(struct kafka_group *group);

/* Messages that the broker has in the assigned partitions and that are not committed; -1 when not
 * known. */
int64_t kafka_group_lag(struct kafka_group *group);

/* Messages that were deleted before this member could read them, since it was started. */
uint64_t kafka_group_missed(const struct kafka_group *group);

/* How often a partition stood still, since this member was started: the broker had messages for ten
 * seconds, and they came only when they were read again. */
uint64_t kafka_group_stalls(const struct kafka_group *group);

#endif
