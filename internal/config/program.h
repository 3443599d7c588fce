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

/* Blocks signals, raises the limit of open files, reads the settings, opens the log.  False:
 * *out_code is the exit code, and what there was to say has been said.  The caller frees
 * *out_config.  Before any thread is started. */
bool program_begin(const struct program *program, int argc, char **argv, struct config **out_config,
		   int *out_code);

/* The exit code for an error that ends a program. */
int program_code(const struct tally_error *err);

/* Makes program_wait return; the first code that is not 0 counts.  Any thread. */
void program_end(int code);

/* Reads again what may change while a program runs; on the thread of signals. */
typedef void program_reload_fn(void *ctx);

/* Waits for program_end, which SIGTERM and SIGINT call too once this has begun, and returns its
 * code.  A second one ends the process at once.  SIGHUP calls call(ctx), not any more after this
 * has returned; where call is NULL there is nothing to read again, and SIGHUP is the end of a
 * terminal: it ends the program in order. */
int program_wait(program_reload_fn *call, void *ctx);

/* Says that a thread hangs, and ends the process with SIGABRT, so that another takes over what it
 * keeps; ctx is the configuration.  For watchdog_start. */
void program_on_hang(void *ctx, const char *name);

/* Write a line of librdkafka's or of the HTTP server's to the log; level as in syslog(3), ctx is
 * not used.  Any thread. */
void program_log_kafka(void *ctx, int level, const char *text);
void program_log_http(void *ctx, int level, const char *text);

#endif
