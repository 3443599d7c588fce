/* Cells of PostgreSQL in binary: a type, then bytes that need not be of it.  A value that is taken is
 * one of its type, and comes back the same as a parameter. */
#include "fuzz/fuzz.h"

#include <math.h>
#include <string.h>

#include "source/date.h"
#include "source/pg_types.h"

#define BUDGET 4096

static const Oid oids[] = { 16,   17,   18,   19,   20,   21,   23,
			    25,   700,  701,  1042, 1043, 1082, 1114,
			    1184, 1700, 2950, 26,   114,  600,  PG_FIRST_USER_OID };

/* What is set is in its type's range: the public form can be read again. */
static void
must_be_public(const struct value *value)
{
	char text[VALUE_FORMAT_MAX];
	struct value again;

	if (value->type == TALLY_TEXT)
		return; /* whether it is UTF-8 is looked at where it is written */
	size_t len = value_format(value, text);
	FUZZ_MUST(len <= sizeof text);
	FUZZ_MUST(value_parse((enum tally_type)value->type, text, len, &again, NULL) == TALLY_OK);
	FUZZ_MUST(value_equal(value, &again) && value_hash(value, 1) == value_hash(&again, 1));
	FUZZ_MUST(value_compare(value, &again) == 0);
}

/* Sent as a parameter, it is read as itself. */
static void
send_and_read(const struct value *value, struct rows *rows)
{
	const struct source_bind bind = { .name = "a", .type = (enum tally_type)value->type };
	const struct source_statement statement = {
		.sql = "SELECT $1", .where = "t.sql:1", .binds = &bind, .n_binds = 1
	};
	const struct source_argument argument = { value, 1 };
	const struct source_query query = { .statement = &statement, .arguments = &argument };
	struct pg_params params;
	struct value again = { 0 };

	FUZZ_MUST(pg_params_encode(&query, &params) == TALLY_OK);
	tally_status status =
	    pg_decode(params.oids[0], params.values[0], (size_t)params.lengths[0], rows, &again);
	FUZZ_MUST(status == TALLY_OK || status == TALLY_TOO_LARGE);
	if (status == TALLY_OK)
		FUZZ_MUST(again.state == VALUE_SET && value_equal(value, &again));
	pg_params_fini(&params);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows *rows = rows_new(1, BUDGET);
	struct value value = { 0 };

	FUZZ_MUST(rows != NULL);
	Oid oid = size > 0 ? oids[data[0] % (sizeof oids / sizeof *oids)] : 0;
	/* In memory of its own: past its end nothing may be read. */
	char *cell = fuzz_exact(data + (size > 0), size - (size > 0));
	tally_status status = pg_decode(oid, cell, size - (size > 0), rows, &value);
	FUZZ_MUST(status == TALLY_OK || status == TALLY_SOURCE_ERROR || status == TALLY_TOO_LARGE);
	FUZZ_MUST(rows->used_bytes <= BUDGET);
	if (status == TALLY_OK && value.state == VALUE_SET) {
		must_be_public(&value);
		send_and_read(&value, rows);
	}
	free(cell);
	rows_free(rows);
	return 0;
}
