/* The engine against an oracle: random tables in two databases, random datasets over them, random
 * batches.  The oracle is nested loops over strings, one request at a time, and shares nothing with
 * the engine but the text of the dataset.
 *
 * A failure names its seed; TALLY_SEED=n runs that one, TALLY_ROUNDS=n so many. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "support/chance.h"
#include "support/rig.h"

#define ROUNDS      500
#define TABLES      4
#define ROWS_MAX    40
#define CELLS_MAX   4
#define OUTPUTS_MAX 6
#define REQUESTS    24

/* ---- chance --------------------------------------------------------------------------------- */

static uint64_t state;

static unsigned
chance(unsigned n)
{
	return (unsigned)(chance_next(&state) >> 33) % n;
}

/* ---- tables --------------------------------------------------------------------------------- */

/* The columns of a joined row.  Parameters first. */
enum name { LOGIN, DAY, USER, NICK, ITEM, KIND, PRICE, WEIGHT, NOTE, SCORE, NAMES, NONE = NAMES };

static const struct {
	const char *name;
	enum tally_type type;
} names[NAMES] = {
	[LOGIN] = { "login",   TALLY_TEXT    },
          [DAY] = { "day",     TALLY_DATE    },
	[USER] = { "user_id", TALLY_INT     },
          [NICK] = { "nick",    TALLY_TEXT    },
	[ITEM] = { "item_id", TALLY_INT     },
          [KIND] = { "kind",    TALLY_TEXT    },
	[PRICE] = { "price",   TALLY_DECIMAL },
          [WEIGHT] = { "weight",  TALLY_FLOAT   },
	[NOTE] = { "note",    TALLY_TEXT    },
          [SCORE] = { "score",   TALLY_INT     },
};

/* What each step returns; its keys are its first columns. */
static const struct {
	const char *tag;
	size_t n_keys;
	size_t n_cells;
	enum name cells[CELLS_MAX];
} tables[TABLES] = {
	{ "users",  1, 3, { LOGIN, USER, NICK }     },
	{ "items",  2, 4, { USER, DAY, ITEM, KIND } },
	{ "prices", 1, 3, { ITEM, PRICE, WEIGHT }   },
	{ "notes",  1, 3, { USER, NOTE, SCORE }     },
};

static const char *const logins[] = { "ann", "bob", "cyd", "dan", "юля", "" };
static const char *const days[] = { "0001-01-01", "2024-02-29", "9999-12-31" };
static const char *const texts[] = { "a", "B", "b", "", "длинный текст", "日本", "aa" };
static const char *const prices[] = { "0.00", "1.50", "-1.50", "10.25", "99.99", "-0.01" };
static const char *const weights[] = { "0", "0.25", "-2.5", "1000", "3.75" };

#define ANY(array) (array)[chance(sizeof(array) / sizeof *(array))]

/* One world: its tables, its dataset, what the answers are made of. */
struct world {
	char cells[TABLES][ROWS_MAX][CELLS_MAX][40]; /* "~": null */
	size_t n_rows[TABLES];
	char lines[TABLES][ROWS_MAX][200];
	const char *rows[TABLES][ROWS_MAX + 1];
	bool is_kept[TABLES];
	size_t n_steps;
	size_t step[TABLES]; /* the tables in the order of the file */
	bool is_grouped;
	enum name group[2];
	size_t n_group;
	struct {
		enum definition_function function;
		enum name name;
		bool has_default;
	} outputs[OUTPUTS_MAX];
	size_t n_outputs;
	struct {
		size_t output;
		bool is_descending;
	} order[2];
	size_t n_order;
	unsigned limit;
	bool is_dan_refused; /* by the first step: halving finds him */
	char text[4096];
	size_t len;
};

static const char *
any_value(enum name name)
{
	static char number[16];

	switch (name) {
	case LOGIN:
		return ANY(logins);
	case DAY:
		return ANY(days);
	case PRICE:
		return ANY(prices);
	case WEIGHT:
		return ANY(weights);
	case USER:
	case ITEM:
		snprintf(number, sizeof number, "%u", chance(6));
		return number;
	case SCORE:
		snprintf(number, sizeof number, "%d", (int)chance(200) - 100);
		return number;
	default:
		return ANY(texts);
	}
}

