#include <criterion/criterion.h>

#include <stdlib.h>

#include "base/buf.h"

Test(buf, grows_and_keeps_what_was_appended)
{
	struct buf buf = BUF_INIT(1 << 20);

	for (int i = 0; i < 100000; i++)
		cr_assert_eq(buf_append(&buf, &(char){ (char)('a' + i % 26) }, 1), TALLY_OK);
	cr_expect_eq(buf.len, 100000);
	cr_expect_eq(buf.data[99999], 'a' + 99999 % 26);
	buf_fini(&buf);
	cr_expect_eq(buf.len, 0);
	cr_expect_eq(buf.limit_bytes, 1 << 20);
}

Test(buf, is_full_at_its_limit_and_unchanged_by_what_did_not_fit)
{
	struct buf buf = BUF_INIT(10);

	cr_assert_eq(buf_puts(&buf, "12345678"), TALLY_OK);
	cr_expect_eq(buf_puts(&buf, "abc"), TALLY_TOO_LARGE);
	cr_expect_eq(buf_append(&buf, "x", (size_t)-1), TALLY_TOO_LARGE);
	cr_expect_eq(buf.len, 8);
	cr_expect_eq(buf_puts(&buf, "ab"), TALLY_OK);
	cr_expect_eq(buf_puts(&buf, ""), TALLY_OK);
	cr_expect_eq(memcmp(buf.data, "12345678ab", 10), 0);
	buf_fini(&buf);
}

Test(buf, takes_nothing_when_its_limit_is_zero)
{
	struct buf buf = BUF_INIT(0);

	cr_expect_eq(buf_puts(&buf, ""), TALLY_OK);
	cr_expect_eq(buf_puts(&buf, "a"), TALLY_TOO_LARGE);
	buf_fini(&buf);
}

Test(buf, reserve_makes_the_next_appends_certain)
{
	struct buf buf = BUF_INIT(1000);
	const char *before;

	cr_assert_eq(buf_reserve(&buf, 1000), TALLY_OK);
	before = buf.data;
	for (int i = 0; i < 1000; i++)
		cr_expect_eq(buf_append(&buf, "x", 1), TALLY_OK);
	cr_expect_eq(buf.data, before);
	cr_expect_eq(buf_reserve(&buf, 1), TALLY_TOO_LARGE);
	buf_fini(&buf);
}

Test(buf, formats_text)
{
	struct buf buf = BUF_INIT(100);

	cr_assert_eq(buf_printf(&buf, "%s=%d", "n", 42), TALLY_OK);
	cr_assert_eq(buf_printf(&buf, ";%05.1f", 2.25), TALLY_OK);
	cr_expect_eq(buf.len, 10);
	cr_expect_eq(memcmp(buf.data, "n=42;002.2", 10), 0);
	cr_expect_eq(buf_printf(&buf, "%200d", 1), TALLY_TOO_LARGE);
	cr_expect_eq(buf.len, 10);
	buf_fini(&buf);
}

Test(buf, hands_its_contents_out_and_is_empty_then)
{
	struct buf buf = BUF_INIT(100);
	size_t len = 99;
	char *data;

	cr_expect_null(buf_take(&buf, &len));
	cr_expect_eq(len, 0);
	cr_assert_eq(buf_puts(&buf, "mine"), TALLY_OK);
	data = buf_take(&buf, &len);
	cr_expect_eq(len, 4);
	cr_expect_eq(memcmp(data, "mine", 4), 0);
	cr_expect_eq(buf.len, 0);
	cr_expect_eq(buf_puts(&buf, "again"), TALLY_OK);
	free(data);
	buf_fini(&buf);
	buf_fini(NULL);
}
