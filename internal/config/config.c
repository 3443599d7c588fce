#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"

#define PREFIX        "TALLY_"
#define SOURCE_PREFIX "SOURCE_"
#define KAFKA_PREFIX  "KAFKA_"
#define VALUE_MAX     8192

extern char **environ;

OWN_DEFINE(config);

enum kind { KIND_TEXT, KIND_NUMBER };

/* A row of the table. */
struct setting {
	const char *name;
	enum kind kind;
	const char *text;
	int64_t number, min, max;
	unsigned readers;
	const char *what;
	size_t offset;
};

static const struct setting settings[] = {
#define TEXT_ROW(field, name_, text_, readers_, what_)                                             \
	{ .name = (name_),                                                                         \
	  .kind = KIND_TEXT,                                                                       \
	  .text = (text_),                                                                         \
	  .readers = (readers_),                                                                   \
	  .what = (what_),                                                                         \
	  .offset = offsetof(struct config, field) },
	CONFIG_TEXTS(TEXT_ROW)
#define NUMBER_ROW(field, name_, number_, min_, max_, readers_, what_)                             \
	{ .name = (name_),                                                                         \
	  .kind = KIND_NUMBER,                                                                     \
	  .number = (number_),                                                                     \
	  .min = (min_),                                                                           \
	  .max = (max_),                                                                           \
	  .readers = (readers_),                                                                   \
	  .what = (what_),                                                                         \
	  .offset = offsetof(struct config, field) },
	    CONFIG_NUMBERS(NUMBER_ROW)
};

#define N_SETTINGS (sizeof settings / sizeof settings[0])

/* A name and value, and where they were given: "the environment", "tally.env:3", "a flag". */
struct given {
	const char *name; /* without TALLY_ */
	const char *value;
	const char *where;
	bool is_strict; /* an unknown name is an error */
};

static tally_status set(struct config *config, const struct given *given, struct tally_error *err);

static char **
text_of(struct config *config, const struct setting *setting)
{
	return (char **)(void *)((char *)config + setting->offset);
}

static int64_t *
number_of(struct config *config, const struct setting *setting)
{
	return (int64_t *)(void *)((char *)config + setting->offset);
}

static tally_status
replace(char **to, const char *value, struct tally_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	free(*to);
	*to = copy;
	return TALLY_OK;
}

static tally_status
set_number(struct config *config, const struct setting *setting, const struct given *given,
	   struct tally_error *err)
{
	char *end;

	errno = 0;
	long long number = strtoll(given->value, &end, 10);
	if (errno != 0 || end == given->value || *end != '\0' || number < setting->min
	    || number > setting->max)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  PREFIX "%s (from %s) is a whole number from %lld to %lld",
				  setting->name, given->where, (long long)setting->min,
				  (long long)setting->max);
	*number_of(config, setting) = number;
	return TALLY_OK;
}

/* Sets the pair of a name, which is written in lower case and with dots for '_' when asked. */
static tally_status
set_pair(struct config_pair *pairs, size_t *n, const char *name, char underscore, const char *value,
	 struct tally_error *err)
{
	char lower[64];
	size_t len = strlen(name);
	size_t i = 0;

	if (len == 0 || len >= sizeof lower || *n == CONFIG_MAX_PAIRS)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "a name after TALLY_ is too long, or "
				  "there are too many");
	for (size_t k = 0; k <= len; k++)
		lower[k] = name[k] == '_' ? underscore : (char)tolower((unsigned char)name[k]);
	while (i < *n && strcmp(pairs[i].name, lower) != 0)
		i++;
	if (i == *n) {
		tally_status status = replace(&pairs[i].name, lower, err);
		if (status != TALLY_OK)
			return status;
		++*n;
	}
	return replace(&pairs[i].value, value, err);
}

