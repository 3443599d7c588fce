#include <criterion/criterion.h>

#include <stdlib.h>

#include "worker/slices.h"

Test(slices, cover_a_body_without_gap_and_without_an_empty_one)
{
	static const size_t maxima[] = { 1, 2, 3, 7, 64 };

	for (size_t m = 0; m < sizeof maxima / sizeof *maxima; m++) {
		for (size_t len = 1; len < 200; len++) {
			uint32_t n = slices_count(len, maxima[m]);
			size_t sum = 0;

			for (uint32_t i = 0; i < n; i++) {
				size_t slice = slices_len(len, maxima[m], i);
				cr_assert(slice > 0 && slice <= maxima[m]);
				cr_assert(i + 1 == n || slice == maxima[m]);
				sum += slice;
			}
			cr_assert_eq(sum, len, "%zu by %zu", len, maxima[m]);
		}
	}
}

Test(slices, are_one_for_what_fits)
{
	cr_expect_eq(slices_count(0, 10), 1);
	cr_expect_eq(slices_len(0, 10, 0), 0);
	cr_expect_eq(slices_count(10, 10), 1);
	cr_expect_eq(slices_count(11, 10), 2);
	cr_expect_eq(slices_len(11, 10, 1), 1);
	cr_expect_eq(slices_count(64 << 20, 1024), 65536);
}
