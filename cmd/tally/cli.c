#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
cli_code(tally_status status)
{
	switch (status) {
	case TALLY_OK:
		return CLI_OK;
	case TALLY_INVALID_PARAMETER:
	case TALLY_UNKNOWN_DATASET:
	case TALLY_BAD_REQUEST:
		return CLI_USAGE;
	case TALLY_WRONG_SETTING:
	case TALLY_WRONG_DEFINITION:
		return CLI_WRONG;
	default:
		return CLI_FAILED;
	}
}

int
cli_fail(tally_status status, const struct tally_error *err)
{
	(void)fprintf(stderr, "tally: %s\n",
		      err->detail[0] ? err->detail : tally_status_title(status));
	return cli_code(status);
}

int
cli_usage(const struct cli_command *command, const char *format, ...)
{
	va_list args;

	(void)fputs("tally: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fprintf(stderr, "; see tally %s --help\n", command->name);
	return CLI_USAGE;
}

static void
take_out(struct cli *cli, size_t at, size_t n)
{
	memmove(&cli->words[at], &cli->words[at + n], (cli->n_words - at - n) * sizeof *cli->words);
	cli->n_words -= n;
}

bool
cli_flag(struct cli *cli, const char *name)
{
	for (size_t i = 0; i < cli->n_words; i++) {
		if (strcmp(cli->words[i], name) == 0) {
			take_out(cli, i, 1);
			return true;
		}
	}
	return false;
}

bool
cli_option(struct cli *cli, const char *name, const char **out_value)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < cli->n_words; i++) {
		const char *word = cli->words[i];

		if (strncmp(word, name, len) != 0 || (word[len] != '\0' && word[len] != '='))
			continue;
		if (word[len] == '=') {
			*out_value = word + len + 1;
			take_out(cli, i, 1);
			return true;
		}
		if (i + 1 == cli->n_words)
			return false;
		*out_value = cli->words[i + 1];
		take_out(cli, i, 2);
		return true;
	}
	return true;
}

bool
cli_number(const char *text, int min, int max, int *out_number)
{
	char *end;
	long number;

	if (!text)
		return true;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno || end == text || *end || number < min || number > max)
		return false;
	*out_number = (int)number;
	return true;
}

const char *
cli_unknown_flag(const struct cli *cli)
{
	for (size_t i = 0; i < cli->n_words; i++) {
		if (strncmp(cli->words[i], "--", 2) == 0)
			return cli->words[i];
	}
	return NULL;
}

tally_status
cli_kafka(const struct cli *cli, struct kafka_property *properties, struct kafka_config *out_kafka,
	  struct tally_error *err)
{
	const struct config *config = cli->config;

	if (config->kafka[0] == '\0')
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "TALLY_KAFKA is not set: it names Kafka's bootstrap servers, such"
				  " as 127.0.0.1:9092");
	for (size_t i = 0; i < config->n_properties; i++)
		properties[i] = (struct kafka_property){ config->properties[i].name,
							 config->properties[i].value };
	*out_kafka = (struct kafka_config){
		.brokers = config->kafka,
		.client_id = "tally",
		.properties = properties,
		.n_properties = config->n_properties,
	};
	return kafka_config_check(out_kafka, err);
}
