#include "bench/direct.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "source/pg_types.h"

#define NOWHERE         (-1)
#define MAX_ARRAY_BYTES ((size_t)16 << 20)

struct step {
	const struct definition_step *definition;
	const struct definition_sql *sql;
	PGconn *pg;
	bool owns_pg;                     /* false: an earlier step's */
	PGresult *rows;                   /* of this run; NULL before it */
	int from;                         /* the step whose rows are its keys, or NOWHERE */
	int column[DEFINITION_MAX_BINDS]; /* of those rows; NOWHERE: a parameter */
};

struct direct {
	const struct definition *definition;
	const char *login;
	struct step steps[DEFINITION_MAX_STEPS];
	struct buf arguments[DEFINITION_MAX_BINDS];
};

static void __attribute__((noreturn))
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "latency: %s: %s\n", what, why);
	exit(1);
}

/* ---- arguments --------------------------------------------------------------- */

static void
add(struct buf *buf, const char *text)
{
	if (buf_puts(buf, text) != TALLY_OK)
		die("an argument", "too large");
}

static void
add_element(struct buf *buf, const char *value)
{
	if (!value) {
		add(buf, "NULL");
		return;
	}
	add(buf, "\"");
	for (; *value; value++) {
		const char one[] = { *value, '\0' };

		if (*value == '"' || *value == '\\')
			add(buf, "\\");
		add(buf, one);
	}
	add(buf, "\"");
}

/* NULL: the parameter is null. */
static const char *
parameter(const struct direct *direct, const char *name)
{
	return strcmp(name, "login") == 0 ? direct->login : NULL;
}

static bool
is_key(const struct step *step, const char *name)
{
	for (size_t i = 0; i < step->definition->n_keys; i++) {
		if (strcmp(step->definition->keys[i], name) == 0)
			return true;
	}
	return false;
}

/* An array of one element for each row that the keys come from. */
static const char *
array(struct direct *direct, const struct step *step, size_t bind)
{
	const PGresult *rows = step->from == NOWHERE ? NULL : direct->steps[step->from].rows;
	int n = rows ? PQntuples(rows) : 1, column = step->column[bind];
	struct buf *buf = &direct->arguments[bind];

	buf->len = 0;
	add(buf, "{");
	for (int row = 0; row < n; row++) {
		if (row > 0)
			add(buf, ",");
		if (column == NOWHERE)
			add_element(buf, parameter(direct, step->sql->binds[bind]));
		else
			add_element(buf, PQgetisnull(rows, row, column)
					     ? NULL
					     : PQgetvalue(rows, row, column));
	}
	add(buf, "}");
	if (buf_append(buf, "", 1) != TALLY_OK)
		die("an argument", "too large");
	return buf->data;
}

/* ---- running ----------------------------------------------------------------- */

static void
run_step(struct direct *direct, struct step *step)
{
	const char *values[DEFINITION_MAX_BINDS];

	for (size_t i = 0; i < step->sql->n_binds; i++)
		values[i] = is_key(step, step->sql->binds[i])
				? array(direct, step, i)
				: parameter(direct, step->sql->binds[i]);
	step->rows = PQexecPrepared(step->pg, step->definition->name, (int)step->sql->n_binds,
				    values, NULL, NULL, 0);
	if (PQresultStatus(step->rows) != PGRES_TUPLES_OK)
		die(step->definition->name, PQresultErrorMessage(step->rows));
}

static void
forget_rows(struct direct *direct)
{
	for (size_t i = 0; i < direct->definition->n_steps; i++) {
		PQclear(direct->steps[i].rows);
		direct->steps[i].rows = NULL;
	}
}

void
direct_run(struct direct *direct, const char *login)
{
	direct->login = login;
	for (size_t i = 0; i < direct->definition->n_steps; i++)
		run_step(direct, &direct->steps[i]);
	forget_rows(direct);
}

/* ---- opening ----------------------------------------------------------------- */

