/* slices.h - how a body is cut into the parts of a result: all are max bytes long but the last,
 * which is never empty.  A body that fits is one slice. */
#ifndef WORKER_SLICES_H
#define WORKER_SLICES_H

#include <stddef.h>
#include <stdint.h>

/* The number of slices, of at most max (> 0) bytes each. */
static inline uint32_t
slices_count(size_t len, size_t max)
{
	return len > max ? (uint32_t)((len - 1) / max + 1) : 1;
}

/* The length of slice i (from 0), which begins at i * max. */
static inline size_t
slices_len(size_t len, size_t max, uint32_t i)
{
	size_t left = len - (size_t)i * max;

	return left < max ? left : max;
}

#endif
