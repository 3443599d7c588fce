/* The metrics that Prometheus' own clients give of a process, under the same names. */
#include "base/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"

static double started_s;

static double
read_cpu_seconds(void *ctx)
{
	struct rusage usage;

	(void)ctx;
	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
	       + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double
read_resident_bytes(void *ctx)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long all = 0, resident = 0;

	(void)ctx;
	if (!statm)
		return 0;
	if (fscanf(statm, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	(void)fclose(statm);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double
read_open_fds(void *ctx)
{
	DIR *fds = opendir("/proc/self/fd");
	double n = 0;

	(void)ctx;
	if (!fds)
		return 0;
	while (readdir(fds))
		n++;
	(void)closedir(fds);
	return n - 3; /* ".", ".." and the folder itself */
}

static double
read_max_fds(void *ctx)
{
	struct rlimit limit;

	(void)ctx;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static double
read_started(void *ctx)
{
	(void)ctx;
	return started_s;
}

static double
read_log_dropped(void *ctx)
{
	(void)ctx;
	return (double)log_dropped();
}

void
metrics_add_process(const char *program)
{
	started_s = (double)clock_unix_ms() / 1000;
	metrics_callback(metrics_counter("process_cpu_seconds_total",
					 "User and system time of the process, seconds", NULL,
					 NULL),
			 NULL, NULL, read_cpu_seconds, NULL);
	metrics_callback(
	    metrics_gauge("process_resident_memory_bytes", "Resident memory, bytes", NULL, NULL),
	    NULL, NULL, read_resident_bytes, NULL);
	metrics_callback(metrics_gauge("process_open_fds", "Open file descriptors", NULL, NULL),
			 NULL, NULL, read_open_fds, NULL);
	metrics_callback(
	    metrics_gauge("process_max_fds", "Most file descriptors that may be open", NULL, NULL),
	    NULL, NULL, read_max_fds, NULL);
	metrics_callback(metrics_gauge("process_start_time_seconds",
				       "When the process started, Unix time", NULL, NULL),
			 NULL, NULL, read_started, NULL);
	metrics_callback(metrics_counter("tally_log_dropped_total",
					 "Lines of the log that nobody read in time", NULL, NULL),
			 NULL, NULL, read_log_dropped, NULL);
	metric_set(
	    metric_series(metrics_gauge("tally_build_info", "Always 1; the version is a label",
					"program", "version"),
			  program, version_text()),
	    1);
}
