#include "source/ch_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "source/ch_value.h"

#define MAX_COLUMNS      1024
#define MAX_NAME_BYTES   4096
#define MAX_NUMBER_BYTES 9                 /* of LEB128: 63 bits */
#define MAX_REST_BYTES   ((size_t)1 << 40) /* lengths are checked one by one */

/* A piece that is being read; takers leave at alone when it ends too early. */
struct reader {
	const unsigned char *at;
	const unsigned char *end;
};

/* What became of one thing to read. */
enum taken { TAKEN, TAKEN_PARTLY, TAKEN_FAILED };

void
ch_rows_init(struct ch_rows *answer, const struct source_shape *expected, const char *where,
	     size_t budget_bytes)
{
	*answer = (struct ch_rows){
		.where = where,
		.expected = expected,
		.budget_bytes = budget_bytes,
		.rest = BUF_INIT(MAX_REST_BYTES),
	};
}

void
ch_rows_fini(struct ch_rows *answer)
{
	for (size_t i = 0; answer->names && i < answer->n_columns; i++)
		free(answer->names[i]);
	free(answer->names);
	free(answer->types);
	rows_free(answer->rows);
	buf_fini(&answer->rest);
	*answer = (struct ch_rows){ 0 };
}

static size_t
left(const struct reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

static enum taken
fail(const struct ch_rows *answer, tally_status status, struct tally_error *err)
{
	switch (status) {
	case TALLY_TOO_LARGE:
		(void)tally_fail(err, status, "%s: the rows take more than %zu bytes",
				 answer->where, answer->budget_bytes);
		break;
	case TALLY_SOURCE_ERROR:
		(void)tally_fail(err, status, "%s: the answer is not in RowBinaryWithNamesAndTypes",
				 answer->where);
		break;
	default:
		(void)tally_fail(err, TALLY_NO_MEMORY, "out of memory");
		break;
	}
	return TAKEN_FAILED;
}

static enum taken
take_number(const struct ch_rows *answer, struct reader *reader, uint64_t *out_number,
	    struct tally_error *err)
{
	uint64_t number = 0;

	for (size_t i = 0; i < MAX_NUMBER_BYTES; i++) {
		if (i == left(reader))
			return TAKEN_PARTLY;
		number |= (uint64_t)(reader->at[i] & 0x7f) << 7 * i;
		if (!(reader->at[i] & 0x80)) {
			reader->at += i + 1;
			*out_number = number;
			return TAKEN;
		}
	}
	return fail(answer, TALLY_SOURCE_ERROR, err);
}

/* A length and so many bytes; past max_bytes it fails with too_long. */
static enum taken
take_text(const struct ch_rows *answer, struct reader *reader, size_t max_bytes,
	  struct reader *out_text, struct tally_error *err)
{
	struct reader text = *reader;
	uint64_t len;
	enum taken taken = take_number(answer, &text, &len, err);

	if (taken != TAKEN)
		return taken;
	if (len > max_bytes)
		return fail(answer,
			    answer->stage == CH_STAGE_CELLS ? TALLY_TOO_LARGE : TALLY_SOURCE_ERROR,
			    err);
	if (len > left(&text))
		return TAKEN_PARTLY;
	*out_text = (struct reader){ text.at, text.at + len };
	reader->at = text.at + len;
	return TAKEN;
}

/* ---- columns ----------------------------------------------------------------- */

static enum taken
take_count(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	uint64_t n;
	enum taken taken = take_number(answer, reader, &n, err);

	if (taken != TAKEN)
		return taken;
	if (n == 0 || n > MAX_COLUMNS)
		return fail(answer, TALLY_SOURCE_ERROR, err);
	answer->names = calloc(n, sizeof *answer->names);
	answer->types = calloc(n, sizeof *answer->types);
	if (!answer->names || !answer->types)
		return fail(answer, TALLY_NO_MEMORY, err);
	answer->n_columns = n;
	answer->stage = CH_STAGE_NAMES;
	return TAKEN;
}

static enum taken
take_name(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	struct reader name;
	enum taken taken = take_text(answer, reader, MAX_NAME_BYTES, &name, err);

	if (taken != TAKEN)
		return taken;
	answer->names[answer->at] = strndup((const char *)name.at, left(&name));
	if (!answer->names[answer->at])
		return fail(answer, TALLY_NO_MEMORY, err);
	if (++answer->at == answer->n_columns) {
		answer->at = 0;
		answer->stage = CH_STAGE_TYPES;
	}
	return TAKEN;
}

static enum taken
refuse_type(const struct ch_rows *answer, const struct reader *type, struct tally_error *err)
{
	(void)tally_fail(err, TALLY_SOURCE_ERROR,
			 "%s: column %.100s has type %.*s, which Tally does not know; cast it, for "
			 "example with toString",
			 answer->where, answer->names[answer->at],
			 (int)(left(type) < 100 ? left(type) : 100), (const char *)type->at);
	return TAKEN_FAILED;
}

static enum taken
check_columns(const struct ch_rows *answer, struct tally_error *err)
{
	const struct source_shape *expected = answer->expected;
	bool is_same = !expected || expected->n_columns == answer->n_columns;

	for (size_t i = 0; expected && is_same && i < answer->n_columns; i++)
		is_same = expected->columns[i].type == answer->types[i].type
			  && strcmp(expected->columns[i].name, answer->names[i]) == 0;
	if (is_same)
		return TAKEN;
	(void)tally_fail(err, TALLY_SOURCE_ERROR,
			 "%s: the statement returns other columns than at the start",
			 answer->where);
	return TAKEN_FAILED;
}

static enum taken
take_type(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	struct reader type;
	enum taken taken = take_text(answer, reader, MAX_NAME_BYTES, &type, err);

	if (taken != TAKEN)
		return taken;
	if (!ch_type_parse((const char *)type.at, left(&type), &answer->types[answer->at]))
		return refuse_type(answer, &type, err);
	if (++answer->at < answer->n_columns)
		return TAKEN;
	answer->at = 0;
	answer->stage = CH_STAGE_CELLS;
	return check_columns(answer, err);
}

/* ---- rows -------------------------------------------------------------------- */

static enum taken
begin_row(struct ch_rows *answer, struct tally_error *err)
{
	tally_status status;

	if (!answer->rows)
		answer->rows = rows_new(answer->n_columns, answer->budget_bytes);
	status = answer->rows ? rows_add(answer->rows, &answer->cells) : TALLY_NO_MEMORY;
	return status == TALLY_OK ? TAKEN : fail(answer, status, err);
}

/* The bytes of a value that is not null. */
static enum taken
take_bytes(const struct ch_rows *answer, struct reader *reader, struct reader *out_bytes,
	   struct tally_error *err)
{
	const struct ch_type *type = &answer->types[answer->at];

	if (type->kind == CH_STRING)
		return take_text(answer, reader, answer->budget_bytes, out_bytes, err);
	if (type->size > answer->budget_bytes)
		return fail(answer, TALLY_TOO_LARGE, err);
	if (type->size > left(reader))
		return TAKEN_PARTLY;
	*out_bytes = (struct reader){ reader->at, reader->at + type->size };
	reader->at += type->size;
	return TAKEN;
}

static void
next_cell(struct ch_rows *answer)
{
	answer->at = (answer->at + 1) % answer->n_columns;
}

static enum taken
take_set(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	struct reader bytes;
	enum taken taken = take_bytes(answer, reader, &bytes, err);
	tally_status status;

	if (taken != TAKEN)
		return taken;
	status = ch_value_read(&answer->types[answer->at], bytes.at, left(&bytes), answer->rows,
			       &answer->cells[answer->at]);
	next_cell(answer);
	return status == TALLY_OK ? TAKEN : fail(answer, status, err);
}

static enum taken
take_cell(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	const struct ch_type *type = &answer->types[answer->at];
	struct reader value = *reader;
	enum taken taken = TAKEN;

	if (left(reader) == 0)
		return TAKEN_PARTLY;
	/* A row begins with its first byte, not with its first value. */
	if (answer->at == 0 && !answer->cells)
		taken = begin_row(answer, err);
	if (taken != TAKEN)
		return taken;
	if (type->is_nullable && *value.at > 1)
		return fail(answer, TALLY_SOURCE_ERROR, err);
	if (type->is_nullable && *value.at++ == 1) {
		answer->cells[answer->at].type = (uint8_t)type->type;
		next_cell(answer);
	} else {
		taken = take_set(answer, &value, err);
	}
	if (taken != TAKEN)
		return taken;
	if (answer->at == 0)
		answer->cells = NULL; /* the row is whole */
	reader->at = value.at;
	return TAKEN;
}

static enum taken
take_next(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	switch (answer->stage) {
	case CH_STAGE_COUNT:
		return take_count(answer, reader, err);
	case CH_STAGE_NAMES:
		return take_name(answer, reader, err);
	case CH_STAGE_TYPES:
		return take_type(answer, reader, err);
	default:
		return take_cell(answer, reader, err);
	}
}

static tally_status
take_all(struct ch_rows *answer, struct reader *reader, struct tally_error *err)
{
	enum taken taken;
	struct tally_error why = { .status = TALLY_INTERNAL_ERROR };

	do {
		taken = take_next(answer, reader, &why);
	} while (taken == TAKEN);
	if (taken == TAKEN_PARTLY)
		return TALLY_OK;
	if (err)
		*err = why;
	return why.status;
}

/* ---- pieces ------------------------------------------------------------------ */

static tally_status
feed_rest(struct ch_rows *answer, struct tally_error *err)
{
	struct buf *rest = &answer->rest;
	struct reader reader = { (const unsigned char *)rest->data,
				 (const unsigned char *)rest->data + rest->len };
	tally_status status = take_all(answer, &reader, err);
	size_t n = left(&reader);

	if (status == TALLY_OK && n < rest->len) {
		memmove(rest->data, reader.at, n);
		rest->len = n;
	}
	return status;
}

tally_status
ch_rows_feed(struct ch_rows *answer, const char *data, size_t len, struct tally_error *err)
{
	struct reader reader = { (const unsigned char *)data, (const unsigned char *)data + len };
	tally_status status = TALLY_OK;

	if (answer->rest.len == 0) {
		status = take_all(answer, &reader, err);
		if (status != TALLY_OK)
			return status;
	}
	if (left(&reader) == 0)
		return TALLY_OK;
	if (buf_append(&answer->rest, reader.at, left(&reader)) != TALLY_OK)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	/* What is left of a piece that was read alone needs no second look. */
	return reader.at == (const unsigned char *)data ? feed_rest(answer, err) : TALLY_OK;
}

bool
ch_rows_is_whole(const struct ch_rows *answer)
{
	return answer->stage == CH_STAGE_CELLS && !answer->cells && answer->rest.len == 0;
}

struct rows *
ch_rows_take(struct ch_rows *answer)
{
	if (!answer->rows)
		return rows_new(answer->n_columns, answer->budget_bytes);
	return TAKE(answer->rows);
}
