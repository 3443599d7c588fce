/* watchdog.h - sees when a thread hangs: it works at one thing for longer than a limit.
 *
 * A thread under watch has a pulse, which says whether it works or waits.  The watchdog's own
 * thread looks at the pulses; time counts by its looks, so that a process that was stopped for a
 * while, or had no processor, does not seem to hang when it goes on. */
#ifndef BASE_WATCHDOG_H
#define BASE_WATCHDOG_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tally/status.h>

/* Odd while the thread works; a new number for each thing it does.  All zero: it waits. */
struct pulse {
	_Atomic uint64_t n;
};

/* The thread itself says so.  Nobody else writes, so a store will do. */
static inline void
pulse_work(struct pulse *pulse)
{
	uint64_t n = atomic_load_explicit(&pulse->n, memory_order_relaxed);

	atomic_store_explicit(&pulse->n, n + (n % 2 == 0 ? 1 : 2), memory_order_relaxed);
}

static inline void
pulse_wait(struct pulse *pulse)
{
	uint64_t n = atomic_load_explicit(&pulse->n, memory_order_relaxed);

	atomic_store_explicit(&pulse->n, n + n % 2, memory_order_relaxed);
}

struct watchdog;

/* What is under watch.  The caller owns the struct; it does not move while it is watched. */
struct watched {
	const struct pulse *pulse;
	const char *name; /* for whoever is told */
	uint64_t seen;    /* the watchdog's own */
	unsigned n_looks; /* that saw the same */
	TAILQ_ENTRY(watched) link;
};

/* A thread hangs; on the watchdog's thread, again at each look while it does. */
typedef void watchdog_fn(void *ctx, const char *name);

/* Starts to watch.  limit_ms: how long one thing may take; 0: *out_watchdog is NULL, which all
 * functions here accept and ignore.  TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status watchdog_start(int64_t limit_ms, watchdog_fn *on_hang, void *ctx,
					     struct watchdog **out_watchdog,
					     struct tally_error *err);

/* Stops; nothing may be under watch any more. */
void watchdog_stop(struct watchdog *watchdog);

/* Puts a pulse under watch; any thread. */
void watchdog_add(struct watchdog *watchdog, struct watched *watched);

/* Takes it away; on_hang does not come for it after this has returned.  Accepts one that was never
 * added when it is all zero.  Any thread but on_hang's. */
void watchdog_remove(struct watchdog *watchdog, struct watched *watched);

#endif
