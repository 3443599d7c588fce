#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "source/migrate.h"
#include "source/open.h"

#define DEMO_FOLDER "deploy/dev/demo"
#define JOB_STORE   "jobs"

/* What one call is about. */
struct task {
	struct cli *cli;
	struct migrate_job job;
	const char *demo;
	const char *optional; /* of add */
	bool is_all;
	size_t n_moved;
};

static void
print_moved(void *ctx, const struct migration *migration)
{
	struct task *task = ctx;

	task->n_moved++;
	(void)printf("%s  %06" PRIu64 " %s  %s\n", task->job.name, migration->version,
		     migration->name, migration->is_applied ? "applied" : "reverted");
	(void)fflush(stdout); /* the next one may take long */
}

static void
print_state(void *ctx, const struct migration *migration)
{
	struct task *task = ctx;

	(void)printf("%s  %06" PRIu64 " %s  %s\n", task->job.name, migration->version,
		     migration->name, migration->is_applied ? "applied" : "pending");
}

static tally_status
go_up(struct task *task, struct tally_error *err)
{
	tally_status status = migrate_up(&task->job, err);

	if (status == TALLY_OK && task->n_moved == 0)
		(void)printf("%s  up to date\n", task->job.name);
	return status;
}

static tally_status
go_down(struct task *task, struct tally_error *err)
{
	tally_status status = migrate_down(&task->job, task->is_all ? SIZE_MAX : 1, err);

	if (status == TALLY_OK && task->n_moved == 0)
		(void)printf("%s  nothing is applied\n", task->job.name);
	return status;
}

static tally_status
show(struct task *task, struct tally_error *err)
{
	task->job.on_migration = print_state;
	return migrate_look(&task->job, err);
}

/* What the names of another kind's files end with: db2-clickhouse. */
static const char *
suffix(const char *url)
{
	const char *kind = url ? source_kind(url) : NULL;

	return kind && strcmp(kind, "clickhouse") == 0 ? "-clickhouse" : "";
}

static tally_status
add_optional(struct task *task, struct tally_error *err)
{
	char file[2048];
	tally_status status;

	(void)snprintf(file, sizeof file, "%s/optional/%s.sql", task->job.folder, task->optional);
	status = migrate_script(&task->job, file, err);
	if (status == TALLY_OK)
		(void)printf("%s  %s added\n", task->job.name, task->optional);
	return status;
}

static tally_status
fill_demo(struct task *task, struct tally_error *err)
{
	char file[1024];
	tally_status status;

	(void)snprintf(file, sizeof file, "%s/%s%s.sql", task->demo, task->job.name,
		       suffix(task->job.url));
	status = migrate_script(&task->job, file, err);
	if (status == TALLY_OK)
		(void)printf("%s  demo data of %s\n", task->job.name, file);
	return status;
}

static const struct {
	const char *name;
	tally_status (*run)(struct task *task, struct tally_error *err);
} actions[] = {
	{ "up",     go_up        },
        { "down",   go_down      },
        { "status", show         },
	{ "demo",   fill_demo    },
        { "add",    add_optional },
};

static int
run_action(struct task *task, const char *action)
{
	struct tally_error err = { 0 };

	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		tally_status status;

		if (strcmp(actions[i].name, action) != 0)
			continue;
		status = actions[i].run(task, &err);
		return status == TALLY_OK ? CLI_OK : cli_fail(status, &err);
	}
	return cli_usage(&command_migrate, "there is no migrate %s", action);
}

/* The URL of a database by its name; NULL without one. */
static const char *
find_url(const struct config *config, const char *name)
{
	if (strcmp(name, JOB_STORE) == 0)
		return config->jobs[0] ? config->jobs : NULL;
	return config_source(config, name);
}

static int
fail_url(const char *name)
{
	struct tally_error err = { 0 };

	if (strcmp(name, JOB_STORE) == 0)
		return cli_fail(tally_fail(&err, TALLY_WRONG_SETTING,
					   "the job store is not known: set"
					   " TALLY_JOBS=postgresql://user@host/database"),
				&err);
	return cli_fail(tally_fail(&err, TALLY_WRONG_SETTING,
				   "no database is called %s: set TALLY_SOURCE_<NAME>, such as"
				   " TALLY_SOURCE_DB1=postgresql://user@host/database, for db1",
				   name),
			&err);
}

static int
run(struct cli *cli)
{
	struct task task = { .cli = cli, .demo = DEMO_FOLDER, .is_all = cli_flag(cli, "--all") };
	char folder[1024];
	const char *url;
	bool is_add;

	if (!cli_option(cli, "--folder", &task.demo))
		return cli_usage(&command_migrate, "--folder needs a value");
	if (cli_unknown_flag(cli))
		return cli_usage(&command_migrate, "there is no flag %s", cli_unknown_flag(cli));
	is_add = cli->n_words > 0 && strcmp(cli->words[0], "add") == 0;
	if (cli->n_words != (is_add ? 3 : 2))
		return cli_usage(&command_migrate,
				 "migrate takes two words, such as up db1, or add db2 rollups");
	task.optional = is_add ? cli->words[2] : NULL;
	url = find_url(cli->config, cli->words[1]);
	(void)snprintf(folder, sizeof folder, "%s/%s%s", cli->config->migrations, cli->words[1],
		       suffix(url));
	task.job = (struct migrate_job){
		.name = cli->words[1],
		.url = url,
		.folder = folder,
		.lock_ms = MIGRATE_LOCK_MS,
		.on_migration = print_moved,
		.ctx = &task,
	};
	return task.job.url ? run_action(&task, cli->words[0]) : fail_url(cli->words[1]);
}

const struct cli_command command_migrate = {
	"migrate",
	"bring the schema of a database up to date",
	"usage: tally migrate up|down|status|demo DB, tally migrate add DB NAME\n"
	"\n"
	"  up DB            applies the migrations that are pending, oldest first\n"
	"  down DB [--all]  reverts the newest one that is applied, or all of them\n"
	"  status DB        shows which are applied; changes nothing\n"
	"  add DB NAME      runs TALLY_MIGRATIONS/DB/optional/NAME.sql, such as rollups of db2;\n"
	"                   may be run again\n"
	"  demo DB [--folder F]\n"
	"                   runs F/DB.sql (" DEMO_FOLDER
	"/DB.sql): a few users to try things with;\n"
	"                   may be run again\n"
	"\n"
	"DB is the name of a database as in dataset files: db1 is TALLY_SOURCE_DB1; jobs is the\n"
	"job store, TALLY_JOBS.  The files are those of golang-migrate, NNNNNN_name.up.sql and\n"
	".down.sql in TALLY_MIGRATIONS/DB, and so is the table schema_migrations.  Each file runs\n"
	"in one transaction: a failed one leaves nothing behind.  The others (VACUUM, CREATE\n"
	"INDEX CONCURRENTLY, transactions of their own) leave the database marked dirty, and so\n"
	"do those of a clickhouse:// URL, which are in DB-clickhouse: it has no transactions.\n",
	run,
};
