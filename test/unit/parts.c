/* Results in parts are put together, and nothing else is. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/parts.h>

static const struct tally_job_id ids[] = { { "06bvq9v8000060938nkrkaydxyzpnz5pn8rq0x0" },
					   { "xgee8zcvms4tnq7fnp3xh0m4hkb4mn6m8smscs5" } };

/* What a part is, and what must come of it. */
struct step {
	int id;
	uint64_t run;
	uint32_t part;
	const char *data;
	const char *whole; /* of the last part: whose digest it carries */
	tally_status status;
};

static struct tally_job_result
result_of(const struct step *step)
{
	struct tally_job_result result = {
		.id = ids[step->id],
		.run = step->run,
		.part = step->part,
	};

	if (step->whole) {
		result.n_parts = step->part;
		result.has_sha256 = true;
		cr_assert_eq(tally_sha256(step->whole, strlen(step->whole), result.sha256),
			     TALLY_OK);
	}
	return result;
}

static tally_status
add(struct tally_parts *parts, const struct step *step, int64_t now_ms, struct tally_body *out_body)
{
	struct tally_job_result result = result_of(step);
	/* Without a byte to spare, so that the sanitizer sees who reads past its end. */
	size_t len = strlen(step->data);
	char *data = malloc(len ? len : 1);

	cr_assert(data);
	memcpy(data, step->data, len);
	tally_status status = tally_parts_add(parts, &result, data, len, now_ms, out_body);
	free(data);
	return status;
}

static void
check_step(struct tally_parts *parts, const struct step *step, const char *why, size_t i)
{
	struct tally_body body = { NULL, 0 };
	tally_status status = add(parts, step, 0, &body);

	cr_expect_eq(status, step->status, "%s, step %zu: %s", why, i, tally_status_code(status));
	cr_expect_eq(body.bytes != NULL, status == TALLY_OK, "%s, step %zu", why, i);
	if (body.bytes && step->whole) {
		cr_expect_eq(body.len, strlen(step->whole), "%s, step %zu", why, i);
		cr_expect_str_eq(body.bytes, step->whole, "%s, step %zu", why, i);
	}
	free(body.bytes);
}

#define MORE TALLY_RESULT_NOT_READY
#define BAD  TALLY_BAD_REQUEST
#define BIG  TALLY_TOO_LARGE

/* Each with a table for 10 bytes and 2 runs. */
static const struct {
	const char *why;
	struct step steps[8];
	size_t left; /* bytes held at the end */
} cases[] = {
	{ "in order",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 7, 2, "", NULL, MORE },
	    { 0, 7, 3, "cd", "abcd", 0 } },
         0													       },
	{ "one part",			       { { 0, 7, 1, "ab", "ab", 0 } },                                    0 },
	{ "nothing at all",                         { { 0, 7, 1, "", "", 0 } },                                        0 },
	{ "exactly the ceiling",
         { { 0, 7, 1, "01234", NULL, MORE }, { 0, 7, 2, "56789", "0123456789", 0 } },
         0													       },
	{ "two runs of an id at once",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 8, 1, "AB", NULL, MORE },
	    { 0, 8, 2, "CD", "ABCD", 0 },
	    { 0, 7, 2, "cd", "abcd", 0 } },
         0													       },
	{ "two ids with the same run",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 1, 7, 1, "AB", NULL, MORE },
	    { 0, 7, 2, "cd", "abcd", 0 },
	    { 1, 7, 2, "CD", "ABCD", 0 } },
         0													       },
	{ "the first is missing",                   { { 0, 7, 2, "cd", "abcd", BAD } },                                0 },
	{ "a gap drops the run",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 7, 3, "ef", NULL, BAD },
	    { 0, 7, 2, "cd", NULL, BAD },
	    { 0, 7, 4, "gh", "abcdefgh", BAD } },
         0													       },
	{ "a part twice drops the run",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 7, 1, "ab", NULL, BAD },
	    { 0, 7, 2, "cd", "abcd", BAD } },
         0													       },
	{ "a dropped run may begin again",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 7, 3, "ef", NULL, BAD },
	    { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 7, 2, "cd", "abcd", 0 } },
         0													       },
	{ "another digest",                         { { 0, 7, 1, "ab", NULL, MORE }, { 0, 7, 2, "cx", "abcd", BAD } }, 0 },
	{ "the other run goes on",
         { { 0, 8, 1, "AB", NULL, MORE }, { 0, 7, 2, "cd", "abcd", BAD } },
         2													       },
	{ "past the ceiling, and all that follows",
         { { 0, 7, 1, "01234567", NULL, MORE },
	    { 0, 7, 2, "89a", NULL, BIG },
	    { 0, 7, 3, "b", NULL, BIG },
	    { 0, 7, 4, "c", "0123456789abc", BIG },
	    { 0, 8, 1, "0123456789", "0123456789", 0 } },
         0													       },
	{ "past the ceiling with the last part",
         { { 0, 7, 1, "01234567", NULL, MORE }, { 0, 7, 2, "89a", "0123456789a", BIG } },
         0													       },
	{ "the ceiling is that of all runs",
         { { 0, 7, 1, "01234567", NULL, MORE },
	    { 1, 7, 1, "ABC", NULL, BIG },
	    { 0, 7, 2, "89", "0123456789", 0 } },
         0													       },
	{ "the oldest run makes room for a third",
         { { 0, 7, 1, "ab", NULL, MORE },
	    { 0, 8, 1, "AB", NULL, MORE },
	    { 1, 9, 1, "xy", NULL, MORE },
	    { 0, 7, 2, "cd", "abcd", BAD },
	    { 1, 9, 2, "z", "xyz", 0 },
	    { 0, 8, 2, "C", "ABC", 0 } },
         0													       },
};

