/* Requests that failed and may not fail the next time.
 *
 * What a database refused in passing (a deadlock, a lock, a connection that somebody ended) is
 * tried again in place, a few times and soon.  A database that is away is another thing: a job is
 * in no hurry and tried again, less and less often, until the database is back, the lane's patience
 * is over, or its deadline would come first; whoever waits at a gateway is told at once: that lane
 * has no patience.  Everything else is told at once.  Pauses have full jitter: those that failed
 * together do not come back together. */
#include "base/log.h"
#include "worker/lane_inner.h"

#define AGAIN_FIRST_MS 250
#define AGAIN_MAX_MS   5000
#define AGAIN_SHIFT    5 /* 250 ms << 5 is past the longest */
#define SOON_FIRST_MS  20
#define SOON_TRIES     3
#define SOON_PART      4 /* of the time that is left, for a pause */
#define WARN_EVERY_MS  30000

/* The longest pause before a request that failed so often is tried again; its half, or all of it,
 * or any other part is what it waits. */
static int64_t
longest_ms(int64_t first_ms, unsigned n_tries)
{
	int64_t ms = first_ms << (n_tries < AGAIN_SHIFT ? n_tries : AGAIN_SHIFT);

	return ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS;
}

static int64_t
jitter(struct lane *lane, int64_t longest)
{
	return 1 + (int64_t)(lane_random(lane) % (uint64_t)longest);
}

static void
complain(struct lane *lane, const struct task *task, const struct tally_error *error)
{
	int64_t now_ms = loop_now_ms(lane->loop);

	if (lane->warned_ms != 0 && now_ms - lane->warned_ms < WARN_EVERY_MS)
		return;
	log_warn("requests wait for a database", LOG_STR("lane", lane->kind->name),
		 LOG_STR("dataset", task->dataset), LOG_ERROR(error));
	lane->warned_ms = now_ms;
}

static void
put_aside(struct task *task, int64_t retry_ms)
{
	struct lane *lane = task->lane;

	task->n_tries++;
	task->retry_ms = retry_ms;
	lane_alone_back(task);
	TAILQ_INSERT_TAIL(&lane->parked, task, link);
	metric_move(lane->metrics.parked, 1);
}

/* The database is there, and said so itself. */
static bool
try_soon(struct task *task, const struct tally_error *error)
{
	struct lane *lane = task->lane;
	int64_t now_ms = loop_now_ms(lane->loop);
	int64_t longest = longest_ms(SOON_FIRST_MS, task->n_tries);

	if (error->sqlstate[0] == '\0' || task->n_tries >= SOON_TRIES
	    || longest > (task->deadline_ms - now_ms) / SOON_PART)
		return false;
	put_aside(task, now_ms + jitter(lane, longest));
	lane_look_at(lane, task->retry_ms); /* lane_retry looks only now and then */
	return true;
}

bool
lane_park(struct task *task, const struct tally_error *error)
{
	struct lane *lane = task->lane;
	int64_t now_ms = loop_now_ms(lane->loop);
	int64_t longest = longest_ms(AGAIN_FIRST_MS, task->n_tries);

	if (error->status != TALLY_SOURCE_UNAVAILABLE)
		return false;
	if (try_soon(task, error))
		return true;
	if (lane->limits.patience_ms == 0)
		return false;
	if (task->gives_up_ms == 0)
		task->gives_up_ms = now_ms + lane->limits.patience_ms;
	if (now_ms + longest > task->gives_up_ms || now_ms + longest >= task->deadline_ms)
		return false;
	put_aside(task, now_ms + jitter(lane, longest));
	complain(lane, task, error);
	return true;
}

/* Its definition must have been described before it can run. */
static void
try_again(struct lane *lane, struct task *task)
{
	const struct tally_error *error = plans_error(lane->plans, task->plan);

	if (plan_is_ready(task->plan))
		lane_line_up(task);
	else if (!lane_park(task, error))
		lane_answer_error(task, error);
}

void
lane_unpark(struct lane *lane)
{
	struct task_list parked = TAILQ_HEAD_INITIALIZER(parked);
	bool is_leaving = atomic_load(&lane->is_leaving);
	int64_t now_ms = loop_now_ms(lane->loop);
	struct task *task;

	TAILQ_CONCAT(&parked, &lane->parked, link);
	while ((task = TAILQ_FIRST(&parked)) != NULL) {
		TAILQ_REMOVE(&parked, task, link);
		if (!is_leaving && task->retry_ms > now_ms) {
			TAILQ_INSERT_TAIL(&lane->parked, task, link);
			continue;
		}
		metric_move(lane->metrics.parked, -1);
		if (is_leaving)
			lane_end(task, false); /* another worker reads it again */
		else
			try_again(lane, task);
	}
}
