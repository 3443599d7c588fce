#include "source/open.h"

#include <string.h>

tally_status
source_open(const struct postgres_options *options, struct source **out_source,
	    struct tally_error *err)
{
	static const char *const schemes[] = { "postgres", "postgresql" };
	size_t len = strcspn(options->url, "+:");

	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		if (strlen(schemes[i]) == len && memcmp(schemes[i], options->url, len) == 0)
			return source_postgres_open(options, out_source, err);
	}
	/* The URL itself may hold a password. */
	return tally_fail(err, TALLY_WRONG_SETTING,
			  "source %s: the URL does not begin with postgresql://", options->name);
}
