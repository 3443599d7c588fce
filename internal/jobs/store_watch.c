/* Waits for jobs: one query for all of them, at most every 100 ms and at most half of the time.
 *
 * The query runs without the lock, and whoever waits may leave meanwhile, and even come back in the
 * same place.  So every wait has a serial number.  What is asked is in the order of the list, and
 * so is what is found: both are walked side by side, and what has left is never touched. */
#include "base/clock.h"
#include "jobs/store_inner.h"

#define PERIOD_MS   100
#define WATCHES_MAX 20000
#define LIMIT_MS    2000 /* of a query: by so much a frozen server may delay a deadline */

/* A wait as it was when it was asked for. */
struct asked {
	struct tally_job_id id;
	char tenant[TALLY_TENANT_MAX + 1];
	uint64_t serial;
	struct job_watch *watch; /* once it is answered */
};

/* What is asked in one turn; arrays of cap. */
struct round {
	struct look *looks;
	struct asked *asked;
	size_t n;
	size_t cap;
};

static void
round_fini(struct round *round)
{
	free(round->looks);
	free(round->asked);
	*round = (struct round){ 0 };
}

static bool
round_reserve(struct round *round, size_t n)
{
	size_t cap = 64;

	if (n <= round->cap)
		return true;
	while (cap < n)
		cap *= 2;
	round_fini(round);
	round->looks = calloc(cap, sizeof *round->looks);
	round->asked = calloc(cap, sizeof *round->asked);
	if (!round->looks || !round->asked) {
		round_fini(round);
		return false;
	}
	round->cap = cap;
	return true;
}

/* Copies what is watched; under the lock. */
static void
round_fill(struct round *round, const struct job_store *store)
{
	int64_t now_ms = clock_mono_ms();
	const struct job_watch *watch;

	round->n = 0;
	TAILQ_FOREACH (watch, &store->watches, link) {
		struct asked *asked = &round->asked[round->n];

		*asked = (struct asked){ .id = watch->id, .serial = watch->serial };
		memcpy(asked->tenant, watch->tenant, sizeof asked->tenant);
		round->looks[round->n++] = (struct look){ .id = &asked->id,
							  .tenant = asked->tenant,
							  .seen = watch->seen,
							  .is_due = watch->deadline_ms <= now_ms };
	}
}

static void
forget(struct job_store *store, struct job_watch *watch)
{
	TAILQ_REMOVE(&store->watches, watch, link);
	store->n_watches--;
	watch->is_watched = false;
}

/* Takes the waits that have been answered off the list: they are what is left of the round. */
static void
round_match(struct round *round, struct job_store *store)
{
	size_t n = 0, i = 0;
	struct job_watch *watch, *next;

	pthread_mutex_lock(&store->watch_lock);
	for (watch = TAILQ_FIRST(&store->watches); watch; watch = next) {
		const struct look *look;

		next = TAILQ_NEXT(watch, link);
		while (i < round->n && round->asked[i].serial < watch->serial)
			i++;
		if (i == round->n || round->asked[i].serial != watch->serial)
			break; /* those behind it have come since */
		look = &round->looks[i];
		if (look->row < 0 && !look->is_due)
			continue;
		forget(store, watch);
		round->looks[n] = *look;
		round->asked[n++].watch = watch;
	}
	pthread_mutex_unlock(&store->watch_lock);
	round->n = n;
}

/* Ends the waits whose deadline is not after at_ms. */
static void
fail_until(struct job_store *store, int64_t at_ms, tally_status status)
{
	struct watches over = TAILQ_HEAD_INITIALIZER(over);
	struct job_watch *watch, *next;

	pthread_mutex_lock(&store->watch_lock);
	for (watch = TAILQ_FIRST(&store->watches); watch; watch = next) {
		next = TAILQ_NEXT(watch, link);
		if (watch->deadline_ms > at_ms)
			continue;
		forget(store, watch);
		TAILQ_INSERT_TAIL(&over, watch, link);
	}
	pthread_mutex_unlock(&store->watch_lock);
	while ((watch = TAILQ_FIRST(&over))) {
		TAILQ_REMOVE(&over, watch,
			     link); /* it may be gone, or used again, after the call */
		watch->found(watch->ctx, status, NULL, 0);
	}
}

