/* What is written is what is read: rows of a database, made from the input, become a REST body, CSV
 * and NDJSON; all three are parsed again, by others than their writers, and hold the same values. */
#include "fuzz/fuzz.h"

#include <jansson.h>
#include <math.h>
#include <regex.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "dataset/engine.h"
#include "dataset/transcode.h"
#include "source/date.h"
#include "support/canned.h"

#define COLUMNS  9
#define MAX_ROWS 4
#define OUT_MAX  ((size_t)8 << 20)

static const char dataset[] = "-- dataset t\n"
			      "-- column a text null\n"
			      "-- column b int null\n"
			      "-- column c float null\n"
			      "-- column d bool null\n"
			      "-- column e date null\n"
			      "-- column f timestamp null\n"
			      "-- column g timestamptz null\n"
			      "-- column h uuid null\n"
			      "-- column i decimal null\n"
			      "-- step s on db1\n"
			      "SELECT 1;\n";

/* ---- rows of the input ------------------------------------------------------- */

struct input {
	const uint8_t *at;
	size_t left;
	struct rows *rows; /* that were made; the engine's */
	bool is_bad;       /* one of the values cannot be represented */
};

static uint64_t
take(struct input *input, size_t n)
{
	uint64_t number = 0;

	for (; n > 0 && input->left > 0; n--, input->left--)
		number = number << 8 | *input->at++;
	return number;
}

static tally_status
take_text(struct input *input, struct value *value)
{
	size_t len = (size_t)take(input, 1);

	if (len > input->left)
		len = input->left;
	value->len = (uint32_t)len;
	tally_status status =
	    rows_copy_text(input->rows, (const char *)input->at, len, &value->text);
	input->is_bad = input->is_bad || !utf8_valid((const char *)input->at, len, NULL);
	input->at += len;
	input->left -= len;
	return status;
}

/* Digits and at most one point, as a driver writes them; what is no decimal is null. */
static tally_status
take_decimal(struct input *input, struct value *value)
{
	char text[44];
	size_t n = 1 + take(input, 1) % 40, point = take(input, 1) % 41, len = 0;

	if (take(input, 1) & 1)
		text[len++] = '-';
	for (size_t i = 0; i < n; i++) {
		if (i == point && i > 0)
			text[len++] = '.';
		text[len++] = (char)('0' + take(input, 1) % 10);
	}
	if (value_parse(TALLY_DECIMAL, text, len, value, NULL) != TALLY_OK) {
		*value = (struct value){ .type = TALLY_DECIMAL };
		return TALLY_OK;
	}
	return rows_copy_text(input->rows, text, len, &value->text);
}

static void
take_float(struct input *input, struct value *value)
{
	uint64_t bits = take(input, 8);

	memcpy(&value->f, &bits, sizeof value->f);
	if (!isfinite(value->f))
		value->state = VALUE_BAD;
}

/* Days or microseconds within the years that there are. */
static int64_t
take_time(struct input *input, int64_t unit)
{
	int64_t least = DATE_MIN_DAYS * unit, most = (DATE_MAX_DAYS + 1) * unit - 1;

	return least + (int64_t)(take(input, 8) % (uint64_t)(most - least + 1));
}

static tally_status
take_value(struct input *input, enum tally_type type, struct value *value)
{
	tally_status status = TALLY_OK;

	*value = (struct value){ .type = (uint8_t)type, .state = VALUE_SET };
	if (type == TALLY_TEXT)
		status = take_text(input, value);
	else if (type == TALLY_DECIMAL)
		status = take_decimal(input, value);
	else if (type == TALLY_FLOAT)
		take_float(input, value);
	else if (type == TALLY_INT)
		value->i = (int64_t)take(input, 8);
	else if (type == TALLY_BOOL)
		value->i = (int64_t)take(input, 1) & 1;
	else if (type == TALLY_UUID)
		for (size_t i = 0; i < 16; i++)
			value->uuid[i] = (unsigned char)take(input, 1);
	else
		value->i = take_time(input, type == TALLY_DATE ? 1 : DATE_US_OF_DAY);
	input->is_bad = input->is_bad || value->state == VALUE_BAD;
	return status;
}

