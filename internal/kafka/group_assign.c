/* Partitions come and go: by the eager protocol all are revoked, then all are assigned.
 *
 * What is known of a partition's head is asked for when it comes, and its start is stored before
 * the first message does: nothing runs uncounted (probation.h). */
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "base/memory.h"
#include "kafka/group_inner.h"

#define ANSWER_MS 1000 /* how long a commit that is waited for may take */
#define SETTLE_MS 1000 /* how long a rebalance waits for what is under way */
#define ASK_MS    5000 /* how long the questions of an assignment may take */
#define AGAIN_MS  20

/* ---- what is found ----------------------------------------------------------- */

/* Of an assignment that comes. */
struct questions {
	struct kafka_group *group;
	rd_kafka_topic_partition_list_t *committed; /* NULL: not known */
	int64_t until_ms;
};

static int
left_ms(const struct questions *questions)
{
	int64_t left = questions->until_ms - clock_mono_ms();

	return left > 0 ? (int)left : 0;
}

/* False when the answer did not come. */
static bool
ask_committed(struct questions *questions, const rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_t *committed = rd_kafka_topic_partition_list_copy(list);

	if (rd_kafka_committed(questions->group->client, committed, left_ms(questions))
	    == RD_KAFKA_RESP_ERR_NO_ERROR) {
		questions->committed = committed;
		return true;
	}
	rd_kafka_topic_partition_list_destroy(committed);
	return false;
}

static void
forget_committed(struct questions *questions)
{
	if (questions->committed)
		rd_kafka_topic_partition_list_destroy(questions->committed);
	questions->committed = NULL;
}

/* NULL: not known. */
static const rd_kafka_topic_partition_t *
committed_of(const struct questions *questions, int32_t partition)
{
	const rd_kafka_topic_partition_t *item =
	    questions->committed ? rd_kafka_topic_partition_list_find(
				       questions->committed, questions->group->topic, partition)
				 : NULL;

	return item && item->err == RD_KAFKA_RESP_ERR_NO_ERROR ? item : NULL;
}

/* Where the log begins and ends; -1: not known.  A partition that was just added is known to the
 * whole of the broker only a moment later. */
static void
ask_log(const struct questions *questions, int32_t partition, int64_t *out_low, int64_t *out_high)
{
	const struct timespec again = { 0, AGAIN_MS * 1000000 };
	struct kafka_group *group = questions->group;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
	char text[256];
	int left;

	while ((left = left_ms(questions)) > 0 && !atomic_load(&group->is_stopped)) {
		code = rd_kafka_query_watermark_offsets(group->client, group->topic, partition,
							out_low, out_high, left);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			return;
		(void)nanosleep(&again, NULL);
	}
	*out_low = *out_high = -1;
	(void)snprintf(text, sizeof text,
		       "%s: where partition %d of %s begins and ends is not known (%s): messages "
		       "run one by one",
		       group->options.group, partition, group->topic, rd_kafka_err2str(code));
	group_log(group, LOG_WARNING, text);
}

static struct probation_found
find(const struct questions *questions, int32_t partition)
{
	struct probation_found found = { .mark.offset = -1, .end = -1 };
	const struct kafka_group *group = questions->group;
	const rd_kafka_topic_partition_t *item = committed_of(questions, partition);
	int64_t low;

	if (!item) {
		found.mark.starts = 1;
		return found;
	}
	found.mark.offset = item->offset;
	if (item->offset >= 0 && item->metadata)
		probation_read(item->metadata, item->metadata_size, group->writer,
			       &found.mark.starts, &found.is_ours);
	if (item->offset >= 0 && found.mark.starts == 0)
		return found;
	ask_log(questions, partition, &low, &found.end);
	if (item->offset < 0)
		found.mark.offset = low; /* nobody was here before */
	return found;
}

/* ---- partitions come --------------------------------------------------------- */

/* found is NULL when starts are not counted. */
static void
own(struct kafka_group *group, int32_t partition, int64_t start,
    const struct probation_found *found)
{
	struct owned *owned = &group->owned[partition];
	struct probation before = owned->probation;

	offsets_free(owned->offsets);
	*owned = (struct owned){
		.partition = partition,
		.offsets = offsets_new((size_t)group->options.max_uncommitted),
		.epoch = group->epoch,
		.next_offset = -1,
		.start = start,
		.refused_from = -1,
		.heard_ms = clock_mono_ms(),
		.again_until = -1,
	};
	if (!owned->offsets)
		memory_exhausted("a partition"); /* without them its messages would be lost */
	if (found)
		probation_assign(&owned->probation, &before, found);
	else
		probation_init(&owned->probation);
	if (partition >= group->end)
		group->end = partition + 1;
}

void
group_own_again(struct kafka_group *group, struct owned *owned, int64_t offset)
{
	const struct probation_found found = { .mark.offset = offset, .end = -1 };
	bool is_held = owned->is_held;

	group->epoch++;
	own(group, owned->partition, offset, group_counts(group) ? &found : NULL);
	owned->is_held = is_held;
	group_tell_news(group);
	group_note_settled(group);
}

static bool
is_in_range(int32_t partition)
{
	return partition >= 0 && partition < MAX_PARTITION;
}

/* Of those whose start could not be stored nothing runs without one of its own. */
static void
store_starts(struct kafka_group *group)
{
	if (group_commit_all(group, ANSWER_MS))
		return;
	group_log(group, LOG_WARNING, "starts are not stored: messages run one by one");
	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < group->end; i++) {
		struct owned *owned = &group->owned[i];

		if (owned->offsets && owned->probation.kept.offset < 0)
			probation_doubt(&owned->probation);
	}
	pthread_mutex_unlock(&group->lock);
}

