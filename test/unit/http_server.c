/* The server over real sockets: what it takes, what it refuses, and what it does when clients leave
 * or dawdle.  Every wait has a deadline; nothing sleeps. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>

#include "http/server.h"
#include "support/http_test.h"

#define MAX_BODY      1000
#define MAX_TARGET    200
#define SHORT_MS      200
#define LONG_MS       60000
#define STREAM_PIECES 5

static struct http_server *server;
static struct http_server_options options;

/* What the handler was called with, and what the test told it to do. */
static atomic_int n_calls;
static atomic_int n_refused;
static atomic_bool must_hold; /* keep the request, for the test to answer */
static struct http_request *_Atomic held;
static atomic_int n_gone;
static atomic_int n_freed;
static sem_t gone;
static sem_t is_held;
static bool replies_in_gone;
static sem_t may_go_on; /* of the request that blocks its thread */

/* ---- the handler ------------------------------------------------------------- */

static const char *
or_none(const char *text)
{
	return text ? text : "-";
}

static void
count_freed(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&n_freed, 1);
}

static void
answer(struct http_request *request, unsigned status, const char *text)
{
	struct http_response response;

	http_response_init(&response, status);
	http_response_header(&response, "Content-Type", "text/plain");
	http_response_owned(&response, strdup(text), strlen(text));
	http_reply(request, &response);
}

static void
on_gone(void *ctx)
{
	atomic_fetch_add(&n_gone, 1);
	if (replies_in_gone)
		answer(ctx, 200, "nobody reads this");
	sem_post(&gone);
}

/* Five pieces, then the end, or a failure when the path says so. */
struct pieces {
	int left;
	bool fails;
};

static ssize_t
read_piece(void *ctx, char *out, size_t max)
{
	struct pieces *pieces = ctx;

	cr_assert_gt(max, 10);
	if (pieces->left-- == 0)
		return pieces->fails ? -1 : 0;
	memcpy(out, "piece\n", 6);
	return 6;
}

static void
answer_stream(struct http_request *request, bool fails)
{
	struct pieces *pieces = malloc(sizeof *pieces);
	struct http_response response;

	*pieces = (struct pieces){ STREAM_PIECES, fails };
	http_response_init(&response, 200);
	http_response_stream(&response, read_piece, free, pieces);
	http_reply(request, &response);
}

static void
count_value(const char *value, void *ctx)
{
	(void)value;
	++*(int *)ctx;
}

static void
echo(struct http_request *request)
{
	const struct http_target *target = http_request_target(request);
	size_t len;
	const char *body = http_request_body(request, &len);
	char text[4096];
	int n = 0;

	http_request_each_header(request, "x-many", count_value, &n);
	(void)snprintf(text, sizeof text,
		       "%s %s args=%zu first=%s x-one=%s x-many=%d body=%zu:%.*s",
		       http_request_method(request), target->path, target->n_arguments,
		       target->n_arguments > 0 ? target->arguments[0].value : "-",
		       or_none(http_request_header(request, "X-One")), n, len,
		       len < 100 ? (int)len : 100, body ? body : "");
	answer(request, 200, text);
}

/* Keeps the thread busy until the test says so, then keeps the request. */
static void
block(struct http_request *request)
{
	atomic_store(&held, request);
	sem_post(&is_held);
	while (sem_wait(&may_go_on) != 0)
		continue;
}

/* 1 MiB that nobody has to copy. */
static char big[1 << 20];

static void
answer_big(struct http_request *request)
{
	struct http_response response;

	http_response_init(&response, 200);
	http_response_foreign(&response, big, sizeof big, count_freed, NULL);
	http_reply(request, &response);
}

static void
handle(void *ctx, struct http_request *request)
{
	const struct tally_error *refusal = http_request_refusal(request);
	const char *path;

	(void)ctx;
	atomic_fetch_add(&n_calls, 1);
	if (refusal) {
		atomic_fetch_add(&n_refused, 1);
		answer(request,
		       refusal->status == TALLY_BODY_TOO_LARGE ? 413
		       : refusal->status == TALLY_URI_TOO_LONG ? 414
		       : refusal->status == TALLY_BAD_REQUEST  ? 400
							       : 500,
		       refusal->detail);
		return;
	}
	if (atomic_load(&must_hold)) {
		http_request_on_gone(request, on_gone, request);
		atomic_store(&held, request);
		sem_post(&is_held);
		return;
	}
	path = http_request_target(request)->path;
	if (strcmp(path, "/stream") == 0)
		answer_stream(request, false);
	else if (strcmp(path, "/torn") == 0)
		answer_stream(request, true);
	else if (strcmp(path, "/big") == 0)
		answer_big(request);
	else if (strcmp(path, "/block") == 0)
		block(request);
	else
		echo(request);
}

