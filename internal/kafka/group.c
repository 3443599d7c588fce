#include "kafka/group_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FETCH_WAIT_MS    100
#define GATHER_BYTES     "65536"
#define GATHER_QUEUE_KIB "6144" /* who gathers has time: it need not be far ahead */

void
group_log(struct kafka_group *group, int level, const char *text)
{
	/* The lock is never held across a call of librdkafka. */
	pthread_mutex_lock(&group->lock);
	if (!group->is_abandoned && group->config->on_log)
		group->config->on_log(group->config->log_ctx, level, text);
	pthread_mutex_unlock(&group->lock);
}

static void
on_log_line(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	struct kafka_group *group = rd_kafka_opaque(client);

	if (group && !client_is_noise(facility, text))
		group_log(group, level, text);
}

void
group_free(struct kafka_group *group)
{
	group_commit_fini(group);
	if (group->client)
		rd_kafka_destroy_flags(group->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	group_disown_all(group);
	pthread_cond_destroy(&group->changed);
	pthread_mutex_destroy(&group->lock);
	free(group->topic);
	free(group);
}

/* ---- life -------------------------------------------------------------------- */

static tally_status
open_client(struct kafka_group *group, struct tally_error *err)
{
	const int gather_ms = group->options.gather_ms;
	char wait_ms[16];
	const struct client_setting role[] = {
		{ "group.id",                      group->options.group                       },
		{ "enable.auto.commit",            "false"                                    },
		{ "enable.auto.offset.store",      "false"                                    },
		/* The default, latest, loses what waits. */
		{ "auto.offset.reset",             "earliest"                                 },
		{ "partition.assignment.strategy", "roundrobin"                               },
		{ "session.timeout.ms",            "6000"                                     },
		{ "heartbeat.interval.ms",         "500"                                      },
		{ "max.poll.interval.ms",          "60000"                                    },
		{ "isolation.level",               "read_uncommitted"                         },
		{ "fetch.min.bytes",               gather_ms > 0 ? GATHER_BYTES : "1"         },
		{ "fetch.wait.max.ms",             wait_ms                                    },
		{ "fetch.error.backoff.ms",        "10"                                       },
		{ "queued.min.messages",           "10000"                                    },
		{ "queued.max.messages.kbytes",    gather_ms > 0 ? GATHER_QUEUE_KIB : "16384" },
		{ "fetch.message.max.bytes",       "262144"                                   },
		{ NULL,			    NULL				       },
	};
	rd_kafka_conf_t *conf;
	tally_status status;

	(void)snprintf(wait_ms, sizeof wait_ms, "%d", gather_ms > 0 ? gather_ms : FETCH_WAIT_MS);
	status = client_conf(group->config, role, &conf, err);
	if (status != TALLY_OK)
		return status;
	rd_kafka_conf_set_opaque(conf, group); /* in place of the configuration */
	rd_kafka_conf_set_log_cb(conf, on_log_line);
	rd_kafka_conf_set_rebalance_cb(conf, group_on_rebalance);
	return client_new(RD_KAFKA_CONSUMER, conf, &group->client, err);
}

static tally_status
subscribe(struct kafka_group *group, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t code;

	(void)rd_kafka_poll_set_consumer(group->client);
	group->messages = rd_kafka_queue_get_consumer(group->client);
	rd_kafka_topic_partition_list_add(topics, group->topic, RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(group->client, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "subscribing: %s",
				  rd_kafka_err2str(code));
	group->has_thread = pthread_create(&group->thread, NULL, group_poll, group) == 0;
	if (group->has_thread)
		(void)pthread_setname_np(group->thread, "kafka-group");
	if (!group->has_thread)
		return tally_fail(err, TALLY_NO_MEMORY, "no thread for a consumer");
	return TALLY_OK;
}

/* Any 64 bits that no other process writes. */
static void
choose_writer(struct kafka_group *group)
{
	uint64_t bits;

	if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
		bits = (uint64_t)clock_mono_ms() ^ (uint64_t)(uintptr_t)group;
	(void)snprintf(group->writer, sizeof group->writer, "%016llx", (unsigned long long)bits);
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
	choose_writer(group);
	pthread_mutex_init(&group->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&group->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	group->topic = strdup(options->topic);
	status = group->topic ? open_client(group, err)
			      : tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (status == TALLY_OK)
		status = subscribe(group, err);
	if (status != TALLY_OK) {
		group_free(group);
		return status;
	}
	*out_group = group;
	return TALLY_OK;
}

void
group_wait(struct kafka_group *group, const bool *flag, int timeout_ms)
{
	int64_t at_ms = clock_mono_ms() + timeout_ms;
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };
	int error = 0;

	while (!*flag && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&group->changed, &group->lock, &at);
}

void
kafka_group_quiesce(struct kafka_group *group)
{
	atomic_store(&group->is_quiescing, true);
	pthread_mutex_lock(&group->lock);
	group_wait(group, &group->is_quiet, 10000);
	pthread_mutex_unlock(&group->lock);
}

void
kafka_group_stop(struct kafka_group *group, int timeout_ms)
{
	if (!group)
		return;
	atomic_store(&group->is_stopped, true);
	pthread_mutex_lock(&group->lock);
	group_wait(group, &group->has_ended, timeout_ms);
	if (!group->has_ended) {
		/* It waits for a coordinator that is away: the thread goes on without us. */
		group->is_abandoned = true;
		pthread_detach(group->thread);
		pthread_mutex_unlock(&group->lock);
		return;
	}
	pthread_mutex_unlock(&group->lock);
	pthread_join(group->thread, NULL);
	group_free(group);
}

bool
group_counts(const struct kafka_group *group)
{
	return group->options.on_suspect != NULL;
}

bool
group_is_busy(const struct kafka_group *group)
{
	for (int32_t i = 0; i < group->end; i++) {
		const struct owned *owned = &group->owned[i];

		if (owned->offsets && offsets_open(owned->offsets) > owned->n_suspects)
			return true;
	}
	return false;
}

void
group_note_settled(struct kafka_group *group)
{
	if (!group->is_settling || group_is_busy(group))
		return;
	group->is_settled = true;
	pthread_cond_broadcast(&group->changed);
}

void
kafka_group_done(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch)
{
	struct owned *owned = &group->owned[partition];

	pthread_mutex_lock(&group->lock);
	group_alone_done(group, partition, offset, epoch);
	if (owned->offsets && owned->epoch == epoch) {
		offsets_done(owned->offsets, offset);
		probation_progress(&owned->probation, offsets_to_commit(owned->offsets));
	}
	group_tell_news(group);
	group_note_settled(group);
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

	pthread_mutex_lock(&group->lock);
	const int32_t end = group->end;
	pthread_mutex_unlock(&group->lock);
	for (int32_t i = 0; i < end; i++) {
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

uint64_t
kafka_group_stalls(const struct kafka_group *group)
{
	return atomic_load(&group->n_stalls);
}

uint64_t
kafka_group_missed(const struct kafka_group *group)
{
	return atomic_load(&group->n_missed);
}
