/* pg_types.h - PostgreSQL's types in binary: arguments out, cells of rows in.
 *
 * The binary forms are those of the server's typsend/typreceive functions: big-endian numbers, days
 * and microseconds since 2000-01-01, numeric in digits of base 10,000.  Any thread. */
#ifndef SOURCE_PG_TYPES_H
#define SOURCE_PG_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include <postgres_ext.h>

#include "base/buf.h"
#include "source/source.h"

/* Object ids below this are the server's own; enums and types of extensions have higher ones. */
#define PG_FIRST_USER_OID 16384

/* The most that the arguments of one query take on the wire. */
#define PG_PARAMS_MAX ((size_t)64 << 20)

/* The parameters of one statement, as PQsendPrepare and PQsendQueryPrepared take them. */
struct pg_params {
	int n;
	Oid *oids;           /* n of each; NULL when n is 0 */
	const char **values; /* into data; a NULL is null */
	int *lengths;
	int *formats; /* all binary */
	struct buf data;
};

/* The OID as which a bind is declared. */
Oid pg_type_oid(enum tally_type type, bool is_array);

/* The type of Tally for a type that the server has built in; TALLY_ABSENT when it knows none. */
enum tally_type pg_type_of(Oid oid);

/* The declared types of the binds alone; the caller calls pg_params_fini, also on failure.
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status pg_params_declare(const struct source_statement *statement,
						struct pg_params *out_params);

/* The types and the values of a query; the caller calls pg_params_fini, also on failure.
 * TALLY_TOO_LARGE: more than the ceiling of what is sent.  TALLY_SOURCE_ERROR: a value that cannot
 * be represented.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status pg_params_encode(const struct source_query *query,
					       struct pg_params *out_params);

/* Frees what the parameters hold. */
void pg_params_fini(struct pg_params *params);

/* Reads a cell of len bytes in the binary form of oid (of a user's type: text) into *out_value;
 * text goes to the memory of rows.  A value that Tally cannot represent (NaN, infinity, years
 * outside 0001-9999, more than 38 digits) is VALUE_BAD.  TALLY_SOURCE_ERROR: not that type's form.
 * TALLY_TOO_LARGE, TALLY_NO_MEMORY: as rows_copy_text. */
TALLY_MUST_CHECK tally_status pg_decode(Oid oid, const char *data, size_t len, struct rows *rows,
					struct value *out_value);

#endif