/* ---- the server and its clients ---------------------------------------------- */

static void
init(void)
{
	memset(big, 'x', sizeof big);
	sem_init(&gone, 0, 0);
	sem_init(&is_held, 0, 0);
	sem_init(&may_go_on, 0, 0);
	options = (struct http_server_options){ .listen = "127.0.0.1:0",
						.n_threads = 2,
						.max_connections = 20,
						.max_body_bytes = MAX_BODY,
						.max_target_bytes = MAX_TARGET,
						.request_timeout_ms = LONG_MS,
						.idle_timeout_ms = LONG_MS,
						.stall_timeout_ms = LONG_MS,
						.handler = handle };
}

static void
start(void)
{
	struct tally_error err = { 0 };

	cr_assert_eq(http_server_start(&options, &server, &err), TALLY_OK, "%s", err.detail);
	cr_assert_gt(http_server_port(server), 0);
}

static void
fini(void)
{
	http_server_stop(server);
	server = NULL;
}

TestSuite(http_server, .init = init, .fini = fini, .timeout = 60);

static int
client(void)
{
	return client_of(http_server_port(server));
}

static uint64_t
connections(void)
{
	return http_server_stats(server).connections;
}

static uint64_t
waiting(void)
{
	return http_server_stats(server).waiting;
}

static uint64_t
reaped(void)
{
	return http_server_stats(server).reaped;
}

static uint64_t
freed(void)
{
	return (uint64_t)atomic_load(&n_freed);
}

/* ---- what is answered -------------------------------------------------------- */

Test(http_server, answers_a_get_with_what_it_was_asked)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "GET /a%20b?login=%C3%A4+x&n=2 HTTP/1.1\r\nHost: h:80\r\nX-ONE:  v v \t\r\n"
		"X-Many: 1\r\nx-many: 2\r\nConnection: close\r\n\r\n");
	hear_all(fd, text);
	cr_assert(strstr(text, "HTTP/1.1 200 "), "%s", text);
	cr_assert(strstr(text, "Content-Type: text/plain\r\n"), "%s", text);
	cr_assert(strstr(text, "\r\n\r\nGET /a b args=2 first=ä x x-one=v v x-many=2 body=0:"),
		  "%s", text);
}

Test(http_server, keeps_a_connection_and_answers_pipelined_requests_in_order)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
	hear_times(fd, text, " body=0:", 1);
	say(fd, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
		"POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		"GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	hear_all(fd, text);
	cr_assert_eq(count(text, "HTTP/1.1 200"), 3, "%s", text);
	cr_assert(strstr(text, "POST /3 args=0 first=- x-one=- x-many=0 body=3:abc"), "%s", text);
	cr_assert_lt(strstr(text, "/2 "), strstr(text, "/3 "));
	cr_assert_lt(strstr(text, "/3 "), strstr(text, "/4 "));
	cr_assert_eq(atomic_load(&n_calls), 4);
}

/* Ends of chunks as they should be, and as only libmicrohttpd takes them. */
static const char *const chunks[] = {
	"2\r\nde\r\n4;x=y\r\nfghi\r\n0\r\n\r\n",
	"2\nde\r\n4\r\nfghi\r\n0\r\n\r\n",
	"2\r\nde\n4\r\nfghi\r\n0\r\n\r\n",
	"2;a\nde\r\n4;\rb\r\nfghi\r\n0\r\n\r\n",
	"2\r\nde\r\n4\r\nfghi\r\n0\n\n",
	"2\r\nde\r\n4\r\nfghi\r\n0\r\nContent-Length: 40\r\nX: y\r\n z\r\n\r\n",
};

