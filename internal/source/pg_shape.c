#include "source/pg_shape.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "source/pg_types.h"

OWN_DEFINE(source_shape);

static tally_status
fill_columns(struct source_shape *shape, const PGresult *result)
{
	for (size_t i = 0; i < shape->n_columns; i++) {
		shape->columns[i].type = pg_type_of(PQftype(result, (int)i));
		shape->columns[i].name = strdup(PQfname(result, (int)i));
		if (!shape->columns[i].name)
			return TALLY_NO_MEMORY;
	}
	return TALLY_OK;
}

tally_status
pg_shape_new(const PGresult *result, const char *where, struct source_shape **out_shape,
	     struct tally_error *err)
{
	int n = PQnfields(result);
	OWN(source_shape) shape = NULL;

	if (n <= 0)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s: the statement returns no columns", where);
	shape = calloc(1, sizeof *shape);
	if (!shape)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	shape->columns = calloc((size_t)n, sizeof *shape->columns);
	shape->n_columns = shape->columns ? (size_t)n : 0;
	if (!shape->columns || fill_columns(shape, result) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	*out_shape = TAKE(shape);
	return TALLY_OK;
}

bool
pg_shape_is_partial(const struct source_shape *shape)
{
	for (size_t i = 0; i < shape->n_columns; i++) {
		if (shape->columns[i].type == TALLY_ABSENT)
			return true;
	}
	return false;
}

tally_status
pg_shape_unknown(const struct source_shape *shape, const Oid *oids, struct buf *buf)
{
	tally_status status = buf_puts(buf, "{");
	const char *comma = "";

	for (size_t i = 0; i < shape->n_columns && status == TALLY_OK; i++) {
		if (shape->columns[i].type != TALLY_ABSENT)
			continue;
		status = buf_printf(buf, "%s%u", comma, oids[i]);
		comma = ",";
	}
	return status == TALLY_OK ? buf_append(buf, "}", 2) : status;
}

/* The row of a look-up that tells of a type; -1 without one. */
static int
find_type(const PGresult *result, Oid oid)
{
	for (int row = 0; row < PQntuples(result); row++) {
		if (strtoul(PQgetvalue(result, row, 0), NULL, 10) == oid)
			return row;
	}
	return -1;
}

tally_status
pg_shape_complete(struct source_shape *shape, const Oid *oids, const PGresult *result,
		  const char *where, struct tally_error *err)
{
	for (size_t i = 0; i < shape->n_columns; i++) {
		struct source_column *column = &shape->columns[i];
		int row;

		if (column->type != TALLY_ABSENT)
			continue;
		row = find_type(result, oids[i]);
		if (row < 0 || PQgetvalue(result, row, 1)[0] != 't')
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s: column %s has type %s, which Tally does not know; "
					  "cast it, for example to text",
					  where, column->name,
					  row < 0 ? "?" : PQgetvalue(result, row, 2));
		column->type = TALLY_TEXT;
	}
	return TALLY_OK;
}

/* Whether a column of that type can be read as what the shape says.  Types that are not built in
 * were looked at when the shape was made; a built-in one of another form (jsonb) is new. */
static bool
is_readable(Oid oid, const struct source_column *column)
{
	enum tally_type type = pg_type_of(oid);

	if (type == TALLY_ABSENT)
		return column && column->type == TALLY_TEXT && oid >= PG_FIRST_USER_OID;
	return !column || column->type == type;
}

tally_status
pg_shape_check(const struct source_shape *shape, const PGresult *result, const char *where,
	       struct tally_error *err)
{
	size_t n = (size_t)PQnfields(result);

	if (n == 0 || (shape && shape->n_columns != n))
		return tally_fail(err, TALLY_SOURCE_ERROR,
				  "%s: the statement returns other columns than at the start",
				  where);
	for (size_t i = 0; i < n; i++) {
		const struct source_column *column = shape ? &shape->columns[i] : NULL;

		if (!is_readable(PQftype(result, (int)i), column))
			return tally_fail(
			    err, TALLY_SOURCE_ERROR,
			    "%s: the type of column %s is not what it was at the start", where,
			    PQfname(result, (int)i));
	}
	return TALLY_OK;
}
