/* Series are only ever added, in an array whose length is published after its element, so that a
 * reader needs no lock.  A histogram's buckets are counted singly and summed when written: one
 * atomic add for an observation, and _count always equals the +Inf bucket. */
#include "base/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define CACHE_LINE 64

struct metric_series {
	alignas(CACHE_LINE) _Atomic int64_t value; /* counters are not negative */
	struct metric *metric;
	char *values[2];       /* NULL: no such label */
	metrics_read_fn *read; /* guarded by the registry's lock, as ctx is */
	void *ctx;
	_Atomic double sum;
	_Atomic uint64_t buckets[METRICS_BOUNDS_MAX + 1]; /* the last is +Inf */
};

struct metric {
	const char *name;
	const char *help;
	const char *labels[2];
	enum metrics_kind kind;
	const struct metrics_bounds *bounds;
	_Atomic size_t n_series;
	_Atomic(struct metric_series *) series[METRICS_SERIES_MAX];
	struct metric_series other; /* there from the start, so that nothing can fail */
	_Atomic bool is_other_used;
};

const struct metrics_bounds metrics_seconds = {
	15, { 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 }
};
const struct metrics_bounds metrics_counts = {
	13, { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000 }
};
const struct metrics_bounds metrics_bytes = {
	10, { 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864 }
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards both below, and insertions */
static struct metric *metrics[METRICS_MAX];
static size_t n_metrics;
static struct metric overflow; /* stands for metrics past the ceiling; never written */

/* ---- registration ------------------------------------------------------------ */

static void
init_series(struct metric_series *series, struct metric *metric)
{
	memset(series, 0, sizeof *series);
	series->metric = metric;
}

static struct metric *
new_metric(const struct metric *like)
{
	struct metric *metric;

	if (n_metrics == METRICS_MAX)
		return NULL;
	metric = aligned_alloc(CACHE_LINE, sizeof *metric);
	if (!metric)
		return NULL;
	memset(metric, 0, sizeof *metric);
	metric->name = like->name;
	metric->help = like->help;
	metric->labels[0] = like->labels[0];
	metric->labels[1] = like->labels[1];
	metric->kind = like->kind;
	metric->bounds = like->bounds;
	init_series(&metric->other, metric);
	return metrics[n_metrics++] = metric;
}

static struct metric *
find_or_add(const struct metric *like)
{
	struct metric *metric = NULL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_metrics && !metric; i++) {
		if (strcmp(metrics[i]->name, like->name) == 0)
			metric = metrics[i];
	}
	assert(!metric || (metric->kind == like->kind && metric->bounds == like->bounds));
	if (!metric)
		metric = new_metric(like);
	if (!metric) {
		metric = &overflow;
		metric->bounds = &metrics_seconds;
		init_series(&metric->other, metric);
	}
	pthread_mutex_unlock(&lock);
	return metric;
}

struct metric *
metrics_counter(const char *name, const char *help, const char *label, const char *label2)
{
	return find_or_add(&(struct metric){
	    .name = name, .help = help, .labels = { label, label2 },
                    .kind = METRICS_COUNTER
        });
}

struct metric *
metrics_gauge(const char *name, const char *help, const char *label, const char *label2)
{
	return find_or_add(&(struct metric){
	    .name = name, .help = help, .labels = { label, label2 },
                    .kind = METRICS_GAUGE
        });
}

struct metric *
metrics_histogram(const char *name, const char *help, const char *label, const char *label2,
		  const struct metrics_bounds *bounds)
{
	return find_or_add(&(struct metric){
	    .name = name,
	    .help = help,
	    .labels = { label, label2 },
	    .kind = METRICS_HISTOGRAM,
	    .bounds = bounds
        });
}

/* ---- series ------------------------------------------------------------------ */

static void
free_series(struct metric_series *series)
{
	free(series->values[0]);
	free(series->values[1]);
	free(series);
}

/* How much of a value is kept; false when it is not UTF-8, which no reader of metrics takes. */
static bool
measure(const char *value, size_t *out_len)
{
	size_t len = value ? strnlen(value, METRICS_VALUE_MAX + 4) : 0;

	*out_len = value ? utf8_cut(value, len, METRICS_VALUE_MAX) : 0;
	return !value || utf8_valid(value, *out_len, NULL);
}

static bool
is_value(const char *held, const char *value, size_t len)
{
	if (!held || !value)
		return !held && !value;
	return strncmp(held, value, len) == 0 && held[len] == '\0';
}

