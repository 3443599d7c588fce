/* Partitions that are to deliver nothing for a while, as there is no room.
 *
 * librdkafka keeps a partition paused past its assignment: what was paused when it went is paused
 * when it comes back (its issue 1849).  So all are resumed before they go.  Not when they come: a
 * pause or resume while an assignment starts may be forgotten (5591), so one that comes while there
 * is no room is held at its first message.  And each is told only what changes something: a second
 * pause or resume may move the place where it reads (1802). */
#include "kafka/group_inner.h"

static void
pause_partition(struct kafka_group *group, struct owned *owned, bool is_held)
{
	rd_kafka_topic_partition_list_t *list;

	if (!owned->offsets || is_held == owned->is_held)
		return;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, group->topic, owned->partition);
	(void)(is_held ? rd_kafka_pause_partitions(group->client, list)
		       : rd_kafka_resume_partitions(group->client, list));
	rd_kafka_topic_partition_list_destroy(list);
	owned->is_held = is_held;
}

void
group_hold(struct kafka_group *group, struct owned *owned)
{
	pause_partition(group, owned,
			owned->is_full || group->is_intake_full || group->has_quiesced);
}

void
group_hold_all(struct kafka_group *group)
{
	for (int32_t i = 0; i < group->end; i++)
		group_hold(group, &group->owned[i]);
}

void
group_release_all(struct kafka_group *group)
{
	for (int32_t i = 0; i < group->end; i++)
		pause_partition(group, &group->owned[i], false);
}

void
group_look_for_room(struct kafka_group *group)
{
	for (int32_t i = 0; i < group->end; i++) {
		struct owned *owned = &group->owned[i];

		if (!owned->offsets || !owned->is_full)
			continue;
		pthread_mutex_lock(&group->lock);
		owned->is_full =
		    offsets_count(owned->offsets) > (size_t)group->options.max_uncommitted / 2;
		pthread_mutex_unlock(&group->lock);
		group_hold(group, owned);
	}
}
