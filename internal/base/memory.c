#include "base/memory.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static void *
take(size_t size)
{
	void *memory = malloc(size);

	if (!memory)
		memory_exhausted("JSON");
	return memory;
}

void
memory_guard_json(void)
{
	json_set_alloc_funcs(take, free);
}

void
memory_exhausted(const char *what)
{
	log_error("out of memory", LOG_STR("for", what));
	_exit(MEMORY_EXIT); /* what runs at exit may allocate, too */
}
