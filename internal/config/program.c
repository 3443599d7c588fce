#include "config/program.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/signals.h"
#include "base/version.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool has_come;
	int code;
} ending = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

static bool
open_log(const struct program *program, const struct config *config)
{
	enum log_level level;
	enum log_format format;

	if (!log_level_from(config->log_level, &level)
	    || !log_format_from(config->log_format, &format)) {
		fprintf(stderr,
			"%s: TALLY_LOG_LEVEL is debug, info, warn or error; TALLY_LOG_FORMAT is "
			"logfmt or json\n",
			program->name);
		return false;
	}
	log_open(level, format);
	return true;
}

/* Whether the program goes on after what it was asked for in words. */
static bool
has_work(const struct program *program, const struct config *config, int *out_code)
{
	*out_code = EXIT_SUCCESS;
	if (config->wants_help) {
		printf("%s: %s\n\n", program->name, program->what);
		config_help(program->reader, stdout);
		return false;
	}
	if (config->wants_version) {
		puts(version_text());
		return false;
	}
	if (config->n_words == 0)
		return true;
	fprintf(stderr, "%s: \"%s\" is no setting: see --help\n", program->name, config->words[0]);
	*out_code = PROGRAM_EXIT_WRONG;
	return false;
}

bool
program_begin(const struct program *program, int argc, char **argv, struct config **out_config,
	      int *out_code)
{
	struct tally_error err = { 0 };

	signals_block();
	*out_code = PROGRAM_EXIT_WRONG;
	if (config_load(program->reader, argc, argv, false, out_config, &err) != TALLY_OK) {
		fprintf(stderr, "%s: %s\n", program->name, err.detail);
		return false;
	}
	if (!has_work(program, *out_config, out_code))
		return false;
	*out_code = PROGRAM_EXIT_WRONG;
	return open_log(program, *out_config);
}

int
program_code(const struct tally_error *err)
{
	bool is_wrong = err->status == TALLY_WRONG_DEFINITION || err->status == TALLY_WRONG_SETTING;

	return is_wrong ? PROGRAM_EXIT_WRONG : EXIT_FAILURE;
}

void
program_end(int code)
{
	pthread_mutex_lock(&ending.lock);
	ending.has_come = true;
	if (ending.code == 0)
		ending.code = code;
	pthread_cond_signal(&ending.changed);
	pthread_mutex_unlock(&ending.lock);
}

static void
on_signal(void *ctx, int signal)
{
	(void)ctx;
	log_info("stopping", LOG_STR("signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"));
	program_end(0);
}

int
program_wait(void)
{
	struct tally_error err = { 0 };

	if (signals_start(on_signal, NULL, &err) != TALLY_OK) {
		log_error("cannot go on", LOG_ERROR(&err));
		program_end(EXIT_FAILURE);
	}
	pthread_mutex_lock(&ending.lock);
	while (!ending.has_come)
		pthread_cond_wait(&ending.changed, &ending.lock);
	pthread_mutex_unlock(&ending.lock);
	return ending.code;
}

static void
log_line(const char *event, int level, const char *text)
{
	if (level <= 3)
		log_error(event, LOG_STR("text", text));
	else if (level <= 5)
		log_warn(event, LOG_STR("text", text));
	else
		log_debug(event, LOG_STR("text", text));
}

void
program_log_kafka(void *ctx, int level, const char *text)
{
	(void)ctx;
	log_line("kafka", level, text);
}

void
program_log_http(void *ctx, int level, const char *text)
{
	(void)ctx;
	log_line("http", level, text);
}
