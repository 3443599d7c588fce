#include "source/pg_types.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "source/date.h"
#include "source/pg_numeric.h"
#include "source/pg_wire.h"

#define EPOCH_DAYS 10957 /* from 1970-01-01 to 2000-01-01 */
#define EPOCH_US   (EPOCH_DAYS * DATE_US_OF_DAY)

/* pg_type.dat: object ids of built-in types never change. */
enum {
	OID_BOOL = 16,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_DATE = 1082,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_NUMERIC = 1700,
	OID_UUID = 2950,
};

/* What a bind of each type is declared as: itself, and an array of it. */
static const Oid declared[][2] = {
	[TALLY_TEXT] = { OID_TEXT,        1009 },
	[TALLY_INT] = { OID_INT8,        1016 },
	[TALLY_FLOAT] = { OID_FLOAT8,      1022 },
	[TALLY_BOOL] = { OID_BOOL,        1000 },
	[TALLY_DATE] = { OID_DATE,        1182 },
	[TALLY_TIMESTAMP] = { OID_TIMESTAMP,   1115 },
	[TALLY_TIMESTAMPTZ] = { OID_TIMESTAMPTZ, 1185 },
	[TALLY_UUID] = { OID_UUID,        2951 },
	[TALLY_DECIMAL] = { OID_NUMERIC,     1231 },
};

Oid
pg_type_oid(enum tally_type type, bool is_array)
{
	return declared[type][is_array];
}

enum tally_type
pg_type_of(Oid oid)
{
	static const struct {
		Oid oid;
		enum tally_type type;
	} known[] = {
		{ OID_TEXT,        TALLY_TEXT        },
		{ OID_INT8,        TALLY_INT         },
		{ OID_INT4,        TALLY_INT         },
		{ OID_VARCHAR,     TALLY_TEXT        },
		{ OID_DATE,        TALLY_DATE        },
		{ OID_TIMESTAMP,   TALLY_TIMESTAMP   },
		{ OID_BOOL,        TALLY_BOOL        },
		{ OID_UUID,        TALLY_UUID        },
		{ OID_FLOAT8,      TALLY_FLOAT       },
		{ OID_NUMERIC,     TALLY_DECIMAL     },
		{ OID_INT2,        TALLY_INT         },
		{ OID_FLOAT4,      TALLY_FLOAT       },
		{ OID_BPCHAR,      TALLY_TEXT        },
		{ OID_NAME,        TALLY_TEXT        },
		{ OID_TIMESTAMPTZ, TALLY_TIMESTAMPTZ },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i].oid == oid)
			return known[i].type;
	}
	return TALLY_ABSENT;
}

/* ---- out --------------------------------------------------------------------- */

static tally_status
put_value(struct buf *buf, const struct value *value)
{
	unsigned char bytes[8];

	switch ((enum tally_type)value->type) {
	case TALLY_TEXT:
		return buf_append(buf, value->text, value->len);
	case TALLY_DECIMAL:
		return pg_numeric_encode(value->text, value->len, buf);
	case TALLY_UUID:
		return buf_append(buf, value->uuid, sizeof value->uuid);
	case TALLY_BOOL:
		bytes[0] = value->i != 0;
		return buf_append(buf, bytes, 1);
	case TALLY_DATE:
		pg_put32(bytes, (uint32_t)(int32_t)(value->i - EPOCH_DAYS));
		return buf_append(buf, bytes, 4);
	case TALLY_TIMESTAMP:
	case TALLY_TIMESTAMPTZ:
		pg_put64(bytes, (uint64_t)(value->i - EPOCH_US));
		return buf_append(buf, bytes, 8);
	case TALLY_FLOAT: {
		uint64_t bits;

		memcpy(&bits, &value->f, sizeof bits);
		pg_put64(bytes, bits);
		return buf_append(buf, bytes, 8);
	}
	default:
		pg_put64(bytes, (uint64_t)value->i);
		return buf_append(buf, bytes, 8);
	}
}

