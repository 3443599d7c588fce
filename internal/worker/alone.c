/* Messages on probation: each runs alone in the process (solo.h), once its start is stored
 * (kafka/probation.h).
 *
 *             floor, begin         stored       answered, or parked       stored
 *   suspects ────────────▶ BEGINS ───────▶ RUNS ────────────────────▶ ENDS ──────▶ FREE
 *
 * Where nobody else waits, the next one begins when the last has ended: one commit tells both. */
#include "base/clock.h"
#include "base/own.h"
#include "worker/lane_inner.h"

#define LOOK_MS  20  /* until the floor is asked for again */
#define STUCK_MS 750 /* a loop that turns does so every 250 ms at least (lane_retry) */

/* ---- what the group says ----------------------------------------------------- */

bool
lane_on_suspect(void *ctx, struct kafka_message *message, uint64_t epoch, unsigned starts)
{
	return lane_take(ctx, message, epoch, starts);
}

void
lane_on_news(void *ctx, enum kafka_news news)
{
	struct lane *lane = ctx;

	atomic_store(&lane->alone.news, (int)news);
	loop_wake(lane->loop);
}

bool
lane_is_stuck(void *ctx)
{
	const struct lane *lane = ctx;

	return clock_mono_ms() - loop_now_ms(lane->loop) > STUCK_MS;
}

void
lane_on_floor(void *ctx)
{
	const struct lane *lane = ctx;

	loop_wake(lane->loop);
}

/* ---- one of them runs -------------------------------------------------------- */

void
lane_line_up(struct task *task)
{
	struct lane *lane = task->lane;

	if (task->is_alone)
		lane->alone.task = task;
	else
		TAILQ_INSERT_TAIL(task->starts > 0 ? &lane->suspects : &lane->waiting, task, link);
}

/* Begun and stored: it is understood, if it was not before, and runs. */
static void
go(struct lane *lane)
{
	struct task *task = TAKE(lane->alone.task);

	lane->alone.state = LANE_RUNS;
	task->is_alone = true;
	solo_keep(lane->options.solo, lane->options.seat, loop_now_ms(lane->loop));
	if (task->params)
		lane_line_up(task);
	else
		lane_understand(task);
}

void
lane_alone_back(struct task *task)
{
	struct lane *lane = task->lane;

	if (!task->is_alone)
		return;
	task->is_alone = false;
	atomic_store(&lane->alone.has_ended, true);
	kafka_group_back(lane->group, kafka_message_partition(task->message),
			 kafka_message_offset(task->message), task->epoch);
	loop_wake(lane->loop);
}

/* Takes up what has happened since. */
static void
hear(struct lane *lane)
{
	struct lane_alone *alone = &lane->alone;

	/* First the news, which is written last: who reads that all is over sees that it ended. */
	int news = atomic_exchange(&alone->news, LANE_NO_NEWS);
	if (atomic_exchange(&alone->has_ended, false) && alone->state == LANE_RUNS)
		alone->state = LANE_ENDS;
	if (news == KAFKA_BEGUN && alone->state == LANE_BEGINS) {
		go(lane);
	} else if (news == KAFKA_GONE && alone->state == LANE_BEGINS) {
		alone->state = LANE_FREE;
		lane_end(TAKE(alone->task), false);
	} else if (news == KAFKA_OVER && alone->state == LANE_ENDS) {
		alone->state = LANE_FREE;
	}
}

/* ---- the next one ------------------------------------------------------------ */

typedef tally_status
ask_fn(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch);

static tally_status
ask(const struct task *task, ask_fn *fn)
{
	return fn(task->lane->group, kafka_message_partition(task->message),
		  kafka_message_offset(task->message), task->epoch);
}

/* The first whose turn it is in its partition; those whose partition has gone are let go. */
static struct task *
find_next(struct lane *lane)
{
	struct task *task = TAILQ_FIRST(&lane->suspects);

	while (task) {
		struct task *next = TAILQ_NEXT(task, link);
		tally_status status = ask(task, kafka_group_may_begin);

		if (status == TALLY_OK)
			return task;
		if (status == TALLY_CLOSED) {
			TAILQ_REMOVE(&lane->suspects, task, link);
			lane_end(task, false);
		}
		task = next;
	}
	return NULL;
}

