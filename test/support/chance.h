/* chance.h - random numbers that come again with the same seed: xorshift64 (Marsaglia 2003, Xorshift
 * RNGs). */
#ifndef SUPPORT_CHANCE_H
#define SUPPORT_CHANCE_H

#include <stdint.h>

/* The next number; *state is the seed at first, and never 0. */
static inline uint64_t
chance_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
