#include "source/ch_error.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "__exception__"

static const char code_mark[] = "Code: ";
static const char text_mark[] = "DB::Exception: ";

int
ch_error_code(const char *text, size_t len)
{
	const size_t skip = sizeof code_mark - 1;
	int code = 0;

	if (len < skip || memcmp(text, code_mark, skip) != 0)
		return 0;
	for (size_t i = skip; i < len && isdigit((unsigned char)text[i]) && code < 100000; i++)
		code = code * 10 + (text[i] - '0');
	return code;
}

/* The last place of a word. */
static const char *
find_last(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (size_t at = len < n ? 0 : len - n + 1; at-- > 0;) {
		if (memcmp(text + at, word, n) == 0)
			return text + at;
	}
	return NULL;
}

/* Servers before 25.11 send no tag: some write the mark, the oldest only the text, which ends with
 * "(version 25.3.1.1)" and a new line. */
static const char *
find_untagged(const char *tail, size_t len)
{
	static const char end[] = ")\n";
	const char *text;

	if (len < sizeof end || memcmp(tail + len - 2, end, 2) != 0
	    || !find_last(tail, len, "(version "))
		return NULL;
	text = find_last(tail, len, text_mark);
	if (!text)
		return NULL;
	text = find_last(tail, (size_t)(text - tail), code_mark);
	return text ? text : tail;
}

const char *
ch_error_in_body(const char *tail, size_t len, const char *tag)
{
	static const char end[] = "\r\n" MARK "\r\n";
	size_t n = sizeof end - 1;
	size_t tag_len = strlen(tag);
	const char *text;

	if (!*tag)
		return find_untagged(tail, len);
	if (len < n + tag_len || memcmp(tail + len - n, end, n) != 0
	    || memcmp(tail + len - n - tag_len, tag, tag_len) != 0)
		return NULL;
	text = find_last(tail, len, code_mark);
	return text ? text : tail;
}

/* Errors.cpp of ClickHouse: codes never change. */
static bool
is_transient(int code)
{
	static const int codes[] = {
		209, /* SOCKET_TIMEOUT */
		210, /* NETWORK_ERROR */
		279, /* ALL_CONNECTION_TRIES_FAILED */
		216, /* QUERY_WITH_SAME_QUERY_ID_IS_ALREADY_RUNNING: libcurl sent it again */
		202, /* TOO_MANY_SIMULTANEOUS_QUERIES */
		241, /* MEMORY_LIMIT_EXCEEDED */
		439, /* CANNOT_SCHEDULE_TASK */
		173, /* CANNOT_ALLOCATE_MEMORY */
		201, /* QUOTA_EXCEEDED */
		236, /* ABORTED: it shuts down */
		394, /* QUERY_WAS_CANCELLED: by somebody's KILL */
		999, /* KEEPER_EXCEPTION */
		225, /* NO_ZOOKEEPER */
		369, /* ALL_REPLICAS_ARE_STALE */
		/* As a connection that PostgreSQL refuses: */
		81,  /* UNKNOWN_DATABASE */
		192, /* UNKNOWN_USER */
		193, /* WRONG_PASSWORD */
		194, /* REQUIRED_PASSWORD */
		195, /* IP_ADDRESS_NOT_ALLOWED */
		516, /* AUTHENTICATION_FAILED */
	};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		if (codes[i] == code)
			return true;
	}
	return false;
}

tally_status
ch_error_status(const struct ch_refusal *refusal)
{
	switch (refusal->code) {
	case 0: /* a proxy, or no ClickHouse at all */
		return TALLY_SOURCE_UNAVAILABLE;
	case 159: /* TIMEOUT_EXCEEDED */
	case 160: /* TOO_SLOW */
		return TALLY_DEADLINE_EXCEEDED;
	default:
		return is_transient(refusal->code) ? TALLY_SOURCE_UNAVAILABLE : TALLY_SOURCE_ERROR;
	}
}

/* "(UNKNOWN_TABLE)" near the end of the text, which has its own words before and "(version ...)"
 * behind; empty without one. */
static void
find_name(const struct ch_refusal *refusal, char out[64])
{
	const char *end = refusal->text + refusal->len;
	const char *at = end;

	out[0] = '\0';
	while ((at = find_last(refusal->text, (size_t)(at - refusal->text), "("))) {
		size_t n = 1;

		while (at + n < end && (isupper((unsigned char)at[n]) || at[n] == '_'))
			n++;
		if (n > 1 && n < 64 && at + n < end && at[n] == ')') {
			(void)snprintf(out, 64, "%.*s", (int)(n - 1), at + 1);
			return;
		}
	}
}

/* The server's words on one line, without its code and version. */
static void
find_words(const struct ch_refusal *refusal, char out[320])
{
	const char *text = refusal->text;
	size_t len = refusal->len;
	const char *found = find_last(text, len, " (version ");
	size_t n = 0;

	if (found)
		len = (size_t)(found - text);
	found = memmem(text, len, text_mark, sizeof text_mark - 1);
	if (found) {
		len -= (size_t)(found + sizeof text_mark - 1 - text);
		text = found + sizeof text_mark - 1;
	}
	for (; n < len && n < 319; n++)
		out[n] = iscntrl((unsigned char)text[n]) ? ' ' : text[n];
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

static tally_status
fail_unanswered(const struct ch_refusal *refusal, const char *where, struct tally_error *err)
{
	return tally_fail(err, TALLY_SOURCE_UNAVAILABLE,
			  "%s: the server answered with HTTP status %ld, not as ClickHouse", where,
			  refusal->http_status);
}

tally_status
ch_error_of(const struct ch_refusal *refusal, const char *where, bool tells_all,
	    struct tally_error *err)
{
	tally_status status = ch_error_status(refusal);
	char name[64], words[320];

	if (refusal->code == 0)
		return fail_unanswered(refusal, where, err);
	find_name(refusal, name);
	find_words(refusal, words);
	if (tells_all && status == TALLY_SOURCE_ERROR)
		status = TALLY_WRONG_DEFINITION;
	if (tells_all)
		(void)tally_fail(err, status, "%s: %s (%d)", where, words, refusal->code);
	else
		(void)tally_fail(err, status, "%s: the database refused the query%s%s (%d)", where,
				 name[0] ? ": " : "", name, refusal->code);
	if (err)
		(void)snprintf(err->sqlstate, sizeof err->sqlstate, "%u",
			       (unsigned)refusal->code % 100000U);
	return status;
}
