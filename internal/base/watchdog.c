#include "base/watchdog.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define LOOKS 8 /* within the limit */

TAILQ_HEAD(watched_list, watched);

struct watchdog {
	watchdog_fn *on_hang;
	void *ctx;
	int64_t look_ms;
	pthread_t thread;
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t is_told;
	struct watched_list all;
	bool is_stopped;
};

static void
look_at(struct watchdog *watchdog, struct watched *watched)
{
	uint64_t n = atomic_load_explicit(&watched->pulse->n, memory_order_relaxed);

	watched->n_looks = n % 2 == 1 && n == watched->seen ? watched->n_looks + 1 : 0;
	watched->seen = n;
	if (watched->n_looks >= LOOKS)
		watchdog->on_hang(watchdog->ctx, watched->name);
}

static void *
run(void *ctx)
{
	struct watchdog *watchdog = ctx;
	struct watched *watched;

	pthread_mutex_lock(&watchdog->lock);
	while (!watchdog->is_stopped) {
		int64_t at_ms = clock_mono_ms() + watchdog->look_ms;
		struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };

		if (pthread_cond_timedwait(&watchdog->is_told, &watchdog->lock, &at) != ETIMEDOUT)
			continue;
		TAILQ_FOREACH (watched, &watchdog->all, link)
			look_at(watchdog, watched);
	}
	pthread_mutex_unlock(&watchdog->lock);
	return NULL;
}

tally_status
watchdog_start(int64_t limit_ms, watchdog_fn *on_hang, void *ctx, struct watchdog **out_watchdog,
	       struct tally_error *err)
{
	struct watchdog *watchdog = limit_ms > 0 ? calloc(1, sizeof *watchdog) : NULL;
	pthread_condattr_t attributes;

	*out_watchdog = NULL;
	if (limit_ms == 0)
		return TALLY_OK;
	if (!watchdog)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	watchdog->on_hang = on_hang;
	watchdog->ctx = ctx;
	watchdog->look_ms = limit_ms / LOOKS + 1;
	TAILQ_INIT(&watchdog->all);
	pthread_mutex_init(&watchdog->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watchdog->is_told, &attributes);
	pthread_condattr_destroy(&attributes);
	int error = pthread_create(&watchdog->thread, NULL, run, watchdog);
	if (error != 0) {
		free(watchdog);
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no thread: %s", strerror(error));
	}
	(void)pthread_setname_np(watchdog->thread, "watchdog");
	*out_watchdog = watchdog;
	return TALLY_OK;
}

void
watchdog_stop(struct watchdog *watchdog)
{
	if (!watchdog)
		return;
	assert(TAILQ_EMPTY(&watchdog->all));
	pthread_mutex_lock(&watchdog->lock);
	watchdog->is_stopped = true;
	pthread_cond_signal(&watchdog->is_told);
	pthread_mutex_unlock(&watchdog->lock);
	pthread_join(watchdog->thread, NULL);
	pthread_cond_destroy(&watchdog->is_told);
	pthread_mutex_destroy(&watchdog->lock);
	free(watchdog);
}

void
watchdog_add(struct watchdog *watchdog, struct watched *watched)
{
	if (!watchdog)
		return;
	watched->n_looks = 0;
	watched->seen = 0;
	pthread_mutex_lock(&watchdog->lock);
	TAILQ_INSERT_TAIL(&watchdog->all, watched, link);
	pthread_mutex_unlock(&watchdog->lock);
}

void
watchdog_remove(struct watchdog *watchdog, struct watched *watched)
{
	if (!watchdog || !watched->pulse)
		return;
	pthread_mutex_lock(&watchdog->lock);
	TAILQ_REMOVE(&watchdog->all, watched, link);
	pthread_mutex_unlock(&watchdog->lock);
	watched->pulse = NULL;
}
