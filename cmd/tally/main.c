/* tally - the command line: a table of commands, each in a file of its own. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/own.h"
#include "base/version.h"
#include "cli.h"

OWN_DEFINE(config);

static const struct cli_command *const commands[] = {
	&command_run,  &command_get,     &command_submit, &command_wait,   &command_result,
	&command_jobs, &command_cancel,  &command_tail,   &command_check,  &command_dead_letters,
	&command_keys, &command_migrate, &command_copy,   &command_topics, &command_settings,
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

static const char exit_codes[] =
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 a wrong setting or dataset definition.\n";

static void
print_help(FILE *out)
{
	(void)fputs("usage: tally COMMAND [WORDS] [--SETTING VALUE]\n\n"
		    "One answer about one user from several databases.\n\n"
		    "Commands:\n",
		    out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		(void)fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->what);
	(void)fputs("\ntally COMMAND --help says more.\n\n", out);
	config_help(CONFIG_CLI, out);
	(void)fputs(exit_codes, out);
}

static const struct cli_command *
find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static int
run_command(const struct config *config)
{
	struct cli cli = { config, config->words + 1, config->n_words - 1 };
	const struct cli_command *command = find_command(config->words[0]);

	if (!command) {
		(void)fprintf(stderr, "tally: there is no command %s; see tally --help\n",
			      config->words[0]);
		return CLI_USAGE;
	}
	if (config->wants_help) {
		(void)fputs(command->help, stdout);
		(void)fputs(exit_codes, stdout);
		return CLI_OK;
	}
	return command->run(&cli);
}

static int
dispatch(const struct config *config)
{
	if (config->wants_version) {
		(void)printf("tally %s\n", version_text());
		return CLI_OK;
	}
	if (config->n_words == 0) {
		print_help(config->wants_help ? stdout : stderr);
		return config->wants_help ? CLI_OK : CLI_USAGE;
	}
	return run_command(config);
}

int
main(int argc, char **argv)
{
	OWN(config) config = NULL;
	struct tally_error err = { 0 };
	tally_status status;
	int code;

	/* Widths of characters, for tables: UTF-8 whatever the environment says. */
	if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	memory_guard_json();
	(void)signal(SIGPIPE, SIG_IGN); /* a server that goes away is an error of libpq's */
	status = config_load(CONFIG_CLI, argc, argv, true, &config, &err);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	code = dispatch(config);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		(void)fputs("tally: the output could not be written\n", stderr);
		return code == CLI_OK ? CLI_FAILED : code;
	}
	return code;
}
