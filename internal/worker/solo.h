/* solo.h - who may work in this process: everybody together, or one message alone.
 *
 * A message that ends its process takes along whatever else runs there, and nobody can tell
 * afterwards which of them it was.  So one on probation (kafka/probation.h) runs while nothing else
 * does, in either lane, and only it is counted.  Ordinary work enters and rests; a message on
 * probation takes the floor and gives it back.
 *
 *   floor free, nobody wants it    ordinary work enters as it likes
 *   free, a lane wants it          nothing enters, so that what is inside comes to rest; the
 *                                  floor is given when all rest, or after SOLO_CLOSED_MS: what
 *                                  runs since then has not ended its process for that long
 *   given                          nothing enters; after SOLO_ALONE_MS ordinary work enters
 *                                  again, and the other lanes' probation goes on waiting
 *   given back                     who was refused meanwhile enters once, before the next
 *                                  is given the floor
 *
 * So two on probation never run at the same time, a query of minutes holds up nobody's ordinary
 * work for longer than SOLO_CLOSED_MS, and ordinary work never starves one on probation.
 *
 * Any thread; it never waits.  now_ms: clock_mono_ms(). */
#ifndef WORKER_SOLO_H
#define WORKER_SOLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOLO_SEATS     2
#define SOLO_CLOSED_MS 1000
#define SOLO_ALONE_MS  1000
#define SOLO_TURN_MS   100 /* so long one who was refused may take to enter */

struct solo;

/* A free floor with nobody inside.  NULL when out of memory. */
struct solo *solo_new(void);

/* Frees it, when all have left.  Accepts NULL. */
void solo_free(struct solo *solo);

/* Takes a seat, 0 to SOLO_SEATS - 1: wake(ctx) is called when there may be something to do for it,
 * with a lock held: it must not call back. */
void solo_join(struct solo *solo, int seat, void (*wake)(void *ctx), void *ctx);

/* Leaves it, and with it whatever it had; wake does not come any more. */
void solo_leave(struct solo *solo, int seat);

/* Whether more ordinary work may begin; the seat is inside then, until it rests. */
bool solo_enter(struct solo *solo, int seat, int64_t now_ms);

/* No ordinary work of the seat is under way. */
void solo_rest(struct solo *solo, int seat);

/* Asks for the floor; true: the seat has it.  Asked again until then, or given up by solo_give. */
bool solo_take(struct solo *solo, int seat, int64_t now_ms);

/* Whether the seat, which has the floor, may keep it for another message: nobody waits. */
bool solo_may_keep(struct solo *solo, int seat);

/* Another message of the seat that has the floor runs now. */
void solo_keep(struct solo *solo, int seat, int64_t now_ms);

/* Gives the floor back, or does not want it any more.  Nothing when neither. */
void solo_give(struct solo *solo, int seat, int64_t now_ms);

#endif