Test(http_server, reads_nothing_behind_a_request_in_chunks)
{
	char request[512], text[ANSWER_BYTES];

	start();
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
		int fd = client();

		(void)snprintf(request, sizeof request,
			       "POST /4 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%s"
			       "GET /5 HTTP/1.1\r\nHost: h\r\n\r\n",
			       chunks[i]);
		say(fd, request);
		hear_all(fd, text);
		cr_expect_eq(count(text, "HTTP/1.1 "), 1, "case %zu: %s", i, text);
		cr_expect(strstr(text, "Connection: close\r\n"), "case %zu: %s", i, text);
		cr_expect(strstr(text, "POST /4 args=0 first=- x-one=- x-many=0 body=6:defghi"),
			  "case %zu: %s", i, text);
	}
	cr_assert_eq(atomic_load(&n_calls), sizeof chunks / sizeof *chunks);
	wait_until(connections, 0);
}

Test(http_server, takes_a_request_byte_by_byte)
{
	static const char request[] = "POST /b?x=1 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n"
				      "Content-Length: 3\r\nConnection: close\r\n\r\nabc";
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	for (size_t i = 0; i < sizeof request - 1; i++)
		put(fd, request + i, 1);
	hear_all(fd, text);
	cr_assert(strstr(text, "POST /b args=1 first=1 x-one=1 x-many=0 body=3:abc"), "%s", text);
}

Test(http_server, takes_large_headers_and_an_http_1_0_client)
{
	static char request[16384];
	char text[ANSWER_BYTES];
	size_t len;
	int fd;

	start();
	len = (size_t)snprintf(request, sizeof request, "GET /big-head HTTP/1.0\r\n");
	for (int i = 0; i < 100; i++)
		len +=
		    (size_t)snprintf(request + len, sizeof request - len, "X-Many: %0100d\r\n", i);
	(void)snprintf(request + len, sizeof request - len, "\r\n");
	fd = client();
	say(fd, request);
	hear_all(fd, text);
	cr_assert(strstr(text, " 200 "), "%s", text);
	cr_assert(strstr(text, "x-many=100"), "%s", text);
}

Test(http_server, answers_head_without_a_body)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	hear_all(fd, text);
	cr_assert(strstr(text, " 200 "), "%s", text);
	cr_assert_str_empty(strstr(text, "\r\n\r\n") + 4);
}

Test(http_server, streams_a_body_and_tears_the_connection_when_it_fails)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	hear_all(fd, text);
	cr_assert_eq(count(text, "piece\n"), STREAM_PIECES, "%s", text);
	cr_assert(strstr(text, "\r\n0\r\n\r\n"), "%s", text);
	fd = client();
	say(fd, "GET /torn HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	hear_all(fd, text);
	cr_assert_not(strstr(text, "\r\n0\r\n\r\n"), "%s", text);
	wait_until(connections, 0);
}

