#include "base/memory.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

/* More than what is allocated for each of many small answers. */
#define LARGE (512 << 10)
/* What the heap may have free at its end: as much as it would be by itself after a few large ones;
 * setting the one alone would have left this at 128 KiB. */
#define SPARE (4 << 20)

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
memory_give_back(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, LARGE); /* else memory stays as it is */
	(void)mallopt(M_TRIM_THRESHOLD, SPARE);
}

void
memory_exhausted(const char *what)
{
	log_error("out of memory", LOG_STR("for", what));
	_exit(MEMORY_EXIT); /* what runs at exit may allocate, too */
}
