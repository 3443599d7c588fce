#include "worker/solo.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define NOBODY (-1)

struct seat {
	void (*wake)(void *ctx);
	void *ctx;
	bool is_inside;  /* ordinary work of it is under way */
	bool wants;      /* the floor */
	bool is_refused; /* had ordinary work to begin, and could not */
	bool has_turn;   /* may enter before the floor is given again */
};

struct solo {
	pthread_mutex_t lock; /* guards everything */
	struct seat seats[SOLO_SEATS];
	int holder;
	int last_holder;
	int64_t held_since_ms;
	int64_t closed_since_ms; /* since when the floor is free and wanted */
	int64_t turn_until_ms;
};

struct solo *
solo_new(void)
{
	struct solo *solo = calloc(1, sizeof *solo);

	if (!solo)
		return NULL;
	pthread_mutex_init(&solo->lock, NULL);
	solo->holder = solo->last_holder = NOBODY;
	return solo;
}

void
solo_free(struct solo *solo)
{
	if (!solo)
		return;
	pthread_mutex_destroy(&solo->lock);
	free(solo);
}

/* ---- what is so, with the lock held ------------------------------------------ */

static bool
is_wanted(const struct solo *solo)
{
	for (int i = 0; i < SOLO_SEATS; i++) {
		if (solo->seats[i].wants)
			return true;
	}
	return false;
}

static bool
is_closed(const struct solo *solo, int64_t now_ms)
{
	if (solo->holder != NOBODY)
		return now_ms - solo->held_since_ms < SOLO_ALONE_MS;
	return is_wanted(solo) && now_ms - solo->closed_since_ms < SOLO_CLOSED_MS;
}

static bool
is_empty(const struct solo *solo)
{
	for (int i = 0; i < SOLO_SEATS; i++) {
		if (solo->seats[i].is_inside)
			return false;
	}
	return true;
}

/* Whether another seat comes first: it may enter, or has not had the floor last. */
static bool
has_turn_before(const struct solo *solo, int seat, int64_t now_ms)
{
	for (int i = 0; i < SOLO_SEATS && now_ms < solo->turn_until_ms; i++) {
		const struct seat *other = &solo->seats[i];

		if (i != seat && (other->has_turn || (other->wants && solo->last_holder == seat)))
			return true;
	}
	return false;
}

/* All but the one who knows already. */
static void
wake_others(const struct solo *solo, int seat)
{
	for (int i = 0; i < SOLO_SEATS; i++) {
		const struct seat *other = &solo->seats[i];

		if (i != seat && other->wake
		    && (other->wants || other->is_refused || other->has_turn))
			other->wake(other->ctx);
	}
}

/* ---- seats ------------------------------------------------------------------- */

void
solo_join(struct solo *solo, int seat, void (*wake)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&solo->lock);
	solo->seats[seat] = (struct seat){ .wake = wake, .ctx = ctx };
	pthread_mutex_unlock(&solo->lock);
}

void
solo_leave(struct solo *solo, int seat)
{
	pthread_mutex_lock(&solo->lock);
	solo->seats[seat] = (struct seat){ 0 };
	if (solo->holder == seat)
		solo->holder = NOBODY;
	wake_others(solo, seat);
	pthread_mutex_unlock(&solo->lock);
}

/* ---- together ---------------------------------------------------------------- */

bool
solo_enter(struct solo *solo, int seat, int64_t now_ms)
{
	struct seat *own = &solo->seats[seat];

	pthread_mutex_lock(&solo->lock);
	bool has_turn = own->has_turn && now_ms < solo->turn_until_ms;
	bool may_enter = has_turn || !is_closed(solo, now_ms);
	if (may_enter)
		own->is_inside = true;
	own->has_turn = false;
	own->is_refused = !may_enter;
	pthread_mutex_unlock(&solo->lock);
	return may_enter;
}

void
solo_rest(struct solo *solo, int seat)
{
	pthread_mutex_lock(&solo->lock);
	if (solo->seats[seat].is_inside) {
		solo->seats[seat].is_inside = false;
		wake_others(solo, seat);
	}
	pthread_mutex_unlock(&solo->lock);
}

/* ---- alone ------------------------------------------------------------------- */

static void
give_to(struct solo *solo, int seat, int64_t now_ms)
{
	solo->holder = solo->last_holder = seat;
	solo->held_since_ms = now_ms;
	solo->seats[seat].wants = false;
}

bool
solo_take(struct solo *solo, int seat, int64_t now_ms)
{
	pthread_mutex_lock(&solo->lock);
	assert(solo->holder != seat);
	if (!is_wanted(solo))
		solo->closed_since_ms = now_ms;
	solo->seats[seat].wants = true;
	if (solo->holder == NOBODY && !has_turn_before(solo, seat, now_ms)
	    && (is_empty(solo) || now_ms - solo->closed_since_ms >= SOLO_CLOSED_MS))
		give_to(solo, seat, now_ms);
	bool has_floor = solo->holder == seat;
	pthread_mutex_unlock(&solo->lock);
	return has_floor;
}

bool
solo_may_keep(struct solo *solo, int seat)
{
	bool may_keep = true;

	pthread_mutex_lock(&solo->lock);
	for (int i = 0; i < SOLO_SEATS; i++) {
		const struct seat *other = &solo->seats[i];

		/* One who went in beside what took long is to come to rest again, too. */
		if (other->is_refused || other->is_inside || (i != seat && other->wants))
			may_keep = false;
	}
	pthread_mutex_unlock(&solo->lock);
	return may_keep;
}

void
solo_keep(struct solo *solo, int seat, int64_t now_ms)
{
	pthread_mutex_lock(&solo->lock);
	assert(solo->holder == seat);
	solo->held_since_ms = now_ms;
	pthread_mutex_unlock(&solo->lock);
}

void
solo_give(struct solo *solo, int seat, int64_t now_ms)
{
	pthread_mutex_lock(&solo->lock);
	solo->seats[seat].wants = false;
	if (solo->holder == seat) {
		solo->holder = NOBODY;
		solo->closed_since_ms = now_ms;
		solo->turn_until_ms = now_ms + SOLO_TURN_MS;
		for (int i = 0; i < SOLO_SEATS; i++) {
			solo->seats[i].has_turn = solo->seats[i].is_refused;
			solo->seats[i].is_refused = false;
		}
	}
	wake_others(solo, seat);
	pthread_mutex_unlock(&solo->lock);
}
