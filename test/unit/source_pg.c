/* What of the PostgreSQL source needs no server: settings, SQLSTATEs, numerics. */
#include <criterion/criterion.h>

#include "source/pg_error.h"
#include "source/pg_numeric.h"
#include "source/pg_settings.h"

static const char *
value_of(const struct pg_settings *settings, const char *keyword)
{
	for (size_t i = 0; settings->keywords[i]; i++) {
		if (strcmp(settings->keywords[i], keyword) == 0)
			return settings->values[i];
	}
	return "";
}

Test(pg_settings, gives_up_the_one_setting_that_an_old_server_does_not_know)
{
	struct pg_settings settings;
	struct tally_error err;

	cr_assert_eq(pg_settings_init(&settings, "db1",
				      "postgres+x://h/d?options=-c%20search_path%3Da", 5000, &err),
		     TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(value_of(&settings, "dbname"),
			 "postgresql://h/d?options=-c%20search_path%3Da");
	cr_expect(strstr(value_of(&settings, "options"), "client_connection_check_interval=1s"));
	cr_expect(strstr(value_of(&settings, "options"), "statement_timeout=5000"));
	pg_settings_refused(&settings, "password authentication failed");
	cr_expect(strstr(value_of(&settings, "options"), "client_connection_check_interval"));
	pg_settings_refused(&settings, "unrecognized configuration parameter "
				       "\"client_connection_check_interval\"");
	cr_expect_null(strstr(value_of(&settings, "options"), "client_connection_check_interval"));
	cr_expect(strstr(value_of(&settings, "options"), "search_path=a"));
	pg_settings_fini(&settings);
}

Test(pg_error, tells_what_may_pass_from_what_will_not)
{
	static const char *const transient[] = { "08006", "40001", "40P01", "53300", "55P03",
						 "57P01", "57P03", "58030", NULL };
	static const char *const permanent[] = { "22012", "42P01", "0A000", "55000", "25006" };

	for (size_t i = 0; i < sizeof transient / sizeof *transient; i++)
		cr_expect_eq(pg_error_status(transient[i]), TALLY_SOURCE_UNAVAILABLE);
	for (size_t i = 0; i < sizeof permanent / sizeof *permanent; i++)
		cr_expect_eq(pg_error_status(permanent[i]), TALLY_SOURCE_ERROR);
	cr_expect_eq(pg_error_status("57014"), TALLY_DEADLINE_EXCEEDED);
}

Test(pg_numeric, comes_back_as_it_went)
{
	static const char *const texts[] = {
		"0", "7", "-12.50", "0.000", "10000", "9999.9999", "-100000000.00000001", "0.00012"
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct buf buf = BUF_INIT(1024);
		char text[PG_NUMERIC_CHARS];
		size_t len;

		cr_assert_eq(pg_numeric_encode(texts[i], strlen(texts[i]), &buf), TALLY_OK);
		cr_assert(pg_numeric_decode((unsigned char *)buf.data, buf.len, text, &len));
		cr_expect_eq(len, strlen(texts[i]));
		cr_expect_arr_eq(text, texts[i], len, "%s", texts[i]);
		buf_fini(&buf);
	}
}

Test(pg_numeric, is_bounded_whatever_the_bytes_say)
{
	/* count, weight, sign, scale, one digit */
	static const unsigned char huge[] = { 0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0x27, 0x0f };
	static const unsigned char tiny[] = { 0, 1, 0x80, 0, 0, 0, 0x3f, 0xff, 0x27, 0x0f };
	static const unsigned char nan[] = { 0, 0, 0, 0, 0xc0, 0, 0, 0 };
	static const unsigned char wide[] = { 0, 1, 0, 9, 0, 0, 0, 39, 0xff, 0xff };
	char text[PG_NUMERIC_CHARS];
	size_t len;

	cr_expect(pg_numeric_decode(huge, sizeof huge, text, &len) && len == 0);
	cr_expect(pg_numeric_decode(tiny, sizeof tiny, text, &len) && len == 0);
	cr_expect(pg_numeric_decode(nan, sizeof nan, text, &len) && len == 0);
	cr_expect(pg_numeric_decode(wide, sizeof wide, text, &len) && len == 0);
	cr_expect_not(pg_numeric_decode(huge, sizeof huge - 1, text, &len));
	cr_expect_not(pg_numeric_decode(huge, 7, text, &len));
}
