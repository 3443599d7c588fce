/* copy - moves the activity of an existing installation into ClickHouse. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli.h"
#include "source/copy.h"

#define BAR_CHARS 30

/* The bar is for a terminal. */
struct bar {
	bool is_shown;
	int64_t began_ms;
};

static double
seconds_since(int64_t began_ms)
{
	double seconds = (double)(clock_mono_ms() - began_ms) / 1000;

	return seconds > 0 ? seconds : 0.001;
}

static void
show(void *ctx, const struct copy_progress *progress)
{
	static const char full[] = "##############################";
	static const char empty[] = "..............................";
	const struct bar *bar = ctx;
	double share =
	    progress->n_all > 0 ? (double)progress->n_done / (double)progress->n_all : 1.0;
	int n = share < 1 ? (int)(share * BAR_CHARS) : BAR_CHARS;

	if (!bar->is_shown)
		return;
	(void)fprintf(stderr,
		      "\r\033[K[%.*s%.*s] %3.0f %%  %" PRId64 " of %" PRId64 " rows, %.0f a second",
		      n, full, BAR_CHARS - n, empty, share * 100, progress->n_done, progress->n_all,
		      (double)progress->n_done / seconds_since(bar->began_ms));
	(void)fflush(stderr);
}

static int
copy(const struct copy_job *job, struct bar *bar)
{
	struct copy_progress progress = { 0 };
	struct tally_error err = { 0 };
	tally_status status = copy_activity(job, &progress, &err);

	if (bar->is_shown)
		(void)fputs("\r\033[K", stderr);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	(void)printf("%s  logs  %" PRId64 " rows: %" PRId64 " copied, %" PRId64
		     " were there; %.1f s\n",
		     job->name, progress.n_done, progress.n_copied,
		     progress.n_done - progress.n_copied, seconds_since(bar->began_ms));
	(void)printf("%s  verified: counts and sums of %d buckets of users are equal\n", job->name,
		     progress.n_verified);
	return CLI_OK;
}

static int
run(struct cli *cli)
{
	struct bar bar = { isatty(STDERR_FILENO), clock_mono_ms() };
	struct copy_job job = { .name = "db2", .on_progress = show, .ctx = &bar };

	if (!cli_option(cli, "--from", &job.from) || !cli_option(cli, "--to", &job.to))
		return cli_usage(&command_copy, "--from and --to need values");
	if (cli_unknown_flag(cli))
		return cli_usage(&command_copy, "there is no flag %s", cli_unknown_flag(cli));
	if (cli->n_words != 1 || strcmp(cli->words[0], job.name) != 0)
		return cli_usage(&command_copy, "copy takes the name of a database: db2");
	if (!job.to)
		job.to = config_source(cli->config, job.name);
	if (!job.from || !job.to)
		return cli_usage(&command_copy, "copy needs --from postgresql://... and --to"
						" clickhouse://...");
	return copy(&job, &bar);
}

const struct cli_command command_copy = {
	"copy",
	"copy the activity of db2 from PostgreSQL into ClickHouse",
	"usage: tally copy db2 --from postgresql://... [--to clickhouse://...]\n"
	"\n"
	"Copies logs, event_type and space_type into a ClickHouse that tally migrate up db2 has\n"
	"made ready; without --to into TALLY_SOURCE_DB2.  Takes ranges of ids, skips those that\n"
	"are there, and compares both sides in the end by counts and sums of buckets of users.\n"
	"May be stopped and run again: each run copies what is missing or differs.\n",
	run,
};
