/* One value: which setting it is for, whether it may be that, where it is kept. */
#include "config/config_inner.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_PREFIX "SOURCE_"
#define KAFKA_PREFIX  "KAFKA_"
#define FILE_SUFFIX   "_FILE"
#define NAME_MAX_LEN  127

static const struct config_setting settings[] = {
#define TEXT_ROW(field, name_, text_, readers_, what_)                                             \
	{ .name = (name_),                                                                         \
	  .kind = CONFIG_TEXT,                                                                     \
	  .text = (text_),                                                                         \
	  .readers = (readers_),                                                                   \
	  .what = (what_),                                                                         \
	  .offset = offsetof(struct config, field) },
	CONFIG_TEXTS(TEXT_ROW)
#define NUMBER_ROW(field, name_, number_, min_, max_, readers_, what_)                             \
	{ .name = (name_),                                                                         \
	  .kind = CONFIG_NUMBER,                                                                   \
	  .number = (number_),                                                                     \
	  .min = (min_),                                                                           \
	  .max = (max_),                                                                           \
	  .readers = (readers_),                                                                   \
	  .what = (what_),                                                                         \
	  .offset = offsetof(struct config, field) },
	    CONFIG_NUMBERS(NUMBER_ROW)
};

#define N_SETTINGS (sizeof settings / sizeof settings[0])

const struct config_setting *
config_settings(size_t *out_n)
{
	*out_n = N_SETTINGS;
	return settings;
}

static const struct config_setting *
find(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (strcmp(name, settings[i].name) == 0)
			return &settings[i];
	}
	return NULL;
}

static char **
text_of(struct config *config, const struct config_setting *setting)
{
	return (char **)(void *)((char *)config + setting->offset);
}

static int64_t *
number_of(struct config *config, const struct config_setting *setting)
{
	return (int64_t *)(void *)((char *)config + setting->offset);
}

static bool
begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The length of X in a name X_FILE; 0 when it is none. */
static size_t
base_of_file(const char *name)
{
	size_t len = strlen(name);
	size_t suffix = sizeof FILE_SUFFIX - 1;

	return len > suffix && strcmp(name + len - suffix, FILE_SUFFIX) == 0 ? len - suffix : 0;
}

/* Kubernetes tells each pod of a Service named tally-kafka: TALLY_KAFKA_PORT_9092_TCP and others,
 * which are no properties. */
static bool
is_property(const char *name)
{
	return begins_with(name, KAFKA_PREFIX) && !begins_with(name, KAFKA_PREFIX "PORT")
	       && !begins_with(name, KAFKA_PREFIX "SERVICE_");
}

/* Whether a name, which is no X_FILE, is a setting. */
static bool
is_plain_known(const char *name)
{
	return find(name) || begins_with(name, SOURCE_PREFIX) || is_property(name);
}

bool
config_is_known(const char *name)
{
	char base[NAME_MAX_LEN + 1];
	size_t len = base_of_file(name);

	if (len == 0 || len > NAME_MAX_LEN)
		return is_plain_known(name);
	snprintf(base, sizeof base, "%.*s", (int)len, name);
	return is_plain_known(base);
}

bool
config_is_switch(const char *name)
{
	const struct config_setting *setting = find(name);

	return setting && setting->kind == CONFIG_NUMBER && setting->min == 0 && setting->max == 1;
}

tally_status
config_replace(char **to, const char *value, struct tally_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	free(*to);
	*to = copy;
	return TALLY_OK;
}

tally_status
config_set_defaults(struct config *config, struct tally_error *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (settings[i].kind == CONFIG_NUMBER) {
			*number_of(config, &settings[i]) = settings[i].number;
			continue;
		}
		tally_status status =
		    config_replace(text_of(config, &settings[i]), settings[i].text, err);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

static tally_status
set_number(struct config *config, const struct config_setting *setting,
	   const struct config_given *given, struct tally_error *err)
{
	char *end;

	errno = 0;
	long long number = strtoll(given->value, &end, 10);
	if (errno != 0 || end == given->value || *end != '\0' || number < setting->min
	    || number > setting->max)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  CONFIG_PREFIX "%s (from %s) is a whole number from %lld to %lld",
				  setting->name, given->where, (long long)setting->min,
				  (long long)setting->max);
	*number_of(config, setting) = number;
	return TALLY_OK;
}

/* Pairs of one prefix. */
struct pairs {
	struct config_pair *items;
	size_t *n;
	const char *prefix;
	char underscore; /* what '_' of a name becomes */
};

