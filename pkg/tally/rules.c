#include <tally/rules.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The last millisecond of the year 9999, the last that RFC 3339 can say. */
#define LAST_MS INT64_C(253402300799999)

static const char digits[] = "0123456789abcdef";

/* ---- fields ------------------------------------------------------------------ */

bool
tally_read_number(const char *text, size_t len, int64_t max, int64_t *out_number)
{
	int64_t number = 0;

	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (text[i] - '0');
	}
	*out_number = number;
	return number <= max;
}

bool
tally_read_partition(const char *text, size_t len, void *field)
{
	int64_t number;

	if (!tally_read_number(text, len, TALLY_PARTITION_MAX, &number))
		return false;
	*(int32_t *)field = (int32_t)number;
	return true;
}

bool
tally_read_budget(const char *text, size_t len, void *field)
{
	int64_t number;

	if (!tally_read_number(text, len, TALLY_BUDGET_MAX_MS, &number) || number == 0)
		return false;
	*(uint32_t *)field = (uint32_t)number;
	return true;
}

bool
tally_read_tenant(const char *text, size_t len, void *field)
{
	if (!tally_tenant_is_valid(text, len))
		return false;
	memcpy(field, text, len);
	((char *)field)[len] = '\0';
	return true;
}

bool
tally_read_flag(const char *text, size_t len, void *field)
{
	*(bool *)field = true;
	return len == 1 && text[0] == '1';
}

bool
tally_read_trace(const char *text, size_t len, void *field)
{
	return tally_trace_parse(text, len, field);
}

bool
tally_read_state(const char *text, size_t len, void *field)
{
	static const enum tally_state states[] = { TALLY_SUCCEEDED, TALLY_FAILED,
						   TALLY_STATE_CANCELLED };

	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		if (tally_span_equals((struct tally_span){ text, len },
				      tally_state_name(states[i]))) {
			*(enum tally_state *)field = states[i];
			return true;
		}
	}
	return false;
}

