/* failing.h - memory that is short: of what our own objects allocate, the N-th fails.
 *
 * The linker leads their calls of malloc and its kin here (Makefile: ALLOCATORS); what the libraries
 * allocate for themselves is not touched.  Beyond asking for an error this says nothing: a leak is
 * AddressSanitizer's to find. */
#ifndef MEMORY_FAILING_H
#define MEMORY_FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

/* From now on the n-th allocation (1: the next one) of any thread that is not spared fails; with
 * goes_on all after it, too. */
void failing_begin(uint64_t n, bool goes_on);

/* All succeed again.  Whether one has failed. */
bool failing_end(void);

/* Whether what this thread allocates succeeds and is not counted: that of the test itself. */
void failing_spare(bool is_spared);

/* The same for all threads of a name (pthread_setname_np), which is borrowed. */
void failing_spare_threads(const char *name);

/* Does something once, with ctx: TALLY_OK only when it came out right. */
typedef tally_status failing_work_fn(void *ctx);

/* Does it with the first allocation failing, with the second, ... until none failed; each once alone
 * and once with all that follow.  It must end with TALLY_NO_MEMORY or right, and right when nothing
 * failed; false, and *out_n, the number of the allocation, and *out_status say where not.  *out_n
 * is otherwise how many there are. */
bool failing_each(failing_work_fn *work, void *ctx, uint64_t *out_n, tally_status *out_status);

#endif
