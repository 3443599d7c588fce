/* open.h - a source from its URL: the scheme says which kind of database it is. */
#ifndef SOURCE_OPEN_H
#define SOURCE_OPEN_H

#include "source/postgres.h"

/* Opens the source of a URL; returns at once.  A driver after the scheme ("postgresql+psycopg2://")
 * is ignored.  TALLY_WRONG_SETTING: no such scheme, or not a URL; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status source_open(const struct postgres_options *options,
					  struct source **out_source, struct tally_error *err);

#endif
