/* cached.h - a step of a batch and its cache: which keys need not be asked for, and keeping what
 * came for the others. */
#ifndef DATASET_CACHED_H
#define DATASET_CACHED_H

#include "dataset/batch.h"

/* Takes the keys that the cache knows out of step->keys and copies their rows to step->cached, at
 * most budget_bytes.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status cached_look(struct batch_step *step, size_t budget_bytes);

/* Keeps the rows that the source returned for the keys it was asked for, and adds the cached ones
 * to them.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status cached_merge(struct batch_step *step);

#endif