static struct metric_series *
find_series(struct metric *metric, const char *const values[2], const size_t lens[2])
{
	size_t n = atomic_load_explicit(&metric->n_series, memory_order_acquire);

	for (size_t i = 0; i < n; i++) {
		struct metric_series *series =
		    atomic_load_explicit(&metric->series[i], memory_order_relaxed);

		if (is_value(series->values[0], values[0], lens[0])
		    && is_value(series->values[1], values[1], lens[1]))
			return series;
	}
	return NULL;
}

/* The lock is held. */
static struct metric_series *
add_series(struct metric *metric, const char *const values[2], const size_t lens[2])
{
	size_t n = atomic_load_explicit(&metric->n_series, memory_order_relaxed);
	struct metric_series *series;

	if (n == METRICS_SERIES_MAX || metric == &overflow)
		return NULL;
	series = aligned_alloc(CACHE_LINE, sizeof *series);
	if (!series)
		return NULL;
	init_series(series, metric);
	for (int i = 0; i < 2; i++) {
		if (!values[i])
			continue;
		series->values[i] = strndup(values[i], lens[i]);
		if (!series->values[i]) {
			free_series(series);
			return NULL;
		}
	}
	atomic_store_explicit(&metric->series[n], series, memory_order_relaxed);
	atomic_store_explicit(&metric->n_series, n + 1, memory_order_release);
	return series;
}

struct metric_series *
metric_series(struct metric *metric, const char *value, const char *value2)
{
	const char *const values[2] = { value, value2 };
	size_t lens[2];
	bool is_first = measure(value, &lens[0]);
	bool is_text = measure(value2, &lens[1]) && is_first;
	struct metric_series *series = is_text ? find_series(metric, values, lens) : NULL;

	if (series)
		return series;
	if (is_text) {
		pthread_mutex_lock(&lock);
		series = find_series(metric, values, lens);
		if (!series)
			series = add_series(metric, values, lens);
		pthread_mutex_unlock(&lock);
	}
	if (series)
		return series;
	atomic_store(&metric->is_other_used, true);
	return &metric->other;
}

void
metrics_callback(struct metric *metric, const char *value, const char *value2,
		 metrics_read_fn *read, void *ctx)
{
	struct metric_series *series = metric_series(metric, value, value2);

	assert(metric->kind != METRICS_HISTOGRAM);
	pthread_mutex_lock(&lock);
	series->ctx = ctx;
	series->read = read;
	pthread_mutex_unlock(&lock);
}

void
metrics_forget(const void *ctx)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_metrics; i++) {
		size_t n = atomic_load(&metrics[i]->n_series);

		for (size_t k = 0; k < n; k++) {
			struct metric_series *series = atomic_load(&metrics[i]->series[k]);

			if (series->ctx == ctx)
				series->read = NULL;
		}
	}
	pthread_mutex_unlock(&lock);
}

/* ---- values ------------------------------------------------------------------ */

void
metric_add(struct metric_series *series, uint64_t n)
{
	atomic_fetch_add_explicit(&series->value, (int64_t)n, memory_order_relaxed);
}

