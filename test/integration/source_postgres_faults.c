/* A source against a real PostgreSQL that is slow, frozen, gone, or was never there. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <signal.h>

#include "base/clock.h"
#include "support/postgres_source.h"

#define LATE_MS 4000 /* of a very busy machine; what hangs takes longer */

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	postgres_before_all();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	postgres_after_all();
}

TestSuite(postgres_faults, .init = postgres_begin, .fini = postgres_end, .timeout = 60);

static void
expect_answer(const char *sql, int64_t expected)
{
	struct asking asking;

	asking_init(&asking, sql, NULL, 0, NULL);
	cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
	cr_expect_eq(rows_cell(asking.rows, 0, 0)->i, expected);
	asking_fini(&asking);
}

/* ---- late, cancelled, closed --------------------------------------------------------------- */

#define SLEEPERS(name)                                                                             \
	"SELECT count(*) FROM pg_stat_activity WHERE application_name = '" name                    \
	"' AND state = 'active'"

Test(postgres_faults, ends_a_late_query_here_at_once_and_on_the_server_within_two_seconds)
{
	struct asking asking;

	open_as("tally_late", 1);
	asking_init(&asking, "SELECT 1 FROM pg_sleep(30)", NULL, 0, NULL);
	asking.query.deadline_ms = clock_mono_ms() + 300;
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_DEADLINE_EXCEEDED);
	cr_expect_lt(asking.ended_ms - asking.query.deadline_ms, LATE_MS);
	cr_expect(await_count(SLEEPERS("tally_late"), 0, 2000 + LATE_MS));
	expect_answer("SELECT 4::int8", 4);
}

Test(postgres_faults, ends_a_query_that_waits_at_its_deadline)
{
	struct asking long_one, late;

	open_at(postgres_url(), 1, 10, 0);
	asking_init(&long_one, "SELECT 1 FROM pg_sleep(0.6)", NULL, 0, NULL);
	asking_init(&late, "SELECT 1", NULL, 0, NULL);
	cr_assert(await_connected(1));
	asking_start(&long_one, source);
	late.query.deadline_ms = clock_mono_ms() + 100;
	cr_expect_eq(asking_run(&late, source, loop), TALLY_DEADLINE_EXCEEDED);
	cr_expect_not(long_one.is_over);
	cr_assert(asking_wait(&long_one, loop));
	cr_expect_eq(long_one.status, TALLY_OK);
	asking_fini(&long_one);
	late.query.deadline_ms = clock_mono_ms() - 1;
	asking_start(&late, source);
	cr_expect(late.is_over && late.status == TALLY_DEADLINE_EXCEEDED);
}

Test(postgres_faults, lets_the_server_end_what_passes_its_own_limit)
{
	struct asking asking;

	open_at(postgres_url(), 1, 10, 200);
	asking_init(&asking, "SELECT 1 FROM pg_sleep(30)", NULL, 0, NULL);
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_DEADLINE_EXCEEDED);
	cr_expect_str_eq(asking.err.sqlstate, "57014");
	expect_answer("SELECT 4::int8", 4);
	cr_expect_eq(source->stats.reconnects, 0);
}

/* One of many that pass the server's limit, or just do not. */
struct brief {
	struct asking asking;
	struct value number;
	struct source_argument argument;
};

#define N_BRIEF   100000
#define N_AT_ONCE 32
/* One in eight takes from nothing to some times the limit. */
#define BRIEF_SQL                                                                                  \
	"SELECT $1 + 0 * count(*)"                                                                 \
	" FROM generate_series(1, CASE WHEN $1 % 8 = 0 THEN $1 % 64 * 800 ELSE 0 END)"
#define BRIEF_MAX_MS 1

static void
start_brief(struct brief *brief, const struct source_statement *statement, int64_t number)
{
	brief->number = (struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = number };
	brief->argument = (struct source_argument){ .values = &brief->number, .n = 1 };
	asking_init(&brief->asking, statement->sql, NULL, 0, &brief->argument);
	brief->asking.query.statement = statement;
	asking_start(&brief->asking, source);
}

