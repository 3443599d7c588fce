/* UTF-8 and SHA-256. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include <tally/digest.h>

#include "base/utf8.h"

/* Looks at a copy of exactly len bytes, so that a byte beyond is seen. */
static bool
is_valid(const char *text, size_t len, size_t *out_points)
{
	char *exact = malloc(len ? len : 1);

	cr_assert(exact);
	memcpy(exact, text, len);
	bool valid = utf8_valid(exact, len, out_points);
	free(exact);
	return valid;
}

/* The UTF-8 of a code point up to U+1FFFFF, also of surrogates; its length. */
static size_t
encode(unsigned point, char out[4])
{
	size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	static const unsigned char heads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };

	for (size_t i = len; i-- > 1; point >>= 6)
		out[i] = (char)(0x80 | (point & 0x3F));
	out[0] = (char)(heads[len] | point);
	return len;
}

Test(utf8, every_code_point_is_valid_but_surrogates_and_what_is_above)
{
	char text[4];

	for (unsigned point = 0; point < 0x200000; point++) {
		size_t len = encode(point, text);
		bool is_right = point < 0xD800 || (point > 0xDFFF && point < 0x110000);
		cr_assert_eq(utf8_sequence(text, len), is_right ? len : 0, "U+%04X", point);
		for (size_t n = 1; n < len; n++)
			cr_assert_eq(utf8_sequence(text, n), 0, "U+%04X cut at %zu", point, n);
	}
}

/* RFC 3629, section 4: by table, against every sequence of two bytes and every first three. */
Test(utf8, no_other_sequence_is_valid)
{
	char text[4] = { 0, 0, (char)0x80, (char)0x80 };

	for (unsigned i = 0; i < 0x10000; i++) {
		unsigned first = i >> 8, second = i & 0xFF;
		bool is_tail = second >= 0x80 && second <= 0xBF;
		size_t expected = 0;
		text[0] = (char)first;
		text[1] = (char)second;
		if (first < 0x80)
			expected = 1;
		else if (first >= 0xC2 && first <= 0xDF && is_tail)
			expected = 2;
		else if (first >= 0xE0 && first <= 0xEF && is_tail)
			expected =
			    (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)
				? 0
				: 3;
		else if (first >= 0xF0 && first <= 0xF4 && is_tail)
			expected =
			    (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)
				? 0
				: 4;
		cr_assert_eq(utf8_sequence(text, 4), expected, "%02x %02x", first, second);
	}
	cr_expect_eq(utf8_sequence("\xe2\x82\x2c", 3), 0);
	cr_expect_eq(utf8_sequence("\xf0\x9f\x98\xc0", 4), 0);
	cr_expect_eq(utf8_sequence("\xf0\x9f\x18\x80", 4), 0);
}

Test(utf8, counts_code_points)
{
	size_t points = 99;

	cr_expect(is_valid("", 0, &points) && points == 0);
	cr_expect(is_valid("12345678", 8, &points) && points == 8);
	cr_expect(is_valid("1234567\xd0\xb6", 9, &points) && points == 8);
	cr_expect(is_valid("\xd0\xb6\xe2\x82\xac\xf0\x9f\x98\x80x\0y", 12, &points) && points == 6);
	cr_expect(is_valid("abc", 3, NULL));
	points = 99;
	cr_expect_not(is_valid("12345678\xff", 9, &points));
	cr_expect_eq(points, 99);
}

/* A wrong byte is seen wherever it stands: words of eight are looked at at once. */
Test(utf8, a_wrong_byte_is_seen_at_every_place)
{
	char text[40];

	for (size_t len = 1; len < sizeof text; len++) {
		memset(text, 'a', len);
		for (size_t at = 0; at < len; at++) {
			text[at] = (char)0xC3;
			cr_expect_not(is_valid(text, len, NULL), "%zu of %zu", at, len);
			if (at + 1 < len) {
				text[at + 1] = (char)0xA9;
				cr_expect(is_valid(text, len, NULL), "%zu of %zu", at, len);
				text[at + 1] = 'a';
			}
			text[at] = 'a';
		}
	}
}

Test(utf8, cuts_between_letters)
{
	const char *text = "a\xd0\xb6\xe2\x82\xac\xf0\x9f\x98\x80z";
	static const size_t cuts[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };

	for (size_t max = 0; max < sizeof cuts / sizeof cuts[0]; max++)
		cr_expect_eq(utf8_cut(text, 11, max), cuts[max], "at most %zu", max);
	cr_expect_eq(utf8_cut("", 0, 0), 0);
	cr_expect_eq(utf8_cut("", 0, 5), 0);
}

/* ---- SHA-256 -------------------------------------------------------------------------------- */

static void
expect_sha256(const char *text, size_t len, const char *hex)
{
	unsigned char hash[TALLY_SHA256_BYTES];
	char made[2 * sizeof hash + 1];

	cr_assert_eq(tally_sha256(text, len, hash), TALLY_OK);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(made + 2 * i, 3, "%02x", hash[i]);
	cr_expect_str_eq(made, hex);
}

/* The examples of FIPS 180-4 and the empty text. */
Test(digest, is_sha256)
{
	char *million = malloc(1000000);

	expect_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	expect_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	cr_assert(million);
	memset(million, 'a', 1000000);
	expect_sha256(million, 1000000,
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}
