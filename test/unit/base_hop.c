/* Entries of Server-Timing. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/hop.h"

static const struct {
	int64_t us;
	const char *text;
} cases[] = {
	{ 0,         "a;dur=0.00"                },
        { -1,        "a;dur=0.00"                },
	{ INT64_MIN, "a;dur=0.00"                },
        { 4,         "a;dur=0.00"                },
	{ 5,         "a;dur=0.01"                },
        { 994,       "a;dur=0.99"                },
	{ 995,       "a;dur=1.00"                },
        { 1234,      "a;dur=1.23"                },
	{ 100000,    "a;dur=100.00"              },
        { INT64_MAX, "a;dur=9223372036854775.81" },
};

Test(hop, milliseconds_with_two_digits)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[64];

		cr_expect_eq(hop_append(text, 0, sizeof text, "a", cases[i].us),
			     strlen(cases[i].text));
		cr_expect_str_eq(text, cases[i].text);
	}
}

Test(hop, entries_stand_apart_and_fit_or_are_left_out)
{
	char text[27];
	size_t len = hop_append(text, 0, sizeof text, "first", 1000);

	cr_expect_eq(hop_append(text, len, 26, "b", 2000), len, "one byte too many: left out");
	cr_expect_str_eq(text, "first;dur=1.00");
	cr_expect_eq(hop_append(text, len, 27, "b", 2000), 26u);
	cr_expect_str_eq(text, "first;dur=1.00, b;dur=2.00");
}
