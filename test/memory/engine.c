/* Every allocation of a dataset's plan and of a batch fails in turn: a request has its rows, all of
 * them, or is told that memory is short; and the next batch is as if nothing had been. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "dataset/engine.h"
#include "memory/failing.h"

#define REQUESTS  4
#define COLUMNS   3
#define COUNT(of) (sizeof(of) / sizeof *(of))

static const char dataset[] = "-- dataset t\n"
			      "-- param login text required\n"
			      "-- column login text\n"
			      "-- column total int = sum(n) default 0\n"
			      "-- column kinds int = count(distinct kind)\n"
			      "-- column last text null = max(kind)\n"
			      "-- group by login\n"
			      "-- order total desc\n"
			      "-- step user on db1 by login\n"
			      "users :login;\n"
			      "-- step item on db1 by user_id keep cache 60s\n"
			      "items :user_id;\n";

static const char *const logins[REQUESTS] = { "ann", "bob", "cyd", "nobody" };
static const char *const expected[REQUESTS] = {
	"[{\"login\":\"ann\",\"total\":5,\"kinds\":2,\"last\":\"b\"}]",
	"[{\"login\":\"bob\",\"total\":7,\"kinds\":1,\"last\":\"a\"}]",
	"[{\"login\":\"cyd\",\"total\":0,\"kinds\":0,\"last\":null}]",
	"[]",
};

/* ---- a source whose memory is as short as everybody's --------------------------- */

struct table {
	const char *tag;
	struct source_column columns[COLUMNS];
	size_t n_columns;
	size_t n_rows;
	const char *cells[8][COLUMNS];
};

static char login_name[] = "login", user_name[] = "user_id", kind_name[] = "kind", n_name[] = "n";

static const struct table tables[] = {
	{ .tag = "users",
         .columns = { { login_name, TALLY_TEXT }, { user_name, TALLY_INT } },
         .n_columns = 2,
         .n_rows = 3,
         .cells = { { "ann", "1" }, { "bob", "2" }, { "cyd", "3" } }          },
	{ .tag = "items",
         .columns = { { user_name, TALLY_INT }, { kind_name, TALLY_TEXT }, { n_name, TALLY_INT } },
         .n_columns = 3,
         .n_rows = 3,
         .cells = { { "1", "a", "2" }, { "1", "b", "3" }, { "2", "a", "7" } } },
};

static const struct table *
find_table(const char *sql)
{
	size_t i = 0;

	while (!strstr(sql, tables[i].tag))
		i++;
	return &tables[i];
}

static tally_status
add_row(struct rows *rows, const struct table *table, size_t row)
{
	struct value *cells;
	tally_status status = rows_add(rows, &cells);

	for (size_t i = 0; status == TALLY_OK && i < table->n_columns; i++) {
		const char *text = table->cells[row][i];

		status = value_parse(table->columns[i].type, text, strlen(text), &cells[i], NULL);
		if (status == TALLY_OK && cells[i].type == TALLY_TEXT)
			status = rows_copy_text(rows, text, strlen(text), &cells[i].text);
	}
	return status;
}

/* Whether the first column, which is the key, is among the argument's. */
static bool
is_asked(const struct source_query *query, const struct table *table, size_t row)
{
	const char *text = table->cells[row][0];
	struct value key;

	cr_assert_eq(value_parse(table->columns[0].type, text, strlen(text), &key, NULL), TALLY_OK);
	for (size_t i = 0; i < query->arguments[0].n; i++) {
		if (value_equal(&key, &query->arguments[0].values[i]))
			return true;
	}
	return false;
}

static void
short_query(struct source *source, struct source_query *query)
{
	const struct table *table = find_table(query->statement->sql);
	struct rows *rows = rows_new(table->n_columns, query->budget_bytes);
	struct tally_error err = { 0 };
	tally_status status = rows ? TALLY_OK : TALLY_NO_MEMORY;

	(void)source;
	for (size_t i = 0; status == TALLY_OK && i < table->n_rows; i++) {
		if (is_asked(query, table, i))
			status = add_row(rows, table, i);
	}
	if (status == TALLY_OK) {
		query->done(query->ctx, query, status, rows, NULL);
		return;
	}
	rows_free(rows);
	(void)tally_fail(&err, status, "out of memory");
	query->done(query->ctx, query, status, NULL, &err);
}

static void
short_describe(struct source *source, const struct source_statement *statement, int64_t deadline_ms,
	       source_described_fn *done, void *ctx)
{
	const struct table *table = find_table(statement->sql);

	(void)source;
	(void)deadline_ms;
	failing_spare(true);
	struct source_shape *shape = calloc(1, sizeof *shape);
	shape->columns = calloc(table->n_columns, sizeof *shape->columns);
	for (; shape->n_columns < table->n_columns; shape->n_columns++) {
		shape->columns[shape->n_columns] = table->columns[shape->n_columns];
		shape->columns[shape->n_columns].name =
		    strdup(table->columns[shape->n_columns].name);
	}
	failing_spare(false);
	done(ctx, TALLY_OK, shape, NULL);
}

static void
short_cancel(struct source *source, struct source_query *query)
{
	(void)source;
	(void)query;
	cr_assert_fail("nothing is ever in flight");
}

