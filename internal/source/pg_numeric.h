/* pg_numeric.h - PostgreSQL's numeric in binary, to and from decimal text.
 *
 * Binary: the count of digits of base 10,000, the weight (power of 10,000) of the first one, the
 * sign or NaN or infinity, how many decimal places are shown, then the digits; 16 bits each.  No
 * ownership; any thread. */
#ifndef SOURCE_PG_NUMERIC_H
#define SOURCE_PG_NUMERIC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* The most digits that Tally takes: 38 significant ones, and a zero before the point. */
#define PG_NUMERIC_SIGNIFICANT 38
#define PG_NUMERIC_DIGITS      40
#define PG_NUMERIC_CHARS       48

/* Appends the binary form of a decimal text ("-12.50"; digits and at most one point).
 * TALLY_TOO_LARGE, TALLY_NO_MEMORY: as buf_append. */
TALLY_MUST_CHECK tally_status pg_numeric_encode(const char *text, size_t len, struct buf *buf);

/* Writes the decimal text of a binary form and its length, which is 0 when Tally cannot represent
 * the number (NaN, infinity, too many digits).  False when this is not a numeric. */
bool pg_numeric_decode(const unsigned char *data, size_t len, char out[PG_NUMERIC_CHARS],
		       size_t *out_len);

#endif
