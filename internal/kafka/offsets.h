/* offsets.h - which messages of one partition are under way, and what may be committed: the lowest
 * contiguous offset.  Pure bookkeeping; the caller locks. */
#ifndef KAFKA_OFFSETS_H
#define KAFKA_OFFSETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

struct offsets;

/* A tracker for at most capacity messages under way.  NULL when out of memory. */
struct offsets *offsets_new(size_t capacity);

/* Frees the tracker.  Accepts NULL. */
void offsets_free(struct offsets *offsets);

/* A message was taken; offsets come in rising order, gaps are fine (a log may have holes).
 * TALLY_FULL: too many are under way. */
TALLY_MUST_CHECK tally_status offsets_take(struct offsets *offsets, int64_t offset);

/* The work of a taken message is done, in any order; others and repeats are ignored. */
void offsets_done(struct offsets *offsets, int64_t offset);

/* The offset to commit (that of the next message to be read: Kafka's convention), or -1 when
 * nothing new can be committed since the last call. */
int64_t offsets_to_commit(struct offsets *offsets);

/* How many are under way or done but held back by an earlier one. */
size_t offsets_count(const struct offsets *offsets);

/* How many are under way. */
size_t offsets_open(const struct offsets *offsets);

/* The earliest that is under way; -1: none. */
int64_t offsets_first(const struct offsets *offsets);

/* Whether the next offsets_take would be refused. */
bool offsets_is_full(const struct offsets *offsets);

#endif