/* An element: its length, or -1 for a null, and its bytes. */
static tally_status
put_element(struct buf *buf, const struct value *value)
{
	unsigned char bytes[4];
	size_t at = buf->len;
	tally_status status;

	if (value->state == VALUE_BAD)
		return TALLY_SOURCE_ERROR;
	pg_put32(bytes, UINT32_MAX);
	status = buf_append(buf, bytes, 4);
	if (status != TALLY_OK || value->state != VALUE_SET)
		return status;
	status = put_value(buf, value);
	if (status == TALLY_OK)
		pg_put32((unsigned char *)buf->data + at, (uint32_t)(buf->len - at - 4));
	return status;
}

static tally_status
put_array(struct buf *buf, enum tally_type type, const struct source_argument *argument)
{
	unsigned char head[20];
	tally_status status;
	uint32_t has_nulls = 0;

	for (size_t i = 0; i < argument->n; i++)
		has_nulls |= argument->values[i].state == VALUE_NULL;
	pg_put32(head, argument->n > 0 ? 1 : 0); /* dimensions; an empty array has none */
	pg_put32(head + 4, has_nulls);
	pg_put32(head + 8, pg_type_oid(type, false));
	pg_put32(head + 12, (uint32_t)argument->n);
	pg_put32(head + 16, 1); /* the first index */
	status = buf_append(buf, head, argument->n > 0 ? 20 : 12);
	for (size_t i = 0; i < argument->n && status == TALLY_OK; i++)
		status = put_element(buf, &argument->values[i]);
	return status;
}

static tally_status
put_argument(struct pg_params *params, size_t i, const struct source_query *query)
{
	const struct source_bind *bind = &query->statement->binds[i];
	const struct source_argument *argument = &query->arguments[i];
	const struct value *value = argument->values;
	size_t at = params->data.len;
	tally_status status;

	if (!bind->is_array && value->state == VALUE_NULL) {
		params->lengths[i] = -1;
		return TALLY_OK;
	}
	if (!bind->is_array && value->state == VALUE_BAD)
		return TALLY_SOURCE_ERROR;
	status = bind->is_array ? put_array(&params->data, bind->type, argument)
				: put_value(&params->data, value);
	params->lengths[i] = (int)(params->data.len - at);
	return status;
}

tally_status
pg_params_declare(const struct source_statement *statement, struct pg_params *out_params)
{
	size_t n = statement->n_binds;
	/* values first: they are aligned most strictly */
	size_t bytes = sizeof(char *) + sizeof(Oid) + 2 * sizeof(int);

	*out_params = (struct pg_params){ .n = (int)n, .data = BUF_INIT(PG_PARAMS_MAX) };
	if (n == 0)
		return TALLY_OK;
	out_params->values = calloc(n, bytes);
	if (!out_params->values)
		return TALLY_NO_MEMORY;
	out_params->lengths = (int *)(out_params->values + n);
	out_params->formats = out_params->lengths + n;
	out_params->oids = (Oid *)(out_params->formats + n);
	for (size_t i = 0; i < n; i++) {
		out_params->oids[i] =
		    pg_type_oid(statement->binds[i].type, statement->binds[i].is_array);
		out_params->formats[i] = 1;
	}
	return TALLY_OK;
}

tally_status
pg_params_encode(const struct source_query *query, struct pg_params *out_params)
{
	struct pg_params *params = out_params;
	tally_status status = pg_params_declare(query->statement, params);
	size_t at = 0;

	for (size_t i = 0; i < query->statement->n_binds && status == TALLY_OK; i++)
		status = put_argument(params, i, query);
	if (status != TALLY_OK)
		return status;
	/* Only now: the buffer moved while it grew.  An empty text still needs a pointer. */
	for (int i = 0; i < params->n; i++) {
		if (params->lengths[i] < 0)
			continue;
		params->values[i] = params->lengths[i] > 0 ? params->data.data + at : "";
		at += (size_t)params->lengths[i];
	}
	return TALLY_OK;
}

void
pg_params_fini(struct pg_params *params)
{
	buf_fini(&params->data);
	free(params->values);
	*params = (struct pg_params){ 0 };
}

/* ---- in ---------------------------------------------------------------------- */

