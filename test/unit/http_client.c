/* The client against our own server: what goes, what comes, and what ends a call. */
#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "http/client.h"
#include "http/server.h"

#define BIG_BYTES ((size_t)8 << 20)

static struct http_server *server;
static struct http_client *client;
static char base[64];
static char *big;
static struct http_request *_Atomic held;

/* ---- the server -------------------------------------------------------------- */

static const char *
or_none(const char *text)
{
	return text ? text : "-";
}

static void
echo(struct http_request *request, struct http_response *response)
{
	size_t len;
	const char *body = http_request_body(request, &len);
	char text[1024];

	(void)snprintf(text, sizeof text, "%s key=%s prefer=%s type=%s auth=%s expect=%s %.*s",
		       http_request_method(request),
		       or_none(http_request_header(request, "Idempotency-Key")),
		       or_none(http_request_header(request, "Prefer")),
		       or_none(http_request_header(request, "Content-Type")),
		       or_none(http_request_header(request, "Authorization")),
		       or_none(http_request_header(request, "Expect")), (int)len, body ? body : "");
	http_response_init(response, 202);
	http_response_header(response, "Content-Type", "text/plain");
	http_response_header(response, "Location", "/v1/jobs/1");
	http_response_header(response, "Link", "</v1/jobs?cursor=x>; rel=\"next\"");
	http_response_header(response, "Retry-After", "7");
	http_response_owned(response, strdup(text), strlen(text));
}

static ssize_t
read_torn(void *ctx, char *out, size_t max)
{
	int *left = ctx;

	(void)max;
	if ((*left)-- == 0)
		return -1;
	out[0] = 'x';
	return 1;
}

static void
handle(void *ctx, struct http_request *request)
{
	const char *path = http_request_target(request)->path;
	struct http_response response;

	(void)ctx;
	if (strcmp(path, "/held") == 0) {
		atomic_store(&held, request);
		return;
	}
	http_response_init(&response, strcmp(path, "/failed") == 0 ? 409 : 200);
	if (strcmp(path, "/big") == 0 || strcmp(path, "/failed") == 0) {
		http_response_static(&response, big, BIG_BYTES);
	} else if (strcmp(path, "/torn") == 0) {
		int *left = malloc(sizeof *left);

		*left = 3;
		http_response_stream(&response, read_torn, free, left);
	} else {
		echo(request, &response);
	}
	http_reply(request, &response);
}

static void
init(void)
{
	const struct http_server_options options = { .listen = "127.0.0.1:0",
						     .n_threads = 1,
						     .max_connections = 20,
						     .max_body_bytes = 100000,
						     .max_target_bytes = 1000,
						     .request_timeout_ms = 10000,
						     .idle_timeout_ms = 10000,
						     .stall_timeout_ms = 10000,
						     .handler = handle };
	struct tally_error err = { 0 };

	cr_assert_eq(http_server_start(&options, &server, &err), TALLY_OK, "%s", err.detail);
	(void)snprintf(base, sizeof base, "http://127.0.0.1:%u", http_server_port(server));
	big = malloc(BIG_BYTES);
	memset(big, 'b', BIG_BYTES);
	client = http_client_new();
}

static void
fini(void)
{
	struct http_request *request = atomic_load(&held);
	struct http_response response;

	if (request) {
		http_response_init(&response, 200);
		http_reply(request, &response);
	}
	http_client_free(client);
	http_server_stop(server);
	free(big);
}

TestSuite(http_client, .init = init, .fini = fini, .timeout = 60);

static tally_status
call(const char *path, struct http_call what, struct http_answer *answer, struct tally_error *err)
{
	char url[128];

	(void)snprintf(url, sizeof url, "%s%s", base, path);
	what.url = url;
	what.connect_ms = 5000;
	if (what.max_body_bytes == 0)
		what.max_body_bytes = 2000;
	return http_call(client, &what, answer, err);
}

/* ---- what goes and comes ----------------------------------------------------- */

struct sent {
	struct http_call call;
	const char *expected;
};

static const struct sent sent[] = {
	{ { 0 },								"GET key=- prefer=- type=- auth=- expect=- "    },
	{ { .method = "DELETE" },					       "DELETE key=- prefer=- type=- auth=- expect=- " },
	{ { .json = "{\"a\":1}", .json_len = 7 },
         "POST key=- prefer=- type=application/json auth=- expect=- {\"a\":1}"                                                  },
	{ { .json = "", .json_len = 0 },
         "POST key=- prefer=- type=application/json auth=- expect=- "                                                           },
	{ { .method = "PUT",
	    .json = "x",
	    .json_len = 1,
	    .authorization = "Bearer k",
	    .headers = { "Idempotency-Key: one", "Prefer: wait=3" } },
         "PUT key=one prefer=wait=3 type=application/json auth=Bearer k expect=- x"                                             },
};

