#include "rollups.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define ASK_MS       60000
#define ANSWER_BYTES 4096

/* Yesterday may be open still: it is closed some time after midnight. */
static const char pg_sql[] =
    "SELECT ((now() AT TIME ZONE 'UTC')::date - closed_until)::int8 AS n FROM rollup_state";
static const char pg_what[] = "days are not closed, and are read from logs: CALL close_days()";

static const char ch_sql[] =
    "SELECT abs(toInt64((SELECT count() FROM logs WHERE datetime < today()))"
    " - toInt64((SELECT sum(n) FROM logs_daily WHERE date < today()))) AS n";
static const char ch_what[] = "rows are in logs or in logs_daily alone: add the rollups again";

/* Comments may come between the two counts. */
static const char ch_comments_sql[] =
    "SELECT abs(toInt64((SELECT count() FROM logs WHERE event_type_id IN"
    " (SELECT id FROM event_type WHERE name = 'comment')))"
    " - toInt64((SELECT sum(n) FROM comments_by_post))) AS n";
static const char ch_comments_what[] =
    "comments are in logs or in comments_by_post alone: add the rollups again";

/* How each kind is asked: for a number, of which more than most is too much. */
static const struct look {
	const char *kind;
	const char *mark; /* a statement that has this word reads rollups */
	const char *sql;
	int64_t most;
	const char *what; /* behind the number */
} looks[] = {
	{ "postgres",   "rollup_state",     pg_sql,          1,    pg_what          },
	{ "clickhouse", "logs_daily",       ch_sql,          0,    ch_what          },
	{ "clickhouse", "comments_by_post", ch_comments_sql, 1000, ch_comments_what },
};

/* How a query ended. */
struct asked {
	bool is_over;
	tally_status status;
	int64_t number;
};

static void
on_done(void *ctx, struct source_query *query, tally_status status, struct rows *rows,
	const struct tally_error *err)
{
	struct asked *asked = ctx;

	(void)query;
	(void)err;
	asked->is_over = true;
	asked->status = status;
	if (status == TALLY_OK && (rows->n_rows != 1 || rows_cell(rows, 0, 0)->state != VALUE_SET))
		asked->status = TALLY_SOURCE_ERROR;
	if (asked->status == TALLY_OK)
		asked->number = rows_cell(rows, 0, 0)->i;
	rows_free(rows);
}

static bool
ask(struct databases *databases, struct source *source, const char *sql, int64_t *out_number)
{
	const struct source_statement statement = { .sql = sql,
						    .where = "rollups",
						    .id = UINT64_MAX };
	struct asked asked = { 0 };
	struct source_query query = {
		.statement = &statement,
		.deadline_ms = clock_mono_ms() + ASK_MS,
		.budget_bytes = ANSWER_BYTES,
		.done = on_done,
		.ctx = &asked,
	};

	source_query(source, &query);
	while (!asked.is_over)
		loop_step(databases->loop, -1);
	*out_number = asked.number;
	return asked.status == TALLY_OK;
}

/* What is to be looked at for a step on this source; NULL: nothing. */
static const struct look *
find_look(const struct definition_step *step, const struct source *source)
{
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
		const struct definition_sql *sql = definition_sql_for(step, source->ops->kind);

		if (sql && strcmp(looks[i].kind, source->ops->kind) == 0
		    && strstr(sql->text, looks[i].mark))
			return &looks[i];
	}
	return NULL;
}

static struct source *
find_source(const struct databases *databases, const char *name)
{
	for (size_t i = 0; i < databases->n; i++) {
		if (strcmp(databases->items[i]->name, name) == 0)
			return databases->items[i];
	}
	return NULL;
}

bool
rollups_lag(struct databases *databases, const struct definition *definition,
	    char out_text[ROLLUPS_TEXT])
{
	for (size_t i = 0; i < definition->n_steps; i++) {
		const struct definition_step *step = &definition->steps[i];
		struct source *source = find_source(databases, step->source);
		const struct look *look = source ? find_look(step, source) : NULL;
		int64_t number;

		if (!look || !ask(databases, source, look->sql, &number) || number <= look->most)
			continue;
		(void)snprintf(out_text, ROLLUPS_TEXT, "%s: of %s %" PRId64 " %s", definition->file,
			       source->name, number, look->what);
		return true;
	}
	return false;
}
