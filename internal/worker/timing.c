#include "worker/timing.h"

#include <string.h>

#include "base/clock.h"
#include "base/hop.h"

void
timing_add(struct timing *timing, const char *name, int64_t us)
{
	timing->len = hop_append(timing->text, timing->len, sizeof timing->text, name, us);
}

/* What all that share an answer share; as a whole, or not at all. */
static void
add_shared(struct timing *timing, const char *shared)
{
	size_t len = strlen(shared);

	if (len == 0 || timing->len + 2 + len >= sizeof timing->text)
		return;
	memcpy(timing->text + timing->len, ", ", 2);
	memcpy(timing->text + timing->len + 2, shared, len + 1);
	timing->len += 2 + len;
}

void
timing_of(const struct task *task, struct timing *out_timing)
{
	*out_timing = (struct timing){ .len = 0 };
	timing_add(out_timing, "queue", task->age_ms * 1000);
	if (task->began_us > 0)
		timing_add(out_timing, "batch", task->began_us - task->taken_us);
	add_shared(out_timing, task->answer->timing);
	timing_add(out_timing, "worker", clock_mono_us() - task->taken_us);
}
