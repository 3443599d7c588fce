/* value.h - one value of a row or a parameter: 24 bytes, no ownership.
 *
 * Text and decimals point into memory that outlives the value (that of its row set, or of the
 * request).  Equality and hashing are by value, as a join key: 1.10 = 1.1 as a decimal, text by
 * bytes, and null equals null here (who joins decides what null means). */
#ifndef SOURCE_VALUE_H
#define SOURCE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>
#include <tally/types.h>

enum value_state {
	VALUE_NULL,
	VALUE_SET,
	VALUE_BAD, /* cannot be represented (NaN, year 10000, 39 digits): whoever uses it fails */
};

struct value {
	uint8_t type;  /* enum tally_type; of nulls too */
	uint8_t state; /* enum value_state */
	uint32_t len;  /* of text and decimal, in bytes */
	union {
		int64_t i; /* int; bool (0, 1); date: days, timestamps: microseconds, since
				     1970-01-01 (timestamptz in UTC) */
		double f;  /* finite */
		const char
		    *text; /* text (UTF-8), decimal ("-12.50", no exponent); not terminated */
		unsigned char uuid[16];
	};
};

/* Whether text and len count. */
static inline bool
value_has_text(const struct value *value)
{
	return value->state == VALUE_SET
	       && (value->type == TALLY_TEXT || value->type == TALLY_DECIMAL);
}

/* The longest text that value_format writes, in bytes. */
#define VALUE_FORMAT_MAX 48

/* Whether two values of the same type are equal as keys. */
bool value_equal(const struct value *a, const struct value *b);

/* A hash of the value as a key: equal values have equal hashes. */
uint64_t value_hash(const struct value *value, uint64_t seed);

/* Order of output: nulls last, then by value; text by bytes, decimals by number.  < 0, 0, > 0. */
int value_compare(const struct value *a, const struct value *b);

/* Writes a set value that is not text in its public form (int, shortest round-trip float,
 * true/false, YYYY-MM-DD, YYYY-MM-DDTHH:MM:SS[.ffffff] without trailing zeros and with Z for
 * timestamptz, lower-case uuid, decimal as it is) and returns its length, at most
 * VALUE_FORMAT_MAX; not terminated.  No printf: this is the hot path of the encoder. */
size_t value_format(const struct value *value, char out[VALUE_FORMAT_MAX]);

/* Parses the public form of a type, strictly (real dates, years 0001-9999, int64, finite floats, at
 * most 38 digits); the inverse of value_format.  Text and decimal point into text.  timestamptz
 * takes Z or an offset.  TALLY_INVALID_PARAMETER with what was expected, never the value itself. */
TALLY_MUST_CHECK tally_status value_parse(enum tally_type type, const char *text, size_t len,
					  struct value *out_value, struct tally_error *err);

#endif