/* Sets the pair of a name, which is written in lower case. */
static tally_status
set_pair(const struct pairs *pairs, const struct config_given *given, struct tally_error *err)
{
	char lower[64];
	size_t len = strlen(given->name);
	size_t i = 0;

	if (len == 0 || len >= sizeof lower)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  CONFIG_PREFIX "%s%s (from %s): the name after " CONFIG_PREFIX
						"%s is 1 to %zu characters long",
				  pairs->prefix, given->name, given->where, pairs->prefix,
				  sizeof lower - 1);
	for (size_t k = 0; k <= len; k++)
		lower[k] = given->name[k] == '_' ? pairs->underscore
						 : (char)tolower((unsigned char)given->name[k]);
	while (i < *pairs->n && strcmp(pairs->items[i].name, lower) != 0)
		i++;
	if (i == CONFIG_MAX_PAIRS)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  CONFIG_PREFIX "%s%s (from %s): there are more than %d of these",
				  pairs->prefix, given->name, given->where, CONFIG_MAX_PAIRS);
	if (i == *pairs->n) {
		tally_status status = config_replace(&pairs->items[i].name, lower, err);
		if (status != TALLY_OK)
			return status;
		++*pairs->n;
	}
	return config_replace(&pairs->items[i].value, given->value, err);
}

tally_status
config_set_source(struct config *config, const struct config_given *given, struct tally_error *err)
{
	const struct pairs sources = { config->sources, &config->n_sources, SOURCE_PREFIX, '_' };

	return set_pair(&sources, given, err);
}

static tally_status
set_property(struct config *config, const struct config_given *given, struct tally_error *err)
{
	const struct pairs properties = { config->properties, &config->n_properties, KAFKA_PREFIX,
					  '.' };

	return set_pair(&properties, given, err);
}

/* Any name but X_FILE. */
static tally_status
set_plain(struct config *config, const struct config_given *given, struct tally_error *err)
{
	const struct config_setting *setting = find(given->name);
	struct config_given pair = *given;

	if (setting && setting->kind == CONFIG_TEXT)
		return config_replace(text_of(config, setting), given->value, err);
	if (setting)
		return set_number(config, setting, given, err);
	if (begins_with(given->name, SOURCE_PREFIX)) {
		pair.name += sizeof SOURCE_PREFIX - 1;
		return config_set_source(config, &pair, err);
	}
	pair.name += sizeof KAFKA_PREFIX - 1;
	return set_property(config, &pair, err);
}

static tally_status
set_from_file(struct config *config, const struct config_given *given, size_t len,
	      struct tally_error *err)
{
	char name[NAME_MAX_LEN + 1];
	char value[CONFIG_VALUE_MAX];
	FILE *file = fopen(given->value, "re");
	size_t n = file ? fread(value, 1, sizeof value, file) : 0;
	int reason = !file || ferror(file) ? errno : 0; /* a folder opens but is not read */

	if (file)
		fclose(file);
	if (reason != 0)
		return tally_fail(err, TALLY_WRONG_SETTING, CONFIG_PREFIX "%s (from %s): %s: %s",
				  given->name, given->where, given->value, strerror(reason));
	if (n == sizeof value)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  CONFIG_PREFIX "%s (from %s): %s is larger than %d bytes",
				  given->name, given->where, given->value, CONFIG_VALUE_MAX - 1);
	/* Cut there, a secret would be a shorter one. */
	if (memchr(value, '\0', n))
		return tally_fail(err, TALLY_WRONG_SETTING,
				  CONFIG_PREFIX "%s (from %s): %s has a NUL byte", given->name,
				  given->where, given->value);
	while (n > 0 && isspace((unsigned char)value[n - 1]))
		n--;
	value[n] = '\0';
	snprintf(name, sizeof name, "%.*s", (int)len, given->name);
	const struct config_given inner = { name, value, given->value, given->is_strict };
	return set_plain(config, &inner, err);
}

tally_status
config_set(struct config *config, const struct config_given *given, struct tally_error *err)
{
	size_t base = base_of_file(given->name);

	if (config_is_known(given->name))
		return base > 0 ? set_from_file(config, given, base, err)
				: set_plain(config, given, err);
	if (!given->is_strict)
		return TALLY_OK;
	return tally_fail(err, TALLY_WRONG_SETTING,
			  "there is no setting " CONFIG_PREFIX "%s (from %s): see --help",
			  given->name, given->where);
}

void
config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (settings[i].kind == CONFIG_TEXT)
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
