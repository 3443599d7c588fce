/* Many threads ask, watch, take watches back, and at last stop a job store whose database is never
 * there, or accepts connections and never answers: each question is answered once, and each watch
 * once or not at all. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "jobs/store.h"
#include "support/cluster.h"

#define THREADS 4
#define ROUNDS  300

static struct job_store *store;
static atomic_int n_asked, n_answered;

static void
die(const char *what)
{
	(void)fprintf(stderr, "%s\n", what);
	abort();
}

static void
answered(tally_status status)
{
	if (status != TALLY_JOB_STORE_UNAVAILABLE)
		die("an answer without a database");
	atomic_fetch_add(&n_answered, 1);
}

static void
on_found(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	(void)ctx;
	(void)job;
	(void)watermark_ms;
	answered(status);
}

/* Asks again from within the answer. */
static void
on_found_again(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct tally_job_id id = { "again" };

	on_found(ctx, status, job, watermark_ms);
	if (job_store_get(store, "a", &id, on_found, NULL) == TALLY_OK)
		atomic_fetch_add(&n_asked, 1);
}

static void
on_body(void *ctx, tally_status status, char *body, size_t len)
{
	(void)ctx;
	(void)len;
	free(body);
	answered(status);
}

static void
on_listed(void *ctx, tally_status status, const struct job *jobs, size_t n)
{
	(void)ctx;
	(void)jobs;
	(void)n;
	answered(status);
}

static void
on_claimed(void *ctx, tally_status status, bool is_new, const struct job_claim *claim)
{
	(void)ctx;
	(void)is_new;
	(void)claim;
	answered(status);
}

static void
on_done(void *ctx, tally_status status)
{
	(void)ctx;
	answered(status);
}

static void
count(tally_status status)
{
	if (status == TALLY_OK)
		atomic_fetch_add(&n_asked, 1);
	else if (status != TALLY_SATURATED)
		die("another status");
}

static void
ask_all(int i)
{
	const struct job_list_query query = { .tenant = "a", .limit = 5 };
	const struct job_claim claim = {
		.tenant = "a", .key = "k", .request = "{}", .request_len = 2
	};
	struct job job = { .n_bytes = 7 };
	struct tally_job_id id = { "id" };

	count(job_store_get(store, "a", &id, i % 2 ? on_found : on_found_again, NULL));
	count(job_store_read_body(store, &job, on_body, NULL));
	count(job_store_list(store, &query, on_listed, NULL));
	count(job_store_claim(store, &claim, on_claimed, NULL));
	count(job_store_confirm(store, "a", "k", on_done, NULL));
}

/* A watch, how often it was called, and whether it was taken back before. */
struct watching {
	struct job_watch watch;
	atomic_int n;
	bool is_taken;
};

static void
on_watched(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct watching *watching = ctx;

	(void)job;
	(void)watermark_ms;
	if (status != TALLY_JOB_STORE_UNAVAILABLE)
		die("a watch without a database");
	atomic_fetch_add(&watching->n, 1);
}

static void
watch_one(struct watching *watching, int i)
{
	watching->watch = (struct job_watch){ .id = { "id" },
					      .tenant = "a",
					      .deadline_ms = clock_mono_ms() + i % 200,
					      .found = on_watched,
					      .ctx = watching };
	/* One that was refused is not called either. */
	watching->is_taken = job_store_watch(store, &watching->watch) != TALLY_OK
			     || (i % 3 == 0 && job_store_unwatch(store, &watching->watch));
}

static void *
use(void *arg)
{
	struct watching *watching = arg;

	for (int i = 0; i < ROUNDS; i++) {
		watch_one(&watching[i], i);
		ask_all(i);
		(void)job_store_is_up(store);
	}
	return NULL;
}

/* Until every watch that was kept has been called, and every question answered. */
static void wait_for_all(struct watching (*watching)[ROUNDS])
{
	const struct timespec moment = { 0, 2000000 };
	int64_t until_ms = clock_mono_ms() + 30000;

	for (int i = 0; i < THREADS * ROUNDS; i++) {
		struct watching *one = &watching[i / ROUNDS][i % ROUNDS];

		while (!one->is_taken && atomic_load(&one->n) == 0) {
			if (clock_mono_ms() > until_ms)
				die("a watch does not end");
			(void)nanosleep(&moment, NULL);
		}
	}
	while (atomic_load(&n_asked) != atomic_load(&n_answered)) {
		if (clock_mono_ms() > until_ms)
			die("a question is not answered");
		(void)nanosleep(&moment, NULL);
	}
}

/* is_patient: everything ends by its deadline; otherwise by the stop. */
static void
try_at(int port, bool is_patient)
{
	static struct watching watching[THREADS][ROUNDS];
	char url[96];
	const struct job_store_options options = {
		.url = url, .connections = 3, .queue_max = 500, .timeout_ms = 200
	};
	struct tally_error err = { 0 };
	pthread_t threads[THREADS];

	(void)snprintf(url, sizeof url, "postgresql://nobody@127.0.0.1:%d/none", port);
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < ROUNDS; k++)
			atomic_store(&watching[i][k].n, 0);
	}
	if (job_store_start(&options, &store, &err) != TALLY_OK)
		die(err.detail);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, use, watching[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (is_patient)
		wait_for_all(watching);
	job_store_stop(store);
	if (n_asked != n_answered)
		die("a question without an answer, or with two");
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < ROUNDS; k++) {
			if (atomic_load(&watching[i][k].n) != !watching[i][k].is_taken)
				die("a watch was not called once");
		}
	}
}

int
main(void)
{
	int port;
	int fd = cluster_listen_silently(&port);

	for (int i = 0; i < 6; i++) {
		if (i == 3)
			cluster_close(fd);
		try_at(port, i % 3 == 0);
	}
	(void)printf("%d questions answered\n", atomic_load(&n_answered));
	return 0;
}
