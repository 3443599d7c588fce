/* plan_inner.h - what a plan knows, for the files of this folder that make plans and run them. */
#ifndef DATASET_PLAN_INNER_H
#define DATASET_PLAN_INNER_H

#include "dataset/plan.h"

struct cache;

/* Where a column of the joined rows has its values. */
struct plan_ref {
	uint16_t step;   /* 0: the request's parameters; else 1 + the index of a step */
	uint16_t column; /* index of the parameter, or of the column in the step's rows */
};

/* A column of the joined rows. */
struct plan_name {
	const char *name; /* the definition's, or the shape's */
	enum tally_type type;
	struct plan_ref ref;
};

/* A name after "by". */
struct plan_key {
	struct plan_ref ref; /* the value to look for */
	enum tally_type type;
	uint16_t column; /* where the step's own rows return it */
};

/* Where the value of a :name comes from. */
struct plan_bind {
	enum {
		PLAN_BIND_PARAM, /* of the batch, whose requests have the same */
		PLAN_BIND_KEY,   /* an array */
		PLAN_BIND_FROM,  /* the widest period of the batch */
		PLAN_BIND_TO,
	} kind;
	uint16_t index; /* of the parameter or the key */
};

/* "within": rows are a request's where they lie between these of its parameters. */
struct plan_period {
	uint16_t from; /* parameters */
	uint16_t to;
	uint16_t column; /* of the step's rows */
};

struct plan_step {
	const struct definition_step *definition;
	const struct definition_sql *sql; /* for the source's kind */
	struct source *source;
	char *where; /* "comments.sql:14" */
	struct source_statement statement;
	struct source_bind binds[DEFINITION_MAX_BINDS];
	struct plan_bind bind_from[DEFINITION_MAX_BINDS];
	struct plan_key keys[DEFINITION_MAX_KEYS]; /* sql->n_keys */
	struct plan_period period;                 /* where sql->period has a column */
	size_t n_needed;            /* steps that are joined before all keys are there */
	struct source_shape *shape; /* as described; NULL before that */
	struct cache *cache;        /* of rows by key; NULL without "cache" */
};

#define PLAN_LITERAL_BLOCK 16 /* literals are copied in blocks of so many bytes */

/* A column of the answer. */
struct plan_output {
	const struct definition_column *column;
	struct plan_ref ref;           /* of the column, or of the function's argument */
	enum tally_type argument_type; /* TALLY_ABSENT: count(*) */
	char *literal; /* {"name": for the first, ,"name": for the others; padded to whole blocks */
	size_t literal_len;
};

struct plan_sort {
	uint16_t output;
	bool is_descending;
};

struct plan {
	const struct definition *definition;
	const struct plan_sources *sources;
	struct plan_step *steps; /* definition->n_steps */
	size_t n_described;      /* steps whose columns are among names */
	struct plan_name *names; /* parameters first, then the columns of the steps */
	size_t n_names;
	size_t cap_names;
	uint32_t scalars;            /* bit i: parameter i is bound as a scalar */
	struct plan_output *outputs; /* definition->n_columns */
	struct plan_sort *sort;      /* definition->n_columns: a total order */
	struct plan_ref *group;      /* definition->n_group */
	bool is_ready;
	size_t request_bytes; /* what a request took of a batch lately; 0: not known */
	size_t shared_bytes;  /* what those steps took that no request has keys for */
	/* of a description under way */
	int64_t deadline_ms;
	plan_described_fn *done;
	void *done_ctx;
};

/* Whether requests may lack a parameter. */
bool plan_param_may_be_null(const struct plan *plan, size_t param);

/* Finds a column of the joined rows as far as they are described; NULL without one. */
const struct plan_name *plan_find(const struct plan *plan, const char *name);

/* Adds a column; name is borrowed.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status plan_add_name(struct plan *plan, const char *name,
					    enum tally_type type, struct plan_ref ref);

/* Once all steps are described: finds the columns of groups, functions and the answer, and checks
 * that their types fit.  TALLY_WRONG_DEFINITION. */
TALLY_MUST_CHECK tally_status plan_bind_outputs(struct plan *plan, struct tally_error *err);

/* The index of a returned column; SIZE_MAX without one. */
size_t plan_shape_find(const struct source_shape *shape, const char *name);

#endif
