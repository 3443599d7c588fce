#include "cli.h"

static int
run(struct cli *cli)
{
	if (cli->n_words > 0)
		return cli_usage(&command_settings, "settings takes no words");
	config_markdown(stdout);
	return CLI_OK;
}

const struct cli_command command_settings = {
	"settings",
	"print the table of all settings in Markdown",
	"usage: tally settings\n"
	"\n"
	"Prints every setting of every program, with default, range and meaning, as the Markdown\n"
	"table that stands in the README.\n",
	run,
};
