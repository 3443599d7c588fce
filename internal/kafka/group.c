#include "kafka/group.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kafka/client.h"
#include "kafka/offsets.h"

#define POLL_MS       50
#define COMMIT_MS     100
#define MAX_PARTITION 1024 /* of one topic; past it a partition is not taken */

/* One assigned partition. */
struct owned {
	int32_t partition;
	struct offsets *offsets; /* NULL: not ours now */
	uint64_t epoch;
	bool is_paused;      /* because too many of its messages are under way */
	int64_t next_offset; /* of the message to come; -1: none seen */
};

struct kafka_group {
	const struct kafka_config *config;
	struct kafka_group_options options;
	rd_kafka_t *client;
	char *topic;
	pthread_t thread;
	bool has_thread;
	atomic_bool is_stopped;
	atomic_bool is_quiescing;
	atomic_bool may_resume;
	atomic_int n_owned;
	int64_t committed_at_ms; /* the poll thread's */
	bool is_intake_full;     /* the poll thread's */
	bool has_quiesced;       /* the poll thread's; told to others below */
	pthread_mutex_t lock;    /* guards everything below */
	pthread_cond_t changed;  /* is_quiet or has_ended */
	bool is_quiet;
	bool has_ended;
	uint64_t epoch;
	struct owned owned[MAX_PARTITION];
};

static int64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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
commit(struct kafka_group *group, bool is_async)
{
	rd_kafka_topic_partition_list_t *list = collect_commits(group);

	group->committed_at_ms = now_ms();
	if (!list)
		return;
	/* A commit that fails is harmless: the next one is higher, and what was never committed is
	 * done again by whoever gets the partition. */
	(void)rd_kafka_commit(group->client, list, is_async);
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
		};
	}
	pthread_mutex_unlock(&group->lock);
	atomic_store(&group->n_owned, list->cnt);
}

static void
disown_all(struct kafka_group *group)
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
static void
on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
	     void *opaque)
{
	struct kafka_group *group = opaque;

	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		own_partitions(group, list);
		(void)rd_kafka_assign(client, list);
		if (group->is_intake_full || group->has_quiesced)
			pause_all(group, true);
	} else {
		commit(group, false);
		disown_all(group);
		(void)rd_kafka_assign(client, NULL);
	}
}

static void
on_log_line(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	const struct kafka_group *group = rd_kafka_opaque(client);

	if (group && group->config->on_log && !client_is_noise(facility, text))
		group->config->on_log(group->config->log_ctx, level, text);
}

/* ---- the poll thread --------------------------------------------------------- */

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
		/* Came in spite of the pause: read it again when there is room. */
		(void)rd_kafka_seek(message->rkt, message->partition, message->offset, 0);
		rd_kafka_message_destroy(message);
		return;
	}
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
	if (now_ms() - group->committed_at_ms >= COMMIT_MS)
		commit(group, true);
}

/* Leaves the group; serves the revocation that this brings.  Bounded: a coordinator that is away
 * must not keep the process. */
static void
leave(struct kafka_group *group)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(group->client);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(group->client, queue);
	int64_t until_ms = now_ms() + 3000;

	while (!error && !rd_kafka_consumer_closed(group->client) && now_ms() < until_ms)
		(void)rd_kafka_queue_poll_callback(queue, POLL_MS);
	rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
}

static void *
poll_group(void *arg)
{
	struct kafka_group *group = arg;

	while (!atomic_load(&group->is_stopped)) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(group->client, POLL_MS);

		if (message)
			take(group, message);
		keep_house(group);
	}
	commit(group, false);
	leave(group);
	pthread_mutex_lock(&group->lock);
	group->has_ended = true;
	pthread_cond_broadcast(&group->changed);
	pthread_mutex_unlock(&group->lock);
	return NULL;
}

/* ---- life -------------------------------------------------------------------- */

static tally_status
open_client(struct kafka_group *group, struct tally_error *err)
{
	const struct client_setting role[] = {
		{ "group.id",                      group->options.group },
		{ "enable.auto.commit",            "false"              },
		{ "enable.auto.offset.store",      "false"              },
		/* The default, latest, loses what waits. */
		{ "auto.offset.reset",             "earliest"           },
		{ "partition.assignment.strategy", "roundrobin"         },
		{ "session.timeout.ms",            "6000"               },
		{ "heartbeat.interval.ms",         "500"                },
		{ "max.poll.interval.ms",          "60000"              },
		{ "isolation.level",               "read_uncommitted"   },
		{ "fetch.wait.max.ms",             "100"                },
		{ "fetch.error.backoff.ms",        "10"                 },
		{ "queued.min.messages",           "10000"              },
		{ "queued.max.messages.kbytes",    "16384"              },
		{ "fetch.message.max.bytes",       "262144"             },
		{ NULL,			    NULL                 },
	};
	rd_kafka_conf_t *conf;
	tally_status status = client_conf(group->config, role, &conf, err);

	if (status != TALLY_OK)
		return status;
	rd_kafka_conf_set_opaque(conf, group); /* in place of the configuration */
	rd_kafka_conf_set_log_cb(conf, on_log_line);
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	return client_new(RD_KAFKA_CONSUMER, conf, &group->client, err);
}

