/* definition_inner.h - a definition that is being read: for the files of this folder that parse. */
#ifndef DATASET_DEFINITION_INNER_H
#define DATASET_DEFINITION_INNER_H

#include "dataset/definition.h"
#include "dataset/lexer.h"

#define DEFINITION_NAME_MAX  63
#define DEFINITION_MAX_KINDS 4 /* statements of one step, each for another kind of database */

/* "-- order NAME [desc]" before the columns are known. */
struct builder_order {
	char *name;
	bool is_descending;
};

struct builder {
	struct definition *definition; /* being filled; arrays have room for their most */
	struct lexer lexer;
	struct definition_sql *open; /* of the last "-- step", until its text is read */
	struct builder_order order[DEFINITION_MAX_COLUMNS];
	size_t n_order;
	int order_line; /* 0: no such directive yet */
	int group_line;
	int limit_line;
	struct tally_error *err;
};

/* The words of one directive. */
struct directive {
	const char *word; /* "param" */
	const char *at;   /* what follows it */
	const char *end;
	int line;
};

/* Fails with "file:line: what". */
tally_status builder_wrong(struct builder *builder, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails with TALLY_NO_MEMORY. */
tally_status builder_no_memory(struct builder *builder);

/* Takes a name ([a-z_][a-z0-9_]*, 1 to 63 bytes), a copy that the caller frees; what names its role
 * in the error. */
TALLY_MUST_CHECK tally_status builder_name(struct builder *builder, struct directive *directive,
					   const char *what, char **out_name);

/* Takes a duration: 500ms, 5s, 1m; at most 24 h. */
TALLY_MUST_CHECK tally_status builder_duration(struct builder *builder, struct directive *directive,
					       uint32_t *out_ms);

/* Takes a literal of a type; text and decimals are copied into memory that the definition owns. */
TALLY_MUST_CHECK tally_status builder_literal(struct builder *builder, struct directive *directive,
					      enum tally_type type, struct value *out_value);

/* Takes the type of a parameter or column. */
TALLY_MUST_CHECK tally_status builder_type(struct builder *builder, struct directive *directive,
					   enum tally_type *out_type);

/* Fails unless the directive has no more words. */
TALLY_MUST_CHECK tally_status builder_end(struct builder *builder, struct directive *directive);

/* Fails unless the next word is this mark. */
TALLY_MUST_CHECK tally_status builder_mark(struct builder *builder, struct directive *directive,
					   const char *mark);

/* Takes the next word if it is this text. */
bool builder_takes(struct directive *directive, const char *text);

/* Reads "-- dataset", "param", "column", "order", "group", "limit": false in *out_known for others.
 *  */
TALLY_MUST_CHECK tally_status builder_head(struct builder *builder, struct directive *directive,
					   bool *out_known);

/* Reads "-- param". */
TALLY_MUST_CHECK tally_status builder_param(struct builder *builder, struct directive *directive);

/* Reads "-- column". */
TALLY_MUST_CHECK tally_status builder_column(struct builder *builder, struct directive *directive);

/* Reads "-- step": builder->open is its statement. */
TALLY_MUST_CHECK tally_status builder_step(struct builder *builder, struct directive *directive);

/* What only a whole file shows: order, groups, keys, binds. */
TALLY_MUST_CHECK tally_status builder_check(struct builder *builder);

/* Frees what a step owns, not the step. */
void definition_step_fini(struct definition_step *step);

/* Whether values of a type lie between others: numbers and times. */
bool definition_has_range(enum tally_type type);

#endif
