/* metrics.h - counters, gauges and histograms of the process, as Prometheus reads them.
 *
 *	static struct metric *requests;
 *	requests = metrics_counter("tally_requests_total", "Requests taken", "dataset", "status");
 *	metric_add(metric_series(requests, name, tally_status_code(status)), 1);
 *
 * One registry for the process; names, helps and label names are literals.  Registration takes a
 * lock; finding a series that exists and changing a value take none (relaxed atomics), and a series
 * stays valid until metrics_reset, so hot paths keep the handle.  No function here fails: past
 * METRICS_SERIES_MAX series a metric counts into its series "other", past METRICS_MAX a metric is
 * counted but not written.  Label values are cut at METRICS_VALUE_MAX bytes.  Any thread. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#include "base/buf.h"

#define METRICS_MAX          256
#define METRICS_SERIES_MAX   256 /* of one metric */
#define METRICS_VALUE_MAX    128
#define METRICS_BOUNDS_MAX   20
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metric;
struct metric_series;

/* Upper bounds of a histogram's buckets, ascending, without +Inf; static. */
struct metrics_bounds {
	size_t n; /* at most METRICS_BOUNDS_MAX */
	double at[METRICS_BOUNDS_MAX];
};

extern const struct metrics_bounds metrics_seconds; /* 1 ms to 60 s */
extern const struct metrics_bounds metrics_counts;  /* 1 to 10,000 things */
extern const struct metrics_bounds metrics_bytes;   /* 256 B to 64 MiB */

/* What a callback's metric is for those who read it. */
enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* A value that is read when metrics are written; on that thread. */
typedef double metrics_read_fn(void *ctx);

/* The metric of that name, made if it is new; a second registration must say the same.  label and
 * label2 may be NULL (label2 alone may not be given).  Never NULL. */
struct metric *
metrics_counter(const char *name, const char *help, const char *label, const char *label2);
struct metric *
metrics_gauge(const char *name, const char *help, const char *label, const char *label2);
struct metric *metrics_histogram(const char *name, const char *help, const char *label,
				 const char *label2, const struct metrics_bounds *bounds);

/* The series with these label values; both NULL for a metric without labels.  Never NULL. */
struct metric_series *metric_series(struct metric *metric, const char *value, const char *value2);

/* Makes read(ctx) the value of a series of a counter or gauge, until metrics_forget(ctx). */
void metrics_callback(struct metric *metric, const char *value, const char *value2,
		      metrics_read_fn *read, void *ctx);

/* Drops all callbacks with that ctx; none runs any more when this returns. */
void metrics_forget(const void *ctx);

/* Adds to a counter. */
void metric_add(struct metric_series *series, uint64_t n);

/* Sets a gauge, or moves it by delta. */
void metric_set(struct metric_series *series, int64_t value);
void metric_move(struct metric_series *series, int64_t delta);

/* Counts a value into a histogram, in the metric's unit (seconds, bytes); NaN is left out. */
void metric_observe(struct metric_series *series, double value);

/* The value of a counter or gauge, for tests and for decisions. */
int64_t metric_value(const struct metric_series *series);

/* Registers process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
 * process_max_fds, process_start_time_seconds, tally_log_dropped_total and tally_build_info. */
void metrics_add_process(const char *program);

/* Appends all metrics in Prometheus' text format 0.0.4.  TALLY_TOO_LARGE, TALLY_NO_MEMORY: buf is
 * what it was before. */
TALLY_MUST_CHECK tally_status metrics_write(struct buf *buf);

/* Frees everything, handles included; when no other thread uses metrics, for tests. */
void metrics_reset(void);

#endif
