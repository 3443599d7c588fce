/* cli.h - what the commands of tally share: their table, exit codes, words and error lines.
 *
 * One thread; nothing here outlives main. */
#ifndef TALLY_CLI_H
#define TALLY_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "kafka/config.h"

/* Exit codes; 78 is EX_CONFIG of sysexits.h, which service managers know. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_WRONG = 78 };

/* One call of a command. */
struct cli {
	const struct config *config;
	char **words; /* after the command's name; flags are taken out by cli_flag and cli_option */
	size_t n_words;
};

/* A command; returns an exit code. */
typedef int cli_fn(struct cli *cli);

struct cli_command {
	const char *name;
	const char *what; /* one line for the list */
	const char *help; /* for tally NAME --help */
	cli_fn *run;
};

extern const struct cli_command command_cancel;
extern const struct cli_command command_check;
extern const struct cli_command command_copy;
extern const struct cli_command command_dead_letters;
extern const struct cli_command command_get;
extern const struct cli_command command_jobs;
extern const struct cli_command command_keys;
extern const struct cli_command command_migrate;
extern const struct cli_command command_result;
extern const struct cli_command command_run;
extern const struct cli_command command_settings;
extern const struct cli_command command_submit;
extern const struct cli_command command_tail;
extern const struct cli_command command_topics;
extern const struct cli_command command_wait;

/* The exit code of a status: wrong settings and definitions 78, wrong words 2, else 1. */
int cli_code(tally_status status);

/* Prints "tally: what" to standard error and returns the exit code of the status. */
int cli_fail(tally_status status, const struct tally_error *err);

/* Prints what is wrong with the words and where help is, and returns CLI_USAGE. */
int cli_usage(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes "--name" out of the words; whether it was there. */
bool cli_flag(struct cli *cli, const char *name);

/* Takes "--name VALUE" or "--name=VALUE" out of the words into *out_value, which is untouched
 * without one.  False when the value is missing. */
bool cli_option(struct cli *cli, const char *name, const char **out_value);

/* Reads the number of an option; NULL, the option was not given, leaves *out_number as it is.
 * False when it is no number from min to max. */
bool cli_number(const char *text, int min, int max, int *out_number);

/* The first word that is still a flag, thus unknown; NULL: none. */
const char *cli_unknown_flag(const struct cli *cli);

/* A configuration of Kafka from the settings; properties has room for CONFIG_MAX_PAIRS.
 * TALLY_WRONG_SETTING when TALLY_KAFKA is not set or a property is wrong. */
TALLY_MUST_CHECK tally_status cli_kafka(const struct cli *cli, struct kafka_property *properties,
					struct kafka_config *out_kafka, struct tally_error *err);

#endif
