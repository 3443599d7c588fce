#include "kafka/group_inner.h"

#define POLL_MS   50
#define HASTE_MS  1    /* while messages run alone: each waits for a commit and its answer */
#define ANSWER_MS 1000 /* how long the last commit may take */
#define LEAVE_MS  2000

/* ---- pausing ----------------------------------------------------------------- */

static void
pause_partition(struct kafka_group *group, int32_t partition, bool is_pause)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, group->topic, partition);
	(void)(is_pause ? rd_kafka_pause_partitions(group->client, list)
			: rd_kafka_resume_partitions(group->client, list));
	rd_kafka_topic_partition_list_destroy(list);
}

void
group_pause_all(struct kafka_group *group, bool is_pause)
{
	for (int32_t i = 0; i < MAX_PARTITION; i++) {
		struct owned *owned = &group->owned[i];

		if (owned->offsets && (is_pause || !owned->is_paused))
			pause_partition(group, i, is_pause);
	}
}

/* Partitions that were full and are half empty again. */
static void
resume_partitions(struct kafka_group *group)
{
	for (int32_t i = 0; i < MAX_PARTITION; i++) {
		struct owned *owned = &group->owned[i];
		bool has_room;

		if (!owned->offsets || !owned->is_paused)
			continue;
		pthread_mutex_lock(&group->lock);
		has_room =
		    offsets_count(owned->offsets) <= (size_t)group->options.max_uncommitted / 2;
		pthread_mutex_unlock(&group->lock);
		if (!has_room)
			continue;
		owned->is_paused = false;
		if (!group->is_intake_full)
			pause_partition(group, i, false);
	}
}

/* ---- the poll thread --------------------------------------------------------- */

/* A message that came in spite of the pause: it is read again when there is room, and so is what
 * follows it. */
static void
refuse(struct owned *owned, rd_kafka_message_t *message)
{
	owned->refused_from = message->offset;
	(void)rd_kafka_seek(message->rkt, message->partition, message->offset, 0);
	rd_kafka_message_destroy(message);
}

/* False when there is no room for another one. */
static bool
hand_on(struct kafka_group *group, rd_kafka_message_t *message, uint64_t epoch, unsigned starts)
{
	const struct kafka_group_options *options = &group->options;
	struct kafka_message *ours = (struct kafka_message *)(void *)message;

	return starts > 0 ? options->on_suspect(options->ctx, ours, epoch, starts)
			  : options->on_message(options->ctx, ours, epoch);
}

static void
take(struct kafka_group *group, rd_kafka_message_t *message)
{
	struct owned *owned =
	    message->partition < MAX_PARTITION ? &group->owned[message->partition] : NULL;
	tally_status status = TALLY_CLOSED;
	bool is_full = false;
	unsigned starts = 0;

	if (message->err || group->has_quiesced || atomic_load(&group->is_stopped) || !owned
	    || !owned->offsets) {
		rd_kafka_message_destroy(message);
		return;
	}
	if (owned->refused_from >= 0 && message->offset > owned->refused_from) {
		rd_kafka_message_destroy(message); /* comes again, after the one refused first */
		return;
	}
	pthread_mutex_lock(&group->lock);
	status = offsets_take(owned->offsets, message->offset);
	is_full = offsets_is_full(owned->offsets);
	if (status == TALLY_OK) {
		owned->next_offset = message->offset + 1;
		starts = probation_take(&owned->probation, message->offset);
	}
	owned->n_suspects += starts > 0;
	pthread_mutex_unlock(&group->lock);
	if (is_full && !owned->is_paused) {
		owned->is_paused = true;
		pause_partition(group, message->partition, true);
	}
	if (status != TALLY_OK) {
		refuse(owned, message);
		return;
	}
	owned->refused_from = -1;
	if (!hand_on(group, message, owned->epoch, starts) && !group->is_intake_full) {
		group->is_intake_full = true;
		group_pause_all(group, true);
	}
}

static void
quiesce(struct kafka_group *group)
{
	group->has_quiesced = true;
	group_pause_all(group, true);
	pthread_mutex_lock(&group->lock);
	group->is_quiet = true;
	pthread_cond_broadcast(&group->changed);
	pthread_mutex_unlock(&group->lock);
}

static void
keep_house(struct kafka_group *group)
{
	if (atomic_load(&group->is_quiescing) && !group->has_quiesced)
		quiesce(group);
	if (group->is_intake_full && !group->has_quiesced
	    && atomic_exchange(&group->may_resume, false)) {
		group->is_intake_full = false;
		group_pause_all(group, false);
	}
	if (!group->has_quiesced)
		resume_partitions(group);
	group_commit_look(group);
	group_commit(group);
}

/* Whether a message waits for the answer to a commit, which comes to another queue than the one on
 * which the thread waits. */
static bool
is_in_haste(struct kafka_group *group)
{
	if (!group->commit.is_under_way)
		return false;
	pthread_mutex_lock(&group->lock);
	bool is_waited_for = group->alone.state == ALONE_BEGINS || group->alone.state == ALONE_ENDS;
	pthread_mutex_unlock(&group->lock);
	return is_waited_for;
}

/* Leaves the group; serves the revocation that this brings.  Bounded: a coordinator that is away
 * must not keep the process. */
static void
leave(struct kafka_group *group)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(group->client);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(group->client, queue);
	int64_t until_ms = group_now_ms() + LEAVE_MS;

	/* Messages come here too, which rd_kafka_queue_poll_callback would take for a mistake. */
	while (!error && !rd_kafka_consumer_closed(group->client) && group_now_ms() < until_ms) {
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, POLL_MS);

		if (message)
			rd_kafka_message_destroy(message);
	}
	rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
}

void *
group_poll(void *arg)
{
	struct kafka_group *group = arg;
	bool is_abandoned;

	while (!atomic_load(&group->is_stopped)) {
		rd_kafka_message_t *message =
		    rd_kafka_consumer_poll(group->client, is_in_haste(group) ? HASTE_MS : POLL_MS);

		if (message)
			take(group, message);
		keep_house(group);
	}
	group_leave_all(group, false);
	(void)group_commit_all(group, ANSWER_MS);
	leave(group);
	group_commit_fini(group);
	/* Takes up to the session timeout when a commit waits for a coordinator that is away, and
	 * as long as somebody has a message. */
	rd_kafka_destroy_flags(group->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	group->client = NULL;
	pthread_mutex_lock(&group->lock);
	group->has_ended = true;
	is_abandoned = group->is_abandoned;
	pthread_cond_broadcast(&group->changed);
	pthread_mutex_unlock(&group->lock);
	if (is_abandoned)
		group_free(group);
	return NULL;
}