static const struct source_ops short_ops = {
	.kind = "short", .query = short_query, .cancel = short_cancel, .describe = short_describe
};
static struct source short_source = { .ops = &short_ops, .name = "db1" };

/* ---- the plan ------------------------------------------------------------------- */

static struct definition *definition;

static void
define(void)
{
	cr_assert_eq(definition_parse("t.sql", dataset, sizeof dataset - 1, &definition, NULL),
		     TALLY_OK);
}

static void
undefine(void)
{
	definition_free(definition);
}

TestSuite(short_engine, .init = define, .fini = undefine);

static void
on_described(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	(void)plan;
	(void)err;
	*(tally_status *)ctx = status;
}

static tally_status
make_plan(struct plan **out_plan)
{
	static struct source *const sources[] = { &short_source };
	static const struct plan_sources all = { sources, 1 };
	struct plan *plan = NULL;
	tally_status status = plan_new(definition, &all, &plan, NULL);

	if (status == TALLY_OK)
		plan_describe(plan, INT64_MAX, on_described, &status);
	if (status == TALLY_OK && !plan_is_ready(plan))
		status = TALLY_INTERNAL_ERROR;
	if (status == TALLY_OK)
		*out_plan = plan;
	else
		plan_free(plan);
	return status;
}

static tally_status
make_and_free_plan(void *ctx)
{
	struct plan *plan = NULL;
	tally_status status = make_plan(&plan);

	(void)ctx;
	plan_free(plan);
	return status;
}

Test(short_engine, makes_a_plan_or_says_that_memory_is_short)
{
	tally_status status;
	uint64_t n;

	cr_assert(failing_each(make_and_free_plan, NULL, &n, &status), "allocation %lu: %s", n,
		  tally_status_code(status));
	cr_assert_gt(n, 5);
}

/* ---- a batch -------------------------------------------------------------------- */

struct batch_of_all {
	struct plan *plan;
	struct params *params[REQUESTS];
	size_t n_answers;
	bool has_ended;
	tally_status worst;
};

static bool
is_body(const struct engine_answer *answer, const char *data)
{
	char body[256];
	int len = snprintf(body, sizeof body, "{\"status\":\"ok\",\"data\":%s}", data);

	return answer->body_len == (size_t)len && memcmp(answer->body, body, (size_t)len) == 0;
}

static void
on_answer(void *ctx, struct engine_run *run, size_t request, struct engine_answer *answer)
{
	struct batch_of_all *batch = ctx;

	(void)run;
	batch->n_answers++;
	if (answer->status == TALLY_OK && !is_body(answer, expected[request]))
		batch->worst = TALLY_INTERNAL_ERROR;
	else if (answer->status != TALLY_OK && batch->worst == TALLY_OK)
		batch->worst = answer->status;
	free(answer->body);
	answer->body = NULL;
}

static void
on_end(void *ctx, struct engine_run *run)
{
	(void)run;
	((struct batch_of_all *)ctx)->has_ended = true;
}

static tally_status
run_batch(void *ctx)
{
	struct batch_of_all *batch = ctx;
	const struct engine_limits limits = { .now_ms = 1,
					      .deadline_ms = INT64_MAX,
					      .batch_bytes = 1 << 22,
					      .result_bytes = 1 << 20 };
	const struct engine_events events = { on_answer, NULL, on_end, batch };
	struct engine_run *run;

	batch->n_answers = 0;
	batch->has_ended = false;
	batch->worst = TALLY_OK;
	tally_status status = engine_start(batch->plan, (const struct params *const *)batch->params,
					   REQUESTS, &limits, &events, &run);
	if (status != TALLY_OK)
		return batch->n_answers == 0 && !batch->has_ended ? status : TALLY_INTERNAL_ERROR;
	return batch->n_answers == REQUESTS && batch->has_ended && !run ? batch->worst
									: TALLY_INTERNAL_ERROR;
}

/* The first batch fills the cache; the second finds some of its keys there. */
static tally_status
run_twice(void *ctx)
{
	struct batch_of_all *batch = ctx;
	tally_status status = make_plan(&batch->plan);

	if (status != TALLY_OK)
		return status;
	status = run_batch(batch);
	tally_status second = run_batch(batch);
	/* Memory is there again: nothing of what failed has stayed. */
	(void)failing_end();
	tally_status third = run_batch(batch);
	plan_free(batch->plan);
	if (third != TALLY_OK)
		return TALLY_INTERNAL_ERROR;
	return status == TALLY_OK ? second : status;
}

Test(short_engine, answers_with_all_rows_or_says_that_memory_is_short)
{
	struct batch_of_all batch = { 0 };
	struct params_faults faults;
	tally_status status;
	uint64_t n;

	for (size_t i = 0; i < REQUESTS; i++) {
		const struct params_text text = { "login", logins[i], strlen(logins[i]) };

		cr_assert_eq(
		    params_from_texts(definition, &text, 1, &batch.params[i], &faults, NULL),
		    TALLY_OK);
	}
	cr_assert(failing_each(run_twice, &batch, &n, &status), "allocation %lu: %s", n,
		  tally_status_code(status));
	cr_assert_gt(n, 20);
	cr_log_info("%lu allocations", n);
	for (size_t i = 0; i < REQUESTS; i++)
		params_free(batch.params[i]);
}
