#include <criterion/criterion.h>

#include <string.h>

#include "gateway/routes.h"

static void
handle(const struct exchange *exchange)
{
	(void)exchange;
}

static const struct route table[] = {
	{ .method = "GET", .path = "/api/{dataset}", .may_end_in_slash = true, .handle = handle },
	{ .method = "GET", .path = "/v1/jobs", .handle = handle },
	{ .method = "POST", .path = "/v1/jobs", .handle = handle },
	{ .method = "GET", .path = "/v1/jobs/{id}", .handle = handle },
	{ .method = "DELETE", .path = "/v1/jobs/{id}", .handle = handle },
	{ .method = "GET", .path = "/v1/jobs/{id}/result", .handle = handle },
};

#define N_TABLE (sizeof table / sizeof table[0])

Test(route, finds_the_row_of_a_method_and_a_path)
{
	static const struct {
		const char *method, *path;
		int row; /* -1: none */
		bool is_path;
		const char *variable;
	} cases[] = {
		{ "GET",    "/api/comments",        0,  true,  "comments" },
		{ "HEAD",   "/api/comments/",       0,  true,  "comments" },
		{ "GET",    "/api/comments//",      -1, false, NULL       },
		{ "GET",    "/api/",                -1, false, NULL       },
		{ "GET",    "/api",                 -1, false, NULL       },
		{ "GET",    "/api/a/b",             -1, false, NULL       },
		{ "POST",   "/api/a",               -1, true,  NULL       },
		{ "GET",    "/v1/jobs",             1,  true,  NULL       },
		{ "HEAD",   "/v1/jobs",             1,  true,  NULL       },
		{ "POST",   "/v1/jobs",             2,  true,  NULL       },
		{ "GET",    "/v1/jobs/",            -1, false, NULL       },
		{ "GET",    "/v1/jobs/x",           3,  true,  "x"        },
		{ "GET",    "/v1/jobs/x/",          -1, false, NULL       },
		{ "DELETE", "/v1/jobs/x",           4,  true,  "x"        },
		{ "PUT",    "/v1/jobs/x",           -1, true,  NULL       },
		{ "GET",    "/v1/jobs/xyz/result",  5,  true,  "xyz"      },
		{ "GET",    "/v1/jobs//result",     -1, false, NULL       },
		{ "GET",    "/v1/jobs/x/resulting", -1, false, NULL       },
		{ "GET",    "/v1/jobs/x/resul",     -1, false, NULL       },
		{ "get",    "/v1/jobs",             -1, true,  NULL       },
		{ "GET",    "",                     -1, false, NULL       },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct route_match match =
		    route_find(table, N_TABLE, cases[i].method, cases[i].path);
		const struct route *row = cases[i].row < 0 ? NULL : &table[cases[i].row];

		cr_expect_eq(match.route, row, "case %zu", i);
		cr_expect_eq(match.is_path, cases[i].is_path, "case %zu", i);
		cr_expect_eq(match.variable != NULL, cases[i].variable != NULL, "case %zu", i);
		if (match.variable && cases[i].variable) {
			cr_expect_eq(match.variable_len, strlen(cases[i].variable), "case %zu", i);
			cr_expect_eq(strncmp(match.variable, cases[i].variable, match.variable_len),
				     0, "case %zu", i);
		}
	}
}

Test(route, allows_the_methods_of_all_rows_of_a_path)
{
	char allow[ROUTE_ALLOW_BYTES];

	route_allow(table, N_TABLE, "/v1/jobs", allow);
	cr_expect_str_eq(allow, "GET, HEAD, POST");
	route_allow(table, N_TABLE, "/v1/jobs/x", allow);
	cr_expect_str_eq(allow, "GET, HEAD, DELETE");
	route_allow(table, N_TABLE, "/nothing", allow);
	cr_expect_str_eq(allow, "");
}

Test(route, table_of_the_gateway_is_whole_and_without_doubles)
{
	size_t n;
	const struct route *routes = gateway_routes(&n);

	cr_assert_gt(n, 0);
	for (size_t i = 0; i < n; i++) {
		cr_expect(routes[i].handle && routes[i].path[0] == '/', "row %zu", i);
		cr_expect(routes[i].plain[0] != 0 && routes[i].problems != 0, "%s", routes[i].path);
		for (size_t k = i + 1; k < n; k++)
			cr_expect(strcmp(routes[i].path, routes[k].path) != 0
				      || strcmp(routes[i].method, routes[k].method) != 0,
				  "%s %s comes twice", routes[i].method, routes[i].path);
	}
}
