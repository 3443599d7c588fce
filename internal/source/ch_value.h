/* ch_value.h - values of ClickHouse: from RowBinary's bytes, and as the text of parameters.
 *
 * RowBinary is little-endian; a UUID is two halves of 64 bits.  Any thread. */
#ifndef SOURCE_CH_VALUE_H
#define SOURCE_CH_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "source/ch_type.h"
#include "source/rows.h"

/* Reads a value of len bytes (type->size, or a String's length) into *out_value; text goes to the
 * memory of rows. A value that Tally cannot represent (NaN, infinity, years outside 0001-9999,
 * more than 38 digits, past int64, parts of a microsecond, text that is not UTF-8) is VALUE_BAD;
 * the zeros that fill up a FixedString go. TALLY_SOURCE_ERROR: not that type's form.
 * TALLY_TOO_LARGE, TALLY_NO_MEMORY: as rows_copy_text. */
TALLY_MUST_CHECK tally_status ch_value_read(const struct ch_type *type, const unsigned char *data,
					    size_t len, struct rows *rows, struct value *out_value);

/* The value, or of dates and times the nearest one between 1900 and 2299, for which every server
 * has room. */
struct value ch_value_nearest(const struct value *value);

/* Appends a value as the text of a parameter {name:Type}, or of an element of one that is an array
 * (is_element); no byte of it is a control character.  TALLY_SOURCE_ERROR: a value that a server
 * might take for another: VALUE_BAD, dates outside 1900-2299.  TALLY_TOO_LARGE, TALLY_NO_MEMORY: as
 * buf_append. */
TALLY_MUST_CHECK tally_status ch_value_write(const struct value *value, bool is_element,
					     struct buf *buf);

#endif