static void
make_tables(struct world *world)
{
	for (size_t t = 0; t < TABLES; t++) {
		world->n_rows[t] = chance(10) == 0 ? 0 : chance(ROWS_MAX);
		for (size_t i = 0; i < world->n_rows[t]; i++) {
			char *line = world->lines[t][i];
			size_t len = 0;

			for (size_t c = 0; c < tables[t].n_cells; c++) {
				char *cell = world->cells[t][i][c];

				snprintf(cell, sizeof world->cells[t][i][c], "%s",
					 chance(8) == 0 ? "~" : any_value(tables[t].cells[c]));
				len += (size_t)snprintf(line + len, sizeof world->lines[t][i] - len,
							"%s%s", c ? "|" : "", cell);
			}
			world->rows[t][i] = line;
		}
		world->rows[t][world->n_rows[t]] = NULL;
	}
}

/* ---- datasets ------------------------------------------------------------------------------- */

static void
say(struct world *world, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	world->len += (size_t)vsnprintf(world->text + world->len, sizeof world->text - world->len,
					format, args);
	va_end(args);
	cr_assert_lt(world->len, sizeof world->text);
}

/* The steps: users first, then some of the others, each after the one its keys are of. */
static void
choose_steps(struct world *world)
{
	bool has_items = chance(4) != 0;
	bool has_prices = has_items && chance(3) != 0;
	bool has_notes = chance(2) == 0;
	bool is_notes_first = chance(2) == 0;

	world->step[world->n_steps++] = 0;
	if (has_notes && is_notes_first)
		world->step[world->n_steps++] = 3;
	if (has_items)
		world->step[world->n_steps++] = 1;
	if (has_notes && !is_notes_first)
		world->step[world->n_steps++] = 3;
	if (has_prices)
		world->step[world->n_steps++] = 2;
	for (size_t i = 0; i < TABLES; i++)
		world->is_kept[i] = chance(2) == 0;
}

/* A column that is there: a parameter, or of one of the steps. */
static enum name
any_name(const struct world *world)
{
	size_t table = world->step[chance((unsigned)world->n_steps)];

	if (chance(6) == 0)
		return chance(2) ? LOGIN : DAY;
	return tables[table].cells[chance((unsigned)tables[table].n_cells)];
}

static bool
is_number(enum name name)
{
	return names[name].type == TALLY_INT || names[name].type == TALLY_FLOAT
	       || names[name].type == TALLY_DECIMAL;
}

static bool
is_output(const struct world *world, enum name name)
{
	for (size_t i = 0; i < world->n_outputs; i++) {
		if (world->outputs[i].function == DEFINITION_PLAIN
		    && world->outputs[i].name == name)
			return true;
	}
	return false;
}

static void
add_output(struct world *world, enum definition_function function, enum name name)
{
	if (function == DEFINITION_PLAIN && is_output(world, name))
		return;
	world->outputs[world->n_outputs].function = function;
	world->outputs[world->n_outputs].name = name;
	world->outputs[world->n_outputs].has_default =
	    name != NONE && is_number(name) && function >= DEFINITION_SUM && chance(3) == 0;
	world->n_outputs++;
}

static void
choose_outputs(struct world *world)
{
	size_t n = 1 + chance(4);

	world->is_grouped = chance(2) == 0;
	if (!world->is_grouped) {
		for (size_t i = 0; i < n; i++)
			add_output(world, DEFINITION_PLAIN, any_name(world));
		return;
	}
	world->n_group = chance(3);
	world->group[0] = any_name(world);
	world->group[1] = any_name(world);
	if (world->n_group == 2 && world->group[0] == world->group[1])
		world->n_group = 1;
	for (size_t i = 0; i < world->n_group; i++) {
		if (chance(4) != 0)
			add_output(world, DEFINITION_PLAIN, world->group[i]);
	}
	for (size_t i = 0; i < n; i++) {
		enum definition_function function = 1 + chance(5);
		enum name name = any_name(world);

		if (function == DEFINITION_SUM && !is_number(name))
			function = DEFINITION_MAX;
		add_output(world, function,
			   function == DEFINITION_COUNT && chance(2) ? NONE : name);
	}
}

static void
choose_order(struct world *world)
{
	world->n_order = chance(3);
	for (size_t i = 0; i < world->n_order; i++) {
		world->order[i].output = chance((unsigned)world->n_outputs);
		world->order[i].is_descending = chance(2) == 0;
	}
	if (world->n_order == 2 && world->order[0].output == world->order[1].output)
		world->n_order = 1;
	world->limit = chance(3) == 0 ? 1 + chance(5) : 0;
}

