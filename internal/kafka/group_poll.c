#include "kafka/group_inner.h"

#define POLL_MS   50
#define COMMIT_MS 100
#define ANSWER_MS 1000 /* how long a commit that is waited for may take */
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

static void
pause_all(struct kafka_group *group, bool is_pause)
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

/* ---- committing -------------------------------------------------------------- */

/* Collects what can be committed; NULL when there is nothing. */
static rd_kafka_topic_partition_list_t *
collect_commits(struct kafka_group *group)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < MAX_PARTITION; i++) {
		int64_t offset;

		if (!group->owned[i].offsets)
			continue;
		offset = offsets_to_commit(group->owned[i].offsets);
		if (offset < 0)
			continue;
		if (!list)
			list = rd_kafka_topic_partition_list_new(4);
		rd_kafka_topic_partition_list_add(list, group->topic, i)->offset = offset;
	}
	pthread_mutex_unlock(&group->lock);
	return list;
}

/* rd_kafka_commit and not rd_kafka_offsets_store: only it keeps an offset's metadata, which the
 * counting of poisonous messages needs. */
static void
commit(struct kafka_group *group, int wait_ms)
{
	rd_kafka_queue_t *answers;
	rd_kafka_topic_partition_list_t *list = collect_commits(group);

	group->committed_at_ms = group_now_ms();
	if (!list)
		return;
	/* A commit that fails is harmless: the next one is higher, and what was never committed is
	 * done again by whoever gets the partition.  Waiting is by a queue: rd_kafka_commit itself
	 * waits for a coordinator that is away longer than a process may take to stop. */
	answers = wait_ms > 0 ? rd_kafka_queue_new(group->client) : NULL;
	if (!answers) {
		(void)rd_kafka_commit(group->client, list, 1);
	} else if (rd_kafka_commit_queue(group->client, list, answers, NULL, NULL)
		   == RD_KAFKA_RESP_ERR_NO_ERROR) {
		rd_kafka_event_destroy(rd_kafka_queue_poll(answers, wait_ms));
	}
	if (answers)
		rd_kafka_queue_destroy(answers);
	rd_kafka_topic_partition_list_destroy(list);
}

/* ---- assignment -------------------------------------------------------------- */

static void
own_partitions(struct kafka_group *group, const rd_kafka_topic_partition_list_t *list)
{
	pthread_mutex_lock(&group->lock);
	group->epoch++;
	for (int i = 0; i < list->cnt; i++) {
		int32_t partition = list->elems[i].partition;
		struct owned *owned;

		if (partition < 0 || partition >= MAX_PARTITION)
			continue;
		owned = &group->owned[partition];
		offsets_free(owned->offsets);
		*owned = (struct owned){
			.partition = partition,
			.offsets = offsets_new((size_t)group->options.max_uncommitted),
			.epoch = group->epoch,
			.next_offset = -1,
			.refused_from = -1,
		};
	}
	pthread_mutex_unlock(&group->lock);
	atomic_store(&group->n_owned, list->cnt);
}

void
group_disown_all(struct kafka_group *group)
{
	pthread_mutex_lock(&group->lock);
	for (int32_t i = 0; i < MAX_PARTITION; i++) {
		offsets_free(group->owned[i].offsets);
		group->owned[i].offsets = NULL;
	}
	pthread_mutex_unlock(&group->lock);
	atomic_store(&group->n_owned, 0);
}

/* The eager protocol: all partitions are revoked, then all are assigned. */
void
group_on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
		   rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_group *group = opaque;

	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		own_partitions(group, list);
		(void)rd_kafka_assign(client, list);
		if (group->is_intake_full || group->has_quiesced)
			pause_all(group, true);
	} else {
		commit(group, ANSWER_MS);
		group_disown_all(group);
		(void)rd_kafka_assign(client, NULL);
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

static void
take(struct kafka_group *group, rd_kafka_message_t *message)
{
	struct owned *owned =
	    message->partition < MAX_PARTITION ? &group->owned[message->partition] : NULL;
	tally_status status = TALLY_CLOSED;
	bool is_full = false;

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
	if (status == TALLY_OK)
		owned->next_offset = message->offset + 1;
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
	if (!group->options.on_message(group->options.ctx, (struct kafka_message *)(void *)message,
				       owned->epoch)
	    && !group->is_intake_full) {
		group->is_intake_full = true;
		pause_all(group, true);
	}
}

static void
quiesce(struct kafka_group *group)
{
	group->has_quiesced = true;
	pause_all(group, true);
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
		pause_all(group, false);
	}
	if (!group->has_quiesced)
		resume_partitions(group);
	if (group_now_ms() - group->committed_at_ms >= COMMIT_MS)
		commit(group, 0);
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
		rd_kafka_message_t *message = rd_kafka_consumer_poll(group->client, POLL_MS);

		if (message)
			take(group, message);
		keep_house(group);
	}
	commit(group, ANSWER_MS);
	leave(group);
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
