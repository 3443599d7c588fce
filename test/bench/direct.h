/* direct.h - what a dataset costs without Tally: its statements, prepared, one after the other
 * over one connection to each database, what one returns handed to the next.  No join, no sorting,
 * no encoding.  Any failure ends the program.  One thread. */
#ifndef BENCH_DIRECT_H
#define BENCH_DIRECT_H

#include "dataset/definition.h"

struct direct;

/* Connects to the databases of TALLY_SOURCE_<NAME> and prepares.  NULL when a step takes keys of
 * two others, which needs a join.  The definition outlives it; the caller closes it. */
struct direct *direct_open(const struct definition *definition);

/* Runs all steps for a login; the other parameters are null. */
void direct_run(struct direct *direct, const char *login);

/* Closes and frees.  Accepts NULL. */
void direct_close(struct direct *direct);

#endif
