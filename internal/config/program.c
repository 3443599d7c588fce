#include "config/program.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/version.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool has_come;
	int code;
} ending = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

/* The thread of signals goes on after program_wait. */
static struct {
	pthread_mutex_t lock;
	program_reload_fn *call;
	void *ctx;
	bool is_over;
} reload = { .lock = PTHREAD_MUTEX_INITIALIZER };

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

/* Sockets are files: all that the hard limit allows.  The soft one is low for the sake of
 * select(2), which nobody here uses. */
static void
allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* else it stays as it was */
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
	memory_guard_json();
	allow_files();
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

/* Whether a SIGHUP was one to read again; not any more once the program ends. */
static bool
read_again(void)
{
	pthread_mutex_lock(&reload.lock);
	bool is_mine = reload.call != NULL;
	if (is_mine && !reload.is_over)
		reload.call(reload.ctx);
	pthread_mutex_unlock(&reload.lock);
	return is_mine;
}

static void
on_signal(void *ctx, int signal)
{
	(void)ctx;
	if (signal == SIGHUP && read_again())
		return;
	log_info("stopping", LOG_STR("signal", signal == SIGTERM  ? "SIGTERM"
					       : signal == SIGINT ? "SIGINT"
								  : "SIGHUP"));
	program_end(0);
}

int
program_wait(program_reload_fn *call, void *ctx)
{
	struct tally_error err = { 0 };

	reload.call = call;
	reload.ctx = ctx;
	if (signals_start(on_signal, NULL, &err) != TALLY_OK) {
		log_error("cannot go on", LOG_ERROR(&err));
		program_end(EXIT_FAILURE);
	}
	pthread_mutex_lock(&ending.lock);
	while (!ending.has_come)
		pthread_cond_wait(&ending.changed, &ending.lock);
	pthread_mutex_unlock(&ending.lock);
	pthread_mutex_lock(&reload.lock); /* waits for one that is running */
	reload.is_over = true;
	pthread_mutex_unlock(&reload.lock);
	return ending.code;
}

void
program_on_hang(void *ctx, const char *name)
{
	const struct config *config = ctx;

	log_error("hangs", LOG_STR("thread", name), LOG_INT("limit_ms", config->watchdog_ms));
	abort();
}

/* As in syslog(3), whose header has names that are log.h's. */
enum { ERROR = 3, WARNING = 4, NOTICE = 5 };

static void
log_line(const char *event, int level, const char *text)
{
	if (level <= ERROR)
		log_error(event, LOG_STR("text", text));
	else if (level == WARNING)
		log_warn(event, LOG_STR("text", text));
	else if (level == NOTICE)
		log_info(event, LOG_STR("text", text));
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
