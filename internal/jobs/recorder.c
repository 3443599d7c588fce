#include "jobs/recorder_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"

#define GROUP           "tally-recorder-"
#define MAX_UNCOMMITTED INTAKE_ITEMS /* the intake is the limit */
#define GATHER_MS       25           /* a fetch for each message would cost more than the message */
#define SEND_MS         30000        /* how long the end of an overdue job may be on its way */

static const struct {
	const char *topic;
	const char *group;
} topics[PROJECTION_TOPICS] = {
	[PROJECTION_REQUESTS] = { TALLY_TOPIC_REQUESTS_JOBS, GROUP "requests" },
	[PROJECTION_RESULTS] = { TALLY_TOPIC_RESULTS,       GROUP "results"  },
	[PROJECTION_CONTROL] = { TALLY_TOPIC_CONTROL,       GROUP "control"  },
};

void
recorder_log(const struct recorder *recorder, int level, const char *format, ...)
{
	char text[768];
	va_list args;

	if (!recorder->options.on_log)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	recorder->options.on_log(recorder->options.ctx, level, text);
}

/* ---- start ------------------------------------------------------------------- */

static bool
take_message(struct recorder *recorder, enum projection_topic topic, struct kafka_message *message,
	     uint64_t epoch)
{
	const struct recorder_item item = { message, epoch, topic };

	return recorder_intake_add(&recorder->intake, &item);
}

static bool
on_request(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	return take_message(ctx, PROJECTION_REQUESTS, message, epoch);
}

static bool
on_result(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	return take_message(ctx, PROJECTION_RESULTS, message, epoch);
}

static bool
on_control(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	return take_message(ctx, PROJECTION_CONTROL, message, epoch);
}

static tally_status
start_groups(struct recorder *recorder, struct tally_error *err)
{
	static kafka_group_fn *const on_message[] = { on_request, on_result, on_control };
	tally_status status = TALLY_OK;

	for (int i = 0; i < PROJECTION_TOPICS && status == TALLY_OK; i++) {
		const struct kafka_group_options options = {
			.group = topics[i].group,
			.topic = topics[i].topic,
			.on_message = on_message[i],
			.ctx = recorder,
			.max_uncommitted = MAX_UNCOMMITTED,
			.gather_ms = GATHER_MS,
		};

		status =
		    kafka_group_start(recorder->options.kafka, &options, &recorder->groups[i], err);
	}
	return status;
}

static tally_status
open_house(struct recorder *recorder, struct tally_error *err)
{
	const struct job_pg_options pg = {
		.url = recorder->url,
		.application = "tally recorder house",
		.timeout_ms = recorder->options.timeout_ms,
		.stop_fd = recorder->stop_house_fd,
	};
	struct recorder_house *house = &recorder->house;
	tally_status status = job_pg_new(&pg, &house->pg, err);

	if (status == TALLY_OK)
		status = kafka_ranges_start(recorder->options.kafka, &house->ranges, err);
	if (status == TALLY_OK)
		status = kafka_producer_start(recorder->options.kafka, KAFKA_ALL, SEND_MS,
					      &house->producer, err);
	return status;
}

static tally_status
open_writer(struct recorder *recorder, struct tally_error *err)
{
	const struct record_options record = {
		.url = recorder->url,
		.timeout_ms = recorder->options.timeout_ms,
		.stop_fd = recorder->stop_writer_fd,
	};

	recorder->step.n_recorded = &recorder->n_recorded;
	recorder->step.n_refused = &recorder->n_refused;
	return recorder_step_init(&recorder->step, &recorder->options, &record, err);
}

static tally_status
start_threads(struct recorder *recorder, struct tally_error *err)
{
	recorder->has_writer =
	    pthread_create(&recorder->writer, NULL, recorder_run_writer, recorder) == 0;
	if (recorder->has_writer)
		recorder->has_keeper =
		    pthread_create(&recorder->keeper, NULL, recorder_run_house, recorder) == 0;
	if (!recorder->has_keeper)
		return tally_fail(err, TALLY_NO_MEMORY, "no thread for the recorder");
	return TALLY_OK;
}

