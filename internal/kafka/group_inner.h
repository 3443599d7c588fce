/* group_inner.h - a member of a consumer group, for the files that make it up: group.c (life, and
 * what any thread may ask), group_poll.c (its thread), group_hold.c (no room for more),
 * group_assign.c (partitions come and go), group_gap.c (messages that are gone), group_stall.c
 * (messages that do not come), group_commit.c (offsets out), group_alone.c (messages on
 * probation). */
#ifndef KAFKA_GROUP_INNER_H
#define KAFKA_GROUP_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "kafka/client.h"
#include "kafka/group.h"
#include "kafka/offsets.h"
#include "kafka/probation.h"

#define MAX_PARTITION 1024 /* of one topic; past it a partition is not taken */

/* One assigned partition. */
struct owned {
	int32_t partition;
	struct offsets *offsets; /* NULL: not ours now */
	uint64_t epoch;
	bool is_full;         /* too many of its messages are under way */
	bool is_held;         /* paused in librdkafka */
	int64_t refused_from; /* the first for which there was no room; -1: none */
	int64_t next_offset;  /* of the message to come; -1: none seen */
	int64_t start;    /* the first that is to be read; -1: not known, or all that there are */
	int64_t gap_ms;   /* when the last gap was looked at; the poll thread's, as what follows */
	bool has_come;    /* a message, since the last look for stalls */
	int64_t heard_ms; /* when one came, or there was none to come */
	int64_t waits_ms; /* since when some wait that do not come; 0: none is known */
	int64_t again_until; /* up to where it was read again; -1: nowhere */
	/* Stays as it was when the partition goes. */
	struct probation probation;
	size_t n_suspects; /* on probation, taken and not begun */
};

enum alone_state { ALONE_NONE, ALONE_BEGINS, ALONE_RUNS, ALONE_ENDS };

/* The message of the last kafka_group_begin. */
struct alone {
	enum alone_state state;
	int32_t partition;
	int64_t offset;
	uint64_t epoch;
};

/* The commit that is under way; the poll thread's. */
struct commit {
	rd_kafka_queue_t *answers;
	uint64_t number; /* of the newest; an answer with another one is late */
	bool is_under_way;
	int64_t sent_ms;
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
	_Atomic uint64_t n_missed;
	_Atomic uint64_t n_stalls;
	struct commit commit;
	char writer[PROBATION_WRITER + 1];
	rd_kafka_queue_t *messages; /* on which the thread waits */
	atomic_bool is_urgent;      /* somebody waits for a commit */
	bool is_intake_full;        /* the poll thread's */
	int64_t looked_ms;          /* for stalls; the poll thread's, as what follows */
	uint32_t looked_at;         /* partitions, one after the other */
	bool has_quiesced;          /* the poll thread's; told to others below */
	pthread_mutex_t lock;       /* guards everything below */
	pthread_cond_t changed;     /* is_quiet, has_ended or is_settled */
	bool is_quiet;
	bool has_ended;
	bool is_settling;  /* somebody waits for is_settled */
	bool is_settled;   /* nothing that was taken is under way */
	bool is_abandoned; /* its owner is gone: the thread frees it */
	struct alone alone;
	uint64_t epoch;
	int32_t end; /* above all partitions that were ever ours; the poll thread writes it */
	struct owned owned[MAX_PARTITION];
};

/* Frees a group whose thread has ended, or is the caller. */
void group_free(struct kafka_group *group);

/* Waits, with the lock held, until *flag (then changed is signalled) or for timeout_ms. */
void group_wait(struct kafka_group *group, const bool *flag, int timeout_ms);

/* Whether messages are worked on: taken, not done, and not waiting to run alone; with the lock
 * held. */
bool group_is_busy(const struct kafka_group *group);

/* Whether the starts of its messages are counted. */
bool group_counts(const struct kafka_group *group);

/* A line to the owner's log, while it has one; level: of syslog(3).  Any thread, without the
 * lock. */
void group_log(struct kafka_group *group, int level, const char *text);

/* Tells somebody who waits for it that nothing is under way any more; with the lock held. */
void group_note_settled(struct kafka_group *group);

/* Frees what group_commit.c made. */
void group_commit_fini(struct kafka_group *group);

/* Forgets all partitions and what is under way in them. */
void group_disown_all(struct kafka_group *group);

/* The thread: polls until the group is stopped, commits, leaves. */
void *group_poll(void *arg);

/* ---- group_hold.c; on the thread, without the lock ---- */

/* Has a partition, or all of them, deliver nothing as long as there is no room, in it or at all. */
void group_hold(struct kafka_group *group, struct owned *owned);
void group_hold_all(struct kafka_group *group);

/* All are about to go: none is paused when it comes back. */
void group_release_all(struct kafka_group *group);

/* Has those go on that were full and are half empty again. */
void group_look_for_room(struct kafka_group *group);

/* ---- group_assign.c ---- */

/* librdkafka's news of the assignment; on the thread. */
void group_on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
			rd_kafka_topic_partition_list_t *list, void *opaque);

/* A partition goes back to an offset: its log is shorter than what was read, as a leader without
 * the last messages took over, or the topic was made again.  What was taken is not ours any more.
 * With the lock held. */
void group_own_again(struct kafka_group *group, struct owned *owned, int64_t offset);

/* Nothing begins any more, and what is committed from now on says that this member leaves. */
void group_leave_all(struct kafka_group *group, bool is_stuck);

/* ---- group_gap.c; on the thread, without the lock ---- */

/* After the message before from came that at to: counts and tells of what was deleted between. */
void group_note_gap(struct kafka_group *group, struct owned *owned, int64_t from, int64_t to);

/* ---- group_stall.c; on the thread, without the lock ---- */

/* Reads again what the broker has and does not come.  Asks it at most once a second. */
void group_look_for_stalls(struct kafka_group *group);

/* The message at offset was taken. */
void group_note_come(struct kafka_group *group, struct owned *owned, int64_t offset);

/* ---- group_commit.c; on the thread ---- */

/* Takes the answer of the commit that is under way, if it is there. */
void group_commit_look(struct kafka_group *group);

/* Sends what is to be committed, when nothing is under way and it is time, or urgent. */
void group_commit(struct kafka_group *group);

/* Sends everything that is to be committed and waits for the answer; false when that did not come
 * within timeout_ms, or something was refused. */
bool group_commit_all(struct kafka_group *group, int timeout_ms);

/* ---- group_alone.c; with the lock held ---- */

/* There is something to commit at once: wakes the thread. */
void group_hurry(struct kafka_group *group);

/* Tells the news of what was begun, if there are any. */
void group_tell_news(struct kafka_group *group);

/* A message is done: if it was the one that ran, that ends. */
void group_alone_done(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch);

#endif