/* Asks, and calls those back whose wait is over; not under the lock. */
static tally_status
round_run(struct round *round, struct job_store *store)
{
	int limit_ms = store->timeout_ms < LIMIT_MS ? store->timeout_ms : LIMIT_MS;
	struct looked looked;
	tally_status status = store_look(&store->watcher, round->looks, round->n,
					 clock_mono_ms() + limit_ms, &looked);

	if (status != TALLY_OK) {
		fail_until(store, clock_mono_ms(), status);
		return status;
	}
	round_match(round, store);
	for (size_t i = 0; i < round->n; i++) {
		const struct job_watch *watch = round->asked[i].watch;

		store_tell(&looked, &round->looks[i], watch->found, watch->ctx);
	}
	PQclear(looked.result);
	return TALLY_OK;
}

/* ---- the thread -------------------------------------------------------------- */

static void
wait_until(struct job_store *store, int64_t at_ms)
{
	const struct timespec until = { .tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000 };

	(void)pthread_cond_timedwait(&store->watch_changed, &store->watch_lock, &until);
}

/* Without waits: keeps the connection; under the lock. */
static void
idle(struct job_store *store)
{
	struct job_pg *pg = store->watcher.pg;
	int64_t now_ms = clock_mono_ms();

	if (job_pg_is_up(pg)) {
		pthread_cond_wait(&store->watch_changed, &store->watch_lock);
	} else if (now_ms < job_pg_retry_ms(pg)) {
		wait_until(store, job_pg_retry_ms(pg));
	} else {
		pthread_mutex_unlock(&store->watch_lock);
		/* Not for long: a wait may begin. */
		(void)!job_pg_open(pg, now_ms + LIMIT_MS, NULL); /* tried again */
		pthread_mutex_lock(&store->watch_lock);
	}
}

/* One turn; under the lock, which is given up for the query.  When the next one may begin. */
static int64_t
turn(struct job_store *store, struct round *round)
{
	int64_t begun_ms = clock_mono_ms();
	int64_t pause_ms = PERIOD_MS;
	tally_status status = TALLY_NO_MEMORY;

	if (round_reserve(round, store->n_watches)) {
		round_fill(round, store);
		status = TALLY_OK;
	}
	pthread_mutex_unlock(&store->watch_lock);
	if (status == TALLY_OK)
		status = round_run(round, store);
	else
		fail_until(store, INT64_MAX, status);
	pthread_mutex_lock(&store->watch_lock);
	if (status == TALLY_OK && 2 * (clock_mono_ms() - begun_ms) > pause_ms)
		pause_ms = 2 * (clock_mono_ms() - begun_ms);
	return begun_ms + pause_ms;
}

void *
store_watch_run(void *arg)
{
	struct job_store *store = arg;
	struct round round = { 0 };
	int64_t next_ms = 0;

	pthread_mutex_lock(&store->watch_lock);
	while (!store->is_watch_stopping) {
		if (TAILQ_EMPTY(&store->watches))
			idle(store);
		else if (clock_mono_ms() < next_ms)
			wait_until(store, next_ms);
		else
			next_ms = turn(store, &round);
	}
	pthread_mutex_unlock(&store->watch_lock);
	fail_until(store, INT64_MAX, TALLY_JOB_STORE_UNAVAILABLE);
	round_fini(&round);
	return NULL;
}

/* ---- the calls --------------------------------------------------------------- */

tally_status
job_store_watch(struct job_store *store, struct job_watch *watch)
{
	tally_status status = TALLY_SATURATED;

	pthread_mutex_lock(&store->watch_lock);
	if (!store->is_watch_stopping && store->n_watches < WATCHES_MAX) {
		if (store->n_watches == 0)
			pthread_cond_signal(&store->watch_changed);
		watch->serial = ++store->last_serial;
		watch->is_watched = true;
		TAILQ_INSERT_TAIL(&store->watches, watch, link);
		store->n_watches++;
		status = TALLY_OK;
	}
	pthread_mutex_unlock(&store->watch_lock);
	return status;
}

bool
job_store_unwatch(struct job_store *store, struct job_watch *watch)
{
	bool is_ours;

	pthread_mutex_lock(&store->watch_lock);
	is_ours = watch->is_watched;
	if (is_ours)
		forget(store, watch);
	pthread_mutex_unlock(&store->watch_lock);
	return is_ours;
}
