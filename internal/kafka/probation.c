#include "kafka/probation.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NONE ((struct probation_mark){ .offset = -1 })

/* ---- metadata ---------------------------------------------------------------- */

void
probation_write(unsigned starts, const char *writer, char *text)
{
	(void)snprintf(text, PROBATION_TEXT_MAX, "%u %.*s", starts, PROBATION_WRITER, writer);
}

void
probation_read(const char *text, size_t len, const char *writer, unsigned *out_starts,
	       bool *out_is_ours)
{
	size_t at = 0;

	*out_starts = 0;
	*out_is_ours = false;
	while (at < len && isdigit((unsigned char)text[at])) {
		unsigned more = *out_starts * 10 + (unsigned)(text[at++] - '0');

		*out_starts = more < PROBATION_CONDEMNED ? more : PROBATION_CONDEMNED;
	}
	if (at == 0 || at == len)
		return;
	if (text[at] != ' ') {
		*out_starts = 0;
		return;
	}
	at++;
	*out_is_ours = len - at == strlen(writer) && memcmp(text + at, writer, len - at) == 0;
}

/* ---- assignment -------------------------------------------------------------- */

void
probation_init(struct probation *probation)
{
	*probation = (struct probation){ .head = -1, .kept = NONE, .sent = NONE };
}

/* What is before the end of the log, and of the span. */
static int64_t
until(int64_t head, int64_t end)
{
	int64_t furthest = head + PROBATION_SPAN;

	if (head < 0)
		return -1;
	return end >= 0 && end < furthest ? end : furthest;
}

/* What is left of the starts that were found, without those of this process, which lives; unless it
 * hangs, as then it will not for long. */
static unsigned
starts_of_others(const struct probation *before, const struct probation_found *found)
{
	bool is_same_head = found->mark.offset == before->head;
	bool runs = is_same_head && before->state == PROBATION_RUNS;

	if (!before->is_counted || before->until < 0 || (runs && before->is_stuck))
		return found->mark.starts;
	if (found->is_ours && found->mark.offset >= before->until)
		return 0;
	if (found->is_ours)
		return is_same_head ? before->starts : 1;
	return found->mark.starts - (runs && !before->is_leaving && found->mark.starts > 1);
}

/* It is on probation, though nobody died. */
static void
doubt(struct probation *probation)
{
	if (probation->starts > 0)
		return;
	probation->starts = 1;
	probation->is_doubted = true;
}

void
probation_assign(struct probation *probation, const struct probation *before,
		 const struct probation_found *found)
{
	probation_init(probation);
	probation->is_counted = true;
	probation->head = found->mark.offset;
	probation->starts = starts_of_others(before, found);
	if (probation->head < 0)
		doubt(probation); /* where nothing can be committed */
	if (probation->starts > 0)
		probation->until = until(probation->head, found->end);
}

void
probation_doubt(struct probation *probation)
{
	doubt(probation);
	probation->until = until(probation->head, -1);
}

unsigned
probation_take(struct probation *probation, int64_t offset)
{
	bool is_head = !probation->has_taken;

	if (!probation->is_counted)
		return 0;
	probation->has_taken = true;
	if (probation->until < 0)
		probation->until = until(offset, -1);
	if (is_head && offset != probation->head) {
		/* The head is gone with its time, or the log has a hole: a count past one belongs
		 * to a message. */
		if (probation->starts > 1)
			probation->starts = 1;
		if (probation->head < 0)
			probation->head = offset;
	}
	if (!probation_is_suspect(probation, offset))
		return 0;
	if (!is_head || probation->starts == 0)
		return 1;
	return probation->starts;
}

bool
probation_is_suspect(const struct probation *probation, int64_t offset)
{
	return offset < probation->until;
}

/* ---- the head ---------------------------------------------------------------- */

bool
probation_may_begin(const struct probation *probation, int64_t offset)
{
	return probation->state == PROBATION_RESTS && !probation->is_leaving
	       && offset >= probation->head && probation_is_suspect(probation, offset)
	       && probation->starts < PROBATION_CONDEMNED;
}

void
probation_begin(struct probation *probation, int64_t offset)
{
	assert(probation_may_begin(probation, offset));
	if (probation->starts == 0)
		probation->starts = 1;
	probation->head = offset; /* behind a hole */
	probation->state = PROBATION_BEGINS;
}

static void
end(struct probation *probation)
{
	if (probation->state == PROBATION_RESTS)
		return;
	probation->state = PROBATION_RESTS;
	probation->has_ended = true;
	probation->is_end_sent = false;
}

/* An end that leaves nothing to be told. */
static void
settle(struct probation *probation)
{
	if (probation->has_ended && !probation->is_sent && !probation_is_dirty(probation))
		probation->has_ended = false;
}

void
probation_back(struct probation *probation)
{
	end(probation);
	settle(probation);
}

void
probation_progress(struct probation *probation, int64_t head)
{
	if (head <= probation->head)
		return;
	end(probation);
	probation->head = head;
	if (probation->is_counted)
		probation->starts = 1;
}

void
probation_leave(struct probation *probation, bool is_stuck)
{
	probation->is_leaving = true;
	probation->is_stuck = is_stuck;
	if (probation->state == PROBATION_BEGINS)
		end(probation);
	settle(probation);
}

/* ---- commits ----------------------------------------------------------------- */

static unsigned
wanted_starts(const struct probation *probation)
{
	unsigned least = probation->starts > 1 ? probation->starts : 1;

	if (!probation->is_counted)
		return 0;
	if (probation->is_leaving && probation->state == PROBATION_RUNS)
		return least + probation->is_stuck;
	if (probation->is_leaving)
		return probation->head < probation->until && !probation->is_doubted ? least : 0;
	return probation->state == PROBATION_RESTS ? least : least + 1;
}

static struct probation_mark
wanted(const struct probation *probation)
{
	return (struct probation_mark){ probation->head, wanted_starts(probation) };
}

static bool
is_same(struct probation_mark a, struct probation_mark b)
{
	return a.offset == b.offset && a.starts == b.starts;
}

bool
probation_is_dirty(const struct probation *probation)
{
	struct probation_mark known = probation->is_sent ? probation->sent : probation->kept;

	return probation->head >= 0 && !is_same(wanted(probation), known);
}

struct probation_mark
probation_send(struct probation *probation)
{
	assert(!probation->is_sent);
	probation->sent = wanted(probation);
	probation->is_sent = true;
	probation->is_end_sent = probation->has_ended;
	return probation->sent;
}

void
probation_answer(struct probation *probation, bool is_kept)
{
	if (!probation->is_sent)
		return;
	probation->is_sent = false;
	probation->kept = is_kept ? probation->sent : NONE;
	if (!is_kept) {
		probation->is_end_sent = false;
		return;
	}
	if (probation->is_end_sent)
		probation->has_ended = probation->is_end_sent = false;
	if (probation->state == PROBATION_BEGINS && is_same(wanted(probation), probation->kept))
		probation->state = PROBATION_RUNS;
	settle(probation);
}