static void
say_output(struct world *world, size_t i)
{
	static const char *const functions[] = {
		"", "count(%s)", "count(distinct %s)", "sum(%s)", "min(%s)", "max(%s)",
	};
	enum definition_function function = world->outputs[i].function;
	enum name name = world->outputs[i].name;
	bool is_count = function == DEFINITION_COUNT || function == DEFINITION_COUNT_DISTINCT;
	char call[64];
	char *mark;

	if (function == DEFINITION_PLAIN) {
		say(world, "-- column %s %s null\n", names[name].name,
		    tally_type_name(names[name].type));
		return;
	}
	snprintf(call, sizeof call, "%s", functions[function]);
	mark = strstr(call, "%s");
	snprintf(mark, sizeof call - (size_t)(mark - call), "%s)",
		 name == NONE ? "*" : names[name].name);
	say(world, "-- column f%zu %s null = %s%s\n", i,
	    is_count ? "int" : tally_type_name(names[name].type), call,
	    world->outputs[i].has_default ? " default 7" : "");
}

static void
say_step(struct world *world, size_t table)
{
	say(world, "-- step %s on %s by ", tables[table].tag, table % 2 ? "db2" : "db1");
	for (size_t i = 0; i < tables[table].n_keys; i++)
		say(world, "%s%s", i ? ", " : "", names[tables[table].cells[i]].name);
	say(world, "%s%s\n%s", world->is_kept[table] ? " keep" : "",
	    chance(4) == 0 ? " cache 1s" : "", tables[table].tag);
	for (size_t i = 0; i < tables[table].n_keys; i++)
		say(world, " :%s", names[tables[table].cells[i]].name);
	say(world, ";\n");
}

static void
say_dataset(struct world *world)
{
	say(world, "-- dataset t: random\n-- param login text\n-- param day date\n");
	for (size_t i = 0; i < world->n_outputs; i++)
		say_output(world, i);
	for (size_t i = 0; i < world->n_group; i++)
		say(world, "%s%s%s", i ? ", " : "-- group by ", names[world->group[i]].name,
		    i + 1 == world->n_group ? "\n" : "");
	for (size_t i = 0; i < world->n_order; i++) {
		size_t output = world->order[i].output;

		say(world, "%s", i ? ", " : "-- order ");
		if (world->outputs[output].function == DEFINITION_PLAIN)
			say(world, "%s", names[world->outputs[output].name].name);
		else
			say(world, "f%zu", output);
		say(world, "%s%s", world->order[i].is_descending ? " desc" : "",
		    i + 1 == world->n_order ? "\n" : "");
	}
	if (world->limit)
		say(world, "-- limit %u\n", world->limit);
	for (size_t i = 0; i < world->n_steps; i++)
		say_step(world, world->step[i]);
}

/* ---- the oracle: joins ---------------------------------------------------------------------- */

/* A joined row: a text for each column, NULL for null. */
struct joined {
	const char *cells[NAMES];
};

/* Rows of the answer, as texts too. */
struct answer {
	char cells[OUTPUTS_MAX][48];
	bool is_null[OUTPUTS_MAX];
};

/* Lines that grow. */
struct lines {
	struct joined *items;
	size_t n;
	size_t cap;
};

static struct joined *
add_line(struct lines *lines, const struct joined *line)
{
	if (lines->n == lines->cap) {
		lines->cap = lines->cap ? 2 * lines->cap : 16;
		lines->items = reallocarray(lines->items, lines->cap, sizeof *lines->items);
		cr_assert(lines->items);
	}
	lines->items[lines->n] = *line;
	return &lines->items[lines->n++];
}

static const char *
text_or_null(const char *cell)
{
	return strcmp(cell, "~") == 0 ? NULL : cell;
}

/* Whether a table's row goes with a line: null keys of requests find null, of rows nothing. */
static bool
do_match(const struct world *world, const struct joined *line, size_t table, size_t row)
{
	for (size_t i = 0; i < tables[table].n_keys; i++) {
		enum name name = tables[table].cells[i];
		const char *a = line->cells[name];
		const char *b = text_or_null(world->cells[table][row][i]);
		bool may_be_null = name == LOGIN || name == DAY;

		if (a && b ? strcmp(a, b) != 0 : a != b || !may_be_null)
			return false;
	}
	return true;
}