/* The value of a hex digit in lower case; -1: it is none. */
static int
digit_of(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

bool
tally_read_run(const char *text, size_t len, void *field)
{
	uint64_t run = 0;

	if (len != 16)
		return false;
	for (size_t i = 0; i < len; i++) {
		int digit = digit_of(text[i]);

		if (digit < 0)
			return false;
		run = run << 4 | (uint64_t)digit;
	}
	*(uint64_t *)field = run;
	return true;
}

bool
tally_read_code(const char *text, size_t len, void *field)
{
	return tally_status_parse(text, len, field);
}

bool
tally_read_timing(const char *text, size_t len, void *field)
{
	if (len > TALLY_TIMING_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	}
	memcpy(field, text, len);
	((char *)field)[len] = '\0';
	return true;
}

bool
tally_read_ms(const char *text, size_t len, void *field)
{
	return tally_read_number(text, len, LAST_MS, field) && *(int64_t *)field > 0;
}

bool
tally_read_count(const char *text, size_t len, void *field)
{
	int64_t number;

	if (!tally_read_number(text, len, INT64_MAX, &number))
		return false;
	*(uint64_t *)field = (uint64_t)number;
	return true;
}

bool
tally_read_u32(const char *text, size_t len, void *field)
{
	int64_t number;

	if (!tally_read_number(text, len, UINT32_MAX, &number))
		return false;
	*(uint32_t *)field = (uint32_t)number;
	return true;
}

bool
tally_read_ordinal(const char *text, size_t len, void *field)
{
	return tally_read_u32(text, len, field) && *(uint32_t *)field > 0;
}

bool
tally_read_sha256(const char *text, size_t len, void *field)
{
	unsigned char *bytes = field;

	if (len != (size_t)2 * TALLY_SHA256_BYTES)
		return false;
	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++) {
		int high = digit_of(text[2 * i]);
		int low = digit_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

bool
tally_read_span(const char *text, size_t len, void *field)
{
	*(struct tally_span *)field = (struct tally_span){ text, len };
	return true;
}

bool
tally_read_specversion(const char *text, size_t len, void *field)
{
	(void)field;
	return len == 3 && memcmp(text, "1.0", 3) == 0;
}

/* A type of CloudEvents, such as application/cloudevents+json, is structured mode: the headers
 * would not be the event. */
bool
tally_read_content_type(const char *text, size_t len, void *field)
{
	static const char json[] = "application/json";
	size_t n = sizeof json - 1;

	(void)field;
	return len >= n && strncasecmp(text, json, n) == 0
	       && (len == n || text[n] == ';' || text[n] == ' ');
}

/* ---- text and time ----------------------------------------------------------- */

/* Well-formed UTF-8 (Unicode, table 3-7).  Rows: first byte from, to; second byte from, to; the
 * length. */
static const struct {
	unsigned char first[2];
	unsigned char second[2];
	size_t len;
} sequences[] = {
	{ { 0x20, 0x7e }, { 0, 0 },       1 },
        { { 0xc2, 0xdf }, { 0x80, 0xbf }, 2 },
	{ { 0xe0, 0xe0 }, { 0xa0, 0xbf }, 3 },
        { { 0xe1, 0xec }, { 0x80, 0xbf }, 3 },
	{ { 0xed, 0xed }, { 0x80, 0x9f }, 3 },
        { { 0xee, 0xef }, { 0x80, 0xbf }, 3 },
	{ { 0xf0, 0xf0 }, { 0x90, 0xbf }, 4 },
        { { 0xf1, 0xf3 }, { 0x80, 0xbf }, 4 },
	{ { 0xf4, 0xf4 }, { 0x80, 0x8f }, 4 },
};

static bool
is_between(unsigned char c, const unsigned char range[2])
{
	return c >= range[0] && c <= range[1];
}

/* The length of the character at text; 0: there is none, or a control character of ASCII. */
static size_t
character_at(const unsigned char *text, size_t len)
{
	size_t i = 0;
	size_t n = sizeof sequences / sizeof *sequences;

	while (i < n && !is_between(text[0], sequences[i].first))
		i++;
	if (i == n || sequences[i].len > len)
		return 0;
	if (sequences[i].len > 1 && !is_between(text[1], sequences[i].second))
		return 0;
	for (size_t at = 2; at < sequences[i].len; at++) {
		if ((text[at] & 0xc0) != 0x80)
			return 0;
	}
	return sequences[i].len;
}

bool
tally_read_text(const char *text, size_t len, size_t max, char *out)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t n;

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i += n) {
		n = character_at(bytes + i, len - i);
		if (n == 0)
			return false;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

/* Reads the digits that shape has a 0 for; its other characters must be there as they are, in
 * either case. */
static bool
read_shape(const char *text, const char *shape, int *out_numbers)
{
	bool was_digit = false;

	for (size_t i = 0; shape[i]; i++) {
		bool is_digit = shape[i] == '0';

		if (is_digit ? text[i] < '0' || text[i] > '9'
			     : text[i] != shape[i] && text[i] != (shape[i] | 0x20))
			return false;
		if (is_digit && !was_digit)
			*out_numbers++ = 0;
		if (is_digit)
			out_numbers[-1] = out_numbers[-1] * 10 + (text[i] - '0');
		was_digit = is_digit;
	}
	return true;
}

/* The fraction of a second at text, ".123456", in milliseconds; its length to *out_len. */
static int
read_fraction(const char *text, size_t len, size_t *out_len)
{
	int ms = 0;
	int weight = 100;
	size_t i = 1;

	*out_len = 0;
	if (len < 2 || text[0] != '.')
		return 0;
	for (; i < len && text[i] >= '0' && text[i] <= '9'; i++, weight /= 10)
		ms += (text[i] - '0') * weight;
	*out_len = i > 1 ? i : 0;
	return ms;
}

/* What stands behind the time: Z, or an offset such as +02:00, in seconds. */
static bool
read_zone(const char *text, size_t len, int *out_offset)
{
	int numbers[2] = { 0 };

	*out_offset = 0;
	if (len == 1)
		return text[0] == 'Z' || text[0] == 'z';
	if (len != 6 || (text[0] != '+' && text[0] != '-')
	    || !read_shape(text + 1, "00:00", numbers) || numbers[0] > 23 || numbers[1] > 59)
		return false;
	*out_offset = (numbers[0] * 60 + numbers[1]) * (text[0] == '-' ? -60 : 60);
	return true;
}

bool
tally_read_time(const char *text, size_t len, void *field)
{
	static const char shape[] = "0000-00-00T00:00:00";
	const size_t n = sizeof shape - 1;
	int numbers[6];
	size_t fraction_len;
	int offset;

	if (len <= n || !read_shape(text, shape, numbers))
		return false;
	struct tm tm = {
		.tm_year = numbers[0] - 1900,
		.tm_mon = numbers[1] - 1,
		.tm_mday = numbers[2],
		.tm_hour = numbers[3],
		.tm_min = numbers[4],
	};
	int ms = read_fraction(text + n, len - n, &fraction_len);
	int64_t seconds = timegm(&tm);
	if (tm.tm_mday != numbers[2] || tm.tm_mon != numbers[1] - 1 || numbers[3] > 23
	    || numbers[4] > 59 || numbers[5] > 60)
		return false;
	if (!read_zone(text + n + fraction_len, len - n - fraction_len, &offset))
		return false;
	*(int64_t *)field = (seconds + numbers[5] - offset) * 1000 + ms;
	return true;
}

/* ---- rules ------------------------------------------------------------------- */

bool
tally_span_equals(struct tally_span span, const char *text)
{
	return span.at && strlen(text) == span.len && memcmp(span.at, text, span.len) == 0;
}

tally_status
tally_header_fail(struct tally_error *err, const char *name, const char *why)
{
	return tally_fail(err, TALLY_BAD_REQUEST, "header %s %s", name, why);
}

/* Applies the rule of one header; seen has a bit for each rule. */
static tally_status
read_header(const struct tally_rule *rules, size_t n_rules, const struct tally_header *header,
	    void *out, uint64_t *seen, struct tally_error *err)
{
	for (size_t i = 0; i < n_rules; i++) {
		if (strcmp(rules[i].name, header->name) != 0)
			continue;
		if (*seen >> i & 1)
			return tally_header_fail(err, rules[i].name, "comes twice");
		*seen |= UINT64_C(1) << i;
		if (!header->value
		    || !rules[i].read(header->value, header->len, (char *)out + rules[i].offset))
			return tally_header_fail(err, rules[i].name, "is not valid");
		return TALLY_OK;
	}
	return TALLY_OK;
}

tally_status
tally_rules_read(const struct tally_rule *rules, size_t n_rules, const struct tally_header *headers,
		 size_t n, void *out, struct tally_error *err)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < n; i++) {
		tally_status status = read_header(rules, n_rules, &headers[i], out, &seen, err);

		if (status != TALLY_OK)
			return status;
	}
	for (size_t i = 0; i < n_rules; i++) {
		if (rules[i].is_required && !(seen >> i & 1))
			return tally_header_fail(err, rules[i].name, "is missing");
	}
	return TALLY_OK;
}

static bool
has_source(const struct tally_as_of *as_of, size_t n, const char *source)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(as_of[i].source, source) == 0)
			return true;
	}
	return false;
}

tally_status
tally_as_of_read(const struct tally_header *headers, size_t n, struct tally_as_of *as_of,
		 size_t *n_as_of, struct tally_error *err)
{
	const size_t prefix = strlen(TALLY_HEADER_AS_OF);

	for (size_t i = 0; i < n; i++) {
		const char *source = headers[i].name + prefix;
		struct tally_as_of *next = &as_of[*n_as_of];

		if (strncmp(headers[i].name, TALLY_HEADER_AS_OF, prefix) != 0)
			continue;
		if (*n_as_of == TALLY_SOURCES_MAX || !source[0]
		    || strlen(source) > TALLY_SOURCE_NAME_MAX || has_source(as_of, *n_as_of, source)
		    || !headers[i].value
		    || !tally_read_number(headers[i].value, headers[i].len, INT64_MAX,
					  &next->at_ms))
			return tally_header_fail(err, TALLY_HEADER_AS_OF, "is not valid");
		(void)snprintf(next->source, sizeof next->source, "%s", source);
		++*n_as_of;
	}
	return TALLY_OK;
}
