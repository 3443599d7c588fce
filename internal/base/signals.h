/* signals.h - SIGTERM and SIGINT end a program: the first in order, the second at once; SIGHUP has
 * it read again what it was told.
 *
 * main() calls signals_block before it starts any thread, and signals_start when there is
 * something to stop.  What came in between is not lost.  A thread of its own takes the signals, so
 * the second one works even if every loop hangs.  The mask is inherited by child processes. */
#ifndef BASE_SIGNALS_H
#define BASE_SIGNALS_H

#include <tally/status.h>

/* The first signal that ends the program, and each SIGHUP; on the signal thread.  Mostly loop_stop
 * or loop_wake. */
typedef void signals_fn(void *ctx, int signal);

/* Blocks SIGTERM, SIGINT and SIGHUP in this thread and all it will start, and ignores SIGPIPE: a
 * closed socket is an error of its write. */
void signals_block(void);

/* Starts the thread: the first SIGTERM or SIGINT calls on_signal, the second ends the process with
 * status 128 + its number, without running anything; SIGHUP calls on_signal every time.  Once at a
 * time.  TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status signals_start(signals_fn *on_signal, void *ctx,
					    struct tally_error *err);

/* Ends the thread; on_signal does not run any more.  From now on a signal ends the process as it
 * does without this module.  Does nothing when it was not started. */
void signals_stop(void);

#endif
