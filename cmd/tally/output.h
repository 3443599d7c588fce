/* output.h - a body from a gateway on its way to a file, piece by piece. */
#ifndef TALLY_OUTPUT_H
#define TALLY_OUTPUT_H

#include <stdio.h>

#include "api.h"

/* Where it goes. */
struct output {
	FILE *file;
	char last; /* the last byte that was written; 0: none yet */
};

/* Gets a URL and writes the body of a 200 to the output; ends it with a new line when that is a
 * terminal.  Everything else is printed to standard error.  Returns an exit code. */
int output_fetch(struct output *output, const struct api *api, const char *url);

#endif