Test(parts, come_together_in_order_and_by_run)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tally_parts *parts = tally_parts_new(10, 2);

		cr_assert(parts);
		for (size_t at = 0; at < 8 && cases[i].steps[at].data; at++)
			check_step(parts, &cases[i].steps[at], cases[i].why, at);
		cr_expect_eq(tally_parts_bytes(parts), cases[i].left, "%s", cases[i].why);
		tally_parts_free(parts);
	}
}

Test(parts, of_a_final_id_are_dropped)
{
	static const struct step steps[] = {
		{ 0, 7, 1, "ab", NULL, MORE },
		{ 1, 7, 1, "xy", NULL, MORE },
		{ 0, 8, 1, "AB", NULL, MORE }
	};
	static const struct step last = { 1, 7, 2, "z", "xyz", TALLY_OK };
	static const struct step dropped = { 0, 7, 2, "cd", "abcd", BAD };
	struct tally_parts *parts = tally_parts_new(10, 4);

	for (size_t i = 0; i < 3; i++)
		check_step(parts, &steps[i], "begin", i);
	tally_parts_drop(parts, &ids[0]);
	cr_expect_eq(tally_parts_bytes(parts), 2);
	check_step(parts, &dropped, "dropped", 0);
	check_step(parts, &last, "the other id", 0);
	cr_expect_eq(tally_parts_bytes(parts), 0);
	tally_parts_free(parts);
}

Test(parts, grow_old)
{
	static const struct step first = { 0, 7, 1, "ab", NULL, MORE };
	static const struct step second = { 0, 7, 2, "cd", NULL, MORE };
	static const struct step third = { 0, 7, 3, "e", "abcde", TALLY_OK };
	struct tally_parts *parts = tally_parts_new(10, 4);
	struct tally_body body;

	cr_expect_eq(add(parts, &first, 1000, &body), MORE);
	cr_expect_eq(add(parts, &second, 1000 + TALLY_PARTS_AGE_MS, &body), MORE,
		     "on the last millisecond");
	tally_parts_age(parts, 1000 + 2 * TALLY_PARTS_AGE_MS);
	cr_expect_eq(tally_parts_bytes(parts), 4, "on the last millisecond");
	tally_parts_age(parts, 1001 + 2 * TALLY_PARTS_AGE_MS);
	cr_expect_eq(tally_parts_bytes(parts), 0);
	cr_expect_eq(add(parts, &third, 1001 + 2 * TALLY_PARTS_AGE_MS, &body), BAD);
	tally_parts_free(parts);
}

Test(parts, that_are_stale_do_not_stand_in_the_way)
{
	static const struct step stale = { 0, 7, 1, "0123456789", NULL, MORE };
	static const struct step fresh = { 0, 8, 1, "01234567", "01234567", TALLY_OK };
	struct tally_parts *parts = tally_parts_new(10, 1);
	struct tally_body body;

	cr_expect_eq(add(parts, &stale, 0, &body), MORE);
	cr_assert_eq(add(parts, &fresh, TALLY_PARTS_AGE_MS + 1, &body), TALLY_OK);
	free(body.bytes);
	tally_parts_free(parts);
}

Test(parts, of_a_large_body)
{
	enum { PART = 10007, PARTS = 700 };
	struct tally_parts *parts = tally_parts_new((size_t)PART * PARTS, 1);
	char *whole = malloc((size_t)PART * PARTS);
	struct tally_body body = { NULL, 0 };
	struct tally_job_result result = { .id = ids[0], .run = 1 };

	cr_assert(whole && parts);
	for (size_t i = 0; i < (size_t)PART * PARTS; i++)
		whole[i] = (char)(i * 31 >> 3);
	for (uint32_t i = 1; i <= PARTS; i++) {
		result.part = i;
		result.n_parts = i == PARTS ? PARTS : 0;
		result.has_sha256 = i == PARTS;
		if (result.has_sha256)
			cr_assert_eq(tally_sha256(whole, (size_t)PART * PARTS, result.sha256),
				     TALLY_OK);
		cr_assert_eq(
		    tally_parts_add(parts, &result, whole + (size_t)PART * (i - 1), PART, 0, &body),
		    i == PARTS ? TALLY_OK : MORE);
	}
	cr_assert_eq(body.len, (size_t)PART * PARTS);
	cr_expect_arr_eq(body.bytes, whole, body.len);
	free(body.bytes);
	free(whole);
	tally_parts_free(parts);
}

Test(parts, have_a_ceiling_that_may_change)
{
	static const struct step first = { 0, 7, 1, "0123", NULL, MORE };
	static const struct step second = { 0, 7, 2, "4", "01234", BIG };
	static const struct step again = { 0, 8, 1, "012345", "012345", TALLY_OK };
	struct tally_parts *parts = tally_parts_new(10, 4);

	check_step(parts, &first, "below the ceiling", 0);
	tally_parts_limit(parts, 3);
	cr_expect_eq(tally_parts_bytes(parts), 4, "what is held stays");
	check_step(parts, &second, "below what is held", 0);
	tally_parts_limit(parts, 6);
	check_step(parts, &again, "a higher one", 0);
	tally_parts_free(parts);
}

Test(parts, need_a_table_of_some_size)
{
	cr_expect_null(tally_parts_new(10, 0));
	cr_expect_null(tally_parts_new(10, SIZE_MAX));
	tally_parts_free(NULL);
}
