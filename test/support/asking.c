#include "support/asking.h"

#include "base/clock.h"

void
asking_init(struct asking *asking, const char *sql, const struct source_bind *binds, size_t n_binds,
	    const struct source_argument *arguments)
{
	static uint64_t id;

	*asking = (struct asking){
		.statement = { .sql = sql,
                              .where = "test.sql:14",
                              .binds = binds,
                              .n_binds = n_binds,
                              .id = ++id },
	};
	asking->query = (struct source_query){
		.statement = &asking->statement,
		.arguments = arguments,
		.deadline_ms = clock_mono_ms() + 10000,
		.budget_bytes = 1 << 20,
	};
}

static void
end(struct asking *asking, tally_status status, const struct tally_error *err)
{
	asking->is_over = true;
	asking->n_done++;
	asking->status = status;
	asking->ended_ms = clock_mono_ms();
	if (err)
		asking->err = *err;
}

static void
on_done(void *ctx, struct source_query *query, tally_status status, struct rows *rows,
	const struct tally_error *err)
{
	struct asking *asking = ctx;

	(void)query;
	asking->rows = rows;
	end(asking, status, err);
}

static void
on_described(void *ctx, tally_status status, struct source_shape *shape,
	     const struct tally_error *err)
{
	struct asking *asking = ctx;

	asking->described = shape;
	end(asking, status, err);
}

void
asking_start(struct asking *asking, struct source *source)
{
	asking->is_over = false;
	asking->query.done = on_done;
	asking->query.ctx = asking;
	source_query(source, &asking->query);
}

void
asking_describe(struct asking *asking, struct source *source)
{
	asking->is_over = false;
	source_describe(source, &asking->statement, asking->query.deadline_ms, on_described,
			asking);
}

bool
asking_wait(struct asking *asking, struct loop *loop)
{
	int64_t until_ms = clock_mono_ms() + ASKING_PATIENCE_MS;

	while (!asking->is_over && clock_mono_ms() < until_ms)
		loop_step(loop, 100);
	return asking->is_over;
}

tally_status
asking_run(struct asking *asking, struct source *source, struct loop *loop)
{
	asking_start(asking, source);
	return asking_wait(asking, loop) ? asking->status : TALLY_INTERNAL_ERROR;
}

void
asking_fini(struct asking *asking)
{
	rows_free(asking->rows);
	asking->rows = NULL;
	source_shape_free(asking->described);
	asking->described = NULL;
}