static tally_status
start_all(struct recorder *recorder, struct tally_error *err)
{
	tally_status status;

	recorder->url = strdup(recorder->options.url);
	recorder->options.url = recorder->url;
	recorder->stop_writer_fd = eventfd(0, EFD_CLOEXEC);
	recorder->stop_house_fd = eventfd(0, EFD_CLOEXEC);
	if (!recorder->url || recorder->stop_writer_fd < 0 || recorder->stop_house_fd < 0)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status = open_writer(recorder, err);
	if (status == TALLY_OK)
		status = open_house(recorder, err);
	/* The writer finds the groups as they are once a message has come, which is later. */
	if (status == TALLY_OK)
		status = start_groups(recorder, err);
	return status == TALLY_OK ? start_threads(recorder, err) : status;
}

tally_status
recorder_start(const struct recorder_options *options, struct recorder **out_recorder,
	       struct tally_error *err)
{
	struct recorder *recorder = calloc(1, sizeof *recorder);
	tally_status status;

	if (!recorder)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	recorder->options = *options;
	recorder->stop_writer_fd = -1;
	recorder->stop_house_fd = -1;
	recorder_intake_init(&recorder->intake);
	status = start_all(recorder, err);
	if (status == TALLY_OK)
		*out_recorder = recorder;
	else
		recorder_stop(recorder, 0);
	return status;
}

/* ---- stop -------------------------------------------------------------------- */

static void
signal_fd(int fd)
{
	/* Cannot fail: the counter is at 0. */
	if (fd >= 0)
		(void)!eventfd_write(fd, 1);
}

static int
left_ms(int64_t until_ms)
{
	int64_t left = until_ms - clock_mono_ms();

	return left > 0 ? (int)left : 0;
}

/* Lets the writer record what was taken, and ends it when that takes too long. */
static void
stop_writer(struct recorder *recorder, int64_t until_ms)
{
	const struct timespec look = { 0, 5000000 };

	if (!recorder->has_writer)
		return;
	recorder_intake_close(&recorder->intake, false);
	while (!atomic_load(&recorder->has_written) && left_ms(until_ms) > 0)
		nanosleep(&look, NULL);
	recorder_intake_close(&recorder->intake, true);
	signal_fd(recorder->stop_writer_fd);
	pthread_join(recorder->writer, NULL);
}

static void
close_all(struct recorder *recorder)
{
	kafka_producer_stop(recorder->house.producer, 0);
	kafka_ranges_stop(recorder->house.ranges);
	job_pg_free(recorder->house.pg);
	recorder_step_fini(&recorder->step);
	if (recorder->stop_writer_fd >= 0)
		(void)close(recorder->stop_writer_fd);
	if (recorder->stop_house_fd >= 0)
		(void)close(recorder->stop_house_fd);
	free(recorder->url);
	free(recorder);
}

void
recorder_stop(struct recorder *recorder, int timeout_ms)
{
	int64_t until_ms = clock_mono_ms() + timeout_ms;

	if (!recorder)
		return;
	signal_fd(recorder->stop_house_fd);
	for (int i = 0; i < PROJECTION_TOPICS; i++) {
		if (recorder->groups[i])
			kafka_group_quiesce(recorder->groups[i]);
	}
	stop_writer(recorder, until_ms);
	if (recorder->has_keeper)
		pthread_join(recorder->keeper, NULL);
	recorder_intake_fini(&recorder->intake);
	for (int i = 0; i < PROJECTION_TOPICS; i++)
		kafka_group_stop(recorder->groups[i], left_ms(until_ms));
	close_all(recorder);
}

/* ---- counters ---------------------------------------------------------------- */

struct recorder_stats
recorder_stats(struct recorder *recorder)
{
	struct recorder_stats stats = {
		.recorded = atomic_load(&recorder->n_recorded),
		.refused = atomic_load(&recorder->n_refused),
		.overdue = atomic_load(&recorder->n_overdue),
		.lag = -1,
		.watermark_ms = atomic_load(&recorder->watermark_ms),
		.is_up = atomic_load(&recorder->is_up),
	};

	for (int i = 0; i < PROJECTION_TOPICS; i++) {
		int64_t lag = kafka_group_lag(recorder->groups[i]);

		if (lag >= 0)
			stats.lag = (stats.lag > 0 ? stats.lag : 0) + lag;
		stats.missed += kafka_group_missed(recorder->groups[i]);
		stats.stalls += kafka_group_stalls(recorder->groups[i]);
	}
	return stats;
}
