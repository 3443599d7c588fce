#include "jobs/pg_array.h"

#include <string.h>

#include "source/pg_wire.h"

#define LIMIT_BYTES ((size_t)512 << 20) /* the server takes no parameter of 1 GiB */
#define KEEP_BYTES  ((size_t)4 << 20)
#define NULL_LEN    UINT32_MAX

uint32_t
pg_array_oid(uint32_t element)
{
	static const struct {
		uint32_t element;
		uint32_t array;
	} pairs[] = {
		{ PG_BOOL,  1000 },
                { PG_BYTEA, 1001 },
                { PG_INT8,  1016 },
		{ PG_INT4,  1007 },
                { PG_TEXT,  1009 },
                { PG_DATE,  1182 },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		if (pairs[i].element == element)
			return pairs[i].array;
	}
	return 0;
}

static void
append(struct pg_array *array, const void *data, size_t len)
{
	if (array->status == TALLY_OK && buf_append(&array->buf, data, len) != TALLY_OK)
		array->status = TALLY_NO_MEMORY;
}

static void
append32(struct pg_array *array, uint32_t number)
{
	unsigned char bytes[4];

	pg_put32(bytes, number);
	append(array, bytes, sizeof bytes);
}

void
pg_array_begin(struct pg_array *array, uint32_t element, size_t n)
{
	if (array->buf.cap > KEEP_BYTES)
		buf_fini(&array->buf);
	array->buf.len = 0;
	array->buf.limit_bytes = LIMIT_BYTES;
	array->status = TALLY_OK;
	append32(array, 1); /* dimensions */
	append32(array, 1); /* may have nulls */
	append32(array, element);
	append32(array, (uint32_t)n);
	append32(array, 1); /* the first one's index */
}

void
pg_array_fini(struct pg_array *array)
{
	buf_fini(&array->buf);
}

void
pg_array_put(struct pg_array *array, const void *data, size_t len)
{
	append32(array, data ? (uint32_t)len : NULL_LEN);
	if (data)
		append(array, data, len);
}

void
pg_array_put_text(struct pg_array *array, const char *text)
{
	if (text && text[0])
		pg_array_put(array, text, strlen(text));
	else
		pg_array_put(array, NULL, 0);
}

void
pg_array_put_bool(struct pg_array *array, bool value)
{
	pg_array_put(array, value ? "\1" : "\0", 1);
}

void
pg_array_put_int4(struct pg_array *array, int32_t value)
{
	unsigned char bytes[4];

	pg_put32(bytes, (uint32_t)value);
	pg_array_put(array, bytes, sizeof bytes);
}

void
pg_array_put_int8(struct pg_array *array, int64_t value)
{
	unsigned char bytes[8];

	pg_put64(bytes, (uint64_t)value);
	pg_array_put(array, bytes, sizeof bytes);
}

void
pg_array_put_date(struct pg_array *array, int32_t unix_day)
{
	pg_array_put_int4(array, unix_day - PG_EPOCH_DAY);
}

void
pg_array_put_time(struct pg_array *array, int64_t unix_ms)
{
	if (unix_ms == 0)
		pg_array_put(array, NULL, 0);
	else
		pg_array_put_int8(array, unix_ms);
}
