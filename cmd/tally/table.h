/* table.h - rows for a person: aligned columns on a terminal. */
#ifndef TALLY_TABLE_H
#define TALLY_TABLE_H

#include <stdio.h>

#include "dataset/definition.h"

/* Prints the REST body of a dataset's rows as a table with a header line; numbers to the right,
 * null as an empty cell, control characters as "?".  TALLY_INTERNAL_ERROR when body is not a
 * body of ours, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status table_print(FILE *out, const struct definition *definition,
					  const char *body, size_t len);

#endif
