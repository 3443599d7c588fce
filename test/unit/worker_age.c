#include <criterion/criterion.h>

#include "worker/age.h"

Test(age, is_zero_for_the_first_message_whatever_the_clocks_say)
{
	struct age age;

	age_init(&age, 0);
	cr_expect_eq(age_of(&age, 1000, 999999), 0);
}

Test(age, is_measured_from_the_fastest_message_of_the_last_minute)
{
	struct age age;

	age_init(&age, 0);
	cr_expect_eq(age_of(&age, 1000, 1005), 0);
	cr_expect_eq(age_of(&age, 1000, 1605), 600);
	cr_expect_eq(age_of(&age, 2000, 2003), 0, "a faster one moves the base");
	cr_expect_eq(age_of(&age, 2000, 2103), 100);
}

Test(age, forgets_a_jump_of_the_brokers_clock_after_a_minute)
{
	struct age age;
	int64_t hour_ms = 3600 * 1000;

	age_init(&age, 0);
	cr_expect_eq(age_of(&age, hour_ms, 5), 0);
	/* It jumps an hour back: everything looks old, for at most a minute. */
	cr_expect_eq(age_of(&age, 10, 15), hour_ms);
	cr_expect_eq(age_of(&age, 30000, 30005), hour_ms);
	cr_expect_eq(age_of(&age, 66000, 66005), 0);
}

Test(age, starts_anew_after_a_long_silence)
{
	struct age age;

	age_init(&age, 0);
	cr_expect_eq(age_of(&age, 0, 0), 0);
	cr_expect_eq(age_of(&age, 0, 900000), 0);
}
