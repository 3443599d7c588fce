#include "source/open.h"

#include <string.h>

#include "source/clickhouse.h"
#include "source/postgres.h"

static const struct {
	const char *scheme;
	const char *kind;
	tally_status (*open)(const struct source_options *options, struct source **out_source,
			     struct tally_error *err);
} schemes[] = {
	{ "postgres",   "postgres",   source_postgres_open   },
	{ "postgresql", "postgres",   source_postgres_open   },
	{ "clickhouse", "clickhouse", source_clickhouse_open },
};

#define SCHEMES (sizeof schemes / sizeof schemes[0])

static size_t
find_scheme(const char *url)
{
	size_t len = strcspn(url, "+:");
	size_t i = 0;

	while (i < SCHEMES
	       && (strlen(schemes[i].scheme) != len || memcmp(schemes[i].scheme, url, len) != 0))
		i++;
	return i;
}

tally_status
source_open(const struct source_options *options, struct source **out_source,
	    struct tally_error *err)
{
	size_t i = find_scheme(options->url);

	if (i < SCHEMES)
		return schemes[i].open(options, out_source, err);
	/* The URL itself may hold a password. */
	return tally_fail(err, TALLY_WRONG_SETTING,
			  "source %s: the URL begins neither with postgresql:// nor with "
			  "clickhouse://",
			  options->name);
}

const char *
source_kind(const char *url)
{
	size_t i = find_scheme(url);

	return i < SCHEMES ? schemes[i].kind : NULL;
}
