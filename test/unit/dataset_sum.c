/* Sums of decimals are exact, whatever their order and scale. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "dataset/sum.h"
#include "support/chance.h"

__extension__ typedef __int128 wide;

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SCALE_MAX    9

static uint64_t state = 88172645463325252u;

static uint64_t
chance(uint64_t n)
{
	return (chance_next(&state) >> 11) % n;
}

/* A number of 10^-scale, as text with so many digits behind the point. */
static void
print_wide(wide number, int scale, char out[64])
{
	char digits[64];
	int n = 0;
	size_t len = 0;
	bool is_negative = number < 0;

	while (number != 0 || n <= scale) {
		int digit = (int)(number % 10);

		digits[n++] = (char)('0' + (digit < 0 ? -digit : digit));
		number /= 10;
	}
	if (is_negative)
		out[len++] = '-';
	while (n > 0) {
		if (n == scale)
			out[len++] = '.';
		out[len++] = digits[--n];
	}
	out[len] = '\0';
}

static void
add(struct sum *sum, const char *text)
{
	cr_assert_eq(sum_add(sum, text, strlen(text)), TALLY_OK, "%s", text);
}

static const char *
end(struct sum *sum)
{
	static char text[SUM_TEXT_MAX + 1];
	size_t len;

	if (sum_end(sum, text, &len) != TALLY_OK)
		return "past 38 digits";
	text[len] = '\0';
	return text;
}

Test(sum, agrees_with_wide_integers)
{
	for (int round = 0; round < 3000; round++) {
		struct sum sum = { 0 };
		size_t n = 1 + chance(20);
		wide total = 0; /* of 10^-SCALE_MAX */
		int most = 0;
		char text[64];

		for (size_t i = 0; i < n; i++) {
			int scale = (int)chance(SCALE_MAX + 1);
			wide number = (wide)(chance(UINT64_MAX) >> chance(60));
			wide unit = 1;

			number *= chance(2) ? 1 : -1;
			number *= chance(3) ? 1 : INT64_C(1000000000);
			for (int k = scale; k < SCALE_MAX; k++)
				unit *= 10;
			total += number * unit;
			most = scale > most ? scale : most;
			print_wide(number, scale, text);
			add(&sum, text);
		}
		for (int k = most; k < SCALE_MAX; k++)
			total /= 10;
		print_wide(total, most, text);
		cr_assert_str_eq(end(&sum), text);
	}
}

static const struct {
	const char *addends[5];
	const char *total;
} cases[] = {
	{ { "0" },						 "0"				      },
	{ { "-0.00" },					     "0.00"				   },
	{ { "1", "-1.0" },					 "0.0"				    },
	{ { "0.1", "0.2" },					"0.3"				    },
	{ { "-0.05", "0.04" },				     "-0.01"                                  },
	{ { "99999999999999999999999999999999999999" },            "99999999999999999999999999999999999999" },
	{ { "99999999999999999999999999999999999999", "1" },       "past 38 digits"                         },
	{ { "-99999999999999999999999999999999999999", "-1" },     "past 38 digits"                         },
	{ { "99999999999999999999999999999999999999", "1", "-2" },
         "99999999999999999999999999999999999998"							   },
	{ { "0.00000000000000000000000000000000000001", "1" },     "past 38 digits"                         },
	{ { "0.00000000000000000000000000000000000001", "0.1" },
         "0.10000000000000000000000000000000000001"							 },
	{ { "99999999999999999999999999999999999999", "0.00" },
         "99999999999999999999999999999999999999"							   },
	{ { "999999999", "1" },				    "1000000000"                             },
	{ { "-1000000000", "1" },				  "-999999999"                             },
	{ { "1000000000000000000", "-0.000000001" },               "999999999999999999.999999999"           },
};

Test(sum, carries_and_knows_its_ceiling)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sum sum = { 0 };

		for (size_t k = 0; k < 5 && cases[i].addends[k]; k++)
			add(&sum, cases[i].addends[k]);
		cr_expect_str_eq(end(&sum), cases[i].total, "case %zu", i);
	}
}

Test(sum, takes_a_million_of_the_largest)
{
	struct sum sum = { 0 };

	for (int i = 0; i < 1000000; i++) {
		add(&sum, "99999999999999999999999999999999999999");
		add(&sum, "-99999999999999999999999999999999999998");
	}
	cr_expect_str_eq(end(&sum), "1000000");
}
