#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#include "kafka/group_inner.h"

#define POLL_MS   50
#define HASTE_MS  1    /* while messages run alone: each waits for a commit and its answer */
#define ANSWER_MS 1000 /* how long the last commit may take */
#define LEAVE_MS  2000

/* ---- the poll thread --------------------------------------------------------- */

/* There is no room for it: it is read again when there is, and so is what follows it. */
static void
refuse(struct kafka_group *group, struct owned *owned, rd_kafka_message_t *message)
{
	/* In this order: a pause notes where to go on, and that would be behind it. */
	group_hold(group, owned);
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

static bool
is_wanted(struct kafka_group *group, const rd_kafka_message_t *message)
{
	const struct owned *owned;

	if (message->err || group->has_quiesced || atomic_load(&group->is_stopped)
	    || message->partition >= MAX_PARTITION)
		return false;
	owned = &group->owned[message->partition];
	/* What follows one that was refused comes again, after it. */
	return owned->offsets
	       && (owned->refused_from < 0 || message->offset <= owned->refused_from);
}

/* Of a message that is under way from now on. */
struct admission {
	int64_t expected; /* the offset that it would have if nothing were missing; -1: not known */
	unsigned starts;
	bool is_again; /* the log went back to it */
};

/* TALLY_FULL. */
static tally_status
admit(struct kafka_group *group, struct owned *owned, int64_t offset, struct admission *out)
{
	tally_status status;

	if (group->is_intake_full)
		return TALLY_FULL;
	pthread_mutex_lock(&group->lock);
	out->is_again = offset < owned->next_offset;
	if (out->is_again)
		group_own_again(group, owned, offset);
	status = offsets_take(owned->offsets, offset);
	if (status == TALLY_OK) {
		out->expected = owned->next_offset >= 0 ? owned->next_offset : owned->start;
		owned->next_offset = offset + 1;
		out->starts = probation_take(&owned->probation, offset);
		owned->n_suspects += out->starts > 0;
	}
	owned->is_full = owned->is_full || offsets_is_full(owned->offsets);
	pthread_mutex_unlock(&group->lock);
	return status;
}

static void
tell_again(struct kafka_group *group, const rd_kafka_message_t *message)
{
	char text[256];

	(void)snprintf(text, sizeof text,
		       "%s: partition %" PRId32 " of %s went back to offset %" PRId64
		       ": what follows is done again",
		       group->options.group, message->partition, group->topic, message->offset);
	group_log(group, LOG_WARNING, text);
}

static void
take(struct kafka_group *group, rd_kafka_message_t *message)
{
	struct owned *owned = &group->owned[message->partition];
	struct admission admission = { .expected = -1 };

	if (admit(group, owned, message->offset, &admission) != TALLY_OK) {
		refuse(group, owned, message);
		return;
	}
	owned->refused_from = -1;
	group_note_come(group, owned, message->offset);
	group_hold(group, owned);
	if (admission.expected >= 0 && admission.expected < message->offset)
		group_note_gap(group, owned, admission.expected, message->offset);
	if (admission.is_again)
		tell_again(group, message);
	if (!hand_on(group, message, owned->epoch, admission.starts)) {
		group->is_intake_full = true;
		group_hold_all(group);
	}
}

static void
quiesce(struct kafka_group *group)
{
	group->has_quiesced = true;
	group_hold_all(group);
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
	if (group->is_intake_full && atomic_exchange(&group->may_resume, false)) {
		group->is_intake_full = false;
		group_hold_all(group);
	}
	group_look_for_room(group);
	group_look_for_stalls(group);
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
	int64_t until_ms = clock_mono_ms() + LEAVE_MS;

	/* Messages come here too, which rd_kafka_queue_poll_callback would take for a mistake. */
	while (!error && !rd_kafka_consumer_closed(group->client) && clock_mono_ms() < until_ms) {
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

		if (message && is_wanted(group, message))
			take(group, message);
		else if (message)
			rd_kafka_message_destroy(message);
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
