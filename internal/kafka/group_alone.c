/* Messages on probation: one at a time begins, runs and ends. */
#include "kafka/group_inner.h"

_Static_assert(KAFKA_CONDEMNED == PROBATION_CONDEMNED, "one number for both");

static bool
is_ours(const struct kafka_group *group, int32_t partition, uint64_t epoch)
{
	return group->owned[partition].offsets && group->owned[partition].epoch == epoch;
}

/* Whether the end of a message is not stored yet. */
static bool
has_end_to_store(const struct kafka_group *group)
{
	for (int32_t i = 0; i < group->end; i++) {
		if (group->owned[i].offsets && group->owned[i].probation.has_ended)
			return true;
	}
	return false;
}

static void
tell(struct kafka_group *group, enum kafka_news news, enum alone_state state)
{
	group->alone.state = state;
	if (!group->is_abandoned)
		group->options.on_news(group->options.ctx, news);
}

void
group_tell_news(struct kafka_group *group)
{
	const struct alone *alone = &group->alone;
	const struct probation *probation;
	bool is_lost;

	if (alone->state == ALONE_NONE || alone->state == ALONE_RUNS)
		return;
	is_lost = !is_ours(group, alone->partition, alone->epoch);
	probation = &group->owned[alone->partition].probation;
	if (alone->state == ALONE_BEGINS && (is_lost || probation->state == PROBATION_RESTS))
		tell(group, KAFKA_GONE, ALONE_NONE);
	else if (alone->state == ALONE_BEGINS && probation->state == PROBATION_RUNS
		 && !has_end_to_store(group))
		tell(group, KAFKA_BEGUN, ALONE_RUNS);
	else if (alone->state == ALONE_ENDS && (is_lost || !probation->has_ended))
		tell(group, KAFKA_OVER, ALONE_NONE);
}

void
group_hurry(struct kafka_group *group)
{
	atomic_store(&group->is_urgent, true);
	if (group->messages)
		rd_kafka_queue_yield(group->messages);
}

static tally_status
may_begin(const struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	const struct owned *owned = &group->owned[partition];
	bool is_free = group->alone.state == ALONE_NONE || group->alone.state == ALONE_ENDS;

	if (!is_ours(group, partition, epoch))
		return TALLY_CLOSED;
	return is_free && offsets_first(owned->offsets) == offset
		       && probation_may_begin(&owned->probation, offset)
		   ? TALLY_OK
		   : TALLY_FULL;
}

tally_status
kafka_group_may_begin(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	pthread_mutex_lock(&group->lock);
	tally_status status = may_begin(group, partition, offset, epoch);
	pthread_mutex_unlock(&group->lock);
	return status;
}

tally_status
kafka_group_begin(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	struct owned *owned = &group->owned[partition];

	pthread_mutex_lock(&group->lock);
	tally_status status = may_begin(group, partition, offset, epoch);
	if (status == TALLY_OK) {
		probation_begin(&owned->probation, offset);
		group->alone = (struct alone){ ALONE_BEGINS, partition, offset, epoch };
		owned->n_suspects--;
		group_hurry(group);
	}
	pthread_mutex_unlock(&group->lock);
	return status;
}

static bool
is_alone(const struct alone *alone, int32_t partition, int64_t offset, uint64_t epoch)
{
	return (alone->state == ALONE_BEGINS || alone->state == ALONE_RUNS)
	       && alone->partition == partition && alone->offset == offset && alone->epoch == epoch;
}

void
group_alone_done(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	struct owned *owned = &group->owned[partition];

	if (is_alone(&group->alone, partition, offset, epoch)) {
		group->alone.state = ALONE_ENDS;
		group_hurry(group);
	} else if (is_ours(group, partition, epoch) && owned->n_suspects > 0
		   && probation_is_suspect(&owned->probation, offset)) {
		owned->n_suspects--;
	}
}

void
kafka_group_back(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	struct owned *owned = &group->owned[partition];

	pthread_mutex_lock(&group->lock);
	if (is_alone(&group->alone, partition, offset, epoch)) {
		group->alone.state = ALONE_ENDS;
		group_hurry(group);
		if (is_ours(group, partition, epoch)) {
			probation_back(&owned->probation);
			owned->n_suspects++;
		}
	}
	group_tell_news(group);
	group_note_settled(group);
	pthread_mutex_unlock(&group->lock);
}
