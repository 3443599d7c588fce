/* definition.h - a dataset file, parsed: what its text says and nothing that a database knows.
 *
 * Immutable once parsed; any thread may read it.  The text format is described in the README
 * («How to write a dataset»); names are [a-z][a-z0-9_-]* for datasets and [a-z_][a-z0-9_]* for
 * everything else, at most 63 bytes. */
#ifndef DATASET_DEFINITION_H
#define DATASET_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/value.h"

#define DEFINITION_MAX_PARAMS  32
#define DEFINITION_MAX_COLUMNS 128
#define DEFINITION_MAX_STEPS   16
#define DEFINITION_MAX_KEYS    16           /* names after "by" of one step */
#define DEFINITION_MAX_BINDS   32           /* different :names in one statement */
#define DEFINITION_MAX_BYTES   (256 * 1024) /* of one file */

/* "-- param NAME TYPE [required | default=V] [min=V] [max=V]" */
struct definition_param {
	char *name;
	enum tally_type type;
	bool is_required;
	struct value fallback; /* of default=; null without one */
	struct value min;      /* null: none; of int, float, decimal, dates */
	struct value max;      /* null: none */
	uint32_t max_length;   /* of text, in code points (max=); 256 without one */
	int line;
};

enum definition_function {
	DEFINITION_PLAIN, /* not aggregated: shown, and part of the group if there is one */
	DEFINITION_COUNT,
	DEFINITION_COUNT_DISTINCT,
	DEFINITION_SUM,
	DEFINITION_MIN,
	DEFINITION_MAX,
};

/* "-- column NAME TYPE [null] [= function(argument) [default V]]" */
struct definition_column {
	char *name;
	enum tally_type type;
	bool may_be_null;
	enum definition_function function;
	char *argument;        /* of the function; NULL for count(*) and for plain columns */
	struct value fallback; /* "default V": instead of null; null without one */
	int line;
};

/* "-- order NAME [desc], ..." */
struct definition_order {
	size_t column; /* index into columns */
	bool is_descending;
};

/* "within COLUMN from PARAM to PARAM": rows belong to a request whose parameters they lie between,
 * both included; a parameter that is null is an open end.  All three are NULL without one. */
struct definition_period {
	char *column; /* of the step's rows */
	char *from;
	char *to;
};

/* One statement of a step, for one kind of database. */
struct definition_sql {
	char *kind; /* "postgres"; NULL: any */
	char *keys[DEFINITION_MAX_KEYS];
	size_t n_keys;
	struct definition_period period;
	char *text;                        /* with $1 ... $n for the binds */
	char *binds[DEFINITION_MAX_BINDS]; /* names by number, $1 first */
	size_t n_binds;
	int line; /* of its "-- step" */
};

/* "-- step NAME on SOURCE [by NAME, ...] [within COLUMN from PARAM to PARAM] [keep]
 * [cache DURATION] [for KIND]" */
struct definition_step {
	char *name;
	char *source;
	bool is_kept;                /* keep: left join */
	uint32_t cache_ms;           /* 0: not cached */
	struct definition_sql *sqls; /* one for each kind */
	size_t n_sqls;
	int line;
};

struct definition {
	char *file; /* "comments.sql": as in error texts */
	char *name;
	char *title;                     /* after the colon of "-- dataset"; "" without one */
	struct definition_param *params; /* in the order of the file */
	size_t n_params;
	struct definition_column *columns;
	size_t n_columns;
	struct definition_order *order;
	size_t n_order;
	char **group; /* "-- group by": names of row columns */
	size_t n_group;
	bool is_grouped; /* a group by, or an aggregate without one (one row for each request) */
	uint64_t limit;  /* rows of one answer; 0: none */
	struct definition_step *steps;
	size_t n_steps;
	unsigned char hash[32]; /* SHA-256 of the file's text */
};

/* Parses len bytes of a dataset file; file is its name for error texts.  The caller frees the
 * result.  TALLY_WRONG_DEFINITION with "file:line: what"; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status definition_parse(const char *file, const char *text, size_t len,
					       struct definition **out_definition,
					       struct tally_error *err);

/* Frees the definition.  Accepts NULL. */
void definition_free(struct definition *definition);

/* The statement of a step for a kind of source ("postgres"): the one "for" it, else the one for
 * any; NULL when there is none. */
const struct definition_sql *
definition_sql_for(const struct definition_step *step, const char *kind);

/* The parameter of a name, or NULL. */
const struct definition_param *
definition_param_find(const struct definition *definition, const char *name);

/* The index of a name among those after "by"; SIZE_MAX without one. */
size_t definition_find_key(const struct definition_sql *sql, const char *name);

#endif