static PGconn *
connect_to(const char *source)
{
	char name[128];
	const char *url;
	PGconn *pg;

	(void)snprintf(name, sizeof name, "TALLY_SOURCE_%s", source);
	for (char *c = name; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	url = getenv(name);
	if (!url)
		die(name, "not set");
	pg = PQconnectdb(url);
	if (PQstatus(pg) != CONNECTION_OK)
		die(name, PQerrorMessage(pg));
	return pg;
}

static void
find_connection(struct direct *direct, struct step *step)
{
	for (struct step *other = direct->steps; other < step; other++) {
		if (strcmp(other->definition->source, step->definition->source) == 0) {
			step->pg = other->pg;
			return;
		}
	}
	step->pg = connect_to(step->definition->source);
	step->owns_pg = true;
}

/* Where a bind's values come from: a parameter, or the latest step before that returns the name. */
static int
find_step(struct direct *direct, struct step *step, size_t bind, enum tally_type *out_type)
{
	const struct definition *definition = direct->definition;
	const char *name = step->sql->binds[bind];

	step->column[bind] = NOWHERE;
	for (size_t i = 0; i < definition->n_params; i++) {
		if (strcmp(definition->params[i].name, name) == 0) {
			*out_type = definition->params[i].type;
			return NOWHERE;
		}
	}
	for (int i = (int)(step - direct->steps) - 1; i >= 0; i--) {
		const PGresult *rows = direct->steps[i].rows;

		step->column[bind] = PQfnumber(rows, name);
		if (step->column[bind] == NOWHERE)
			continue;
		*out_type = pg_type_of(PQftype(rows, step->column[bind]));
		return i;
	}
	die(name, "no step returns it");
}

/* False when its keys are of more than one step. */
static bool
prepare(struct direct *direct, struct step *step)
{
	Oid types[DEFINITION_MAX_BINDS];
	PGresult *result;

	step->from = NOWHERE;
	for (size_t i = 0; i < step->sql->n_binds; i++) {
		enum tally_type type;
		int from = find_step(direct, step, i, &type);

		if (from != NOWHERE && step->from != NOWHERE && from != step->from)
			return false;
		if (from != NOWHERE)
			step->from = from;
		types[i] = pg_type_oid(type, is_key(step, step->sql->binds[i]));
	}
	result = PQprepare(step->pg, step->definition->name, step->sql->text,
			   (int)step->sql->n_binds, types);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(step->definition->name, PQresultErrorMessage(result));
	PQclear(result);
	return true;
}

/* The steps run as they are found, for the names of their columns. */
static bool
open_steps(struct direct *direct)
{
	direct->login = "";
	for (size_t i = 0; i < direct->definition->n_steps; i++) {
		struct step *step = &direct->steps[i];

		step->definition = &direct->definition->steps[i];
		step->sql = definition_sql_for(step->definition, "postgres");
		if (!step->sql)
			return false;
		find_connection(direct, step);
		if (!prepare(direct, step))
			return false;
		run_step(direct, step);
	}
	return true;
}

struct direct *
direct_open(const struct definition *definition)
{
	struct direct *direct = calloc(1, sizeof *direct);
	bool is_open;

	if (!direct)
		die("latency", "out of memory");
	direct->definition = definition;
	for (size_t i = 0; i < DEFINITION_MAX_BINDS; i++)
		direct->arguments[i] = BUF_INIT(MAX_ARRAY_BYTES);
	is_open = open_steps(direct);
	forget_rows(direct);
	if (is_open)
		return direct;
	direct_close(direct);
	return NULL;
}

void
direct_close(struct direct *direct)
{
	if (!direct)
		return;
	for (size_t i = 0; i < direct->definition->n_steps; i++) {
		if (direct->steps[i].owns_pg)
			PQfinish(direct->steps[i].pg);
	}
	for (size_t i = 0; i < DEFINITION_MAX_BINDS; i++)
		buf_fini(&direct->arguments[i]);
	free(direct);
}