Test(http_client, sends_method_headers_and_body_over_one_connection)
{
	for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
		struct http_answer answer;
		struct tally_error err = { 0 };

		cr_assert_eq(call("/", sent[i].call, &answer, &err), TALLY_OK, "%s", err.detail);
		cr_assert_eq(answer.status, 202);
		cr_assert_str_eq(answer.body, sent[i].expected);
		cr_assert_eq(answer.body_len, strlen(answer.body));
		cr_assert_str_eq(answer.content_type, "text/plain");
		cr_assert_str_eq(answer.location, "/v1/jobs/1");
		cr_assert_str_eq(answer.link, "</v1/jobs?cursor=x>; rel=\"next\"");
		cr_assert_eq(answer.retry_after_s, 7);
		http_answer_fini(&answer);
	}
	cr_assert_eq(http_server_stats(server).connections, 1);
}

Test(http_client, sends_a_body_of_64_kib_without_asking_first)
{
	static char json[65536];
	struct http_answer answer;
	struct tally_error err = { 0 };

	memset(json, 'j', sizeof json);
	cr_assert_eq(
	    call("/", (struct http_call){ .json = json, .json_len = sizeof json }, &answer, &err),
	    TALLY_OK, "%s", err.detail);
	cr_assert(strstr(answer.body, "expect=- jjj"), "%s", answer.body);
	http_answer_fini(&answer);
}

/* ---- bodies ------------------------------------------------------------------ */

static size_t n_taken;
static size_t take_at_most;

static tally_status
take(void *ctx, const char *data, size_t len)
{
	cr_assert_eq(ctx, &n_taken);
	cr_assert_eq(data[0], 'b');
	n_taken += len;
	return n_taken > take_at_most ? TALLY_CLOSED : TALLY_OK;
}

Test(http_client, hands_a_body_on_piece_by_piece)
{
	const struct http_call what = { .take = take, .ctx = &n_taken, .max_body_bytes = 10 };
	struct http_answer answer;
	struct tally_error err = { 0 };

	take_at_most = BIG_BYTES;
	cr_assert_eq(call("/big", what, &answer, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(n_taken, BIG_BYTES);
	cr_assert_str_empty(answer.body);
	http_answer_fini(&answer);
}

Test(http_client, ends_when_a_piece_is_not_taken)
{
	const struct http_call what = { .take = take, .ctx = &n_taken };
	struct http_answer answer;
	struct tally_error err = { 0 };

	take_at_most = 100000;
	cr_assert_eq(call("/big", what, &answer, &err), TALLY_CLOSED);
	cr_assert_lt(n_taken, BIG_BYTES);
	http_answer_fini(&answer);
}

Test(http_client, keeps_what_is_no_200_even_when_bodies_are_taken)
{
	const struct http_call what = { .take = take,
					.ctx = &n_taken,
					.max_body_bytes = BIG_BYTES };
	struct http_answer answer;
	struct tally_error err = { 0 };

	cr_assert_eq(call("/failed", what, &answer, &err), TALLY_OK, "%s", err.detail);
	cr_assert_eq(answer.status, 409);
	cr_assert_eq(answer.body_len, BIG_BYTES);
	cr_assert_eq(answer.retry_after_s, -1);
	cr_assert_eq(n_taken, 0);
	http_answer_fini(&answer);
}

/* ---- what ends a call -------------------------------------------------------- */

struct failed {
	const char *path;
	struct http_call call;
	tally_status status;
};

static const struct failed failed[] = {
	{ "/big",  { .max_body_bytes = 1000 }, TALLY_TOO_LARGE          },
	{ "/torn", { 0 },                      TALLY_SOURCE_UNAVAILABLE },
	{ "/held", { .timeout_ms = 100 },      TALLY_DEADLINE_EXCEEDED  },
};

Test(http_client, says_what_ended_a_call_and_goes_on_with_the_next)
{
	for (size_t i = 0; i < sizeof failed / sizeof *failed; i++) {
		struct http_answer answer;
		struct tally_error err = { 0 };

		cr_assert_eq(call(failed[i].path, failed[i].call, &answer, &err), failed[i].status,
			     "%s: %s", failed[i].path, err.detail);
		cr_assert_str_not_empty(err.detail);
		http_answer_fini(&answer);
		cr_assert_eq(call("/", (struct http_call){ 0 }, &answer, &err), TALLY_OK);
		http_answer_fini(&answer);
	}
}

Test(http_client, gives_up_an_answer_that_stands_still)
{
	struct http_answer answer;
	struct tally_error err = { 0 };

	cr_assert_eq(call("/held", (struct http_call){ .stall_ms = 1000 }, &answer, &err),
		     TALLY_DEADLINE_EXCEEDED);
	http_answer_fini(&answer);
}

Test(http_client, takes_only_http_urls)
{
	struct http_call what = { .url = "file:///etc/passwd", .connect_ms = 100 };
	struct http_answer answer;
	struct tally_error err = { 0 };

	cr_assert_eq(http_call(client, &what, &answer, &err), TALLY_BAD_REQUEST);
	what.url = "http://127.0.0.1:1/";
	cr_assert_eq(http_call(client, &what, &answer, &err), TALLY_SOURCE_UNAVAILABLE);
	http_answer_fini(&answer);
}