Test(http_server, releases_a_foreign_body_when_it_is_sent)
{
	static char text[ANSWER_BYTES];
	size_t len = 0, n;
	int fd;

	start();
	fd = client();
	say(fd, "GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	while ((n = hear(fd, text, sizeof text)) > 0)
		len += n;
	cr_assert_gt(len, sizeof big);
	(void)close(fd);
	wait_until(freed, 1);
}

/* ---- what is refused --------------------------------------------------------- */

#define SECOND "GET /second HTTP/1.1\r\nHost: h\r\n\r\n"

struct refused {
	const char *request;
	size_t len; /* 0: terminated */
	const char *why;
};

#define RAW(text) text, sizeof(text) - 1

static const struct refused refused[] = {
	{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "0\r\n\r\n" SECOND,
         0, "both Content-Length and Transfer-Encoding" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SECOND, 0,
         "not chunked" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SECOND,
         0, "not chunked" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND,
         0, "more than one Transfer-Encoding" },
	{ "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 0,
         "HTTP/1.0" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" SECOND,
         0, "more than one Content-Length" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nabcde" SECOND, 0,
         "header name" },
	{ "GET / HTTP/1.1\r\n\r\n" SECOND, 0, "no Host" },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" SECOND, 0, "more than one Host" },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" SECOND, 0, "not a host" },
	{ "GET / HTTP/1.1\r\nHost: h\r\nX-One: a\r\n folded\r\n\r\n" SECOND, 0, "folded" },
	{ "GET / HTTP/1.1\r\nHost: h\r\nX-One: a\r\n\tfolded\r\nX-Two: b\r\n\r\n" SECOND, 0,
         "folded" },
	{ "GET / HTTP/1.1\r\nHost: h\nX-One: a\r\n\r\n" SECOND, 0, "CR LF" },
	{ "GET / HTTP/1.1\r\nHost: h\r\n\n" SECOND, 0, "CR LF" },
	{ "GET / HTTP/1.1\nHost: h\r\n\r\n" SECOND, 0, "CR LF" },
	{ "GET / HTTP/1.1\r\nHost: h\r\nX-One: a\rb\r\n\r\n" SECOND, 0, "control byte" },
	{ "GET / HTTP/1.1\r\nHost: h\r\nX-One: a\r\r\n\r\n" SECOND, 0, "control byte" },
	{ "GET / HTTP/1.1\r\nHost: h\r\nX-One: a\033b\r\n\r\n" SECOND, 0, "control byte" },
	{ RAW("GET / HTTP/1.1\r\nHost: h\r\nX-One: a\0b\r\n\r\n" SECOND), "NUL" },
	{ RAW("GET /\0a HTTP/1.1\r\nHost: h\r\n\r\n" SECOND), "request line" },
	{ RAW("GET\0 /a HTTP/1.1\r\nHost: h\r\n\r\n" SECOND), "request line" },
	{ "GET  / HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "request line" },
	{ "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "percent-encoded" },
	{ "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "percent-encoded" },
	{ "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "percent-encoded" },
	{ "GET / HTTP/1.2\r\nHost: h\r\n\r\n" SECOND, 0, "HTTP version" },
	{ "G(T / HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "method" },
	{ "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "method" },
	{ "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "begin with /" },
	{ "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "begin with /" },
	{ "GET /?login=admin%00zzz HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "NUL" },
	{ "GET /?a=%f HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "hexadecimal" },
	{ "GET /?a=%ff HTTP/1.1\r\nHost: h\r\n\r\n" SECOND, 0, "UTF-8" },
	{ "POST /?a=%ff HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" SECOND, 0, "UTF-8" },
};

Test(http_server, refuses_what_another_could_read_otherwise_and_closes)
{
	char text[ANSWER_BYTES];

	start();
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		const struct refused *one = &refused[i];
		int fd = client();

		put(fd, one->request, one->len ? one->len : strlen(one->request));
		hear_all(fd, text);
		cr_expect_eq(count(text, "HTTP/1.1 "), 1, "case %zu: %s", i, text);
		cr_expect(strstr(text, "HTTP/1.1 400 "), "case %zu: %s", i, text);
		cr_expect(strstr(text, "Connection: close\r\n"), "case %zu: %s", i, text);
		cr_expect(strstr(text, one->why), "case %zu: %s", i, text);
		cr_expect_eq(atomic_load(&n_calls), (int)i + 1, "case %zu", i);
		cr_expect_eq(atomic_load(&n_refused), (int)i + 1, "case %zu", i);
	}
	wait_until(connections, 0);
}

/* What libmicrohttpd answers by itself, and closes; the handler is not called.  (A Content-Length that
 * is no number it answers with its head twice.) */
static const char *const refused_below[] = {
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc" SECOND,
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc" SECOND,
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\nabc" SECOND,
	"GET / HTTP/2.0\r\nHost: h\r\n\r\n" SECOND,
	"GET / http/1.1\r\nHost: h\r\n\r\n" SECOND,
	"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n" SECOND,
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" SECOND,
};

Test(http_server, leaves_no_second_request_after_what_libmicrohttpd_refuses)
{
	char text[ANSWER_BYTES];

	start();
	for (size_t i = 0; i < sizeof refused_below / sizeof *refused_below; i++) {
		int fd = client();

		say(fd, refused_below[i]);
		hear_all(fd, text);
		cr_expect_not(strstr(text, "HTTP/1.1 200"), "case %zu: %s", i, text);
	}
	cr_assert_eq(atomic_load(&n_calls), 0);
	wait_until(connections, 0);
}

Test(http_server, refuses_a_target_past_its_limit)
{
	char request[ANSWER_BYTES / 4], text[ANSWER_BYTES], path[MAX_TARGET * 50 + 1];

	start();
	for (int extra = 0; extra < 3; extra++) {
		/* At the limit, past it, and so many arguments that they fill the memory. */
		size_t len = extra == 2 ? sizeof path - 1 : MAX_TARGET + (size_t)extra;
		int fd = client();

		for (size_t i = 0; i < len; i++)
			path[i] = i == 0 ? '/' : i == 1 ? '?' : i % 2 ? '&' : 'a';
		if (extra < 2)
			memset(path + 1, 'a', len - 1);
		path[len] = '\0';
		(void)snprintf(request, sizeof request,
			       "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path);
		say(fd, request);
		hear_all(fd, text);
		cr_expect(strstr(text, extra ? "HTTP/1.1 414" : "HTTP/1.1 200"), "%d: %s", extra,
			  text);
	}
	cr_assert_eq(atomic_load(&n_calls), 3);
}

Test(http_server, refuses_a_body_past_its_limit)
{
	char request[8192], body[MAX_BODY + 2], text[ANSWER_BYTES];

	start();
	memset(body, 'b', sizeof body);
	for (int i = 0; i < 4; i++) {
		size_t len = MAX_BODY + (size_t)(i & 1);
		int fd = client();

		(void)snprintf(request, sizeof request,
			       i < 2 ? "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
				       "Content-Length: %zu\r\n\r\n%.*s"
				     : "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
				       "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n0\r\n\r\n",
			       len, (int)len, body);
		say(fd, request);
		hear_all(fd, text);
		cr_expect(strstr(text, i & 1 ? "HTTP/1.1 413" : "HTTP/1.1 200"), "%d: %s", i, text);
		cr_expect_eq(count(text, "HTTP/1.1 "), 1, "%d: %s", i, text);
	}
}

Test(http_server, refuses_a_huge_body_before_it_is_sent)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n");
	hear_all(fd, text);
	cr_assert(strstr(text, "HTTP/1.1 413"), "%s", text);
	fd = client();
	say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n"
		"Expect: 100-continue\r\n\r\n");
	hear_all(fd, text);
	cr_assert(strncmp(text, "HTTP/1.1 413", 12) == 0, "%s", text);
	fd = client();
	say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n"
		"Expect: 100-continue\r\n\r\n");
	hear_times(fd, text, "100 Continue\r\n\r\n", 1);
	say(fd, "abc");
	hear_all(fd, text);
	cr_assert(strstr(text, "body=3:abc"), "%s", text);
}

/* ---- requests that wait ------------------------------------------------------ */

static int
wait_with(const char *request)
{
	int fd = client();

	atomic_store(&must_hold, true);
	say(fd, request);
	wait_for(&is_held);
	return fd;
}

static void *
answer_held(void *ctx)
{
	answer(atomic_load(&held), 200, ctx);
	return NULL;
}

Test(http_server, takes_an_answer_from_another_thread)
{
	char text[ANSWER_BYTES], word[] = "from afar";
	pthread_t thread;
	int fd;

	start();
	fd = wait_with("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n"
		       "Connection: close\r\n\r\n");
	cr_assert_eq(http_server_stats(server).waiting, 1);
	atomic_store(&must_hold, false);
	cr_assert_eq(pthread_create(&thread, NULL, answer_held, word), 0);
	hear_all(fd, text);
	pthread_join(thread, NULL);
	cr_assert_eq(count(text, "HTTP/1.1 200"), 2, "%s", text);
	cr_assert_lt(strstr(text, "from afar"), strstr(text, "GET /next"));
	wait_until(waiting, 0);
	cr_assert_eq(atomic_load(&n_gone), 0);
}

/* What a client does to leave: close, say that it will send no more, or reset. */
enum leaving { CLOSES, HALF_CLOSES, RESETS };

static void
leave(int fd, enum leaving how)
{
	struct linger linger = { .l_onoff = 1 };

	if (how == HALF_CLOSES) {
		cr_assert_eq(shutdown(fd, SHUT_WR), 0);
		return;
	}
	if (how == RESETS)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	(void)close(fd);
}

Test(http_server, tells_when_the_client_of_a_waiting_request_leaves)
{
	char text[ANSWER_BYTES];

	start();
	for (enum leaving how = CLOSES; how <= RESETS; how++) {
		int fd = wait_with("GET / HTTP/1.1\r\nHost: h\r\n\r\n");

		leave(fd, how);
		wait_for(&gone);
		cr_assert_eq(waiting(), 1);
		answer(atomic_load(&held), 200, "dropped");
		if (how == HALF_CLOSES) {
			hear_all(fd, text);
			cr_assert_str_empty(text);
		}
		wait_until(connections, 0);
		cr_assert_eq(waiting(), 0);
		cr_assert_eq(atomic_load(&n_gone), (int)how + 1);
	}
	cr_assert_eq(http_server_stats(server).gone, 3);
}

Test(http_server, notices_clients_that_leave_between_and_within_requests)
{
	static const char *const parts[] = {
		"",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHo",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na",
	};

	start();
	for (int i = 0; i < 400; i++) {
		int fd = client();

		say(fd, parts[i % 4]);
		leave(fd, i % 8 < 4 ? CLOSES : RESETS);
	}
	wait_until(connections, 0);
	cr_assert_eq(reaped(), 0);
}

Test(http_server, lets_on_gone_answer)
{
	start();
	replies_in_gone = true;
	leave(wait_with("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), CLOSES);
	wait_for(&gone);
	wait_until(connections, 0);
	cr_assert_eq(waiting(), 0);
	cr_assert_eq(atomic_load(&n_gone), 1);
}

Test(http_server, does_not_tell_of_a_client_that_leaves_after_its_answer)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = wait_with("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	answer(atomic_load(&held), 200, "done.");
	hear_times(fd, text, "done.", 1);
	leave(fd, CLOSES);
	wait_until(connections, 0);
	cr_assert_eq(atomic_load(&n_gone), 0);
	cr_assert_eq(http_server_stats(server).gone, 0);
}

/* ---- connections that are too slow ------------------------------------------- */

static const char *const slow[] = {
	"GET / HT",
	"GET / HTTP/1.1\r\nHost: h\r\nX-One: ",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\nab",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n200\r\nab",
};

/* Sends a byte now and then until the server has closed. */
static void
dribble(int fd)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	while (poll(&pollfd, 1, SHORT_MS / 10) == 0) {
		cr_assert_lt(clock_mono_ms(), until, "it is not cut");
		(void)send(fd, "a", 1, MSG_NOSIGNAL);
	}
}

Test(http_server, cuts_a_request_that_dribbles_in)
{
	char text[ANSWER_BYTES];

	options.request_timeout_ms = SHORT_MS;
	start();
	for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
		int64_t begun = clock_mono_ms();
		int fd = client();

		/* Once as the first request of a connection, once as the second. */
		if (i % 2) {
			say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
			hear_times(fd, text, "body=0:", 1);
		}
		say(fd, slow[i]);
		dribble(fd);
		cr_expect_geq(clock_mono_ms() - begun, SHORT_MS, "case %zu", i);
		hear_all(fd, text);
		cr_expect_str_empty(text, "case %zu", i);
		cr_expect_eq(reaped(), i + 1, "case %zu", i);
	}
	wait_until(connections, 0);
}

Test(http_server, closes_an_idle_connection_and_does_not_call_it_slow)
{
	char text[ANSWER_BYTES];

	options.idle_timeout_ms = SHORT_MS;
	start();
	hear_all(client(), text);
	cr_assert_str_empty(text);
	wait_until(connections, 0);
	cr_assert_eq(reaped(), 0);
}

Test(http_server, has_no_limit_for_a_request_that_waits)
{
	char text[ANSWER_BYTES];
	int fd;
	struct pollfd pollfd = { .events = POLLIN };

	options.request_timeout_ms = options.idle_timeout_ms = options.stall_timeout_ms = SHORT_MS;
	start();
	fd = pollfd.fd = wait_with("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	cr_assert_eq(poll(&pollfd, 1, SHORT_MS * 3), 0);
	answer(atomic_load(&held), 200, "late");
	hear_all(fd, text);
	cr_assert(strstr(text, "late"), "%s", text);
}

Test(http_server, cuts_a_client_that_does_not_take_its_answer)
{
	int small = 4096, fd;

	options.stall_timeout_ms = SHORT_MS;
	start();
	fd = client();
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	/* More than the buffers of both sides take. */
	for (int i = 0; i < 8; i++)
		say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(reaped, 1);
	wait_until(connections, 0);
	wait_until(freed, (uint64_t)atomic_load(&n_calls));
	(void)close(fd);
}

/* ---- start, limits, end ------------------------------------------------------ */

Test(http_server, serves_no_more_connections_than_its_limit)
{
	char text[ANSWER_BYTES];
	int first, second;

	options.max_connections = 1;
	start();
	first = client();
	say(first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	hear_times(first, text, "body=0:", 1);
	second = client();
	say(second, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	cr_assert_eq(connections(), 1);
	cr_assert_eq(atomic_load(&n_calls), 1);
	(void)close(first);
	hear_all(second, text);
	cr_assert(strstr(text, "200"), "%s", text);
}

Test(http_server, quiesces_by_refusing_connections_and_closing_after_answers)
{
	char text[ANSWER_BYTES];
	int fd, idle;

	start();
	idle = client();
	say(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	hear_times(idle, text, "body=0:", 1);
	fd = wait_with("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_server_quiesce(server);
	http_server_quiesce(server);
	cr_assert_lt(tcp_connect(http_server_port(server)), 0);
	answer(atomic_load(&held), 200, "last");
	hear_all(fd, text);
	cr_assert(strstr(text, "last"), "%s", text);
	cr_assert(strstr(text, "Connection: close\r\n"), "%s", text);
	atomic_store(&must_hold, false);
	say(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	hear_all(idle, text);
	cr_assert(strstr(text, "Connection: close\r\n"), "%s", text);
	wait_until(connections, 0);
}

Test(http_server, says_clearly_why_it_cannot_listen)
{
	static const struct {
		const char *listen;
		const char *why;
	} wrong[] = {
		{ "127.0.0.1",              "write host:port" },
		{ "127.0.0.1:",             "write host:port" },
		{ "127.0.0.1:http",         "write host:port" },
		{ "127.0.0.1:65536",        "at most 65535"   },
		{ "127.0.0.1:999999",       "write host:port" },
		{ "::1:80",                 "in brackets"     },
		{ "192.0.2.1:0",            "does not have"   },
		{ "no.such.host.invalid:0", "no such host"    },
		{ "127.0.0.1:-1",           "write host:port" },
		{ "",		       "write host:port" },
	};
	struct http_server *other;
	struct tally_error err = { 0 };
	char taken[32];

	start();
	(void)snprintf(taken, sizeof taken, "127.0.0.1:%u", http_server_port(server));
	options.listen = taken;
	cr_assert_eq(http_server_start(&options, &other, &err), TALLY_WRONG_SETTING);
	cr_assert(strstr(err.detail, "the port is taken"), "%s", err.detail);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		options.listen = wrong[i].listen;
		cr_expect_eq(http_server_start(&options, &other, &err), TALLY_WRONG_SETTING,
			     "case %zu: %s", i, err.detail);
		cr_expect(strstr(err.detail, wrong[i].why), "case %zu: %s", i, err.detail);
	}
}

Test(http_server, listens_on_all_addresses_and_on_a_name)
{
	static const char *const names[] = { ":0", "localhost:0", "[::1]:0" };
	char text[ANSWER_BYTES];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct tally_error err = { 0 };
		int fd;

		options.listen = names[i];
		/* There may be no IPv6 here. */
		if (http_server_start(&options, &server, &err) != TALLY_OK) {
			cr_assert_eq(i, 2, "%s: %s", names[i], err.detail);
			continue;
		}
		fd = i == 0 ? client() : -1;
		if (fd >= 0) {
			say(fd, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
			hear_all(fd, text);
			cr_assert(strstr(text, " 200 "), "%s", text);
		}
		fini();
	}
}

/* libmicrohttpd 0.9.75 asks epoll for 128 events at a time, and again when it got as many: its own
 * threads ask the second time without a limit, and sleep on what they were given. */
Test(http_server, answers_as_many_requests_at_once_as_one_turn_takes)
{
	static const int numbers[] = { 127, 128, 256 };
	static const char get[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	char text[ANSWER_BYTES];
	int fds[256];

	options.n_threads = 1;
	options.max_connections = 300;
	start();
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		int blocking = client();

		for (int j = 0; j < numbers[i]; j++) {
			fds[j] = client();
			say(fds[j], get);
			hear_times(fds[j], text, "body=0:", 1);
		}
		say(blocking, "GET /block HTTP/1.1\r\nHost: h\r\n\r\n");
		wait_for(&is_held);
		for (int j = 0; j < numbers[i]; j++)
			say(fds[j], get);
		sem_post(&may_go_on);
		for (int j = 0; j < numbers[i]; j++) {
			hear_times(fds[j], text, "body=0:", 1);
			(void)close(fds[j]);
		}
		answer(atomic_load(&held), 200, "at last");
		hear_times(blocking, text, "at last", 1);
		(void)close(blocking);
	}
}

Test(http_server, stops_with_connections_open)
{
	int fds[10];

	start();
	for (int i = 0; i < 10; i++) {
		fds[i] = client();
		say(fds[i], i % 2 ? "GET / HTTP/1.1\r\n" : "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	fini();
	for (int i = 0; i < 10; i++)
		(void)close(fds[i]);
}
