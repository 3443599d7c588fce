#include "source/source.h"

#include <stdlib.h>

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
