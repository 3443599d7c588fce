#include "worker/age.h"

#include <stddef.h>

void
age_init(struct age *age, int64_t now_mono_ms)
{
	age->slot_start_ms = now_mono_ms;
	age->newest = 0;
	for (size_t i = 0; i < AGE_SLOTS; i++)
		age->smallest[i] = INT64_MAX;
}

/* Opens the slots that have begun since; after a long silence every slot is empty. */
static void
turn_slots(struct age *age, int64_t now_mono_ms)
{
	if (now_mono_ms - age->slot_start_ms > (int64_t)AGE_SLOTS * AGE_SLOT_MS) {
		age_init(age, now_mono_ms);
		return;
	}
	while (now_mono_ms - age->slot_start_ms >= AGE_SLOT_MS) {
		age->slot_start_ms += AGE_SLOT_MS;
		age->newest = (age->newest + 1) % AGE_SLOTS;
		age->smallest[age->newest] = INT64_MAX;
	}
}

int64_t
age_of(struct age *age, int64_t stamp_unix_ms, int64_t now_mono_ms)
{
	int64_t difference = now_mono_ms - stamp_unix_ms;
	int64_t smallest = difference;

	turn_slots(age, now_mono_ms);
	if (difference < age->smallest[age->newest])
		age->smallest[age->newest] = difference;
	for (size_t i = 0; i < AGE_SLOTS; i++) {
		if (age->smallest[i] < smallest)
			smallest = age->smallest[i];
	}
	return difference - smallest;
}
