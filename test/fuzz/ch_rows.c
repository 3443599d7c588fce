/* An answer of ClickHouse in RowBinaryWithNamesAndTypes: read whole, and in pieces of any size, it is
 * the same rows or fails the same way. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "source/ch_rows.h"
#include "source/ch_value.h"

#define BUDGET (1 << 16)

static struct source_column columns[] = {
	{ (char[]){ "a" }, TALLY_INT  },
        { (char[]){ "b" }, TALLY_TEXT }
};
static const struct source_shape shape = { columns, 2 };

struct outcome {
	tally_status status;
	bool is_whole;
	struct rows *rows;
};

static struct outcome
read_in(const uint8_t *data, size_t size, size_t slice, const struct source_shape *expected)
{
	struct outcome outcome = { .status = TALLY_OK };
	struct tally_error err = { 0 };
	struct ch_rows answer;

	ch_rows_init(&answer, expected, "t.sql:1", BUDGET);
	for (size_t at = 0; at < size && outcome.status == TALLY_OK; at += slice) {
		size_t len = size - at < slice ? size - at : slice;
		char *piece = fuzz_exact(data + at, len);

		outcome.status = ch_rows_feed(&answer, piece, len, &err);
		free(piece);
	}
	if (outcome.status != TALLY_OK)
		FUZZ_MUST(err.detail[0] != '\0' && err.status == outcome.status);
	outcome.is_whole = outcome.status == TALLY_OK && ch_rows_is_whole(&answer);
	if (outcome.is_whole)
		FUZZ_MUST((outcome.rows = ch_rows_take(&answer)));
	ch_rows_fini(&answer);
	return outcome;
}

/* What is set has a public form, and can be a parameter, or is refused as one. */
static void
must_be_public(const struct value *value)
{
	struct buf buf = BUF_INIT(BUDGET * 8);
	char text[VALUE_FORMAT_MAX];
	struct value again;

	if (value->type != TALLY_TEXT) {
		size_t len = value_format(value, text);

		FUZZ_MUST(value_parse((enum tally_type)value->type, text, len, &again, NULL)
			  == TALLY_OK);
		FUZZ_MUST(value_equal(value, &again));
	}
	for (int is_element = 0; is_element < 2; is_element++) {
		tally_status status = ch_value_write(value, is_element, &buf);

		FUZZ_MUST(status == TALLY_OK || status == TALLY_SOURCE_ERROR);
	}
	for (size_t i = 0; i < buf.len; i++)
		FUZZ_MUST((unsigned char)buf.data[i] >= 0x20);
	buf_fini(&buf);
}

static void
must_equal(const struct rows *a, const struct rows *b)
{
	FUZZ_MUST(a->n_rows == b->n_rows && a->n_columns == b->n_columns);
	for (size_t i = 0; i < a->n_rows * a->n_columns; i++) {
		FUZZ_MUST(a->cells[i].state == b->cells[i].state
			  && a->cells[i].type == b->cells[i].type);
		if (a->cells[i].state != VALUE_SET)
			continue;
		FUZZ_MUST(value_equal(&a->cells[i], &b->cells[i]));
		must_be_public(&a->cells[i]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t slice = size > 0 ? 1 + data[0] % 16 : 1;

	data += size > 0;
	size -= size > 0;
	for (int i = 0; i < 2; i++) {
		const struct source_shape *expected = i ? &shape : NULL;
		struct outcome whole = read_in(data, size, size + 1, expected);
		struct outcome pieces = read_in(data, size, slice, expected);

		FUZZ_MUST(whole.status == pieces.status && whole.is_whole == pieces.is_whole);
		if (whole.is_whole) {
			FUZZ_MUST(!whole.rows || whole.rows->used_bytes <= BUDGET);
			must_equal(whole.rows, pieces.rows);
		}
		rows_free(whole.rows);
		rows_free(pieces.rows);
	}
	return 0;
}
