/* rebuild.h - tally jobs rebuild.  One thread. */
#ifndef TALLY_REBUILD_H
#define TALLY_REBUILD_H

#include "cli.h"

/* Fills an empty job store from Kafka, with a progress line on a terminal; returns an exit code.
 * The words are those after "rebuild". */
int rebuild_run(struct cli *cli);

#endif
