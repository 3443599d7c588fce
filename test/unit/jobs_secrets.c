#include <criterion/criterion.h>

#include <string.h>

#include "jobs/secrets.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER  "another secret of 32 characters!"

Test(job_secrets, are_one_or_two_of_32_characters)
{
	static const struct {
		const char *text;
		size_t n; /* 0: refused */
	} cases[] = {
		{ SECRET,			    1 },
		{ SECRET "," OTHER,                  2 },
		{ SECRET "and more",                 1 },
		{ "",				0 },
		{ "0123456789abcdef0123456789abcde", 0 },
		{ SECRET ",",                        0 },
		{ "," SECRET,                        0 },
		{ SECRET ",short",                   0 },
		{ SECRET "," OTHER "," SECRET,       0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tally_secrets secrets = { .n = 99 };
		struct tally_error err = { 0 };
		tally_status status = job_secrets_parse(cases[i].text, &secrets, &err);

		cr_expect_eq(status, cases[i].n > 0 ? TALLY_OK : TALLY_WRONG_SETTING, "%s",
			     cases[i].text);
		cr_expect_eq(secrets.n, cases[i].n > 0 ? cases[i].n : 99, "%s", cases[i].text);
		cr_expect_null(strstr(err.detail, "0123456789"), "quoted: %s", err.detail);
	}
}

Test(job_secrets, sign_with_the_first_and_verify_with_both)
{
	struct tally_secrets old, both;
	struct tally_job_id id;

	cr_assert_eq(job_secrets_parse(OTHER, &old, NULL), TALLY_OK);
	cr_assert_eq(job_secrets_parse(SECRET "," OTHER, &both, NULL), TALLY_OK);
	cr_assert_eq(tally_job_id_make(&old, "ann", 1, 2, &id, NULL), TALLY_OK);
	cr_expect(tally_job_id_is_genuine(&id, &both, "ann"));
	cr_assert_eq(tally_job_id_make(&both, "ann", 1, 2, &id, NULL), TALLY_OK);
	cr_expect(tally_job_id_is_genuine(&id, &both, "ann"));
	cr_expect_not(tally_job_id_is_genuine(&id, &old, "ann"));
}
