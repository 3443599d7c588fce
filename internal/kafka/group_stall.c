/* Partitions that stand still: the broker has messages, and librdkafka delivers none, as when it
 * takes a partition for paused that is not (group_hold.c).  They are read again from where we are.
 *
 * A message may be on its way just now, so it is one that waits for a while; and what is at the end
 * of a log may be a transaction's marker, which is never delivered, so that nothing is read again
 * for the sake of the same end twice, and has stood still only if something comes then. */
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#include "kafka/group_inner.h"

#define TURN_MS  1000
#define QUIET_MS 5000 /* nothing came: the broker is asked */
#define STILL_MS 5000 /* it has some, and nothing came */
#define ASK_MS   200

static void
read_again(struct kafka_group *group, struct owned *owned, int64_t from, int64_t end)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	char text[256];

	(void)snprintf(text, sizeof text,
		       "%s: partition %" PRId32 " of %s has messages that do not come: reading it "
		       "again from offset %" PRId64,
		       group->options.group, owned->partition, group->topic, from);
	group_log(group, LOG_NOTICE, text);
	rd_kafka_topic_partition_list_add(list, group->topic, owned->partition)->offset = from;
	(void)rd_kafka_resume_partitions(group->client, list);
	rd_kafka_error_destroy(rd_kafka_seek_partitions(group->client, list, 0));
	rd_kafka_topic_partition_list_destroy(list);
	owned->again_until = end;
	/* What it was to go on with is gone: it would wait for that forever. */
	if (owned->refused_from < from)
		owned->refused_from = -1;
}

/* False when the broker does not say. */
static bool
look(struct kafka_group *group, struct owned *owned, int64_t now_ms)
{
	int64_t from = owned->next_offset >= 0 ? owned->next_offset : owned->start;
	int64_t low, high;

	if (from < 0)
		return true; /* where it begins is librdkafka's affair, until a message came */
	if (rd_kafka_query_watermark_offsets(group->client, group->topic, owned->partition, &low,
					     &high, ASK_MS)
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	if (from < low)
		from = low;
	if (high <= from || high <= owned->again_until) {
		owned->heard_ms = now_ms;
		owned->waits_ms = 0;
	} else if (owned->waits_ms == 0) {
		owned->waits_ms = now_ms;
	} else if (now_ms - owned->waits_ms >= STILL_MS) {
		owned->waits_ms = 0;
		read_again(group, owned, from, high);
	}
	return true;
}

void
group_look_for_stalls(struct kafka_group *group)
{
	int64_t now_ms = clock_mono_ms();
	bool is_told = true;

	if (now_ms - group->looked_ms < TURN_MS)
		return;
	group->looked_ms = now_ms;
	/* One that is not answered for comes last the next time. */
	for (int32_t n = group->end; n > 0 && is_told; n--) {
		struct owned *owned = &group->owned[group->looked_at++ % group->end];

		if (!owned->offsets || owned->is_held || owned->has_come) {
			owned->has_come = false;
			owned->heard_ms = now_ms;
			owned->waits_ms = 0;
		} else if (now_ms - owned->heard_ms >= QUIET_MS) {
			is_told = look(group, owned, now_ms);
		}
	}
}

void
group_note_come(struct kafka_group *group, struct owned *owned, int64_t offset)
{
	owned->has_come = true;
	if (offset >= owned->again_until)
		return;
	atomic_fetch_add(&group->n_stalls, 1);
	owned->again_until = -1;
}
