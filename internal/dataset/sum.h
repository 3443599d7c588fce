/* sum.h - an exact sum of decimals, whatever their order.
 *
 * A number is cut into groups of nine digits around its point; groups are summed without carrying
 * (an int64 takes nine thousand million of them) and carried once, at the end.  So a sum that
 * passes 38 digits on the way and comes back is right, and does not depend on the order. */
#ifndef DATASET_SUM_H
#define DATASET_SUM_H

#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#define SUM_WHOLE    6 /* groups before the point: 54 digits, so sums of 2^32 numbers fit */
#define SUM_FRACTION 5 /* after it: 45 digits */
#define SUM_TEXT_MAX 48

struct sum {
	int64_t groups[SUM_FRACTION + SUM_WHOLE]; /* lowest first */
	uint32_t scale;                           /* the most digits after a point so far */
};

/* Adds a decimal ("-12.50").  TALLY_UNSUPPORTED_VALUE when it has more digits than fit. */
TALLY_MUST_CHECK tally_status sum_add(struct sum *sum, const char *text, size_t len);

/* Writes the sum as a decimal with the largest scale among what was added; *out_len is its length.
 * TALLY_UNSUPPORTED_VALUE past 38 digits.  The sum is used up. */
TALLY_MUST_CHECK tally_status sum_end(struct sum *sum, char out[SUM_TEXT_MAX], size_t *out_len);

#endif
