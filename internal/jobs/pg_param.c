#include "jobs/pg.h"
#include "source/pg_wire.h"

struct job_pg_param
job_pg_text(const char *text)
{
	return (struct job_pg_param){ .type = PG_TEXT,
				      .len = text ? (int)strlen(text) : -1,
				      .data = text };
}

struct job_pg_param
job_pg_bytes(const void *data, size_t len)
{
	return (struct job_pg_param){ .type = PG_BYTEA, .len = (int)len, .data = data };
}

struct job_pg_param
job_pg_int4(int32_t number)
{
	struct job_pg_param param = { .type = PG_INT4, .len = 4 };

	pg_put32(param.number, (uint32_t)number);
	return param;
}

struct job_pg_param
job_pg_int8(int64_t number)
{
	struct job_pg_param param = { .type = PG_INT8, .len = 8 };

	pg_put64(param.number, (uint64_t)number);
	return param;
}

struct job_pg_param
job_pg_bool(bool value)
{
	return (struct job_pg_param){ .type = PG_BOOL, .len = 1, .number = { value } };
}

struct job_pg_param
job_pg_array(uint32_t element, const struct pg_array *array)
{
	return (struct job_pg_param){ .type = pg_array_oid(element),
				      .len = (int)array->buf.len,
				      .data = array->buf.data };
}