static bool
begin(struct lane *lane, struct task *task)
{
	if (ask(task, kafka_group_begin) != TALLY_OK)
		return false;
	TAILQ_REMOVE(&lane->suspects, task, link);
	lane->alone.task = task;
	lane->alone.state = LANE_BEGINS;
	return true;
}

static void
give_floor(struct lane *lane)
{
	if (lane->alone.has_floor || lane->alone.wants_floor)
		solo_give(lane->options.solo, lane->options.seat, loop_now_ms(lane->loop));
	lane->alone.has_floor = lane->alone.wants_floor = false;
}

static bool
take_floor(struct lane *lane)
{
	struct lane_alone *alone = &lane->alone;
	struct solo *solo = lane->options.solo;

	if (alone->has_floor && !solo_may_keep(solo, lane->options.seat))
		give_floor(lane);
	if (!alone->has_floor) {
		alone->wants_floor = true;
		alone->has_floor = solo_take(solo, lane->options.seat, loop_now_ms(lane->loop));
	}
	return alone->has_floor;
}

/* Lets go of all that have not begun: another worker reads them again. */
static void
leave(struct lane *lane)
{
	struct task *task;

	while ((task = TAILQ_FIRST(&lane->suspects)) != NULL) {
		TAILQ_REMOVE(&lane->suspects, task, link);
		lane_end(task, false);
	}
}

/* Begins the next one as soon as it may. */
static void
go_on(struct lane *lane)
{
	struct lane_alone *alone = &lane->alone;
	struct task *task;

	if (alone->state == LANE_BEGINS || alone->state == LANE_RUNS)
		return;
	task = find_next(lane);
	if (alone->state == LANE_ENDS) {
		if (task && solo_may_keep(lane->options.solo, lane->options.seat))
			(void)begin(lane, task);
		return; /* otherwise the news of its end come */
	}
	if (!task || (take_floor(lane) && !begin(lane, task)))
		give_floor(lane);
}

/* ---- both together ----------------------------------------------------------- */

static bool
has_ordinary_work(const struct lane *lane)
{
	return !TAILQ_EMPTY(&lane->fresh) || (!TAILQ_EMPTY(&lane->waiting) && lane_has_room(lane));
}

static void
do_ordinary_work(struct lane *lane)
{
	struct task *task;

	while ((task = TAILQ_FIRST(&lane->fresh)) != NULL) {
		TAILQ_REMOVE(&lane->fresh, task, link);
		lane_receive(task);
	}
	lane_run(lane);
}

static bool
enter(struct lane *lane)
{
	lane->is_refused =
	    !solo_enter(lane->options.solo, lane->options.seat, loop_now_ms(lane->loop));
	return !lane->is_refused;
}

void
lane_work(struct lane *lane)
{
	struct lane_alone *alone = &lane->alone;

	hear(lane);
	lane->is_refused = false;
	if (has_ordinary_work(lane) && enter(lane))
		do_ordinary_work(lane);
	if (lane->n_together == 0)
		solo_rest(lane->options.solo, lane->options.seat);
	if (atomic_load(&lane->is_leaving))
		leave(lane);
	go_on(lane);
	if (alone->state == LANE_RUNS && alone->task)
		lane_run_alone(lane);
	if (lane->is_refused || (alone->wants_floor && !alone->has_floor))
		lane_look_at(lane, loop_now_ms(lane->loop) + LOOK_MS);
}

void
lane_look_at(struct lane *lane, int64_t at_ms)
{
	if (lane->again.slot == 0 || lane->again.at_ms > at_ms)
		(void)!loop_timer_set(lane->loop, &lane->again, at_ms); /* or lane_retry comes */
}

static bool
has_past(const struct lane *lane)
{
	const struct task *task;

	TAILQ_FOREACH (task, &lane->suspects, link) {
		if (lane_is_past(task))
			return true;
	}
	return false;
}

void
lane_sweep(struct lane *lane)
{
	struct task *task = TAILQ_FIRST(&lane->suspects);

	if (!has_past(lane) || !enter(lane))
		return;
	while (task) {
		struct task *next = TAILQ_NEXT(task, link);

		if (lane_is_past(task)) {
			TAILQ_REMOVE(&lane->suspects, task, link);
			lane_end_past(task);
		}
		task = next;
	}
}

void
lane_alone_end(struct lane *lane)
{
	if (lane->alone.task)
		lane_end(TAKE(lane->alone.task), false);
	leave(lane);
	solo_leave(lane->options.solo, lane->options.seat);
}
