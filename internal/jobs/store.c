/* The queue of questions, and the threads that ask them. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "jobs/store_inner.h"

#define APPLICATION "tally jobs"
/* There is an index for each question, in the order that is asked for.  While nothing is known yet
 * of how the rows of a new day are distributed, the planner would rather read and sort it all.  A
 * key that was claimed must last, whatever the server's default is: its message may be stored. */
#define SESSION                                                                                    \
	"-c enable_sort=off -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off" \
	" -c enable_mergejoin=off -c synchronous_commit=on"
#define TOO_LATE 10 /* with a tenth of its time left a question is not asked any more */

/* ---- the queue --------------------------------------------------------------- */

tally_status
store_put(struct job_store *store, struct question *question, const struct question_kind *kind)
{
	tally_status status = TALLY_SATURATED;

	question->kind = kind;
	question->deadline_ms = clock_mono_ms() + store->timeout_ms;
	pthread_mutex_lock(&store->lock);
	if (!store->is_stopping && store->n_queue < store->queue_max) {
		TAILQ_INSERT_TAIL(&store->queue, question, link);
		store->n_queue++;
		/* All: whoever is woken may not be one that may take it. */
		pthread_cond_broadcast(&store->changed);
		status = TALLY_OK;
	}
	pthread_mutex_unlock(&store->lock);
	return status;
}

/* Of several threads one is kept for what is light. */
static bool
may_take(const struct job_store *store, const struct question *question)
{
	return !question->kind->is_heavy || store->n_heavy == 0
	       || store->n_heavy + 1 < store->n_askers;
}

static struct question *
first_question(const struct asker *asker)
{
	const struct job_store *store = asker->store;
	struct question *question;

	/* Who has no connection leaves it to those who have one. */
	if (!asker->is_up && store->n_up > 0)
		return NULL;
	TAILQ_FOREACH (question, &store->queue, link) {
		if (may_take(store, question))
			return question;
	}
	return NULL;
}

/* Takes a question and those of its kind behind it; how many. */
static size_t
take(struct job_store *store, struct question *question, struct question **out)
{
	const struct question_kind *kind = question->kind;
	size_t n = 0;

	while (question && n < kind->n_max) {
		struct question *next = TAILQ_NEXT(question, link);

		if (question->kind == kind) {
			TAILQ_REMOVE(&store->queue, question, link);
			store->n_queue--;
			out[n++] = question;
		}
		question = next;
	}
	store->n_heavy += kind->is_heavy;
	return n;
}

/* ---- asking ------------------------------------------------------------------ */

tally_status
store_note(struct job_store *store, tally_status status)
{
	atomic_store(&store->is_up, status == TALLY_OK || status == TALLY_INTERNAL_ERROR);
	return status == TALLY_OK || status == TALLY_NO_MEMORY ? status
							       : TALLY_JOB_STORE_UNAVAILABLE;
}

tally_status
store_ask(struct asker *asker, const struct job_pg_query *query, PGresult **out_result)
{
	bool was_up = job_pg_is_up(asker->pg);
	tally_status status = job_pg_ask(asker->pg, query, out_result, NULL);

	/* A server that was started anew is seen only now. */
	if (status == TALLY_JOB_STORE_UNAVAILABLE && was_up && !job_pg_is_up(asker->pg)
	    && clock_mono_ms() < query->deadline_ms)
		status = job_pg_ask(asker->pg, query, out_result, NULL);
	return store_note(asker->store, status);
}

/* Under the lock. */
static void
note_connection(struct asker *asker)
{
	struct job_store *store = asker->store;
	bool is_up = job_pg_is_up(asker->pg);

	if (is_up == asker->is_up)
		return;
	asker->is_up = is_up;
	if (is_up)
		store->n_up++;
	else
		store->n_up--;
	pthread_cond_broadcast(&store->changed); /* others may or may not take now */
}

/* Answers questions that were taken; not under the lock. */
static void
answer(struct asker *asker, struct question **questions, size_t n)
{
	const struct question_kind *kind = questions[0]->kind;
	int timeout_ms = asker->store->timeout_ms;
	int64_t late_ms = clock_mono_ms() + timeout_ms / TOO_LATE;
	size_t n_late = 0;

	/* They are in order.  Asking now would cost a connection that is only slow. */
	while (n_late < n && questions[n_late]->deadline_ms <= late_ms)
		kind->fail(questions[n_late++], TALLY_JOB_STORE_UNAVAILABLE);
	if (n_late < n)
		kind->ask(asker, questions + n_late, n - n_late, questions[n_late]->deadline_ms);
}

/* Without a question: connects when it is time for that, or waits for something to change.  Under
 * the lock, which is given up meanwhile.  Whatever is asked while it connects has its deadline
 * after the end of that. */
static void
idle(struct asker *asker)
{
	struct job_store *store = asker->store;
	int64_t retry_ms = job_pg_retry_ms(asker->pg);
	const struct timespec until = { .tv_sec = retry_ms / 1000,
					.tv_nsec = retry_ms % 1000 * 1000000 };
	int64_t now_ms = clock_mono_ms();

	if (job_pg_is_up(asker->pg)) {
		pthread_cond_wait(&store->changed, &store->lock);
	} else if (now_ms < retry_ms) {
		(void)pthread_cond_timedwait(&store->changed, &store->lock, &until);
	} else {
		pthread_mutex_unlock(&store->lock);
		(void)!job_pg_open(asker->pg, now_ms + store->timeout_ms, NULL); /* looked at: */
		pthread_mutex_lock(&store->lock);
		note_connection(asker);
	}
}