/* Whether it was answered: with its own number, or else ended for being late. */
static bool
end_brief(struct brief *brief)
{
	bool is_answered;

	cr_assert(asking_wait(&brief->asking, loop));
	is_answered = brief->asking.status == TALLY_OK;
	if (is_answered)
		cr_assert_eq(rows_cell(brief->asking.rows, 0, 0)->i, brief->number.i);
	else
		cr_assert_eq(brief->asking.status, TALLY_DEADLINE_EXCEEDED, "%s",
			     brief->asking.err.detail);
	asking_fini(&brief->asking);
	return is_answered;
}

Test(postgres_faults, gives_nobody_the_rows_of_a_query_that_was_ended_on_its_connection,
     .timeout = 300)
{
	static struct brief briefs[N_AT_ONCE];
	struct source_bind bind = { .name = "n", .type = TALLY_INT };
	struct source_statement statement = { .sql = BRIEF_SQL,
					      .where = "test.sql:14",
					      .binds = &bind,
					      .n_binds = 1,
					      .id = 1000000 };
	int n_answered = 0;

	open_at(postgres_url(), 4, N_AT_ONCE, BRIEF_MAX_MS);
	for (int64_t n = 0; n < N_BRIEF + N_AT_ONCE; n++) {
		struct brief *brief = &briefs[n % N_AT_ONCE];

		if (n >= N_AT_ONCE)
			n_answered += end_brief(brief);
		if (n < N_BRIEF)
			start_brief(brief, &statement, n);
	}
	cr_log_info("%d of %d were answered", n_answered, N_BRIEF);
	cr_expect_gt(n_answered, N_BRIEF / 100);
	cr_expect_lt(n_answered, N_BRIEF - N_BRIEF / 100);
	cr_expect_eq(source->stats.reconnects, 0);
}

Test(postgres_faults, cancels_what_runs_and_what_waits)
{
	struct asking running, waiting;

	open_as("tally_cancel", 1);
	cr_assert(await_connected(1));
	asking_init(&running, "SELECT 1 FROM pg_sleep(30)", NULL, 0, NULL);
	asking_init(&waiting, "SELECT 1", NULL, 0, NULL);
	asking_start(&running, source);
	asking_start(&waiting, source);
	cr_assert(await_count(SLEEPERS("tally_cancel"), 1, 5000));
	source_cancel(source, &waiting.query);
	cr_expect(waiting.is_over && waiting.status == TALLY_CANCELLED);
	source_cancel(source, &running.query);
	cr_expect(running.is_over && running.status == TALLY_CANCELLED);
	cr_expect(await_count(SLEEPERS("tally_cancel"), 0, 2000));
	expect_answer("SELECT 4::int8", 4);
	cr_expect_eq(running.n_done, 1);
}

Test(postgres_faults, ends_everything_when_it_is_freed)
{
	struct asking askings[6];

	open_at(postgres_url(), 2, 10, 0);
	cr_assert(await_connected(2));
	for (int i = 0; i < 5; i++) {
		asking_init(&askings[i], "SELECT 1 FROM pg_sleep(30)", NULL, 0, NULL);
		asking_start(&askings[i], source);
	}
	asking_init(&askings[5], "SELECT 1", NULL, 0, NULL);
	asking_describe(&askings[5], source);
	for (int i = 0; i < 5; i++)
		loop_step(loop, 10);
	source_free(source);
	source = NULL;
	for (int i = 0; i < 6; i++) {
		cr_expect_eq(askings[i].n_done, 1);
		cr_expect_eq(askings[i].status, TALLY_CANCELLED);
	}
}

Test(postgres_faults, can_be_freed_while_it_connects)
{
	open_at(postgres_url(), 3, 10, 0);
	loop_step(loop, 100);
	source_free(source);
	source = NULL;
}

/* ---- away ---------------------------------------------------------------------------------- */

