#include "dataset/lexer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Room for the $n that :names turn into, which may be longer than they. */
#define STATEMENT_MAX_BYTES (2 * DEFINITION_MAX_BYTES)

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool
is_name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static size_t
left(const struct lexer *lexer)
{
	return (size_t)(lexer->end - lexer->at);
}

static bool
looking_at(const struct lexer *lexer, const char *text, size_t len)
{
	return left(lexer) >= len && memcmp(lexer->at, text, len) == 0;
}

/* Goes on by len bytes and copies them. */
static tally_status
copy(struct lexer *lexer, struct buf *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		lexer->line += lexer->at[i] == '\n';
	tally_status status = buf_append(out, lexer->at, len);
	lexer->at += len;
	return status;
}

/* The length of a quoted piece that begins here with its quote; 0 when it does not end.  The quote
 * doubled is part of the piece; so is what follows a backslash when there are escapes. */
static size_t
quoted_len(const struct lexer *lexer, bool has_escapes)
{
	const char quote = lexer->at[0];
	size_t n = left(lexer);

	for (size_t i = 1; i < n; i++) {
		if (has_escapes && lexer->at[i] == '\\') {
			i++;
		} else if (lexer->at[i] == quote) {
			if (i + 1 == n || lexer->at[i + 1] != quote)
				return i + 1;
			i++;
		}
	}
	return 0;
}

/* The length of $tag$...$tag$, 0 when it does not end, SIZE_MAX when none begins here. */
static size_t
dollar_len(const struct lexer *lexer)
{
	size_t tag = 1;

	while (tag < left(lexer) && is_word(lexer->at[tag]))
		tag++;
	if (tag == left(lexer) || lexer->at[tag] != '$' || isdigit((unsigned char)lexer->at[1]))
		return SIZE_MAX;
	tag++;
	const char *found = memmem(lexer->at + tag, left(lexer) - tag, lexer->at, tag);
	return found ? (size_t)(found - lexer->at) + tag : 0;
}

/* The length of a block comment, which may hold others; 0 when it does not end. */
static size_t
block_len(const struct lexer *lexer)
{
	size_t depth = 0;

	for (size_t i = 0; i + 1 < left(lexer); i++) {
		if (memcmp(lexer->at + i, "/*", 2) == 0) {
			depth++;
			i++;
		} else if (memcmp(lexer->at + i, "*/", 2) == 0) {
			i++;
			if (--depth == 0)
				return i + 1;
		}
	}
	return 0;
}

static size_t
line_len(const struct lexer *lexer)
{
	const char *newline = memchr(lexer->at, '\n', left(lexer));

	return newline ? (size_t)(newline - lexer->at) : left(lexer);
}

/* What begins at a place of a statement. */
enum piece { PIECE_CODE, PIECE_OPAQUE, PIECE_NAME, PIECE_NUMBER, PIECE_END };

struct piece_found {
	enum piece piece;
	size_t len;       /* 0: it does not end */
	const char *what; /* of an opaque one, for the error */
};

static struct piece_found
find_quoted(const struct lexer *lexer, char before)
{
	bool has_escapes = before == 'e' || before == 'E';

	return (struct piece_found){ PIECE_OPAQUE, quoted_len(lexer, has_escapes), "quote '" };
}

static struct piece_found
find_dollar(const struct lexer *lexer, char before)
{
	const struct piece_found code = { PIECE_CODE, 1, "" };

	if (is_word(before) || left(lexer) < 2)
		return code;
	if (isdigit((unsigned char)lexer->at[1]))
		return (struct piece_found){ PIECE_NUMBER, 1, "" };
	size_t len = dollar_len(lexer);
	return len == SIZE_MAX ? code : (struct piece_found){ PIECE_OPAQUE, len, "dollar quote" };
}

static struct piece_found
find_name(const struct lexer *lexer, char before)
{
	size_t len = 1;

	if (left(lexer) < 2 || before == ':' || is_word(before) || !is_name_start(lexer->at[1]))
		return (struct piece_found){ PIECE_CODE, 1, "" };
	while (len < left(lexer) && is_word(lexer->at[len]))
		len++;
	return (struct piece_found){ PIECE_NAME, len, "" };
}

/* What begins here in a statement that begins at begin.  In ClickHouse's (has_escapes) a backslash
 * takes the next byte in every quote, and `...` is one. */
static struct piece_found
find_piece(const struct lexer *lexer, const char *begin, bool has_escapes)
{
	char before = lexer->at > begin ? lexer->at[-1] : '\n';
	/* e'..' is an escape string only where e is a word of its own. */
	char escape = lexer->at > begin + 1 && is_word(lexer->at[-2]) ? '\0' : before;

	switch (lexer->at[0]) {
	case '\'':
		return find_quoted(lexer, has_escapes ? 'E' : escape);
	case '"':
		return (struct piece_found){ PIECE_OPAQUE, quoted_len(lexer, has_escapes),
					     "quote \"" };
	case '`':
		if (!has_escapes)
			break;
		return (struct piece_found){ PIECE_OPAQUE, quoted_len(lexer, true), "quote `" };
	case '$':
		return find_dollar(lexer, before);
	case ':':
		return find_name(lexer, before);
	case ';':
		return (struct piece_found){ PIECE_END, 1, "" };
	default:
		break;
	}
	if (looking_at(lexer, "--", 2))
		return (struct piece_found){ PIECE_OPAQUE, line_len(lexer), "" };
	if (looking_at(lexer, "/*", 2))
		return (struct piece_found){ PIECE_OPAQUE, block_len(lexer), "comment /*" };
	return (struct piece_found){ PIECE_CODE, 1, "" };
}

