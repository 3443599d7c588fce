#include "source/ch_type.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SCALE 76

/* A piece of a type's name. */
struct piece {
	const char *at;
	const char *end;
};

static const struct {
	const char *name;
	struct ch_type type;
} simple[] = {
	{ "String",   { CH_STRING, TALLY_TEXT, 0, 0, false, false }       },
	{ "Int64",    { CH_INTEGER, TALLY_INT, 8, 0, true, false }        },
	{ "UInt64",   { CH_INTEGER, TALLY_INT, 8, 0, false, false }       },
	{ "Date",     { CH_DAYS, TALLY_DATE, 2, 0, false, false }         },
	{ "Date32",   { CH_DAYS, TALLY_DATE, 4, 0, true, false }          },
	{ "DateTime", { CH_SECONDS, TALLY_TIMESTAMP, 4, 0, false, false } },
	{ "Bool",     { CH_BOOL, TALLY_BOOL, 1, 0, false, false }         },
	{ "UUID",     { CH_UUID, TALLY_UUID, 16, 0, false, false }        },
	{ "Int8",     { CH_INTEGER, TALLY_INT, 1, 0, true, false }        },
	{ "Int16",    { CH_INTEGER, TALLY_INT, 2, 0, true, false }        },
	{ "Int32",    { CH_INTEGER, TALLY_INT, 4, 0, true, false }        },
	{ "UInt8",    { CH_INTEGER, TALLY_INT, 1, 0, false, false }       },
	{ "UInt16",   { CH_INTEGER, TALLY_INT, 2, 0, false, false }       },
	{ "UInt32",   { CH_INTEGER, TALLY_INT, 4, 0, false, false }       },
	{ "Float32",  { CH_FLOAT, TALLY_FLOAT, 4, 0, true, false }        },
	{ "Float64",  { CH_FLOAT, TALLY_FLOAT, 8, 0, true, false }        },
	{ "Int128",   { CH_NUMBER, TALLY_DECIMAL, 16, 0, true, false }    },
	{ "Int256",   { CH_NUMBER, TALLY_DECIMAL, 32, 0, true, false }    },
	{ "UInt128",  { CH_NUMBER, TALLY_DECIMAL, 16, 0, false, false }   },
	{ "UInt256",  { CH_NUMBER, TALLY_DECIMAL, 32, 0, false, false }   },
};

static bool
is_text(const struct piece *piece, const char *text)
{
	size_t len = (size_t)(piece->end - piece->at);

	return strlen(text) == len && memcmp(piece->at, text, len) == 0;
}

/* Takes "NAME(" from the front and ")" from the end; false, and nothing taken, without them. */
static bool
unwrap(struct piece *piece, const char *name)
{
	size_t len = strlen(name);

	if ((size_t)(piece->end - piece->at) < len + 2 || memcmp(piece->at, name, len) != 0
	    || piece->at[len] != '(' || piece->end[-1] != ')')
		return false;
	piece->at += len + 1;
	piece->end--;
	return true;
}

/* Takes a number of at most 9 digits from the front. */
static bool
take_number(struct piece *piece, uint32_t *out_number)
{
	uint32_t number = 0;
	int n = 0;

	for (; piece->at < piece->end && *piece->at >= '0' && *piece->at <= '9'; n++) {
		if (n == 9)
			return false;
		number = number * 10 + (uint32_t)(*piece->at++ - '0');
	}
	*out_number = number;
	return n > 0;
}

static bool
take_text(struct piece *piece, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(piece->end - piece->at) < len || memcmp(piece->at, text, len) != 0)
		return false;
	piece->at += len;
	return true;
}

/* 'Europe/Berlin', to the end. */
static bool
is_zone(const struct piece *piece)
{
	size_t len = (size_t)(piece->end - piece->at);

	return len > 2 && piece->at[0] == '\'' && piece->end[-1] == '\''
	       && !memchr(piece->at + 1, '\'', len - 2);
}

static bool
parse_decimal(struct piece *piece, struct ch_type *type)
{
	uint32_t precision, scale;

	if (!take_number(piece, &precision) || !take_text(piece, ", ")
	    || !take_number(piece, &scale) || piece->at != piece->end)
		return false;
	if (precision < 1 || precision > MAX_SCALE || scale > precision)
		return false;
	*type = (struct ch_type){ CH_NUMBER, TALLY_DECIMAL, 4, (uint8_t)scale, true, false };
	if (precision > 38)
		type->size = 32;
	else if (precision > 18)
		type->size = 16;
	else if (precision > 9)
		type->size = 8;
	return true;
}

/* An instant when the type names a time zone; else what a clock shows, in UTC as our sessions are.
 */
static bool
parse_ticks(struct piece *piece, struct ch_type *type)
{
	uint32_t scale;
	bool has_zone;

	if (!take_number(piece, &scale) || scale > 9)
		return false;
	has_zone = take_text(piece, ", ");
	if (has_zone ? !is_zone(piece) : piece->at != piece->end)
		return false;
	*type = (struct ch_type){ CH_TICKS, has_zone ? TALLY_TIMESTAMPTZ : TALLY_TIMESTAMP,
				  8,        (uint8_t)scale,
				  true,     false };
	return true;
}

static bool
parse_fixed(struct piece *piece, struct ch_type *type)
{
	*type = (struct ch_type){ CH_FIXED_STRING, TALLY_TEXT, 0, 0, false, false };
	return take_number(piece, &type->size) && type->size > 0 && piece->at == piece->end;
}

static bool
parse_plain(struct piece *piece, struct ch_type *type)
{
	for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
		if (is_text(piece, simple[i].name)) {
			*type = simple[i].type;
			return true;
		}
	}
	if (unwrap(piece, "Decimal"))
		return parse_decimal(piece, type);
	if (unwrap(piece, "DateTime64"))
		return parse_ticks(piece, type);
	if (unwrap(piece, "FixedString"))
		return parse_fixed(piece, type);
	if (!unwrap(piece, "DateTime") || !is_zone(piece))
		return false;
	*type = (struct ch_type){ CH_SECONDS, TALLY_TIMESTAMPTZ, 4, 0, false, false };
	return true;
}

bool
ch_type_parse(const char *text, size_t len, struct ch_type *out_type)
{
	struct piece piece = { text, text + len };
	struct ch_type type;

	(void)unwrap(&piece, "LowCardinality");
	bool is_nullable = unwrap(&piece, "Nullable");
	if (!parse_plain(&piece, &type))
		return false;
	type.is_nullable = is_nullable;
	*out_type = type;
	return true;
}

const char *
ch_type_name(enum tally_type type)
{
	static const char *const names[] = {
		[TALLY_TEXT] = "String",
		[TALLY_INT] = "Int64",
		[TALLY_FLOAT] = "Float64",
		[TALLY_BOOL] = "Bool",
		[TALLY_DATE] = "Date32",
		[TALLY_TIMESTAMP] = "DateTime64(6)",
		[TALLY_TIMESTAMPTZ] = "DateTime64(6, 'UTC')",
		[TALLY_UUID] = "UUID",
		/* 38 digits before the point and 38 after it */
		[TALLY_DECIMAL] = "Decimal(76, 38)",
	};

	return names[type];
}
