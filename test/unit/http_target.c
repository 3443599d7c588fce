#include <criterion/criterion.h>

#include <string.h>

#include "http/target.h"

struct decoded {
	const char *raw;
	const char *path;
	const char *arguments; /* "name=value;" for each */
};

static const struct decoded decoded[] = {
	{ "/",		    "/",      ""			},
	{ "/a/b",                 "/a/b",   ""                        },
	{ "/a%20b%2Fc",           "/a b/c", ""                        },
	{ "/a+b",                 "/a+b",   ""                        },
	{ "/%c3%A4",              "/ä",     ""                        },
	{ "/?",		   "/",      ""			},
	{ "/?a=1",                "/",      "a=1;"                    },
	{ "/?a=1&b=2&a=3",        "/",      "a=1;b=2;a=3;"            },
	{ "/?a",		  "/",      "a=;"                     },
	{ "/?a=",                 "/",      "a=;"                     },
	{ "/?=1",                 "/",      "=1;"                     },
	{ "/?a=b=c",              "/",      "a=b=c;"                  },
	{ "/?&&a=1&",             "/",      "a=1;"                    },
	{ "/?a+b=c+d",            "/",      "a b=c d;"                },
	{ "/?a=%2B%26%3D",        "/",      "a=+&=;"                  },
	{ "/?a%3Db=c",            "/",      "a=b=c;"                  },
	{ "/?a=?/",               "/",      "a=?/;"                   },
	{ "/?login=%F0%9F%98%80", "/",      "login=\xf0\x9f\x98\x80;" },
	{ "/?a=%2500",            "/",      "a=%00;"                  },
};

Test(http_target, decodes_path_and_query)
{
	for (size_t i = 0; i < sizeof decoded / sizeof *decoded; i++) {
		struct http_target target;
		struct tally_error err = { 0 };
		char text[256] = "";

		cr_assert_eq(http_target_parse(decoded[i].raw, &target, &err), TALLY_OK, "%s: %s",
			     decoded[i].raw, err.detail);
		for (size_t j = 0; j < target.n_arguments; j++) {
			const struct http_argument *argument = &target.arguments[j];
			size_t len = strlen(text);

			cr_expect_eq(argument->len, strlen(argument->value), "%s", decoded[i].raw);
			(void)snprintf(text + len, sizeof text - len, "%s=%s;", argument->name,
				       argument->value);
		}
		cr_expect_str_eq(target.path, decoded[i].path, "%s", decoded[i].raw);
		cr_expect_str_eq(text, decoded[i].arguments, "%s", decoded[i].raw);
		http_target_fini(&target);
	}
}

struct wrong {
	const char *raw;
	const char *why;
};

static const struct wrong wrong[] = {
	{ "",		    "begin with /" },
	{ "*",		   "begin with /" },
	{ "a",		   "begin with /" },
	{ "http://h/",           "begin with /" },
	{ "?a=1",                "begin with /" },
	{ "/%",		  "hexadecimal"  },
	{ "/%4",		 "hexadecimal"  },
	{ "/%4g",                "hexadecimal"  },
	{ "/%-1",                "hexadecimal"  },
	{ "/?a=%",               "hexadecimal"  },
	{ "/?%g0=1",             "hexadecimal"  },
	{ "/?a=%u0041",          "hexadecimal"  },
	{ "/%00",                "NUL"          },
	{ "/?login=admin%00zzz", "NUL"          },
	{ "/?log%00in=admin",    "NUL"          },
	{ "/%ff",                "UTF-8"        },
	{ "/?a=%ff",             "UTF-8"        },
	{ "/?%ff=a",             "UTF-8"        },
	{ "/?a=%c3",             "UTF-8"        },
	{ "/?a=%c0%af",          "UTF-8"        },
	{ "/?a=%e0%80%af",       "UTF-8"        },
	{ "/?a=%ed%a0%80",       "UTF-8"        },
	{ "/?a=%f4%90%80%80",    "UTF-8"        },
	{ "/?a=%f5%80%80%80",    "UTF-8"        },
	{ "/?a=%80",             "UTF-8"        },
};

Test(http_target, refuses_what_is_not_whole_utf8_or_has_a_nul)
{
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct http_target target;
		struct tally_error err = { 0 };

		cr_expect_eq(http_target_parse(wrong[i].raw, &target, &err), TALLY_BAD_REQUEST,
			     "%s", wrong[i].raw);
		cr_expect(strstr(err.detail, wrong[i].why), "%s: %s", wrong[i].raw, err.detail);
		http_target_fini(&target);
	}
}

Test(http_target, takes_as_many_arguments_as_its_limit)
{
	char raw[TARGET_MAX_ARGUMENTS * 4 + 8] = "/?a";
	struct http_target target;
	struct tally_error err = { 0 };
	size_t len = strlen(raw);

	for (int n = 1; n < TARGET_MAX_ARGUMENTS; n++, len += 2)
		memcpy(raw + len, "&a", 3);
	cr_assert_eq(http_target_parse(raw, &target, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(target.n_arguments, TARGET_MAX_ARGUMENTS);
	http_target_fini(&target);
	memcpy(raw + len, "&a", 3);
	cr_assert_eq(http_target_parse(raw, &target, &err), TALLY_BAD_REQUEST);
	http_target_fini(&target);
}

Test(http_target, releases_a_zeroed_target)
{
	struct http_target target = { 0 };

	http_target_fini(&target);
	http_target_fini(&target);
}