static void
join_line(const struct world *world, const struct joined *line, size_t table, struct lines *out)
{
	size_t n_before = out->n;

	for (size_t row = 0; row < world->n_rows[table]; row++) {
		if (!do_match(world, line, table, row))
			continue;
		struct joined *joined = add_line(out, line);
		for (size_t c = tables[table].n_keys; c < tables[table].n_cells; c++)
			joined->cells[tables[table].cells[c]] =
			    text_or_null(world->cells[table][row][c]);
	}
	if (out->n == n_before && world->is_kept[table])
		add_line(out, line);
}

/* The lines of one request; the caller frees them. */
static struct lines
join_all(const struct world *world, const char *login, const char *day)
{
	struct joined first = {
		.cells = { [LOGIN] = login, [DAY] = day }
	};
	struct lines lines = { 0 };

	add_line(&lines, &first);
	for (size_t i = 0; i < world->n_steps; i++) {
		struct lines next = { 0 };

		for (size_t k = 0; k < lines.n; k++)
			join_line(world, &lines.items[k], world->step[i], &next);
		free(lines.items);
		lines = next;
	}
	return lines;
}

/* ---- the oracle: groups --------------------------------------------------------------------- */

/* Order of two texts of a type, by what they mean: all numbers here are exact as hundredths. */
static int
compare_texts(enum tally_type type, const char *a, const char *b)
{
	if (type == TALLY_TEXT || type == TALLY_DATE)
		return strcmp(a, b);
	double x = strtod(a, NULL);
	double y = strtod(b, NULL);
	return x < y ? -1 : x > y;
}

static bool
is_same_group(const struct world *world, const struct joined *a, const struct joined *b)
{
	for (size_t i = 0; i < world->n_group; i++) {
		const char *x = a->cells[world->group[i]];
		const char *y = b->cells[world->group[i]];

		if (x && y ? strcmp(x, y) != 0 : x != y)
			return false;
	}
	return true;
}

/* The lines of a group, by their numbers. */
struct members {
	const struct joined *lines;
	size_t *at;
	size_t n;
};

static size_t
count_values(const struct members *members, enum name name, bool is_distinct)
{
	size_t n = 0;

	for (size_t i = 0; i < members->n; i++) {
		const char *text = name == NONE ? "" : members->lines[members->at[i]].cells[name];
		bool is_new = text != NULL;

		for (size_t k = 0; is_distinct && is_new && k < i; k++) {
			const char *other = members->lines[members->at[k]].cells[name];

			is_new = !other || strcmp(other, text) != 0;
		}
		n += is_new;
	}
	return n;
}

/* The sum of numbers that are whole hundredths. */
static void
sum_values(const struct members *members, enum name name, char out[48])
{
	int64_t hundredths = 0;

	for (size_t i = 0; i < members->n; i++) {
		const char *text = members->lines[members->at[i]].cells[name];
		double number = text ? strtod(text, NULL) * 100 : 0;

		hundredths += (int64_t)(number < 0 ? number - 0.5 : number + 0.5);
	}
	if (names[name].type == TALLY_INT)
		snprintf(out, 48, "%" PRId64, hundredths / 100);
	else if (names[name].type == TALLY_FLOAT)
		snprintf(out, 48, "%.15g", (double)hundredths / 100);
	else
		snprintf(out, 48, "%s%" PRId64 ".%02d", hundredths < 0 ? "-" : "",
			 (hundredths < 0 ? -hundredths : hundredths) / 100,
			 (int)((hundredths < 0 ? -hundredths : hundredths) % 100));
}

static void
extreme_value(const struct members *members, enum name name, int sign, char out[48])
{
	const char *best = NULL;

	for (size_t i = 0; i < members->n; i++) {
		const char *text = members->lines[members->at[i]].cells[name];

		if (text && (!best || sign * compare_texts(names[name].type, text, best) > 0))
			best = text;
	}
	snprintf(out, 48, "%s", best);
}

static void
aggregate(const struct world *world, const struct members *members, size_t i, struct answer *answer)
{
	enum definition_function function = world->outputs[i].function;
	enum name name = world->outputs[i].name;
	bool is_distinct = function == DEFINITION_COUNT_DISTINCT;
	char *out = answer->cells[i];

	if (is_distinct || function == DEFINITION_COUNT) {
		snprintf(out, 48, "%zu", count_values(members, name, is_distinct));
		return;
	}
	if (count_values(members, name, false) == 0) {
		answer->is_null[i] = !world->outputs[i].has_default;
		snprintf(out, 48, "7");
		return;
	}
	if (function == DEFINITION_SUM)
		sum_values(members, name, out);
	else /* of a plain column all are equal */
		extreme_value(members, name, function == DEFINITION_MIN ? -1 : 1, out);
}

