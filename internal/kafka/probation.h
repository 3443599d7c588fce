/* probation.h - how often a partition's head was begun without coming to an end, and which messages
 * run alone because of it.
 *
 * A message that ends its worker is read again by the next one and ends that too.  Nobody is left
 * to remember it, so the number of starts is kept where every worker looks first: it is the
 * metadata of the committed offset, "STARTS WRITER".  WRITER tells processes apart: a partition
 * that was lost and comes back to the process that wrote last has cost nobody's life.
 *
 *   found      the partition is assigned with                  committed at once
 *   nothing, 0 ordinary messages: they run together            1
 *   1, 2       probation: until the end of the log at that     the same
 *              time, at most PROBATION_SPAN messages, each
 *              runs alone, the head first
 *   3          the head is condemned; others: probation        the same
 *
 * A death while messages ran together leaves 1, a death of one alone one more than was found: the
 * third start is the last.  The head, the lowest message that is not done, goes round like this;
 * n is its starts so far, and what is to be committed stands behind it:
 *
 *              begin               that is acknowledged
 *   RESTS (n) ───────▶ BEGINS (n+1) ───────▶ RUNS (n+1)
 *     ▲ ▲                  │ back              │ │
 *     │ └──────────────────┴───────────────────┘ │ done: the next head rests, n is 1; what
 *     └──────────────────────────────────────────┘ ended has ended once that is acknowledged
 *
 *   leaving (also a rebalance): nothing begins any more.  0 when the head is not on probation, or
 *   rests there for no death; else n, as the process is alive and well and the head has not ended;
 *   n+1 when it runs and whoever runs it does not move any more.
 *   lost: nothing can be committed.  The next owner counts the start; the process itself, when the
 *   partition comes back to it, knows better, whoever had it meanwhile.
 *
 * A count never belongs to another message than the one that ran: only the head begins, and not
 * before its count is acknowledged; and its owner lets no other one begin before the end of the
 * last is.  Commits are sent one at a time (an older one that is tried again would undo a newer
 * one); one that fails may have been stored or not, so the newest is sent next.
 *
 * Pure bookkeeping of one partition; the caller locks. */
#ifndef KAFKA_PROBATION_H
#define KAFKA_PROBATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBATION_SPAN      1000
#define PROBATION_CONDEMNED 3
#define PROBATION_WRITER    16 /* hex digits of a writer */
#define PROBATION_TEXT_MAX  32 /* of metadata, its end included */

/* What is committed, or to be: the offset of the next message, and its starts. */
struct probation_mark {
	int64_t offset; /* -1: none, or not known */
	unsigned starts;
};

/* What was found at an assignment.  -1: not known. */
struct probation_found {
	struct probation_mark mark; /* offset: committed, or where the log begins */
	bool is_ours;               /* this process wrote it */
	int64_t end;                /* of the log; needed when starts is not 0 */
};

enum probation_state { PROBATION_RESTS, PROBATION_BEGINS, PROBATION_RUNS };

/* All zero: a partition whose starts are not counted. */
struct probation {
	bool is_counted;
	bool is_doubted; /* on probation as its start is not stored: nobody died */
	bool has_taken;  /* a message, since the assignment */
	bool is_leaving; /* nothing begins any more */
	bool is_stuck;   /* what runs does not move any more */
	bool has_ended;  /* something ran, and its end is not acknowledged */
	bool is_end_sent;
	bool is_sent;
	enum probation_state state;
	int64_t head;               /* the lowest that is not done; -1: not known */
	unsigned starts;            /* of the head, without the one that is under way */
	int64_t until;              /* what is before it is on probation; -1: not known */
	struct probation_mark kept; /* acknowledged last; offset -1: not known */
	struct probation_mark sent; /* under way, when is_sent */
};

/* Metadata of a mark.  text has room for PROBATION_TEXT_MAX. */
void probation_write(unsigned starts, const char *writer, char *text);

/* Reads metadata of len bytes, which may be anything: starts (0 when it is no number; at most
 * PROBATION_CONDEMNED), and whether writer wrote it. */
void probation_read(const char *text, size_t len, const char *writer, unsigned *out_starts,
		    bool *out_is_ours);

/* A partition without counting, at no known offset. */
void probation_init(struct probation *probation);

/* A partition that is assigned.  before: of its last assignment to this process, or all zero. */
void probation_assign(struct probation *probation, const struct probation *before,
		      const struct probation_found *found);

/* Its first commit was not acknowledged in time: as nothing may run uncounted, each message runs
 * alone, with a count of its own. */
void probation_doubt(struct probation *probation);

/* A message was taken, in rising order; the starts that it is taken with.  0: it is ordinary.
 * PROBATION_CONDEMNED: it must not run. */
unsigned probation_take(struct probation *probation, int64_t offset);

/* Whether the message at offset is on probation. */
bool probation_is_suspect(const struct probation *probation, int64_t offset);

/* Whether the head, at offset, may begin; and it does: it runs once its start is acknowledged. */
bool probation_may_begin(const struct probation *probation, int64_t offset);
void probation_begin(struct probation *probation, int64_t offset);

/* What began does not go on, and has not ended.  Nothing when nothing has begun. */
void probation_back(struct probation *probation);

/* All before head is done. */
void probation_progress(struct probation *probation, int64_t head);

/* The partition is to be given away. */
void probation_leave(struct probation *probation, bool is_stuck);

/* Whether something is to be committed; then send puts it under way and returns it, and answer
 * takes the word on it.  An answer of which nothing is under way is ignored. */
bool probation_is_dirty(const struct probation *probation);
struct probation_mark probation_send(struct probation *probation);
void probation_answer(struct probation *probation, bool is_kept);

#endif
