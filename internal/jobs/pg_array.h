/* pg_array.h - a column of values as PostgreSQL's binary array, the parameter of an unnest().
 *
 * Binary, so that bodies go as they are.  A failure sticks: look at status once, at the end.  One
 * thread at a time. */
#ifndef JOBS_PG_ARRAY_H
#define JOBS_PG_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Of the elements: pg_type.oid, which never changes for these. */
enum {
	PG_BOOL = 16,
	PG_BYTEA = 17,
	PG_INT8 = 20,
	PG_INT4 = 23,
	PG_TEXT = 25,
	PG_DATE = 1082,
};

/* Unix days of PostgreSQL's day 0, 2000-01-01. */
#define PG_EPOCH_DAY 10957

struct pg_array {
	struct buf buf;
	tally_status status; /* TALLY_NO_MEMORY once something did not fit */
};

/* The oid of the array type of an element type; 0 for others. */
uint32_t pg_array_oid(uint32_t element);

/* Begins an array of n (> 0) elements, of which each is then put; what it held is forgotten.  The
 * buffer is kept, unless it is larger than most ever are.  Accepts a zeroed one. */
void pg_array_begin(struct pg_array *array, uint32_t element, size_t n);

/* Releases the buffer.  Accepts a zeroed one. */
void pg_array_fini(struct pg_array *array);

/* Adds an element of type text or bytea; data NULL: null. */
void pg_array_put(struct pg_array *array, const void *data, size_t len);

/* Adds a terminated text; NULL or empty: null. */
void pg_array_put_text(struct pg_array *array, const char *text);

/* Adds an element of the type that is in the name. */
void pg_array_put_bool(struct pg_array *array, bool value);
void pg_array_put_int4(struct pg_array *array, int32_t value);
void pg_array_put_int8(struct pg_array *array, int64_t value);

/* Adds a date: days since 1970-01-01. */
void pg_array_put_date(struct pg_array *array, int32_t unix_day);

/* Adds an int8 that is null when it is 0: a time that is not known. */
void pg_array_put_time(struct pg_array *array, int64_t unix_ms);

#endif