static tally_status
subscribe(struct kafka_group *group, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t code;

	(void)rd_kafka_poll_set_consumer(group->client);
	rd_kafka_topic_partition_list_add(topics, group->topic, RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(group->client, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "subscribing: %s",
				  rd_kafka_err2str(code));
	group->has_thread = pthread_create(&group->thread, NULL, poll_group, group) == 0;
	if (!group->has_thread)
		return tally_fail(err, TALLY_NO_MEMORY, "no thread for a consumer");
	return TALLY_OK;
}

static void
free_group(struct kafka_group *group)
{
	if (group->client)
		rd_kafka_destroy_flags(group->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	disown_all(group);
	pthread_cond_destroy(&group->changed);
	pthread_mutex_destroy(&group->lock);
	free(group->topic);
	free(group);
}

tally_status
kafka_group_start(const struct kafka_config *config, const struct kafka_group_options *options,
		  struct kafka_group **out_group, struct tally_error *err)
{
	struct kafka_group *group = calloc(1, sizeof *group);
	pthread_condattr_t monotonic;
	tally_status status;

	if (!group)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	group->config = config;
	group->options = *options;
	pthread_mutex_init(&group->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&group->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	group->topic = strdup(options->topic);
	status = group->topic ? open_client(group, err) : TALLY_NO_MEMORY;
	if (status == TALLY_OK)
		status = subscribe(group, err);
	if (status != TALLY_OK) {
		free_group(group);
		return status;
	}
	*out_group = group;
	return TALLY_OK;
}

/* Waits until *flag, which the lock guards; false after timeout_ms. */
static bool
wait_for(struct kafka_group *group, const bool *flag, int timeout_ms)
{
	struct timespec until;
	bool is_set;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000 + 1;
	pthread_mutex_lock(&group->lock);
	while (!*flag) {
		if (pthread_cond_timedwait(&group->changed, &group->lock, &until) == ETIMEDOUT)
			break;
	}
	is_set = *flag;
	pthread_mutex_unlock(&group->lock);
	return is_set;
}

void
kafka_group_quiesce(struct kafka_group *group)
{
	atomic_store(&group->is_quiescing, true);
	(void)wait_for(group, &group->is_quiet, 10000);
}

void
kafka_group_stop(struct kafka_group *group, int timeout_ms)
{
	if (!group)
		return;
	atomic_store(&group->is_stopped, true);
	if (group->has_thread && !wait_for(group, &group->has_ended, timeout_ms)) {
		/* librdkafka hangs, as 2.0.2 may without a coordinator.  The process is about to
		 * end: leaking beats waiting. */
		pthread_detach(group->thread);
		return;
	}
	if (group->has_thread)
		pthread_join(group->thread, NULL);
	free_group(group);
}

void
kafka_group_done(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	struct owned *owned = &group->owned[partition];

	pthread_mutex_lock(&group->lock);
	if (owned->offsets && owned->epoch == epoch)
		offsets_done(owned->offsets, offset);
	pthread_mutex_unlock(&group->lock);
}

void
kafka_group_resume(struct kafka_group *group)
{
	atomic_store(&group->may_resume, true);
}

int
kafka_group_partitions(struct kafka_group *group)
{
	return atomic_load(&group->n_owned);
}

int64_t
kafka_group_lag(struct kafka_group *group)
{
	int64_t lag = -1;

	for (int32_t i = 0; i < MAX_PARTITION; i++) {
		int64_t low, high, next;
		size_t under_way;

		pthread_mutex_lock(&group->lock);
		next = group->owned[i].offsets ? group->owned[i].next_offset : -1;
		under_way = next < 0 ? 0 : offsets_count(group->owned[i].offsets);
		pthread_mutex_unlock(&group->lock);
		if (next < 0
		    || rd_kafka_get_watermark_offsets(group->client, group->topic, i, &low, &high)
			   != RD_KAFKA_RESP_ERR_NO_ERROR
		    || high < next)
			continue;
		lag = (lag < 0 ? 0 : lag) + (high - next) + (int64_t)under_way;
	}
	return lag;
}
