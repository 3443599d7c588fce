#include "source/source.h"

#include <stdlib.h>
#include <string.h>

void
source_shape_free(struct source_shape *shape)
{
	if (!shape)
		return;
	for (size_t i = 0; i < shape->n_columns; i++)
		free(shape->columns[i].name);
	free(shape->columns);
	free(shape);
}

bool
source_error_is_of_size(const struct tally_error *err)
{
	static const char *const codes[] = {
		/* PostgreSQL: query_canceled, out_of_memory, configuration_limit_exceeded */
		"57014",
		"53200",
		"53400",
		/* ClickHouse: TIMEOUT_EXCEEDED, TOO_SLOW, MEMORY_LIMIT_EXCEEDED */
		"159",
		"160",
		"241",
	};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		if (strcmp(err->sqlstate, codes[i]) == 0)
			return true;
	}
	return false;
}