Test(postgres_faults, connects_again_after_its_backend_was_terminated)
{
	struct asking asking;

	open_as("tally_killed", 2);
	cr_assert(await_connected(2));
	asking_init(&asking, "SELECT 1 FROM pg_sleep(30)", NULL, 0, NULL);
	asking_start(&asking, source);
	cr_assert(await_count(SLEEPERS("tally_killed"), 1, 5000));
	postgres_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
			 " WHERE application_name = 'tally_killed'");
	cr_assert(asking_wait(&asking, loop));
	cr_expect_eq(asking.status, TALLY_SOURCE_UNAVAILABLE);
	cr_expect_str_eq(asking.err.source, "db1");
	cr_assert(await_reconnects(2));
	expect_answer("SELECT 4::int8", 4);
}

static void
expect_unavailable(const char *at, int deadline_ms, int least_ms, int most_ms)
{
	struct asking asking;
	int64_t from_ms = clock_mono_ms();

	open_at(at, 2, 10, 0);
	asking_init(&asking, "SELECT 1", NULL, 0, NULL);
	asking.query.deadline_ms = from_ms + deadline_ms;
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_SOURCE_UNAVAILABLE);
	cr_expect_geq(asking.ended_ms - from_ms, least_ms);
	cr_expect_leq(asking.ended_ms - from_ms, most_ms);
	cr_expect_eq(strncmp(asking.err.detail, "db1 cannot be reached", 21), 0, "%s",
		     asking.err.detail);
	source_free(source);
	source = NULL;
}

Test(postgres_faults, fails_after_a_second_when_nobody_listens_or_answers)
{
	struct cluster silent = { 0 };
	int fd = cluster_listen_silently(&silent.port);

	(void)snprintf(silent.url, sizeof silent.url, "postgres://x@127.0.0.1:%d/x", silent.port);
	expect_unavailable(silent.url, 10000, 900, 1500 + LATE_MS);
	expect_unavailable(silent.url, 300, 250, 600 + LATE_MS);
	cluster_close(fd);
	expect_unavailable(silent.url, 10000, 900, 1500 + LATE_MS);
}

Test(postgres_faults, survives_a_server_that_freezes_and_one_that_starts_again)
{
	own = cluster_start();
	struct asking asking;

	open_at(own->url, 2, 10, 0);
	expect_answer("SELECT 4::int8", 4);
	cr_assert(await_connected(2));
	cluster_signal(own, SIGSTOP);
	for (int i = 0; i < 2; i++) {
		asking_init(&asking, "SELECT 1", NULL, 0, NULL);
		asking.query.deadline_ms = clock_mono_ms() + 300;
		cr_expect_eq(asking_run(&asking, source, loop), TALLY_DEADLINE_EXCEEDED);
		cr_expect_lt(asking.ended_ms - asking.query.deadline_ms, LATE_MS);
	}
	asking_init(&asking, "SELECT 1", NULL, 0, NULL);
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_SOURCE_UNAVAILABLE);
	cluster_signal(own, SIGCONT);
	cr_assert(await_connected(2));
	expect_answer("SELECT 5::int8", 5);
	cluster_restart(own);
	cr_assert(await_connected(0));
	cr_assert(await_connected(2));
	expect_answer("SELECT 6::int8", 6);
}

/* A machine that is gone without a word, under a query whose callers have hours. */
Test(postgres_faults, waits_a_while_past_the_servers_limit_and_no_longer)
{
	own = cluster_start();
	struct asking asking;

	open_at(own->url, 1, 10, 300);
	expect_answer("SELECT 4::int8", 4);
	cluster_signal(own, SIGSTOP);
	int64_t from_ms = clock_mono_ms();
	asking_init(&asking, "SELECT 1", NULL, 0, NULL);
	asking.query.deadline_ms = from_ms + 3600000;
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_SOURCE_UNAVAILABLE);
	cr_expect_geq(asking.ended_ms - from_ms, 300 + 5000);
	cr_expect_lt(asking.ended_ms - from_ms, 300 + 5000 + LATE_MS);
	cr_expect_not_null(strstr(asking.err.detail, "limit for a query is over"), "%s",
			   asking.err.detail);
	cluster_signal(own, SIGCONT);
	cr_assert(await_connected(1));
	expect_answer("SELECT 5::int8", 5);
}