static size_t
group_lines(const struct world *world, const struct joined *lines, size_t n, struct answer *out)
{
	size_t *at = calloc(n + 1, sizeof *at);
	bool *is_taken = calloc(n + 1, sizeof *is_taken);
	size_t n_out = 0;

	cr_assert(at && is_taken);
	for (size_t i = 0; i < n; i++) {
		struct members members = { lines, at, 0 };

		if (is_taken[i])
			continue;
		for (size_t k = i; k < n; k++) {
			if (is_taken[k] || !is_same_group(world, &lines[i], &lines[k]))
				continue;
			is_taken[k] = true;
			at[members.n++] = k;
		}
		for (size_t k = 0; k < world->n_outputs; k++)
			aggregate(world, &members, k, &out[n_out]);
		n_out++;
	}
	if (n == 0 && world->n_group == 0) {
		struct members nobody = { lines, at, 0 };

		for (size_t k = 0; k < world->n_outputs; k++)
			aggregate(world, &nobody, k, &out[0]);
		n_out = 1;
	}
	free(at);
	free(is_taken);
	return n_out;
}

static size_t
plain_lines(const struct world *world, const struct joined *lines, size_t n, struct answer *out)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < world->n_outputs; k++) {
			const char *text = lines[i].cells[world->outputs[k].name];

			out[i].is_null[k] = !text;
			snprintf(out[i].cells[k], sizeof out[i].cells[k], "%s", text ? text : "");
		}
	}
	return n;
}

/* ---- the oracle: order and JSON ------------------------------------------------------------- */

static enum tally_type
output_type(const struct world *world, size_t i)
{
	enum definition_function function = world->outputs[i].function;

	if (function == DEFINITION_COUNT || function == DEFINITION_COUNT_DISTINCT)
		return TALLY_INT;
	return names[world->outputs[i].name].type;
}

static int
compare_output(const struct world *world, const struct answer *a, const struct answer *b, size_t i,
	       bool is_descending)
{
	if (a->is_null[i] || b->is_null[i])
		return a->is_null[i] - b->is_null[i]; /* last, also when descending */
	int order = compare_texts(output_type(world, i), a->cells[i], b->cells[i]);
	return is_descending ? -order : order;
}

static int
compare_answers(const void *left, const void *right, void *ctx)
{
	const struct world *world = ctx;

	for (size_t i = 0; i < world->n_order; i++) {
		int order = compare_output(world, left, right, world->order[i].output,
					   world->order[i].is_descending);

		if (order != 0)
			return order;
	}
	for (size_t i = 0; i < world->n_outputs; i++) {
		int order = compare_output(world, left, right, i, false);

		if (order != 0)
			return order;
	}
	return 0;
}

static void
print_answer(const struct world *world, const struct answer *answer, FILE *out)
{
	for (size_t i = 0; i < world->n_outputs; i++) {
		enum tally_type type = output_type(world, i);
		bool is_bare = type == TALLY_INT || type == TALLY_FLOAT || answer->is_null[i];
		const char *quote = is_bare ? "" : "\"";

		if (world->outputs[i].function == DEFINITION_PLAIN)
			fprintf(out, "%s\"%s\":", i ? "," : "{",
				names[world->outputs[i].name].name);
		else
			fprintf(out, "%s\"f%zu\":", i ? "," : "{", i);
		fprintf(out, "%s%s%s", quote, answer->is_null[i] ? "null" : answer->cells[i],
			quote);
	}
	fputc('}', out);
}

/* What a request comes to; the caller frees it. */
static char *
expect_rows(struct world *world, const char *login, const char *day)
{
	struct lines lines = join_all(world, login, day);
	size_t n = lines.n;
	struct answer *answers = calloc(n + 1, sizeof *answers);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert(answers && out);
	n = world->is_grouped ? group_lines(world, lines.items, n, answers)
			      : plain_lines(world, lines.items, n, answers);
	qsort_r(answers, n, sizeof *answers, compare_answers, world);
	if (world->limit && n > world->limit)
		n = world->limit;
	fputc('[', out);
	for (size_t i = 0; i < n; i++) {
		if (i)
			fputc(',', out);
		print_answer(world, &answers[i], out);
	}
	fputc(']', out);
	fclose(out);
	free(answers);
	free(lines.items);
	return text;
}

