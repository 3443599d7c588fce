/* Values in few bytes: what is written is read back. */
#include <criterion/criterion.h>

#include <float.h>
#include <string.h>

#include <tally/types.h>

#include "dataset/pack.h"

static size_t
check(const struct value *value)
{
	unsigned char bytes[256];
	struct value back;
	unsigned char *end = pack_value(bytes, value);

	cr_assert_leq((size_t)(end - bytes), pack_bound(value));
	cr_assert_eq(unpack_value(bytes, &back), end);
	cr_expect_eq(back.type, value->type);
	cr_assert_eq(back.state, value->state);
	if (value->state == VALUE_SET)
		cr_expect(value_equal(&back, value));
	return (size_t)(end - bytes);
}

Test(pack, numbers)
{
	static const uint64_t numbers[] = { 0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX };

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		unsigned char bytes[PACK_NUMBER_MAX];
		uint64_t back;
		unsigned char *end = pack_number(bytes, numbers[i]);

		cr_assert_leq(end, bytes + sizeof bytes);
		cr_assert_eq(unpack_number(bytes, &back), end);
		cr_expect_eq(back, numbers[i]);
	}
}

Test(pack, values_of_every_type)
{
	static const int64_t ints[] = { 0, 1, -1, 63, 64, -64, -65, INT64_MAX, INT64_MIN };
	static const double floats[] = { 0, -1.5, DBL_MAX, DBL_MIN };
	static const uint8_t like_int[] = { TALLY_INT, TALLY_BOOL, TALLY_DATE, TALLY_TIMESTAMP,
					    TALLY_TIMESTAMPTZ };
	static const char *const texts[] = {
		"", "a", "12.50",
		"a text of which there are more than 127 bytes, so that its "
		"length takes two of them: 0123456789 0123456789 "
		"0123456789 0123456789"
	};

	for (size_t t = 0; t < sizeof like_int; t++) {
		for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
			check(&(struct value){
			    .type = like_int[t], .state = VALUE_SET, .i = ints[i] });
	}
	for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
		check(&(struct value){ .type = TALLY_FLOAT, .state = VALUE_SET, .f = floats[i] });
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		check(&(struct value){ .type = TALLY_TEXT,
				       .state = VALUE_SET,
				       .len = (uint32_t)strlen(texts[i]),
				       .text = texts[i] });
	check(&(struct value){
	    .type = TALLY_DECIMAL, .state = VALUE_SET, .len = 5, .text = "12.50" });
	struct value uuid = { .type = TALLY_UUID, .state = VALUE_SET };
	memset(uuid.uuid, 0xA5, sizeof uuid.uuid);
	check(&uuid);
	check(&(struct value){ .type = TALLY_TEXT, .state = VALUE_NULL });
	check(&(struct value){ .type = TALLY_FLOAT, .state = VALUE_BAD });
	check(&(struct value){ .type = TALLY_ABSENT, .state = VALUE_NULL });
}

Test(pack, small_numbers_take_two_bytes)
{
	cr_expect_eq(check(&(struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = -64 }), 2u);
	cr_expect_eq(check(&(struct value){ .type = TALLY_INT, .state = VALUE_SET, .i = 64 }), 3u);
	cr_expect_eq(check(&(struct value){ .type = TALLY_INT, .state = VALUE_NULL }), 1u);
}
