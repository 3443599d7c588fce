#include <criterion/criterion.h>

#include "gateway/accept.h"

#define NONE (-1)

Test(accept, chooses_the_format_of_the_highest_quality)
{
	static const struct {
		const char *value; /* NULL: no such header */
		enum transcode_format preferred;
		int chosen;
	} cases[] = {
		{ NULL,							      TRANSCODE_JSON,   TRANSCODE_JSON   },
		{ NULL,							      TRANSCODE_CSV,    TRANSCODE_CSV    },
		{ "",								TRANSCODE_CSV,    TRANSCODE_CSV    },
		{ " , ,",							    TRANSCODE_CSV,    TRANSCODE_CSV    },
		{ "*/*",							     TRANSCODE_JSON,   TRANSCODE_JSON   },
		{ "*/*",							     TRANSCODE_NDJSON, TRANSCODE_NDJSON },
		{ "text/csv",							TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "Text/CSV; charset=utf-8",                                         TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "text/*",							  TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "application/*",						   TRANSCODE_CSV,    TRANSCODE_JSON   },
		{ "application/*",						   TRANSCODE_NDJSON, TRANSCODE_NDJSON },
		{ "application/x-ndjson, application/json;q=0.9",                    TRANSCODE_JSON,
                 TRANSCODE_NDJSON										       },
		{ "text/csv;q=0.5, */*;q=0.1",                                       TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TRANSCODE_JSON,
                 TRANSCODE_JSON											 },
		{ "application/json;q=0, */*",                                       TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "*/*, application/json;q=0",                                       TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "application/json; q=0.2, text/csv; q=0.201",                      TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "application/json;x=1;Q=0.1, text/csv;q=0.2",                      TRANSCODE_JSON,   TRANSCODE_CSV    },
		{ "application/json;q=nonsense, text/csv;q=0.9",                     TRANSCODE_JSON,   TRANSCODE_JSON   },
		{ "application/json;q=9",					    TRANSCODE_JSON,   TRANSCODE_JSON   },
		{ "application/json;q=1.000",                                        TRANSCODE_CSV,    TRANSCODE_JSON   },
		{ "text/html",						       TRANSCODE_JSON,   NONE             },
		{ "*/*;q=0",							 TRANSCODE_JSON,   NONE             },
		{ "application/json;q=0.0",                                          TRANSCODE_JSON,   NONE             },
		{ "application/problem+json",                                        TRANSCODE_JSON,   NONE             },
		{ "json",							    TRANSCODE_JSON,   NONE             },
		{ "*",							       TRANSCODE_JSON,   NONE             },
		{ "/",							       TRANSCODE_JSON,   NONE             },
		{ ";q=1",							    TRANSCODE_JSON,   NONE             },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct accept accept = { .is_given = false };
		enum transcode_format chosen = TRANSCODE_JSON;

		if (cases[i].value)
			accept_read(cases[i].value, &accept);
		bool is_any = accept_choose(&accept, cases[i].preferred, &chosen);
		cr_expect_eq(is_any ? (int)chosen : NONE, cases[i].chosen, "case %zu: %s", i,
			     cases[i].value);
	}
}

Test(accept, reads_several_lines_as_one)
{
	struct accept accept = { .is_given = false };
	enum transcode_format chosen;

	accept_read("application/json;q=0.1", &accept);
	accept_read("text/csv", &accept);
	cr_assert(accept_choose(&accept, TRANSCODE_JSON, &chosen));
	cr_expect_eq(chosen, TRANSCODE_CSV);
}
