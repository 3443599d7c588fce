#include "config/config_inner.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/line.h"
#include "base/own.h"

extern char **environ;

OWN_DEFINE(config);

/* One line of a file: KEY=VALUE, blank, or a comment. */
static tally_status
read_line(struct config *config, char *line, const char *where, struct tally_error *err)
{
	size_t len = strlen(line);

	while (len > 0 && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	if (*line == '\0' || *line == '#')
		return TALLY_OK;
	char *equals = strchr(line, '=');
	if (!equals)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: a line is KEY=VALUE", where);
	*equals = '\0';
	bool is_ours = strncmp(line, CONFIG_PREFIX, sizeof CONFIG_PREFIX - 1) == 0;
	if (!is_ours)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "%s: %s does not begin with " CONFIG_PREFIX, where, line);
	const struct config_given given = { line + sizeof CONFIG_PREFIX - 1, equals + 1, where,
					    true };
	return config_set(config, &given, err);
}

static tally_status
take_line(struct config *config, enum line_result result, char *line, const char *where,
	  struct tally_error *err)
{
	if (result == LINE_TOO_LONG)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: the line is too long", where);
	if (result == LINE_HAS_NUL)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: the line has a NUL byte", where);
	return read_line(config, line, where, err);
}

static tally_status
read_file(struct config *config, const char *path, struct tally_error *err)
{
	FILE *file = fopen(path, "re");
	char line[CONFIG_VALUE_MAX];
	char where[PATH_MAX + 16];
	tally_status status = TALLY_OK;
	enum line_result result;

	if (!file)
		return tally_fail(err, TALLY_WRONG_SETTING, "--config %s: %s", path,
				  strerror(errno));
	for (int n = 1;
	     status == TALLY_OK && (result = line_read(file, line, sizeof line)) != LINE_END; n++) {
		snprintf(where, sizeof where, "%s:%d", path, n);
		status = take_line(config, result, line, where, err);
	}
	if (status == TALLY_OK && ferror(file)) /* a folder opens but is not read */
		status =
		    tally_fail(err, TALLY_WRONG_SETTING, "--config %s: %s", path, strerror(errno));
	fclose(file);
	return status;
}

static tally_status
read_environment(struct config *config, struct tally_error *err)
{
	char name[128];

	for (char **entry = environ; entry && *entry; entry++) {
		const char *equals = strchr(*entry, '=');
		if (!equals || strncmp(*entry, CONFIG_PREFIX, sizeof CONFIG_PREFIX - 1) != 0)
			continue;
		const char *begin = *entry + sizeof CONFIG_PREFIX - 1;
		int len = (int)(equals - begin);
		if (len >= (int)sizeof name)
			continue;
		snprintf(name, sizeof name, "%.*s", len, begin);
		const struct config_given given = { name, equals + 1, "the environment", false };
		tally_status status = config_set(config, &given, err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

/* The names of the original service. */
static tally_status
read_old_names(struct config *config, struct tally_error *err)
{
	static const char *const names[][2] = {
		{ "DATABASE_URL1", "db1" },
                { "DATABASE_URL2", "db2" }
	};

	for (size_t i = 0; i < 2; i++) {
		const char *value = getenv(names[i][0]);
		if (!value || config_source(config, names[i][1]))
			continue;
		const struct config_given given = { names[i][1], value, names[i][0], false };
		tally_status status = config_set_source(config, &given, err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

/* One flag, "--name=value" or "--name value"; *index is moved past it. */
static tally_status
read_flag(struct config *config, int argc, char **argv, int *index, bool keep,
	  struct tally_error *err)
{
	char name[128];
	const char *text = argv[*index] + 2;
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);

	if (len >= sizeof name)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s is no flag", argv[*index]);
	for (size_t i = 0; i < len; i++)
		name[i] = text[i] == '-' ? '_' : (char)toupper((unsigned char)text[i]);
	name[len] = '\0';
	bool is_config = strcmp(name, "CONFIG") == 0; /* read before */
	if (!is_config && !config_is_known(name)) {
		if (!keep)
			return tally_fail(err, TALLY_WRONG_SETTING,
					  "there is no flag %s: see --help", argv[*index]);
		config->words[config->n_words++] = argv[*index];
		return TALLY_OK;
	}
	const char *value = equals ? equals + 1 : config_is_switch(name) ? "1" : NULL;
	if (!value && *index + 1 < argc)
		value = argv[++*index];
	if (!value)
		return tally_fail(err, TALLY_WRONG_SETTING, "--%s needs a value", text);
	if (is_config)
		return TALLY_OK;
	const struct config_given given = { name, value, "a flag", true };
	return config_set(config, &given, err);
}

static tally_status
read_flags(struct config *config, int argc, char **argv, bool keep, struct tally_error *err)
{
	tally_status status = TALLY_OK;

	for (int i = 1; status == TALLY_OK && i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			config->wants_help = true;
		else if (strcmp(argv[i], "--version") == 0)
			config->wants_version = true;
		else if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0')
			status = read_flag(config, argc, argv, &i, keep, err);
		else
			config->words[config->n_words++] = argv[i];
	}
	return status;
}

/* The file of --config, or of TALLY_CONFIG; NULL without one. */
static const char *
config_path(int argc, char **argv)
{
	static const char flag[] = "--config";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], flag) == 0 && i + 1 < argc)
			return argv[i + 1];
		if (strncmp(argv[i], "--config=", sizeof flag) == 0)
			return argv[i] + sizeof flag;
	}
	return getenv("TALLY_CONFIG");
}

static tally_status
check(struct config *config, unsigned program, struct tally_error *err)
{
	char host[64] = "tally";
	char name[96];

	if (config->wants_help || config->wants_version)
		return TALLY_OK;
	if ((program & CONFIG_BOTH) && config->kafka[0] == '\0')
		return tally_fail(
		    err, TALLY_WRONG_SETTING,
		    "TALLY_KAFKA is not set: it names Kafka's bootstrap servers, such "
		    "as 127.0.0.1:9092");
	if ((program & CONFIG_WORKER) && config->n_sources == 0)
		return tally_fail(
		    err, TALLY_WRONG_SETTING,
		    "no database is set: TALLY_SOURCE_DB1=postgresql://... and so on");
	if (config->wait_default_ms > config->wait_max_ms)
		config->wait_default_ms = config->wait_max_ms;
	if (config->instance[0] != '\0')
		return TALLY_OK;
	(void)gethostname(host, sizeof host - 1);
	snprintf(name, sizeof name, "%s-%d", host, (int)getpid());
	return config_replace(&config->instance, name, err);
}

tally_status
config_load(unsigned program, int argc, char **argv, bool keep_flags, struct config **out_config,
	    struct tally_error *err)
{
	OWN(config) config = calloc(1, sizeof *config);
	const char *path = config_path(argc, argv);

	if (!config)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	config->words = calloc((size_t)argc + 1, sizeof *config->words);
	if (!config->words)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	tally_status status = config_set_defaults(config, err);
	if (status == TALLY_OK && path)
		status = read_file(config, path, err);
	if (status == TALLY_OK)
		status = read_environment(config, err);
	if (status == TALLY_OK)
		status = read_flags(config, argc, argv, keep_flags, err);
	if (status == TALLY_OK)
		status = read_old_names(config, err);
	if (status == TALLY_OK)
		status = check(config, program, err);
	if (status == TALLY_OK)
		*out_config = TAKE(config);
	return status;
}

const char *
config_source(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_sources; i++) {
		if (strcmp(config->sources[i].name, name) == 0)
			return config->sources[i].value;
	}
	return NULL;
}
