/* Offsets out: one commit at a time, as librdkafka may try an older one again behind a newer one.
 *
 * rd_kafka_commit_queue and not rd_kafka_offsets_store: only a commit keeps an offset's metadata.
 * Its answer comes to a queue of ours, on which the thread may wait where it must not poll for
 * messages: in a rebalance. */
#include <stdlib.h>
#include <string.h>

#include "kafka/group_inner.h"

#define COMMIT_MS  100
#define GIVE_UP_MS 65000 /* past librdkafka's own limits: after it no answer comes any more */

void
group_commit_fini(struct kafka_group *group)
{
	if (group->commit.answers)
		rd_kafka_queue_destroy(group->commit.answers);
	group->commit.answers = NULL;
	if (group->messages)
		rd_kafka_queue_destroy(group->messages);
	group->messages = NULL;
}

/* ---- out --------------------------------------------------------------------- */

static void
add(const struct kafka_group *group, struct owned *owned, rd_kafka_topic_partition_list_t *list)
{
	struct probation_mark mark = probation_send(&owned->probation);
	rd_kafka_topic_partition_t *item =
	    rd_kafka_topic_partition_list_add(list, group->topic, owned->partition);
	char text[PROBATION_TEXT_MAX];

	item->offset = mark.offset;
	if (!owned->probation.is_counted)
		return;
	probation_write(mark.starts, group->writer, text);
	item->metadata = strdup(text); /* freed with the list */
	item->metadata_size = item->metadata ? strlen(text) : 0;
}

/* What is to be committed, which is under way from now on; NULL: nothing. */
static rd_kafka_topic_partition_list_t *
collect(struct kafka_group *group)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < group->end; i++) {
		struct owned *owned = &group->owned[i];

		if (!owned->offsets || !probation_is_dirty(&owned->probation))
			continue;
		if (!list)
			list = rd_kafka_topic_partition_list_new(4);
		add(group, owned, list);
	}
	pthread_mutex_unlock(&group->lock);
	return list;
}

/* ---- answers ----------------------------------------------------------------- */

/* The word on what is under way; list: by partition, NULL: none is known to be stored. */
static void
settle(struct kafka_group *group, const rd_kafka_topic_partition_list_t *list)
{
	pthread_mutex_lock(&group->lock);
	for (int i = 0; list && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *item = &list->elems[i];

		if (item->partition >= 0 && item->partition < MAX_PARTITION)
			probation_answer(&group->owned[item->partition].probation,
					 item->err == RD_KAFKA_RESP_ERR_NO_ERROR);
	}
	for (int32_t i = 0; i < group->end; i++)
		probation_answer(&group->owned[i].probation, false);
	group->commit.is_under_way = false;
	group_tell_news(group);
	pthread_mutex_unlock(&group->lock);
}

static void
take_answer(struct kafka_group *group, rd_kafka_event_t *event)
{
	uint64_t number = (uint64_t)(uintptr_t)rd_kafka_event_opaque(event);

	if (!group->commit.is_under_way || number != group->commit.number)
		return; /* late */
	settle(group, rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR
			  ? rd_kafka_event_topic_partition_list(event)
			  : NULL);
}

/* Waits for the answer of what is under way. */
static void
look(struct kafka_group *group, int timeout_ms)
{
	struct commit *commit = &group->commit;
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	int64_t left_ms = timeout_ms;

	while (commit->is_under_way && left_ms >= 0) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(commit->answers, (int)left_ms);

		if (!event)
			break;
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT)
			take_answer(group, event);
		rd_kafka_event_destroy(event);
		left_ms = until_ms - clock_mono_ms();
	}
	if (commit->is_under_way && clock_mono_ms() - commit->sent_ms > GIVE_UP_MS)
		settle(group, NULL);
}

void
group_commit_look(struct kafka_group *group)
{
	if (group->commit.is_under_way)
		look(group, 0);
}

static void
send_all(struct kafka_group *group)
{
	rd_kafka_topic_partition_list_t *list = collect(group);
	struct commit *commit = &group->commit;

	commit->sent_ms = clock_mono_ms();
	if (!list)
		return;
	if (!commit->answers)
		commit->answers = rd_kafka_queue_new(group->client);
	commit->is_under_way = true;
	commit->number++;
	if (rd_kafka_commit_queue(group->client, list, commit->answers, NULL,
				  (void *)(uintptr_t)commit->number)
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		settle(group, NULL);
	rd_kafka_topic_partition_list_destroy(list);
}

void
group_commit(struct kafka_group *group)
{
	if (group->commit.is_under_way)
		return;
	/* What is urgent and fails comes again with all others. */
	if (atomic_exchange(&group->is_urgent, false)
	    || clock_mono_ms() - group->commit.sent_ms >= COMMIT_MS)
		send_all(group);
}

/* Whether everything is stored that is to be. */
static bool
is_clean(struct kafka_group *group)
{
	bool is_clean = true;

	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < group->end && is_clean; i++)
		is_clean =
		    !group->owned[i].offsets || !probation_is_dirty(&group->owned[i].probation);
	pthread_mutex_unlock(&group->lock);
	return is_clean && !group->commit.is_under_way;
}

bool
group_commit_all(struct kafka_group *group, int timeout_ms)
{
	int64_t until_ms = clock_mono_ms() + timeout_ms;

	look(group, timeout_ms);
	if (group->commit.is_under_way)
		return false;
	send_all(group);
	int64_t left_ms = until_ms - clock_mono_ms();
	look(group, left_ms > 0 ? (int)left_ms : 0);
	return is_clean(group);
}
