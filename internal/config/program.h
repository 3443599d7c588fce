/* program.h - the frame of a service: settings and log at its beginning, a reason at its end. */
#ifndef CONFIG_PROGRAM_H
#define CONFIG_PROGRAM_H

#include <stdbool.h>

#include "config/config.h"

#define PROGRAM_EXIT_WRONG 78 /* sysexits(3), EX_CONFIG: starting again does not help */

struct program {
	unsigned reader;  /* CONFIG_GATEWAY ... */
	const char *name; /* "tally-worker" */
	const char *what; /* a sentence for --help */
};

/* Blocks signals, reads the settings, opens the log.  False: *out_code is the exit code, and what
 * there was to say has been said.  The caller frees *out_config.  Before any thread is started. */
bool program_begin(const struct program *program, int argc, char **argv, struct config **out_config,
		   int *out_code);

/* The exit code for an error that ends a program. */
int program_code(const struct tally_error *err);

/* Makes program_wait return; the first code that is not 0 counts.  Any thread. */
void program_end(int code);

/* Waits for program_end, which SIGTERM and SIGINT call too once this has begun, and returns its
 * code.  A second signal ends the process at once. */
int program_wait(void);

/* Write a line of librdkafka's or of the HTTP server's to the log; level as in syslog(3), ctx is
 * not used.  Any thread. */
void program_log_kafka(void *ctx, int level, const char *text);
void program_log_http(void *ctx, int level, const char *text);

#endif
