/* group_inner.h - a member of a consumer group, for the files that make it up: group.c (life, and
 * what any thread may ask), group_poll.c (its thread). */
#ifndef KAFKA_GROUP_INNER_H
#define KAFKA_GROUP_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "kafka/client.h"
#include "kafka/group.h"
#include "kafka/offsets.h"

#define MAX_PARTITION 1024 /* of one topic; past it a partition is not taken */

/* One assigned partition. */
struct owned {
	int32_t partition;
	struct offsets *offsets; /* NULL: not ours now */
	uint64_t epoch;
	bool is_paused;       /* because too many of its messages are under way */
	int64_t refused_from; /* the first for which there was no room; -1: none */
	int64_t next_offset;  /* of the message to come; -1: none seen */
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
	bool is_abandoned; /* its owner is gone: the thread frees it */
	uint64_t epoch;
	struct owned owned[MAX_PARTITION];
};

/* CLOCK_MONOTONIC. */
int64_t group_now_ms(void);

/* Frees a group whose thread has ended, or is the caller. */
void group_free(struct kafka_group *group);

/* Forgets all partitions and what is under way in them. */
void group_disown_all(struct kafka_group *group);

/* The thread: polls until the group is stopped, commits, leaves. */
void *group_poll(void *arg);

/* librdkafka's news of the assignment; on the thread. */
void group_on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
			rd_kafka_topic_partition_list_t *list, void *opaque);

#endif
