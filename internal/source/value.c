#include "source/value.h"

#include <string.h>

/* The number in a decimal's text: without sign, leading and trailing zeros. */
struct decimal_view {
	bool is_negative; /* never of zero */
	const char *whole;
	size_t n_whole;
	const char *fraction;
	size_t n_fraction;
};

static struct decimal_view
view_decimal(const struct value *value)
{
	const char *at = value->text;
	const char *end = at + value->len;
	const char *point;
	struct decimal_view view = { 0 };

	if (at < end && *at == '-') {
		view.is_negative = true;
		at++;
	}
	while (at < end && *at == '0')
		at++;
	point = memchr(at, '.', (size_t)(end - at));
	view.whole = at;
	view.n_whole = (size_t)((point ? point : end) - at);
	view.fraction = point ? point + 1 : end;
	while (point && end > view.fraction && end[-1] == '0')
		end--;
	view.n_fraction = (size_t)(end - view.fraction);
	if (view.n_whole == 0 && view.n_fraction == 0)
		view.is_negative = false;
	return view;
}

static int
compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t both = a_len < b_len ? a_len : b_len;
	int order = both ? memcmp(a, b, both) : 0;

	if (order != 0)
		return order;
	return a_len < b_len ? -1 : a_len > b_len;
}

static int
compare_decimals(const struct value *a, const struct value *b)
{
	struct decimal_view left = view_decimal(a);
	struct decimal_view right = view_decimal(b);
	int order;

	if (left.is_negative != right.is_negative)
		return left.is_negative ? -1 : 1;
	if (left.n_whole != right.n_whole)
		order = left.n_whole < right.n_whole ? -1 : 1;
	else
		order = compare_bytes(left.whole, left.n_whole, right.whole, right.n_whole);
	if (order == 0)
		order =
		    compare_bytes(left.fraction, left.n_fraction, right.fraction, right.n_fraction);
	return left.is_negative ? -order : order;
}

static int
compare_set(const struct value *a, const struct value *b)
{
	switch ((enum tally_type)a->type) {
	case TALLY_TEXT:
		return compare_bytes(a->text, a->len, b->text, b->len);
	case TALLY_DECIMAL:
		return compare_decimals(a, b);
	case TALLY_UUID:
		return memcmp(a->uuid, b->uuid, sizeof a->uuid);
	case TALLY_FLOAT:
		return a->f < b->f ? -1 : a->f > b->f;
	default:
		return a->i < b->i ? -1 : a->i > b->i;
	}
}

int
value_compare(const struct value *a, const struct value *b)
{
	if (a->state != VALUE_SET || b->state != VALUE_SET)
		return (a->state == VALUE_SET ? 0 : 1) - (b->state == VALUE_SET ? 0 : 1);
	return compare_set(a, b);
}

bool
value_equal(const struct value *a, const struct value *b)
{
	if (a->state != b->state)
		return false;
	return a->state != VALUE_SET || compare_set(a, b) == 0;
}

/* ---- hash -------------------------------------------------------------------- */

/* A 64-bit finaliser: every bit of the input reaches every bit of the result. */
static uint64_t
mix(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	return hash ^ hash >> 32;
}

static uint64_t
hash_bytes(const void *data, size_t len, uint64_t hash)
{
	const unsigned char *at = data;
	uint64_t word;

	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word, at, 8);
		hash = mix(hash ^ word);
	}
	word = (uint64_t)len << 56;
	memcpy(&word, at, len);
	return mix(hash ^ word);
}

static uint64_t
hash_float(double number, uint64_t seed)
{
	uint64_t bits;

	number += 0.0; /* -0 and 0 are equal */
	memcpy(&bits, &number, sizeof bits);
	return mix(seed ^ bits);
}

static uint64_t
hash_decimal(const struct value *value, uint64_t seed)
{
	struct decimal_view view = view_decimal(value);

	seed = hash_bytes(view.whole, view.n_whole, seed ^ (view.is_negative ? 1 : 0));
	return hash_bytes(view.fraction, view.n_fraction, seed);
}

uint64_t
value_hash(const struct value *value, uint64_t seed)
{
	if (value->state != VALUE_SET)
		return mix(seed + 1 + value->state);
	switch ((enum tally_type)value->type) {
	case TALLY_TEXT:
		return hash_bytes(value->text, value->len, seed);
	case TALLY_DECIMAL:
		return hash_decimal(value, seed);
	case TALLY_UUID:
		return hash_bytes(value->uuid, sizeof value->uuid, seed);
	case TALLY_FLOAT:
		return hash_float(value->f, seed);
	default:
		return mix(seed ^ (uint64_t)value->i);
	}
}
