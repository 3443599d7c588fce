/* catalog.h - the datasets of a folder: every *.sql file, sorted by name.  Immutable; any thread.
 *  */
#ifndef DATASET_CATALOG_H
#define DATASET_CATALOG_H

#include <stddef.h>

#include "dataset/definition.h"

struct catalog;

/* Reads and parses every *.sql file of the folder.  TALLY_WRONG_DEFINITION ("file:line: what", also
 * for a second dataset of the same name, a file name that is not the dataset's, and a folder
 * without datasets), TALLY_WRONG_SETTING (the folder cannot be read), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status catalog_load(const char *folder, struct catalog **out_catalog,
					   struct tally_error *err);

/* Frees the catalog and its definitions.  Accepts NULL. */
void catalog_free(struct catalog *catalog);

/* How many datasets there are. */
size_t catalog_count(const struct catalog *catalog);

/* The dataset at index, by name order; borrowed. */
const struct definition *catalog_at(const struct catalog *catalog, size_t index);

/* The dataset of a name of len bytes, or NULL; borrowed. */
const struct definition *catalog_find(const struct catalog *catalog, const char *name, size_t len);

#endif