static tally_status
make_rows(void *ctx, const struct source_query *query, struct rows *rows)
{
	struct input *input = ctx;
	tally_status status = TALLY_OK;

	input->rows = rows;
	while (status == TALLY_OK && input->left > 0 && rows->n_rows < MAX_ROWS) {
		uint64_t nulls = take(input, 2);
		struct value *cells;

		status = rows_add(rows, &cells);
		for (size_t i = 0; status == TALLY_OK && i < COLUMNS; i++) {
			enum tally_type type = query->statement->shape->columns[i].type;

			if (nulls >> i & 1)
				cells[i] = (struct value){ .type = (uint8_t)type };
			else
				status = take_value(input, type, &cells[i]);
		}
	}
	return status;
}

/* ---- JSON -------------------------------------------------------------------- */

static bool
is_text(const json_t *json, const char *text, size_t len)
{
	return json_is_string(json) && json_string_length(json) == len
	       && memcmp(json_string_value(json), text, len) == 0;
}

static bool
is_same(const json_t *json, const struct value *value)
{
	char text[VALUE_FORMAT_MAX];
	size_t len;

	if (value->state == VALUE_NULL)
		return json_is_null(json);
	switch ((enum tally_type)value->type) {
	case TALLY_TEXT:
	case TALLY_DECIMAL:
		return is_text(json, value->text, value->len);
	case TALLY_INT:
		return json_is_integer(json) && json_integer_value(json) == value->i;
	case TALLY_FLOAT: /* 1e2 is written as 100 */
		return json_is_number(json) && json_number_value(json) == value->f;
	case TALLY_BOOL:
		return json_is_boolean(json) && json_is_true(json) == (value->i != 0);
	default:
		len = value_format(value, text);
		return is_text(json, text, len);
	}
}

static bool
is_row(const json_t *row, const struct value *cells)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		char name[] = { (char)('a' + i), '\0' };

		if (!is_same(json_object_get(row, name), &cells[i]))
			return false;
	}
	return json_object_size(row) == COLUMNS;
}

/* Each row of the database is one of the answer, in whatever order. */
static void
must_be_rows(const json_t *data, const struct value *cells, size_t n)
{
	bool is_taken[MAX_ROWS] = { false };

	FUZZ_MUST(json_array_size(data) == n);
	for (size_t i = 0; i < n; i++) {
		size_t found = 0;

		while (found < n
		       && (is_taken[found]
			   || !is_row(json_array_get(data, i), cells + found * COLUMNS)))
			found++;
		FUZZ_MUST(found < n);
		is_taken[found] = true;
	}
}

/* ---- CSV --------------------------------------------------------------------- */

struct cell {
	char *text; /* of the document, unquoted in place */
	size_t len;
	bool is_quoted;
};

/* Reads a cell (RFC 4180) and what ends it, a comma or CR LF. */
static char *
read_cell(char *at, char *end, struct cell *cell, bool *out_is_last)
{
	char *to;

	*cell = (struct cell){ .text = at, .is_quoted = at < end && *at == '"' };
	to = cell->text = cell->is_quoted ? ++at : at;
	while (at < end) {
		if (cell->is_quoted && *at == '"' && at + 1 < end && at[1] == '"')
			at++;
		else if (cell->is_quoted ? *at == '"' : *at == ',' || *at == '\r')
			break;
		FUZZ_MUST(cell->is_quoted || (*at != '\n' && *at != '"'));
		*to++ = *at++;
	}
	cell->len = (size_t)(to - cell->text);
	at += cell->is_quoted;
	FUZZ_MUST(at < end && (*at == ',' || (*at == '\r' && at + 1 < end && at[1] == '\n')));
	*out_is_last = *at == '\r';
	return at + (*out_is_last ? 2 : 1);
}

