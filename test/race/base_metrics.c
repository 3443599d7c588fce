/* Threads that make, find and change series while another writes them all and lines are logged. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"

#define THREADS 4
#define ROUNDS  20000

static struct metric *requests, *seconds;
static _Atomic bool is_over;

static double
read_one(void *ctx)
{
	(void)ctx;
	return 1;
}

static void *
count(void *arg)
{
	char value[16];

	for (int i = 0; i < ROUNDS; i++) {
		(void)snprintf(value, sizeof value, "%d", i % (METRICS_SERIES_MAX + 20));
		metric_add(metric_series(requests, value, NULL), 1);
		metric_observe(metric_series(seconds, NULL, NULL), 0.5);
		if (i % 1000 == 0) {
			metrics_callback(metrics_gauge("t_up", "Up", "n", NULL), value, NULL,
					 read_one, arg);
			metrics_forget(arg);
		}
		log_info("flood", LOG_INT("i", i));
	}
	return NULL;
}

static void *
write_all(void *arg)
{
	(void)arg;
	while (!atomic_load(&is_over)) {
		struct buf buf = BUF_INIT(1 << 20);

		if (metrics_write(&buf) != TALLY_OK)
			abort();
		buf_fini(&buf);
	}
	return NULL;
}

int
main(void)
{
	pthread_t threads[THREADS], writer;
	int owners[THREADS];
	int64_t sum = 0;
	char value[16];

	log_open(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	requests = metrics_counter("t_requests_total", "Requests", "n", NULL);
	seconds = metrics_histogram("t_seconds", "Time", NULL, NULL, &metrics_seconds);
	pthread_create(&writer, NULL, write_all, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, count, &owners[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&is_over, true);
	pthread_join(writer, NULL);
	for (int i = 0; i < METRICS_SERIES_MAX; i++) {
		(void)snprintf(value, sizeof value, "%d", i);
		sum += metric_value(metric_series(requests, value, NULL));
	}
	sum += metric_value(metric_series(requests, "\xFF", NULL)); /* "other" */
	log_close();
	metrics_reset();
	/* Each thread asks for the series in order, so the first 256 exist and the rest is "other". */
	if (sum != (int64_t)THREADS * ROUNDS) {
		(void)fprintf(stderr, "counted %lld\n", (long long)sum);
		return EXIT_FAILURE;
	}
	puts("base_metrics: nothing was lost");
	return EXIT_SUCCESS;
}