static void
set_float(struct value *value, double number)
{
	value->f = number;
	value->state = isfinite(number) ? VALUE_SET : VALUE_BAD;
}

static void
read_float4(const unsigned char *data, struct value *value)
{
	uint32_t bits = pg_get32(data);
	float number;

	memcpy(&number, &bits, sizeof number);
	set_float(value, (double)number);
}

static void
read_float8(const unsigned char *data, struct value *value)
{
	uint64_t bits = pg_get64(data);
	double number;

	memcpy(&number, &bits, sizeof number);
	set_float(value, number);
}

/* infinity and -infinity are the ends of int32: out of range as any far date. */
static void
read_date(const unsigned char *data, struct value *value)
{
	value->i = (int64_t)(int32_t)pg_get32(data) + EPOCH_DAYS;
	value->state =
	    value->i >= DATE_MIN_DAYS && value->i <= DATE_MAX_DAYS ? VALUE_SET : VALUE_BAD;
}

static void
read_timestamp(const unsigned char *data, struct value *value)
{
	int64_t us = (int64_t)pg_get64(data);

	value->state = VALUE_BAD;
	if (__builtin_add_overflow(us, EPOCH_US, &us))
		return;
	value->i = us;
	if (us >= DATE_MIN_DAYS * DATE_US_OF_DAY && us < (DATE_MAX_DAYS + 1) * DATE_US_OF_DAY)
		value->state = VALUE_SET;
}

static tally_status
read_text(const char *data, size_t len, struct rows *rows, struct value *value)
{
	value->len = (uint32_t)len;
	return rows_copy_text(rows, data, len, &value->text);
}

static tally_status
read_numeric(const char *data, size_t len, struct rows *rows, struct value *value)
{
	char text[PG_NUMERIC_CHARS];
	size_t text_len;

	if (!pg_numeric_decode((const unsigned char *)data, len, text, &text_len))
		return TALLY_SOURCE_ERROR;
	if (text_len == 0) {
		value->state = VALUE_BAD;
		return TALLY_OK;
	}
	return read_text(text, text_len, rows, value);
}

/* How many bytes a type of fixed size has; 0 for the others. */
static size_t
size_of(Oid oid)
{
	switch (oid) {
	case OID_BOOL:
		return 1;
	case OID_INT2:
		return 2;
	case OID_INT4:
	case OID_FLOAT4:
	case OID_DATE:
		return 4;
	case OID_INT8:
	case OID_FLOAT8:
	case OID_TIMESTAMP:
	case OID_TIMESTAMPTZ:
		return 8;
	case OID_UUID:
		return 16;
	default:
		return 0;
	}
}

static void
read_fixed(Oid oid, const unsigned char *data, struct value *value)
{
	switch (oid) {
	case OID_BOOL:
		value->i = data[0] != 0;
		break;
	case OID_INT2:
		value->i = (int16_t)pg_get16(data);
		break;
	case OID_INT4:
		value->i = (int32_t)pg_get32(data);
		break;
	case OID_INT8:
		value->i = (int64_t)pg_get64(data);
		break;
	case OID_FLOAT4:
		read_float4(data, value);
		break;
	case OID_FLOAT8:
		read_float8(data, value);
		break;
	case OID_DATE:
		read_date(data, value);
		break;
	case OID_UUID:
		memcpy(value->uuid, data, 16);
		break;
	default:
		read_timestamp(data, value);
		break;
	}
}

tally_status
pg_decode(Oid oid, const char *data, size_t len, struct rows *rows, struct value *out_value)
{
	enum tally_type type = pg_type_of(oid);
	size_t size = size_of(oid);

	/* What is left are an enum and citext: their binary form is their text. */
	out_value->type = (uint8_t)(type == TALLY_ABSENT ? TALLY_TEXT : type);
	out_value->state = VALUE_SET;
	if (type == TALLY_DECIMAL)
		return read_numeric(data, len, rows, out_value);
	if (size == 0)
		return read_text(data, len, rows, out_value);
	if (len != size)
		return TALLY_SOURCE_ERROR;
	read_fixed(oid, (const unsigned char *)data, out_value);
	return TALLY_OK;
}
