/* job_store.h - a job store under test: a private server, a database for each test, looked at from
 * connections of its own.  Helpers end the test's process when the database fails them. */
#ifndef SUPPORT_JOB_STORE_H
#define SUPPORT_JOB_STORE_H

#include <stdint.h>

#include "support/cluster.h"

#define STORE_TEXT_MAX 8192

/* In the runner's process, before and after all tests: the server. */
void store_before_all(void);
void store_after_all(void);

/* Before each test: a database of its own, with the schema. */
void store_begin(void);

/* For a test that harms its server: one of its own, to be stopped by it. */
struct cluster *store_start_own(void);

/* The URL of the test's database. */
const char *store_url(void);

/* Empties all tables. */
void store_clear(void);

/* Runs a command. */
void store_execute(const char *sql);

/* The one cell that a query answers; "" for null.  The text is static. */
const char *store_text(const char *sql);
int64_t store_number(const char *sql);

/* A digest of jobs, results and keys: equal for equal rows.  static. */
const char *store_digest(void);

#endif
