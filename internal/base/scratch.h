/* scratch.h - room on the stack that is written before it is read.
 *
 * Everything automatic begins as zeros (-ftrivial-auto-var-init), so that a mistake leaks nothing.
 * Of a few kilobytes on the way of every request that costs more than it is worth: they are marked,
 * where it is plain that each byte that is read was written. */
#ifndef BASE_SCRATCH_H
#define BASE_SCRATCH_H

#define SCRATCH __attribute__((uninitialized))

#endif
