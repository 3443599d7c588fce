/* rollups.h - do the rollups of a database keep up with its log? */
#ifndef TALLY_ROLLUPS_H
#define TALLY_ROLLUPS_H

#include "databases.h"
#include "dataset/definition.h"

/* The room for a warning. */
#define ROLLUPS_TEXT 256

/* Looks at the rollups that a dataset reads; a plan of it was made.  True, and a warning in
 * out_text, when one lags; what cannot be found out is no warning. */
bool rollups_lag(struct databases *databases, const struct definition *definition,
		 char out_text[ROLLUPS_TEXT]);

#endif
