/* config_inner.h - the table of settings, for the files of this folder: config.c reads the sources
 * of values, config_set.c checks and stores one, config_help.c prints the table. */
#ifndef CONFIG_CONFIG_INNER_H
#define CONFIG_CONFIG_INNER_H

#include "config/config.h"

#define CONFIG_PREFIX    "TALLY_"
#define CONFIG_VALUE_MAX 8192 /* bytes of a line or of a file that holds a value */

enum config_kind { CONFIG_TEXT, CONFIG_NUMBER };

/* A row of the table. */
struct config_setting {
	const char *name; /* without TALLY_ */
	enum config_kind kind;
	const char *text;
	int64_t number, min, max;
	unsigned readers;
	const char *what;
	size_t offset; /* of the field in struct config */
};

/* All rows; static. */
const struct config_setting *config_settings(size_t *out_n);

/* A name and value, and where they were given: "the environment", "tally.env:3", "a flag". */
struct config_given {
	const char *name; /* without TALLY_ */
	const char *value;
	const char *where;
	bool is_strict; /* an unknown name is an error */
};

/* Whether a name is a setting: of the table, a source, a property, or one of these and _FILE. */
bool config_is_known(const char *name);

/* Whether the name is of a number 0 or 1, so that --name alone means 1. */
bool config_is_switch(const char *name);

/* Sets every setting of the table to its default. */
TALLY_MUST_CHECK tally_status config_set_defaults(struct config *config, struct tally_error *err);

/* Checks one value and stores it.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status config_set(struct config *config, const struct config_given *given,
					 struct tally_error *err);

/* Sets the URL of a source; name as after TALLY_SOURCE_. */
TALLY_MUST_CHECK tally_status config_set_source(struct config *config,
						const struct config_given *given,
						struct tally_error *err);

/* Replaces *to, which is owned, by a copy. */
TALLY_MUST_CHECK tally_status config_replace(char **to, const char *value, struct tally_error *err);

#endif
