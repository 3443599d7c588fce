#include "rebuild.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "jobs/recorder.h"
#include "jobs/secrets.h"

struct rebuild {
	bool has_bar;
	int64_t began_ms;
	struct recorder_progress progress;
};

static void
on_progress(void *ctx, const struct recorder_progress *progress)
{
	struct rebuild *rebuild = ctx;
	int64_t took_ms = clock_mono_ms() - rebuild->began_ms;

	rebuild->progress = *progress;
	if (!rebuild->has_bar)
		return;
	(void)fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " messages, %.0f a second",
		      progress->n_done, progress->n_all,
		      took_ms > 0 ? (double)progress->n_done * 1000 / (double)took_ms : 0.0);
	(void)fflush(stderr);
}

static void
clear_bar(const struct rebuild *rebuild)
{
	if (rebuild->has_bar)
		(void)fputs("\r\033[K", stderr);
}

static void
on_log(void *ctx, int level, const char *text)
{
	(void)level;
	clear_bar(ctx);
	(void)fprintf(stderr, "tally: %s\n", text);
}

static tally_status
read_settings(const struct config *config, struct recorder_options *options,
	      struct tally_error *err)
{
	if (!config->jobs[0] || !config->job_secret[0])
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "a rebuild needs TALLY_JOBS and TALLY_JOB_SECRET");
	options->url = config->jobs;
	options->results_partitions = (int)config->results_partitions;
	options->timeout_ms = (int)config->jobs_timeout_ms;
	return job_secrets_parse(config->job_secret, &options->secrets, err);
}

static void
report(const struct rebuild *rebuild)
{
	double took_s = (double)(clock_mono_ms() - rebuild->began_ms) / 1000;

	clear_bar(rebuild);
	(void)printf("%" PRIu64 " messages read in %.1f s: %.0f a second\n",
		     rebuild->progress.n_done, took_s,
		     took_s > 0 ? (double)rebuild->progress.n_done / took_s : 0.0);
}

int
rebuild_run(struct cli *cli)
{
	struct rebuild rebuild = { .has_bar = isatty(STDERR_FILENO), .began_ms = clock_mono_ms() };
	struct recorder_options options = { .on_log = on_log, .ctx = &rebuild };
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	struct kafka_config kafka;
	struct tally_error err = { 0 };
	tally_status status;

	if (cli->n_words > 0)
		return cli_usage(&command_jobs, "jobs rebuild takes no words");
	options.kafka = &kafka;
	status = cli_kafka(cli, properties, &kafka, &err);
	if (status == TALLY_OK)
		status = read_settings(cli->config, &options, &err);
	if (status == TALLY_OK)
		status = recorder_rebuild(&options, on_progress, &err);
	clear_bar(&rebuild);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	report(&rebuild);
	return CLI_OK;
}
