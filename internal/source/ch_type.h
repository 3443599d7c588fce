/* ch_type.h - ClickHouse's types as Tally reads them: what a column's type says of its bytes in
 * RowBinary.  Types that Tally does not know (arrays, maps, enums ...) are refused where the
 * statement is described.  No ownership; any thread. */
#ifndef SOURCE_CH_TYPE_H
#define SOURCE_CH_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/types.h>

enum ch_kind {
	CH_STRING,       /* a length, then bytes */
	CH_FIXED_STRING, /* size bytes, zeros at the end to fill up */
	CH_BOOL,
	CH_INTEGER,
	CH_FLOAT,
	CH_DAYS,    /* Date and Date32: days since 1970-01-01 */
	CH_SECONDS, /* DateTime: seconds since 1970-01-01 */
	CH_TICKS,   /* DateTime64(scale): since 1970-01-01, scale decimal places of a second */
	CH_UUID,
	CH_NUMBER, /* Decimal with scale places, and integers of more than 64 bits */
};

struct ch_type {
	enum ch_kind kind;
	enum tally_type type; /* what it is to Tally */
	uint32_t size;        /* bytes of a value; 0: of a String */
	uint8_t scale;        /* decimal places of CH_TICKS and CH_NUMBER */
	bool is_signed;
	bool is_nullable; /* a byte before each value says whether it is null */
};

/* Reads a type's name, as RowBinaryWithNamesAndTypes and DESCRIBE give it; LowCardinality is that
 * of its inside.  False when Tally does not know the type. */
bool ch_type_parse(const char *text, size_t len, struct ch_type *out_type);

/* The type as which a bind is declared: "Int64"; a null may come: "Nullable(Int64)". */
const char *ch_type_name(enum tally_type type);

#endif