static bool
is_formula(const char *text, size_t len)
{
	return len > 0 && text[0] != '\0' && strchr("=+-@\t\r", text[0]);
}

/* A number as a whole (RFC 8259, section 6) means what it says. */
static bool
is_number(const char *text, size_t len)
{
	static regex_t number;
	static bool is_ready;
	regmatch_t match = { .rm_so = 0, .rm_eo = (regoff_t)len };

	if (!is_ready)
		FUZZ_MUST(regcomp(&number, "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$",
				  REG_EXTENDED)
			  == 0);
	is_ready = true;
	/* $ would also stand before a line end. */
	return !memchr(text, '\n', len) && regexec(&number, text, 1, &match, REG_STARTEND) == 0;
}

static void
must_be_text(const struct cell *cell, const char *text, size_t len, bool csv_safe)
{
	const char *at = cell->text;
	size_t left = cell->len;

	if (csv_safe && is_formula(text, len) && !is_number(text, len)) {
		FUZZ_MUST(left > 0 && *at == '\'');
		at++;
		left--;
	}
	FUZZ_MUST(left == len && memcmp(at, text, len) == 0);
	FUZZ_MUST(len > 0 || cell->is_quoted); /* unquoted it would be null */
}

static void
must_be_cell(const struct cell *cell, const json_t *json, bool csv_safe)
{
	if (json_is_null(json)) {
		FUZZ_MUST(cell->len == 0 && !cell->is_quoted);
		return;
	}
	if (json_is_string(json)) {
		must_be_text(cell, json_string_value(json), json_string_length(json), csv_safe);
		return;
	}
	/* A number or boolean: as in JSON. */
	json_t *again = json_loadb(cell->text, cell->len, JSON_DECODE_ANY, NULL);
	FUZZ_MUST(again && json_equal(again, json));
	json_decref(again);
}

static void
must_be_csv(char *text, size_t len, const json_t *data, bool csv_safe)
{
	static const char header[] = "a,b,c,d,e,f,g,h,i\r\n";
	char *end = text + len, *at = text + sizeof header - 1;
	bool is_last = true;

	FUZZ_MUST(len >= sizeof header - 1 && memcmp(text, header, sizeof header - 1) == 0);
	for (size_t i = 0; i < json_array_size(data); i++) {
		for (size_t column = 0; column < COLUMNS; column++) {
			char name[] = { (char)('a' + column), '\0' };
			struct cell cell;

			at = read_cell(at, end, &cell, &is_last);
			FUZZ_MUST(is_last == (column == COLUMNS - 1));
			must_be_cell(&cell, json_object_get(json_array_get(data, i), name),
				     csv_safe);
		}
	}
	FUZZ_MUST(at == end);
}

/* ---- NDJSON ------------------------------------------------------------------ */

static void
must_be_lines(char *text, size_t len, const json_t *data)
{
	char *end = text + len;

	for (size_t i = 0; i < json_array_size(data); i++) {
		char *stop = memchr(text, '\n', (size_t)(end - text));

		FUZZ_MUST(stop != NULL);
		json_t *row = json_loadb(text, (size_t)(stop - text), JSON_ALLOW_NUL, NULL);
		FUZZ_MUST(row && json_equal(row, json_array_get(data, i)));
		json_decref(row);
		text = stop + 1;
	}
	FUZZ_MUST(text == end);
}

/* ---- all of it --------------------------------------------------------------- */

struct asked {
	struct definition *definition;
	struct input input;
	size_t slice;
	bool is_answered;
};

static void
transcode(const struct asked *asked, enum transcode_format format, bool csv_safe,
	  const struct engine_answer *answer, struct buf *out)
{
	struct transcode *stream =
	    transcode_new(asked->definition, format, csv_safe, answer->body, answer->body_len);
	size_t n = 1;

	FUZZ_MUST(stream != NULL);
	while (n > 0) {
		FUZZ_MUST(buf_reserve(out, asked->slice) == TALLY_OK);
		FUZZ_MUST(transcode_read(stream, out->data + out->len, asked->slice, &n)
			  == TALLY_OK);
		out->len += n;
	}
	transcode_free(stream);
}