static tally_status
set_from_file(struct config *config, const struct given *given, size_t len, struct tally_error *err)
{
	char name[128];
	char value[VALUE_MAX];
	FILE *file = fopen(given->value, "re");

	if (!file)
		return tally_fail(err, TALLY_WRONG_SETTING, PREFIX "%s (from %s): %s: %s",
				  given->name, given->where, given->value, strerror(errno));
	size_t n = fread(value, 1, sizeof value, file);
	fclose(file);
	if (n == sizeof value)
		return tally_fail(err, TALLY_WRONG_SETTING, PREFIX "%s: the file is too large",
				  given->name);
	while (n > 0 && isspace((unsigned char)value[n - 1]))
		n--;
	value[n] = '\0';
	snprintf(name, sizeof name, "%.*s", (int)len, given->name);
	const struct given inner = { name, value, given->value, given->is_strict };
	return set(config, &inner, err);
}

static tally_status
set(struct config *config, const struct given *given, struct tally_error *err)
{
	static const char suffix[] = "_FILE";
	size_t len = strlen(given->name);

	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (strcmp(given->name, settings[i].name) != 0)
			continue;
		if (settings[i].kind == KIND_TEXT)
			return replace(text_of(config, &settings[i]), given->value, err);
		return set_number(config, &settings[i], given, err);
	}
	if (len > sizeof suffix - 1 && strcmp(given->name + len - (sizeof suffix - 1), suffix) == 0)
		return set_from_file(config, given, len - (sizeof suffix - 1), err);
	if (strncmp(given->name, SOURCE_PREFIX, sizeof SOURCE_PREFIX - 1) == 0)
		return set_pair(config->sources, &config->n_sources,
				given->name + sizeof SOURCE_PREFIX - 1, '_', given->value, err);
	if (strncmp(given->name, KAFKA_PREFIX, sizeof KAFKA_PREFIX - 1) == 0)
		return set_pair(config->properties, &config->n_properties,
				given->name + sizeof KAFKA_PREFIX - 1, '.', given->value, err);
	if (!given->is_strict)
		return TALLY_OK;
	return tally_fail(err, TALLY_WRONG_SETTING,
			  "there is no setting " PREFIX "%s (from %s): see --help", given->name,
			  given->where);
}

