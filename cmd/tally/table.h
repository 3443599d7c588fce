/* table.h - rows for a person: aligned columns on a terminal. */
#ifndef TALLY_TABLE_H
#define TALLY_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "dataset/definition.h"

/* A column: the member of each row's object that it shows. */
struct table_column {
	const char *name;
	bool is_number; /* to the right */
};

/* Prints an array of objects as a table with a header line; at most DEFINITION_MAX_COLUMNS columns.
 * TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status table_print_rows(FILE *out, const struct table_column *columns,
					       size_t n, const json_t *rows);

/* Prints the REST body of a dataset's rows as a table with a header line; numbers to the right,
 * null as an empty cell, control characters as "?".  TALLY_INTERNAL_ERROR when body is not a
 * body of ours, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status table_print(FILE *out, const struct definition *definition,
					  const char *body, size_t len);

#endif
