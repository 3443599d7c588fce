/* pg_shape.h - the columns of a described statement: from the server's types to Tally's.  Enums and
 * citext are text, a domain is its base type (the server says so itself).  The loop's thread. */
#ifndef SOURCE_PG_SHAPE_H
#define SOURCE_PG_SHAPE_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "source/source.h"

/* Asks for each type in $1 (oid[]): oid, whether it is text in all but name, name; as text. */
#define PG_LOOKUP_SQL                                                                              \
	"SELECT t.oid, t.typtype = 'e' OR t.typname = 'citext',"                                   \
	" pg_catalog.format_type(t.oid, NULL)"                                                     \
	" FROM pg_catalog.pg_type t WHERE t.oid = ANY ($1::pg_catalog.oid[])"

/* Makes a shape from the result of a description; columns of other than built-in types are
 * TALLY_ABSENT.  TALLY_WRONG_DEFINITION: no columns.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status pg_shape_new(const PGresult *result, const char *where,
					   struct source_shape **out_shape,
					   struct tally_error *err);

/* Whether there are columns that need PG_LOOKUP_SQL. */
bool pg_shape_is_partial(const struct source_shape *shape);

/* Appends the argument of PG_LOOKUP_SQL, terminated; oids are those of the columns. */
TALLY_MUST_CHECK tally_status pg_shape_unknown(const struct source_shape *shape, const Oid *oids,
					       struct buf *buf);

/* Fills in the types that a look-up tells.  TALLY_WRONG_DEFINITION names the first column whose
 * type Tally does not know. */
TALLY_MUST_CHECK tally_status pg_shape_complete(struct source_shape *shape, const Oid *oids,
						const PGresult *result, const char *where,
						struct tally_error *err);

/* Checks that a result still has the columns of the shape (NULL: any columns of known types).
 * TALLY_SOURCE_ERROR names what has changed. */
TALLY_MUST_CHECK tally_status pg_shape_check(const struct source_shape *shape,
					     const PGresult *result, const char *where,
					     struct tally_error *err);

#endif
