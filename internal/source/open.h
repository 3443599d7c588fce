/* open.h - a source from its URL: the scheme says which kind of database it is. */
#ifndef SOURCE_OPEN_H
#define SOURCE_OPEN_H

#include "source/options.h"
#include "source/source.h"

/* Opens the source of a URL; returns at once.  A driver after the scheme ("postgresql+psycopg2://")
 * is ignored.  TALLY_WRONG_SETTING: no such scheme, or not a URL; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status source_open(const struct source_options *options,
					  struct source **out_source, struct tally_error *err);

/* The kind of database that a URL names, as in "for KIND" of a dataset file; NULL: none that is
 * known.  A static string. */
const char *source_kind(const char *url);

#endif