static void
check_forms(const struct asked *asked, const struct engine_answer *answer, const json_t *data)
{
	for (int i = 0; i < 3; i++) {
		struct buf out = BUF_INIT(OUT_MAX);
		bool csv_safe = i == 1;

		transcode(asked, i < 2 ? TRANSCODE_CSV : TRANSCODE_NDJSON, csv_safe, answer, &out);
		FUZZ_MUST(buf_reserve(&out, 1) == TALLY_OK);
		if (i < 2)
			must_be_csv(out.data, out.len, data, csv_safe);
		else
			must_be_lines(out.data, out.len, data);
		buf_fini(&out);
	}
}

static void
on_answer(void *ctx, struct engine_run *run, size_t request, struct engine_answer *answer)
{
	struct asked *asked = ctx;
	const struct rows *rows = asked->input.rows;

	(void)run;
	FUZZ_MUST(request == 0 && !asked->is_answered);
	asked->is_answered = true;
	if (asked->input.is_bad) {
		FUZZ_MUST(answer->status == TALLY_UNSUPPORTED_VALUE && !answer->body);
		return;
	}
	FUZZ_MUST(answer->status == TALLY_OK && answer->n_rows == rows->n_rows);
	FUZZ_MUST(utf8_valid(answer->body, answer->body_len, NULL));
	json_t *document = json_loadb(answer->body, answer->body_len,
				      JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	const json_t *data = json_object_get(document, "data");
	FUZZ_MUST(data
		  && strcmp(json_string_value(json_object_get(document, "status")), "ok") == 0);
	must_be_rows(data, rows->cells, rows->n_rows);
	check_forms(asked, answer, data);
	json_decref(document);
	free(answer->body);
	answer->body = NULL;
}

static void
on_end(void *ctx, struct engine_run *run)
{
	(void)run;
	FUZZ_MUST(((struct asked *)ctx)->is_answered);
}

static void
on_described(void *ctx, struct plan *plan, tally_status status, const struct tally_error *err)
{
	(void)ctx;
	(void)plan;
	(void)err;
	FUZZ_MUST(status == TALLY_OK);
}

static struct canned_statement statement = {
	.tag = "",
	.columns = "a text, b int, c float, d bool, e date, f timestamp, g timestamptz, h uuid, "
		   "i decimal",
	.answer = make_rows,
	.delay_ms = CANNED_AT_ONCE,
};

static struct plan *
make_plan(struct definition *definition)
{
	static struct source *source;
	static const struct plan_sources sources = { &source, 1 };
	struct plan *plan;

	source = canned_new("db1", NULL, &statement, 1);
	FUZZ_MUST(source && plan_new(definition, &sources, &plan, NULL) == TALLY_OK);
	plan_describe(plan, INT64_MAX, on_described, NULL);
	return plan;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct definition *definition;
	static struct plan *plan;
	static struct params *params;
	const struct engine_limits limits = { .now_ms = 1,
					      .deadline_ms = INT64_MAX,
					      .batch_bytes = 1 << 22,
					      .result_bytes = 1 << 22 };
	struct asked asked = {
		.input = { data, size, NULL, false }
	};
	const struct engine_events events = { on_answer, NULL, on_end, &asked };
	struct params_faults faults;
	struct engine_run *run;

	if (!plan) {
		definition = fuzz_definition(dataset);
		plan = make_plan(definition);
		FUZZ_MUST(params_from_texts(definition, NULL, 0, &params, &faults, NULL)
			  == TALLY_OK);
	}
	asked.definition = definition;
	asked.slice = 1 + (size_t)take(&asked.input, 1) * 3;
	statement.ctx = &asked.input;
	FUZZ_MUST(
	    engine_start(plan, (const struct params *const[]){ params }, 1, &limits, &events, &run)
	    == TALLY_OK);
	FUZZ_MUST(!run);
	return 0;
}