static void
answer_next(struct asker *asker, struct question *first)
{
	struct job_store *store = asker->store;
	struct question *questions[QUESTIONS_MAX];
	bool is_heavy = first->kind->is_heavy;
	size_t n = take(store, first, questions);

	pthread_mutex_unlock(&store->lock);
	answer(asker, questions, n);
	pthread_mutex_lock(&store->lock);
	if (is_heavy) {
		store->n_heavy--;
		pthread_cond_broadcast(&store->changed);
	}
	note_connection(asker);
}

static void
fail_all(struct job_store *store)
{
	struct question *question;

	while ((question = TAILQ_FIRST(&store->queue))) {
		TAILQ_REMOVE(&store->queue, question, link);
		store->n_queue--;
		pthread_mutex_unlock(&store->lock);
		question->kind->fail(question, TALLY_JOB_STORE_UNAVAILABLE);
		pthread_mutex_lock(&store->lock);
	}
}

static void *
run(void *arg)
{
	struct asker *asker = arg;
	struct job_store *store = asker->store;

	pthread_mutex_lock(&store->lock);
	while (!store->is_stopping) {
		struct question *first = first_question(asker);

		if (first)
			answer_next(asker, first);
		else
			idle(asker);
	}
	fail_all(store);
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

/* ---- life -------------------------------------------------------------------- */

static void
stop_threads(struct job_store *store)
{
	pthread_mutex_lock(&store->lock);
	store->is_stopping = true;
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_lock(&store->watch_lock);
	store->is_watch_stopping = true;
	pthread_cond_broadcast(&store->watch_changed);
	pthread_mutex_unlock(&store->watch_lock);
	if (store->stop_fd >= 0)
		(void)!eventfd_write(store->stop_fd, 1); /* the first write cannot fail */
	for (size_t i = 0; i < store->n_askers; i++) {
		if (store->askers[i].is_started)
			pthread_join(store->askers[i].thread, NULL);
	}
	if (store->watcher.is_started)
		pthread_join(store->watcher.thread, NULL);
}

void
job_store_stop(struct job_store *store)
{
	if (!store)
		return;
	stop_threads(store);
	for (size_t i = 0; i < store->n_askers; i++)
		job_pg_free(store->askers[i].pg);
	job_pg_free(store->watcher.pg);
	free(store->askers);
	if (store->stop_fd >= 0)
		(void)close(store->stop_fd);
	pthread_cond_destroy(&store->changed);
	pthread_cond_destroy(&store->watch_changed);
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->watch_lock);
	free(store);
}

static void
job_store_free(struct job_store *store)
{
	job_store_stop(store);
}
OWN_DEFINE(job_store);

static struct job_store *
new_store(const struct job_store_options *options)
{
	struct job_store *store = calloc(1, sizeof *store);
	pthread_condattr_t monotonic;

	if (!store)
		return NULL;
	store->queue_max = options->queue_max;
	store->timeout_ms = options->timeout_ms;
	store->stop_fd = -1;
	TAILQ_INIT(&store->queue);
	TAILQ_INIT(&store->watches);
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->watch_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&store->changed, &monotonic);
	pthread_cond_init(&store->watch_changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return store;
}

static tally_status
start_asker(struct asker *asker, const struct job_pg_options *options, void *(*thread)(void *),
	    void *arg, struct tally_error *err)
{
	tally_status status = job_pg_new(options, &asker->pg, err);
	int error;

	if (status != TALLY_OK)
		return status;
	error = pthread_create(&asker->thread, NULL, thread, arg);
	if (error != 0)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no thread: %s", strerror(error));
	asker->is_started = true;
	(void)pthread_setname_np(asker->thread, "job-store");
	return TALLY_OK;
}

static tally_status
start_askers(struct job_store *store, const struct job_store_options *options,
	     struct tally_error *err)
{
	const struct job_pg_options pg = { .url = options->url,
					   .application = APPLICATION,
					   .timeout_ms = options->timeout_ms,
					   .stop_fd = store->stop_fd,
					   .session = SESSION };
	tally_status status = TALLY_OK;

	store->watcher.store = store;
	for (size_t i = 0; i < store->n_askers && status == TALLY_OK; i++) {
		store->askers[i].store = store;
		status = start_asker(&store->askers[i], &pg, run, &store->askers[i], err);
	}
	if (status == TALLY_OK)
		status = start_asker(&store->watcher, &pg, store_watch_run, store, err);
	return status;
}

tally_status
job_store_start(const struct job_store_options *options, struct job_store **out_store,
		struct tally_error *err)
{
	OWN(job_store) store = new_store(options);
	size_t n = options->connections > 2 ? options->connections - 1 : 1;
	tally_status status;

	if (!store)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	store->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (store->stop_fd < 0)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "no eventfd: %s", strerror(errno));
	store->askers = calloc(n, sizeof *store->askers);
	if (!store->askers)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	store->n_askers = n;
	status = start_askers(store, options, err);
	if (status == TALLY_OK)
		*out_store = TAKE(store);
	return status;
}

bool
job_store_is_up(const struct job_store *store)
{
	return atomic_load(&store->is_up);
}
