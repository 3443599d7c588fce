/* lexer.h - reads a dataset file's SQL and the words of its directives; knows no directive.
 *
 * One thread at a time; nothing here owns the text. */
#ifndef DATASET_LEXER_H
#define DATASET_LEXER_H

#include <stdbool.h>
#include <stddef.h>

#include <tally/status.h>

#include "dataset/definition.h"

/* A place in a file. */
struct lexer {
	const char *file; /* for error texts */
	const char *at;
	const char *end;
	int line; /* of at, from 1 */
};

/* Reads one statement up to and with its ';' and fills in sql->text (the caller frees it), with
 * each :name replaced by $n, and sql->binds.  A name is a colon and a letter or _, with neither a
 * colon nor a word character before it; none is seen inside '...', E'...', "...", $tag$...$tag$, --
 * and nested block comments (PostgreSQL documentation, "Lexical Structure"); sql->kind, filled in
 * before, may say clickhouse: every quote has backslashes then, and `...` is one.
 * TALLY_WRONG_DEFINITION, TALLY_NO_MEMORY; sql is then still the caller's to free. */
TALLY_MUST_CHECK tally_status lexer_statement(struct lexer *lexer, struct definition_sql *sql,
					      struct tally_error *err);

/* A word of a directive: a run without blanks and without any of = ( ) , - or one of these - or the
 * inside of '...' (is_quoted; two quotes stand for one and are left as they are). */
struct lexer_word {
	const char *text;
	size_t len;
	bool is_quoted;
	bool is_open; /* the quote does not end */
};

/* Takes the next word of a line; false at its end.  An open quote goes on to it. */
bool lexer_word(const char **at, const char *end, struct lexer_word *out_word);

/* Whether the word is this text, unquoted. */
bool lexer_is(const struct lexer_word *word, const char *text);

#endif
