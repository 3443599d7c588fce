#include "memory/failing.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX
#define MOST  100000 /* allocations of one work */

static _Atomic uint64_t n_left = NEVER; /* until one fails */
static atomic_bool goes_on_failing;
static atomic_bool has_failed;
static _Thread_local bool is_spared;
static const char *spared_name;

void
failing_begin(uint64_t n, bool goes_on)
{
	atomic_store(&goes_on_failing, goes_on);
	atomic_store(&has_failed, false);
	atomic_store(&n_left, n);
}

bool
failing_end(void)
{
	atomic_store(&n_left, NEVER);
	return atomic_load(&has_failed);
}

void
failing_spare(bool spare)
{
	is_spared = spare;
}

void
failing_spare_threads(const char *name)
{
	spared_name = name;
}

static bool
has_spared_name(void)
{
	char name[16];

	return spared_name && pthread_getname_np(pthread_self(), name, sizeof name) == 0
	       && strcmp(name, spared_name) == 0;
}

/* Whether this allocation fails. */
static bool
fails(void)
{
	uint64_t left = atomic_load(&n_left);

	if (left == NEVER || is_spared || has_spared_name())
		return false;
	do {
		if (left == NEVER || (left == 0 && !atomic_load(&goes_on_failing)))
			return false;
		if (left == 0)
			break;
	} while (!atomic_compare_exchange_weak(&n_left, &left, left - 1));
	if (left > 1)
		return false;
	atomic_store(&has_failed, true);
	errno = ENOMEM;
	return true;
}

static bool
do_once(failing_work_fn *work, void *ctx, uint64_t n, bool goes_on, tally_status *out_status)
{
	failing_begin(n, goes_on);
	*out_status = work(ctx);
	return failing_end();
}

bool
failing_each(failing_work_fn *work, void *ctx, uint64_t *out_n, tally_status *out_status)
{
	bool failed = true;

	for (*out_n = 1; failed && *out_n < MOST; ++*out_n) {
		for (int goes_on = 0; goes_on < 2; goes_on++) {
			failed = do_once(work, ctx, *out_n, goes_on, out_status);
			if (*out_status != TALLY_OK && !(failed && *out_status == TALLY_NO_MEMORY))
				return false;
		}
	}
	*out_n -= 2;
	return !failed;
}

/* ---- what the linker calls ---------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t max);
int __real_vasprintf(char **out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);
int __wrap_vasprintf(char **out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(old, n, size);
}

void *
__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *
__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *
__wrap_strndup(const char *text, size_t max)
{
	return fails() ? NULL : __real_strndup(text, max);
}

int
__wrap_vasprintf(char **out, const char *format, va_list args)
{
	return fails() ? -1 : __real_vasprintf(out, format, args);
}

int
__wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int len = fails() ? -1 : __real_vasprintf(out, format, args);
	va_end(args);
	return len;
}
