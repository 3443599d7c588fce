#include <criterion/criterion.h>

#include "gateway/prefer.h"

Test(prefer, reads_wait_and_respond_async_and_ignores_the_rest)
{
	static const struct {
		const char *value;
		bool has_wait;
		uint32_t wait_s;
		bool is_async;
	} cases[] = {
		{ "",			   false, 0,     false },
		{ "wait=5",                     true,  5,     false },
		{ "wait=0",                     true,  0,     false },
		{ "respond-async",              false, 0,     true  },
		{ "respond-async, wait=10",     true,  10,    true  },
		{ "Respond-Async;x=1 , WAIT=7", true,  7,     true  },
		{ "wait = \"3\"",               true,  3,     false },
		{ "wait=3, wait=9",             true,  3,     false },
		{ "wait=, wait=9",              true,  9,     false },
		{ "wait=abc",                   false, 0,     false },
		{ "wait=-1",                    false, 0,     false },
		{ "wait=99999999999999999999",  true,  86400, false },
		{ "waiting=5, return=minimal",  false, 0,     false },
		{ ",,, ,wait=1,,",              true,  1,     false },
		{ "wait=\"5",                   true,  5,     false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct prefer prefer = { 0 };

		prefer_read(cases[i].value, &prefer);
		cr_expect_eq(prefer.has_wait, cases[i].has_wait, "case %zu", i);
		cr_expect_eq(prefer.wait_s, cases[i].wait_s, "case %zu", i);
		cr_expect_eq(prefer.is_async, cases[i].is_async, "case %zu", i);
	}
}
