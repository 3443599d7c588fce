#include <criterion/criterion.h>

#include "base/utf8.h"

#define TEXT(literal) literal, sizeof literal - 1

static const struct {
	const char *text;
	size_t len;
	size_t points; /* (size_t)-1: not UTF-8 */
} cases[] = {
	{ TEXT(""),						 0          },
	{ TEXT("a\0b"),					     3          },
	{ TEXT("eight chars and some more"),                        25         },
	{ TEXT("ЖК Ромашка"),				       10         },
	{ TEXT("\xC2\x80\xDF\xBF"),                                 2          },
	{ TEXT("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"), 4          },
	{ TEXT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"),                 2          },
	{ TEXT("\x80"),					     (size_t)-1 },
	{ TEXT("\xC0\xAF"),					 (size_t)-1 }, /* overlong */
	{ TEXT("\xC1\xBF"),					 (size_t)-1 }, /* overlong */
	{ TEXT("\xE0\x9F\xBF"),				     (size_t)-1 }, /* overlong */
	{ TEXT("\xF0\x8F\xBF\xBF"),                                 (size_t)-1 }, /* overlong */
	{ TEXT("\xED\xA0\x80"),				     (size_t)-1 }, /* a surrogate */
	{ TEXT("\xF4\x90\x80\x80"),                                 (size_t)-1 }, /* above U+10FFFF */
	{ TEXT("\xF5\x80\x80\x80"),                                 (size_t)-1 }, /* above U+10FFFF */
	{ TEXT("\xFF"),					     (size_t)-1 }, /* never a first byte */
	{ TEXT("plain text \xD0"),                                  (size_t)-1 }, /* cut */
	{ TEXT("\xE2\x82"),					 (size_t)-1 }, /* cut */
	{ TEXT("\xF0\x90\x80"),				     (size_t)-1 }, /* cut */
	{ TEXT("\xD0\x41"),					 (size_t)-1 }, /* no continuation */
	{ TEXT("\xE2\x82\x41"),				     (size_t)-1 }, /* no continuation */
	{ TEXT("\xF0\x90\x80\x41"),                                 (size_t)-1 }, /* no continuation */
	{ TEXT("12345678\x80"
	       "1234567"),
         (size_t)-1							    }, /* in the second word */
};

Test(utf8, knows_what_is_utf8_and_counts_its_letters)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t points = (size_t)-1;
		bool is_valid = utf8_valid(cases[i].text, cases[i].len, &points);

		cr_expect_eq(is_valid, cases[i].points != (size_t)-1, "case %zu", i);
		cr_expect_eq(points, cases[i].points, "case %zu", i);
		cr_expect_eq(utf8_valid(cases[i].text, cases[i].len, NULL), is_valid);
	}
}

Test(utf8, accepts_exactly_the_code_points_there_are)
{
	size_t n = 0;

	/* Each three bytes of a first byte E0-EF: 61,440 code points without the surrogates. */
	for (unsigned word = 0xE00000; word <= 0xEFFFFF; word++) {
		const char text[3] = { (char)(word >> 16), (char)(word >> 8), (char)word };

		n += utf8_sequence(text, 3) == 3;
	}
	cr_expect_eq(n, 0x10000 - 0x800 - 0x800);
}

Test(utf8, cuts_between_letters)
{
	cr_expect_eq(utf8_cut("abc", 3, 10), 3);
	cr_expect_eq(utf8_cut("abc", 3, 2), 2);
	cr_expect_eq(utf8_cut("ЖЖ", 4, 3), 2);
	cr_expect_eq(utf8_cut("ЖЖ", 4, 1), 0);
	cr_expect_eq(utf8_cut("a\xF0\x90\x80\x80", 5, 4), 1);
}