static char *
expect(struct world *world, const char *login, const char *day)
{
	if (world->is_dan_refused && login && strcmp(login, "dan") == 0)
		return strdup("source_error");
	return expect_rows(world, login, day);
}

/* ---- rounds --------------------------------------------------------------------------------- */

struct request {
	const char *login;
	const char *day;
};

static bool
is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Distinct requests, as the engine is promised. */
static size_t
choose_requests(struct request *requests)
{
	size_t wanted = 1 + chance(REQUESTS);
	size_t n = 0;

	for (size_t turn = 0; turn < wanted; turn++) {
		struct request request = {
			.login = chance(8) == 0 ? NULL : ANY(logins),
			.day = chance(3) == 0 ? NULL : ANY(days),
		};
		bool is_new = true;

		for (size_t i = 0; i < n; i++)
			is_new &= !is_same(requests[i].login, request.login)
				  || !is_same(requests[i].day, request.day);
		if (is_new)
			requests[n++] = request;
	}
	return n;
}

static void
check_batch(struct world *world, struct rig *rig, uint64_t seed)
{
	struct request requests[REQUESTS];
	size_t n = choose_requests(requests);

	rig_clear(rig);
	for (size_t i = 0; i < n; i++) {
		char text[128];

		snprintf(text, sizeof text, "%s%s&%s%s", requests[i].login ? "login=" : "login",
			 requests[i].login ? requests[i].login : "",
			 requests[i].day ? "day=" : "day", requests[i].day ? requests[i].day : "");
		rig_request(rig, text);
	}
	rig_run(rig);
	for (size_t i = 0; i < n; i++) {
		char *wanted = expect(world, requests[i].login, requests[i].day);

		cr_assert_str_eq(rig_data(rig, i), wanted, "TALLY_SEED=%" PRIu64 " (%s, %s)\n%s",
				 seed, requests[i].login ? requests[i].login : "null",
				 requests[i].day ? requests[i].day : "null", world->text);
		free(wanted);
	}
}

static tally_status
refuse_dan(void *ctx, const struct source_query *query, struct tally_error *err)
{
	const struct source_argument *keys = &query->arguments[0];

	(void)ctx;
	for (size_t i = 0; i < keys->n; i++) {
		const struct value *login = &keys->values[i];

		if (login->state == VALUE_SET && login->len == 3
		    && memcmp(login->text, "dan", 3) == 0)
			return tally_fail(err, TALLY_SOURCE_ERROR, "dan");
	}
	return TALLY_OK;
}

static void
fill_statement(struct world *world, size_t table, struct canned_statement *statement,
	       char columns[128])
{
	size_t len = 0;

	for (size_t c = 0; c < tables[table].n_cells; c++) {
		enum name name = tables[table].cells[c];

		len += (size_t)snprintf(columns + len, 128 - len, "%s%s %s", c ? ", " : "",
					names[name].name, tally_type_name(names[name].type));
	}
	*statement = (struct canned_statement){
		.tag = tables[table].tag,
		.columns = columns,
		.rows = world->rows[table],
		.delay_ms = chance(20) == 0 ? 1 : -(int)chance(2),
		.shuffle = ((uint64_t)chance(1u << 30) << 20) | 1,
	};
}

static void
run_round(uint64_t seed)
{
	struct world *world = calloc(1, sizeof *world);
	struct canned_statement statements[TABLES];
	char columns[TABLES][128];

	cr_assert(world);
	state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
	make_tables(world);
	choose_steps(world);
	choose_outputs(world);
	choose_order(world);
	say_dataset(world);
	for (size_t i = 0; i < TABLES; i++)
		fill_statement(world, i, &statements[i], columns[i]);
	world->is_dan_refused = chance(4) == 0;
	statements[0].check = world->is_dan_refused ? refuse_dan : NULL;
	struct rig *rig = rig_new(world->text, statements, TABLES);
	for (int i = 0; i < 3; i++) { /* the later ones find caches filled */
		rig->limits.now_ms = i * 600;
		check_batch(world, rig, seed);
	}
	rig_free(rig);
	free(world);
}

Test(engine_random, agrees_with_nested_loops)
{
	const char *seed = getenv("TALLY_SEED");
	const char *rounds = getenv("TALLY_ROUNDS");
	uint64_t n = rounds ? strtoull(rounds, NULL, 10) : ROUNDS;

	if (seed) {
		run_round(strtoull(seed, NULL, 10));
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		run_round(i);
}