/* The number of a :name, a new one if it is the first of its name. */
static tally_status
bind_number(struct lexer *lexer, struct definition_sql *sql, size_t len, size_t *out_number,
	    struct tally_error *err)
{
	const char *name = lexer->at + 1;
	size_t name_len = len - 1;
	size_t i = 0;

	while (i < sql->n_binds
	       && (strlen(sql->binds[i]) != name_len || memcmp(sql->binds[i], name, name_len) != 0))
		i++;
	*out_number = i + 1;
	if (i < sql->n_binds)
		return TALLY_OK;
	if (i == DEFINITION_MAX_BINDS)
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:%d: more than %d different :names in one statement",
				  lexer->file, lexer->line, DEFINITION_MAX_BINDS);
	sql->binds[i] = strndup(name, name_len);
	if (!sql->binds[i])
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	sql->n_binds++;
	return TALLY_OK;
}

static tally_status
write_bind(struct lexer *lexer, struct definition_sql *sql, struct buf *out, size_t len,
	   struct tally_error *err)
{
	size_t number;
	tally_status status = bind_number(lexer, sql, len, &number, err);

	if (status != TALLY_OK)
		return status;
	lexer->at += len;
	return buf_printf(out, "$%zu", number);
}

/* Reads up to the ';'; *out_ended tells whether there was one. */
static tally_status
read_pieces(struct lexer *lexer, struct definition_sql *sql, struct buf *out, bool *out_ended,
	    struct tally_error *err)
{
	const char *begin = lexer->at;
	bool has_escapes = sql->kind && strcmp(sql->kind, "clickhouse") == 0;
	tally_status status = TALLY_OK;

	*out_ended = false;
	while (status == TALLY_OK && !*out_ended && lexer->at < lexer->end) {
		struct piece_found found = find_piece(lexer, begin, has_escapes);
		if (found.piece == PIECE_NUMBER)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s:%d: $%c in a statement: binds are written :name",
					  lexer->file, lexer->line, lexer->at[1]);
		if (found.len == 0)
			return tally_fail(err, TALLY_WRONG_DEFINITION,
					  "%s:%d: the %s that begins here is not ended",
					  lexer->file, lexer->line, found.what);
		*out_ended = found.piece == PIECE_END;
		if (*out_ended)
			lexer->at++;
		else if (found.piece == PIECE_NAME)
			status = write_bind(lexer, sql, out, found.len, err);
		else
			status = copy(lexer, out, found.len);
	}
	return status;
}

tally_status
lexer_statement(struct lexer *lexer, struct definition_sql *sql, struct tally_error *err)
{
	struct buf out = BUF_INIT(STATEMENT_MAX_BYTES);
	int first_line = lexer->line;
	bool is_ended;
	size_t len;

	tally_status status = read_pieces(lexer, sql, &out, &is_ended, err);
	if (status == TALLY_OK && !is_ended)
		status = tally_fail(err, TALLY_WRONG_DEFINITION,
				    "%s:%d: the statement that begins here has no ; at its end",
				    lexer->file, first_line);
	if (status == TALLY_OK)
		status = buf_append(&out, "", 1);
	if (status == TALLY_OK)
		sql->text = buf_take(&out, &len);
	buf_fini(&out);
	if (status == TALLY_NO_MEMORY || status == TALLY_TOO_LARGE)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	return status;
}

bool
lexer_word(const char **at, const char *end, struct lexer_word *out_word)
{
	static const char marks[] = "=(),";
	const char *p = *at;

	while (p < end && isspace((unsigned char)*p))
		p++;
	if (p == end)
		return false;
	const char *begin = p;
	if (*p == '\'') {
		struct lexer quote = { .at = p, .end = end };
		size_t len = quoted_len(&quote, false);
		size_t inside = len > 0 ? len - 2 : (size_t)(end - p) - 1;
		*out_word = (struct lexer_word){ p + 1, inside, true, len == 0 };
		*at = len > 0 ? p + len : end;
		return true;
	}
	if (strchr(marks, *p)) {
		p++;
	} else {
		while (p < end && !isspace((unsigned char)*p) && !memchr(marks, *p, 4))
			p++;
	}
	*out_word = (struct lexer_word){ .text = begin, .len = (size_t)(p - begin) };
	*at = p;
	return true;
}

bool
lexer_is(const struct lexer_word *word, const char *text)
{
	return !word->is_quoted && word->len == strlen(text)
	       && memcmp(word->text, text, word->len) == 0;
}