void
metric_set(struct metric_series *series, int64_t value)
{
	atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void
metric_move(struct metric_series *series, int64_t delta)
{
	atomic_fetch_add_explicit(&series->value, delta, memory_order_relaxed);
}

int64_t
metric_value(const struct metric_series *series)
{
	return atomic_load_explicit(&series->value, memory_order_relaxed);
}

void
metric_observe(struct metric_series *series, double value)
{
	const struct metrics_bounds *bounds = series->metric->bounds;
	double sum = atomic_load_explicit(&series->sum, memory_order_relaxed);
	size_t i = 0;

	if (isnan(value) || !bounds)
		return;
	while (i < bounds->n && value > bounds->at[i])
		i++;
	atomic_fetch_add_explicit(&series->buckets[i], 1, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&series->sum, &sum, sum + value,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

/* ---- writing; the lock is held ----------------------------------------------- */

static tally_status
put_escaped(struct buf *buf, const char *text, bool is_quoted)
{
	tally_status status = TALLY_OK;

	for (; *text && status == TALLY_OK; text++) {
		if (*text == '\\')
			status = buf_puts(buf, "\\\\");
		else if (*text == '\n')
			status = buf_puts(buf, "\\n");
		else if (*text == '"' && is_quoted)
			status = buf_puts(buf, "\\\"");
		else
			status = buf_append(buf, text, 1);
	}
	return status;
}

/* The shorter of two forms that read back as the same number. */
static tally_status
put_double(struct buf *buf, double value)
{
	char text[40];

	if (isnan(value))
		return buf_puts(buf, "NaN");
	if (isinf(value))
		return buf_puts(buf, value > 0 ? "+Inf" : "-Inf");
	(void)snprintf(text, sizeof text, "%.15g", value);
	if (strtod(text, NULL) != value)
		(void)snprintf(text, sizeof text, "%.17g", value);
	return buf_puts(buf, text);
}

static tally_status
put_label(struct buf *buf, const char *label, const char *value, bool *is_open)
{
	tally_status status = buf_puts(buf, *is_open ? "," : "{");

	*is_open = true;
	if (status == TALLY_OK)
		status = buf_puts(buf, label);
	if (status == TALLY_OK)
		status = buf_puts(buf, "=\"");
	if (status == TALLY_OK)
		status = put_escaped(buf, value, true);
	if (status == TALLY_OK)
		status = buf_puts(buf, "\"");
	return status;
}

/* "name_suffix{labels,le=...} value\n"; le may be NULL. */
static tally_status
put_sample(struct buf *buf, const struct metric_series *series, const char *suffix, const char *le,
	   double value)
{
	const struct metric *metric = series->metric;
	tally_status status = buf_printf(buf, "%s%s", metric->name, suffix);
	bool is_open = false;

	for (int i = 0; i < 2 && status == TALLY_OK; i++) {
		const char *text = series == &metric->other ? "other" : series->values[i];

		if (metric->labels[i])
			status = put_label(buf, metric->labels[i], text ? text : "", &is_open);
	}
	if (status == TALLY_OK && le)
		status = put_label(buf, "le", le, &is_open);
	if (status == TALLY_OK)
		status = buf_puts(buf, is_open ? "} " : " ");
	if (status == TALLY_OK)
		status = put_double(buf, value);
	if (status == TALLY_OK)
		status = buf_puts(buf, "\n");
	return status;
}

static tally_status
put_histogram(struct buf *buf, const struct metric_series *series)
{
	const struct metrics_bounds *bounds = series->metric->bounds;
	tally_status status = TALLY_OK;
	uint64_t count = 0;
	char le[40];

	for (size_t i = 0; i <= bounds->n && status == TALLY_OK; i++) {
		count += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
		(void)snprintf(le, sizeof le, i < bounds->n ? "%.15g" : "+Inf", bounds->at[i]);
		status = put_sample(buf, series, "_bucket", le, (double)count);
	}
	if (status == TALLY_OK)
		status = put_sample(buf, series, "_sum", NULL,
				    atomic_load_explicit(&series->sum, memory_order_relaxed));
	if (status == TALLY_OK)
		status = put_sample(buf, series, "_count", NULL, (double)count);
	return status;
}

static tally_status
put_series(struct buf *buf, const struct metric_series *series)
{
	if (series->metric->kind == METRICS_HISTOGRAM)
		return put_histogram(buf, series);
	if (series->read)
		return put_sample(buf, series, "", NULL, series->read(series->ctx));
	if (series->ctx)
		return TALLY_OK; /* its owner has gone */
	return put_sample(buf, series, "", NULL, (double)metric_value(series));
}

static tally_status
put_metric(struct buf *buf, struct metric *metric)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	size_t n = atomic_load_explicit(&metric->n_series, memory_order_acquire);
	tally_status status = buf_printf(buf, "# HELP %s ", metric->name);

	if (status == TALLY_OK)
		status = put_escaped(buf, metric->help, false);
	if (status == TALLY_OK)
		status = buf_printf(buf, "\n# TYPE %s %s\n", metric->name, types[metric->kind]);
	for (size_t i = 0; i < n && status == TALLY_OK; i++)
		status = put_series(buf, atomic_load(&metric->series[i]));
	if (status == TALLY_OK && atomic_load(&metric->is_other_used))
		status = put_series(buf, &metric->other);
	return status;
}

tally_status
metrics_write(struct buf *buf)
{
	size_t before = buf->len;
	tally_status status = TALLY_OK;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_metrics && status == TALLY_OK; i++)
		status = put_metric(buf, metrics[i]);
	pthread_mutex_unlock(&lock);
	if (status != TALLY_OK)
		buf->len = before;
	return status;
}

void
metrics_reset(void)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_metrics; i++) {
		size_t n = atomic_load(&metrics[i]->n_series);

		for (size_t k = 0; k < n; k++)
			free_series(atomic_load(&metrics[i]->series[k]));
		free(metrics[i]);
	}
	n_metrics = 0;
	pthread_mutex_unlock(&lock);
}