/* Asks first, as the lock is never held across a call of librdkafka. */
static void
own_counted(struct kafka_group *group, rd_kafka_topic_partition_list_t *list)
{
	struct probation_found *found = calloc((size_t)list->cnt + 1, sizeof *found);
	struct questions questions = { .group = group, .until_ms = clock_mono_ms() + ASK_MS };

	if (!ask_committed(&questions, list))
		group_log(group, LOG_WARNING,
			  "committed offsets are not known: messages run one by one");
	for (int i = 0; i < list->cnt && found; i++)
		found[i] = find(&questions, list->elems[i].partition);
	pthread_mutex_lock(&group->lock);
	group->epoch++;
	for (int i = 0; i < list->cnt; i++) {
		const struct probation_found nothing = {
			{ -1, 1 },
                        false, -1
		};
		const struct probation_found *of = found ? &found[i] : &nothing;

		if (!is_in_range(list->elems[i].partition))
			continue;
		own(group, list->elems[i].partition, of->mark.offset, of);
		if (of->mark.offset >= 0)
			list->elems[i].offset = of->mark.offset;
	}
	pthread_mutex_unlock(&group->lock);
	forget_committed(&questions);
	free(found);
	store_starts(group);
}

static void
own_uncounted(struct kafka_group *group, const rd_kafka_topic_partition_list_t *list)
{
	struct questions questions = { .group = group, .until_ms = clock_mono_ms() + ASK_MS };

	(void)!ask_committed(&questions, list); /* then nobody knows what was deleted */
	pthread_mutex_lock(&group->lock);
	group->epoch++;
	for (int i = 0; i < list->cnt; i++) {
		int32_t partition = list->elems[i].partition;
		const rd_kafka_topic_partition_t *item = committed_of(&questions, partition);

		if (is_in_range(partition))
			own(group, partition, item && item->offset >= 0 ? item->offset : -1, NULL);
	}
	pthread_mutex_unlock(&group->lock);
	forget_committed(&questions);
}

/* For whoever wonders why messages run one by one. */
static void
tell_probation(struct kafka_group *group)
{
	char text[256];
	int n = 0;

	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < group->end; i++) {
		const struct owned *owned = &group->owned[i];

		n += owned->offsets
		     && probation_is_suspect(&owned->probation, owned->probation.head);
	}
	pthread_mutex_unlock(&group->lock);
	if (n == 0)
		return;
	(void)snprintf(
	    text, sizeof text,
	    "%s: in %d partitions of %s messages run one by one: a member ended with them",
	    group->options.group, n, group->topic);
	group_log(group, LOG_NOTICE, text);
}

static void
own_partitions(struct kafka_group *group, rd_kafka_topic_partition_list_t *list)
{
	if (group_counts(group)) {
		own_counted(group, list);
		tell_probation(group);
	} else {
		own_uncounted(group, list);
	}
	atomic_store(&group->n_owned, list->cnt);
}

/* ---- partitions go ----------------------------------------------------------- */

void
group_disown_all(struct kafka_group *group)
{
	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < group->end; i++) {
		offsets_free(group->owned[i].offsets);
		group->owned[i].offsets = NULL;
		group->owned[i].n_suspects = 0;
	}
	group_tell_news(group);
	pthread_mutex_unlock(&group->lock);
	atomic_store(&group->n_owned, 0);
}

void
group_leave_all(struct kafka_group *group, bool is_stuck)
{
	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < group->end; i++) {
		struct owned *owned = &group->owned[i];

		if (!owned->offsets)
			continue;
		if (owned->probation.state == PROBATION_BEGINS)
			owned->n_suspects++; /* it waits again */
		probation_leave(&owned->probation, is_stuck);
	}
	group_tell_news(group);
	pthread_mutex_unlock(&group->lock);
}

/* What was taken comes to its end before its partition goes, if it can soon: the next owner would
 * do it again.  All members wait for the slowest, so not for long. */
static void
settle(struct kafka_group *group)
{
	bool is_stuck = false;

	pthread_mutex_lock(&group->lock);
	group->is_settled = !group_is_busy(group);
	group->is_settling = true;
	group_wait(group, &group->is_settled, SETTLE_MS);
	group->is_settling = false;
	if (group->options.is_stuck && !group->is_settled && !group->is_abandoned)
		is_stuck = group->options.is_stuck(group->options.ctx);
	pthread_mutex_unlock(&group->lock);
	group_leave_all(group, is_stuck);
}

static void
give_away(struct kafka_group *group)
{
	bool is_lost = rd_kafka_assignment_lost(group->client);

	if (!is_lost)
		group_leave_all(group, false);
	if (!is_lost && !atomic_load(&group->is_stopped))
		settle(group);
	/* Of what is lost nothing is committed: it is somebody else's by now. */
	if (!is_lost)
		(void)group_commit_all(group, ANSWER_MS);
	group_release_all(group);
	group_disown_all(group);
}

static void
tell(struct kafka_group *group, const char *what, const rd_kafka_topic_partition_list_t *list)
{
	char text[256];

	(void)snprintf(text, sizeof text, "%s: %d partitions of %s %s", group->options.group,
		       list->cnt, group->topic, what);
	group_log(group, LOG_NOTICE, text);
}

void
group_on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
		   rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_group *group = opaque;

	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		tell(group, "assigned", list);
		own_partitions(group, list);
		(void)rd_kafka_assign(client, list);
	} else {
		tell(group, rd_kafka_assignment_lost(client) ? "lost" : "revoked", list);
		give_away(group);
		(void)rd_kafka_assign(client, NULL);
	}
}