static tally_status
set_defaults(struct config *config, struct tally_error *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (settings[i].kind == KIND_NUMBER) {
			*number_of(config, &settings[i]) = settings[i].number;
			continue;
		}
		tally_status status = replace(text_of(config, &settings[i]), settings[i].text, err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

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
	bool is_ours = strncmp(line, PREFIX, sizeof PREFIX - 1) == 0;
	if (!is_ours)
		return strncmp(line, "DATABASE_URL", 12) == 0
			   ? TALLY_OK
			   : tally_fail(err, TALLY_WRONG_SETTING,
					"%s: %s does not begin with " PREFIX, where, line);
	const struct given given = { line + sizeof PREFIX - 1, equals + 1, where, true };
	return set(config, &given, err);
}

static tally_status
read_file(struct config *config, const char *path, struct tally_error *err)
{
	FILE *file = fopen(path, "re");
	char line[VALUE_MAX];
	char where[PATH_MAX + 16];
	tally_status status = TALLY_OK;

	if (!file)
		return tally_fail(err, TALLY_WRONG_SETTING, "--config %s: %s", path,
				  strerror(errno));
	for (int n = 1; status == TALLY_OK && fgets(line, sizeof line, file); n++) {
		snprintf(where, sizeof where, "%s:%d", path, n);
		status = read_line(config, line, where, err);
	}
	fclose(file);
	return status;
}

static tally_status
read_environment(struct config *config, struct tally_error *err)
{
	char name[128];

	for (char **entry = environ; *entry; entry++) {
		const char *equals = strchr(*entry, '=');
		if (!equals || strncmp(*entry, PREFIX, sizeof PREFIX - 1) != 0)
			continue;
		const char *begin = *entry + sizeof PREFIX - 1;
		int len = (int)(equals - begin);
		if (len >= (int)sizeof name)
			continue;
		snprintf(name, sizeof name, "%.*s", len, begin);
		const struct given given = { name, equals + 1, "the environment", false };
		tally_status status = set(config, &given, err);
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
		tally_status status =
		    set_pair(config->sources, &config->n_sources, names[i][1], '_', value, err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

/* Whether --name is a setting. */
static bool
is_known(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (strcmp(name, settings[i].name) == 0)
			return true;
	}
	return strncmp(name, SOURCE_PREFIX, sizeof SOURCE_PREFIX - 1) == 0
	       || strncmp(name, KAFKA_PREFIX, sizeof KAFKA_PREFIX - 1) == 0;
}

/* Whether --name alone means 1. */
static bool
is_switch(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (strcmp(name, settings[i].name) == 0)
			return settings[i].kind == KIND_NUMBER && settings[i].min == 0
			       && settings[i].max == 1;
	}
	return false;
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
	if (keep && !is_known(name) && strcmp(name, "CONFIG") != 0) {
		config->words[config->n_words++] = argv[*index];
		return TALLY_OK;
	}
	const char *value = equals ? equals + 1 : is_switch(name) ? "1" : NULL;
	if (!value && *index + 1 < argc)
		value = argv[++*index];
	if (!value)
		return tally_fail(err, TALLY_WRONG_SETTING, "--%s needs a value", text);
	if (strcmp(name, "CONFIG") == 0)
		return TALLY_OK; /* read before */
	const struct given given = { name, value, "a flag", true };
	return set(config, &given, err);
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
	return replace(&config->instance, name, err);
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
	tally_status status = set_defaults(config, err);
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

void
config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (settings[i].kind == KIND_TEXT)
			free(*text_of(config, &settings[i]));
	}
	for (size_t i = 0; i < CONFIG_MAX_PAIRS; i++) {
		free(config->sources[i].name);
		free(config->sources[i].value);
		free(config->properties[i].name);
		free(config->properties[i].value);
	}
	free(config->words);
	free(config);
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

void
config_help(unsigned program, FILE *out)
{
	fputs("Settings (environment; TALLY_WAIT_MAX_MS is also the flag --wait-max-ms; "
	      "--config FILE):\n",
	      out);
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *setting = &settings[i];
		if (!(setting->readers & program))
			continue;
		fprintf(out, "  " PREFIX "%-20s %s", setting->name, setting->what);
		if (setting->kind == KIND_NUMBER)
			fprintf(out, " [%lld]\n", (long long)setting->number);
		else
			fprintf(out, "%s%s%s\n", setting->text[0] ? " [" : "", setting->text,
				setting->text[0] ? "]" : "");
	}
	if (program & (CONFIG_WORKER | CONFIG_CLI))
		fputs("  " PREFIX "SOURCE_<NAME>        URL of the database that dataset files "
		      "call <name>\n",
		      out);
	fputs("  " PREFIX "KAFKA_<PROPERTY>     any librdkafka property: "
	      "TALLY_KAFKA_SECURITY_PROTOCOL\n"
	      "  " PREFIX "<X>_FILE             a file that holds the value of a text <X>\n",
	      out);
}

void
config_markdown(FILE *out)
{
	static const char *const readers[] = {
		"", "gateway", "worker", "both", "command line", "", "worker, command line", "all"
	};

	fputs("| setting | default | read by | what |\n|---|---|---|---|\n", out);
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *setting = &settings[i];
		if (setting->kind == KIND_NUMBER)
			fprintf(out, "| `" PREFIX "%s` | %lld (%lld to %lld) | %s | %s |\n",
				setting->name, (long long)setting->number, (long long)setting->min,
				(long long)setting->max, readers[setting->readers], setting->what);
		else
			fprintf(out, "| `" PREFIX "%s` | %s | %s | %s |\n", setting->name,
				setting->text, readers[setting->readers], setting->what);
	}
	fputs("| `" PREFIX "SOURCE_<NAME>` |  | worker, command line | URL of the database that "
	      "dataset files call `<name>`; `DATABASE_URL1`, `DATABASE_URL2` stand in for `db1`, "
	      "`db2` |\n"
	      "| `" PREFIX "KAFKA_<PROPERTY>` |  | all | any librdkafka property |\n"
	      "| `" PREFIX "<X>_FILE` |  | all | a file that holds the value of a text `<X>` |\n",
	      out);
}
