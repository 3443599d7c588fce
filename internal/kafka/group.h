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

struct kafka_group_options {
	const char *group;
	const char *topic;
	kafka_group_fn *on_message;
	void *ctx;
	int max_uncommitted; /* for each partition; past it the partition is paused */
};

/* Joins the group and begins to poll.  Returns at once.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status kafka_group_start(const struct kafka_config *config,
						const struct kafka_group_options *options,
						struct kafka_group **out_group,
						struct tally_error *err);

/* The work of a message is done: its offset may be committed.  Any thread.  An offset of an older
 * epoch is ignored: the partition's next owner does it again. */
void kafka_group_done(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch);

/* There is room again.  Any thread. */
void kafka_group_resume(struct kafka_group *group);

/* Takes no more messages, but stays a member, so that what is under way can be committed.  Returns
 * when no on_message can come any more. */
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

#endif
