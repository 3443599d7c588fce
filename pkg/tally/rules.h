/* rules.h - inner: how headers are written, and read by tables of rules.  Not installed, and hidden
 * in libtally.so.
 *
 * A rule is a header, the function that reads it and the field it goes to.  Unknown headers are
 * ignored; a known one that is wrong or comes twice is TALLY_BAD_REQUEST with its name. */
#ifndef TALLY_RULES_H
#define TALLY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/job.h>
#include <tally/message.h>

#pragma GCC visibility push(hidden)

/* Takes a character of UTF-8 away that was cut off at the end of a text. */
void tally_end_whole(char *text);

/* ---- write ------------------------------------------------------------------- */

/* Empties the set. */
void tally_headers_start(struct tally_headers *headers);

/* TALLY_TOO_LARGE when something did not fit. */
TALLY_MUST_CHECK tally_status tally_headers_finish(const struct tally_headers *headers);

/* Adds a number in decimal. */
void tally_headers_add_number(struct tally_headers *headers, const char *name, int64_t number);

/* Adds 64 bits as 16 hex digits. */
void tally_headers_add_run(struct tally_headers *headers, const char *name, uint64_t run);

/* Adds a digest as 64 hex digits. */
void tally_headers_add_sha256(struct tally_headers *headers, const char *name,
			      const unsigned char sha256[TALLY_SHA256_BYTES]);

/* Adds one tally-as-of-SOURCE for each. */
void
tally_headers_add_as_of(struct tally_headers *headers, const struct tally_as_of *as_of, size_t n);

/* Adds what all events of ours have but ce_id: ce_specversion, ce_source, ce_type, ce_time (of
 * at_ms, Unix) and content-type. */
void tally_headers_add_event(struct tally_headers *headers, const char *source, const char *type,
			     int64_t at_ms);

/* ---- read -------------------------------------------------------------------- */

/* How one header of len bytes is read into a field; false: wrong. */
typedef bool tally_read_fn(const char *text, size_t len, void *field);

/* Rows: a header, where it goes, and whether it must be there. */
struct tally_rule {
	const char *name;
	tally_read_fn *read;
	size_t offset;
	bool is_required;
};

/* Rows as RULE_MUST(CE_ID, read_id, offsetof(...)): a header that must be there, or may. */
#define RULE_MUST(header, read, offset) { TALLY_HEADER_##header, read, offset, true }
#define RULE_MAY(header, read, offset)  { TALLY_HEADER_##header, read, offset, false }

/* A header's value as it stands in the message. */
struct tally_span {
	const char *at; /* NULL: there is none */
	size_t len;
};

/* Reads n headers by at most 64 rules into out. */
TALLY_MUST_CHECK tally_status tally_rules_read(const struct tally_rule *rules, size_t n_rules,
					       const struct tally_header *headers, size_t n,
					       void *out, struct tally_error *err);

/* Reads the headers tally-as-of-SOURCE: at most TALLY_SOURCES_MAX, each source once. */
TALLY_MUST_CHECK tally_status tally_as_of_read(const struct tally_header *headers, size_t n,
					       struct tally_as_of *as_of, size_t *n_as_of,
					       struct tally_error *err);

/* TALLY_BAD_REQUEST with "header NAME " and why. */
tally_status tally_header_fail(struct tally_error *err, const char *name, const char *why);

/* Whether the span is this text. */
bool tally_span_equals(struct tally_span span, const char *text);

/* Decimal digits, 0 .. max. */
bool tally_read_number(const char *text, size_t len, int64_t max, int64_t *out_number);

/* Text of 1 to max bytes: UTF-8 without control characters. */
bool tally_read_text(const char *text, size_t len, size_t max, char *out);

/* Functions for rules; behind each the type of its field. */
tally_read_fn tally_read_partition;    /* int32_t */
tally_read_fn tally_read_budget;       /* uint32_t */
tally_read_fn tally_read_tenant;       /* char[TALLY_TENANT_MAX + 1] */
tally_read_fn tally_read_flag;         /* bool */
tally_read_fn tally_read_trace;        /* struct tally_trace */
tally_read_fn tally_read_state;        /* enum tally_state */
tally_read_fn tally_read_run;          /* uint64_t, 16 hex digits */
tally_read_fn tally_read_code;         /* tally_status */
tally_read_fn tally_read_timing;       /* char[TALLY_TIMING_MAX + 1] */
tally_read_fn tally_read_ms;           /* int64_t: Unix ms, 1 .. the year 9999 */
tally_read_fn tally_read_count;        /* uint64_t, decimal */
tally_read_fn tally_read_u32;          /* uint32_t, decimal */
tally_read_fn tally_read_ordinal;      /* uint32_t, decimal, at least 1 */
tally_read_fn tally_read_sha256;       /* unsigned char[TALLY_SHA256_BYTES] */
tally_read_fn tally_read_span;         /* struct tally_span: any value */
tally_read_fn tally_read_specversion;  /* none: "1.0" */
tally_read_fn tally_read_content_type; /* none: application/json, and parameters of it */
tally_read_fn tally_read_time;         /* int64_t: Unix ms of an RFC 3339 time */

#pragma GCC visibility pop

#endif
