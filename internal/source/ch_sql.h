/* ch_sql.h - a statement as ClickHouse takes it: its binds as server-side parameters.
 *
 * $1 becomes {user_id:Array(Int64)}; a parameter that may be missing, or has a null, is Nullable.
 * The server refuses a parameter of more than 128 KiB, so the text of a longer array is in pieces,
 * and $1 is arrayConcat of them. What looks like $1 in quotes and comments is not touched. Any
 * thread. */
#ifndef SOURCE_CH_SQL_H
#define SOURCE_CH_SQL_H

#include "base/buf.h"
#include "source/source.h"

#define CH_PIECE_BYTES  ((size_t)64 << 10)
#define CH_PARAMS_BYTES ((size_t)64 << 20) /* of all parameters */
#define CH_NAME_BYTES   96

/* A parameter's value: len bytes of the texts. */
struct ch_param {
	size_t bind;
	size_t piece; /* 0, 1 ... of this bind */
	size_t at;
	size_t len;
};

/* The parameters of one query. */
struct ch_params {
	struct buf texts;
	struct ch_param *items; /* in the order of the binds */
	size_t n;
	size_t cap;
	bool *has_nulls; /* n_binds */
};

/* Writes the values of a query; arguments is NULL for a description, which has empty arrays and any
 * scalars.  The caller calls ch_params_fini, also on failure.  TALLY_TOO_LARGE: past
 * CH_PARAMS_BYTES.  TALLY_SOURCE_ERROR: a value that cannot be sent.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status ch_params_init(struct ch_params *params,
					     const struct source_statement *statement,
					     const struct source_argument *arguments);

/* Frees what they hold.  Accepts zeroed ones. */
void ch_params_fini(struct ch_params *params);

/* Writes the name of a parameter, without "param_"; terminated. */
void ch_param_name(const struct source_statement *statement, const struct ch_param *param,
		   char out[CH_NAME_BYTES]);

/* Appends the statement with its parameters in place.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status ch_sql_write(const struct source_statement *statement,
					   const struct ch_params *params, struct buf *buf);

/* The length of the quoted piece, comment or heredoc that begins at at; 0 when none begins there.
 * One that does not end goes on to the end of the text. */
size_t ch_sql_opaque(const char *at);

#endif
