/* C11 threads by POSIX threads, under ThreadSanitizer: librdkafka uses the former, of which the
 * sanitizer knows nothing.  It would meet threads without a state of its own, and see no lock.
 * glibc's types are the same underneath. */
typedef int c11_threads; /* ISO C wants one declaration */

#ifdef __SANITIZE_THREAD__

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mutex fits");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a condition fits");

struct start {
	thrd_start_t run;
	void *arg;
};

static void *
run(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	return (void *)(intptr_t)start.run(start.arg);
}

int
thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
	struct start *start = malloc(sizeof *start);

	if (!start)
		return thrd_nomem;
	*start = (struct start){ function, arg };
	if (pthread_create((pthread_t *)thread, NULL, run, start) == 0)
		return thrd_success;
	free(start);
	return thrd_error;
}

int
thrd_join(thrd_t thread, int *out_result)
{
	void *result;

	if (pthread_join((pthread_t)thread, &result) != 0)
		return thrd_error;
	if (out_result)
		*out_result = (int)(intptr_t)result;
	return thrd_success;
}

int
thrd_detach(thrd_t thread)
{
	return pthread_detach((pthread_t)thread) == 0 ? thrd_success : thrd_error;
}

int
mtx_init(mtx_t *mutex, int type)
{
	pthread_mutexattr_t attributes;
	int error;

	pthread_mutexattr_init(&attributes);
	if (type & mtx_recursive)
		pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	error = pthread_mutex_init((pthread_mutex_t *)(void *)mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return error == 0 ? thrd_success : thrd_error;
}

void
mtx_destroy(mtx_t *mutex)
{
	pthread_mutex_destroy((pthread_mutex_t *)(void *)mutex);
}

int
mtx_lock(mtx_t *mutex)
{
	return pthread_mutex_lock((pthread_mutex_t *)(void *)mutex) == 0 ? thrd_success
									 : thrd_error;
}

int
mtx_trylock(mtx_t *mutex)
{
	int error = pthread_mutex_trylock((pthread_mutex_t *)(void *)mutex);

	if (error == EBUSY)
		return thrd_busy;
	return error == 0 ? thrd_success : thrd_error;
}

int
mtx_unlock(mtx_t *mutex)
{
	return pthread_mutex_unlock((pthread_mutex_t *)(void *)mutex) == 0 ? thrd_success
									   : thrd_error;
}

int
cnd_init(cnd_t *condition)
{
	return pthread_cond_init((pthread_cond_t *)(void *)condition, NULL) == 0 ? thrd_success
										 : thrd_error;
}

void
cnd_destroy(cnd_t *condition)
{
	pthread_cond_destroy((pthread_cond_t *)(void *)condition);
}

int
cnd_signal(cnd_t *condition)
{
	return pthread_cond_signal((pthread_cond_t *)(void *)condition) == 0 ? thrd_success
									     : thrd_error;
}

int
cnd_broadcast(cnd_t *condition)
{
	return pthread_cond_broadcast((pthread_cond_t *)(void *)condition) == 0 ? thrd_success
										: thrd_error;
}

int
cnd_wait(cnd_t *condition, mtx_t *mutex)
{
	return pthread_cond_wait((pthread_cond_t *)(void *)condition,
				 (pthread_mutex_t *)(void *)mutex)
		       == 0
		   ? thrd_success
		   : thrd_error;
}

int
cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
	int error = pthread_cond_timedwait((pthread_cond_t *)(void *)condition,
					   (pthread_mutex_t *)(void *)mutex, until);

	if (error == ETIMEDOUT)
		return thrd_timedout;
	return error == 0 ? thrd_success : thrd_error;
}

#endif
