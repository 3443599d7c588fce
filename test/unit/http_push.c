/* Bodies that are written while they are sent, over real sockets: what arrives and when, and what
 * the writer learns of its client.  Every wait has a deadline; nothing sleeps. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>

#include "http/push.h"
#include "http/server.h"
#include "support/http_test.h"

#define SHORT_MS   200
#define LONG_MS    60000
#define PUSH_BYTES 4096

#define GET "GET /events HTTP/1.1\r\nHost: h\r\n\r\n"

static struct http_server *server;
static struct http_server_options options;
static struct http_push *push; /* of the one stream that a test has */
static const char *first_text; /* written before the answer */
static bool must_hold;
static struct http_request *_Atomic held;
static sem_t is_open;
static sem_t gone;
static atomic_int n_gone;
static bool frees_in_gone;
static tally_status status_in_gone;

/* ---- the handler ------------------------------------------------------------- */

static void
on_gone(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&n_gone, 1);
	status_in_gone = http_push_write(push, "x", 1);
	if (frees_in_gone) {
		http_push_free(push);
		push = NULL;
	}
	sem_post(&gone);
}

static void
answer(struct http_request *request)
{
	struct http_response response;

	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", "text/event-stream");
	http_response_push(&response, push);
	http_reply(request, &response);
}

static void
handle(void *ctx, struct http_request *request)
{
	(void)ctx;
	push = http_push_new(PUSH_BYTES, on_gone, NULL);
	cr_assert(push);
	if (first_text)
		cr_assert_eq(http_push_write(push, first_text, strlen(first_text)), TALLY_OK);
	if (must_hold)
		atomic_store(&held, request);
	else
		answer(request);
	sem_post(&is_open);
}

/* ---- the server and its clients ---------------------------------------------- */

static void
init(void)
{
	sem_init(&is_open, 0, 0);
	sem_init(&gone, 0, 0);
	first_text = "hello\n";
	options = (struct http_server_options){ .listen = "127.0.0.1:0",
						.n_threads = 2,
						.max_connections = 20,
						.max_body_bytes = 1000,
						.max_target_bytes = 200,
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
}

static void
fini(void)
{
	http_push_free(push);
	push = NULL;
	http_server_stop(server);
	server = NULL;
}

TestSuite(http_push, .init = init, .fini = fini, .timeout = 60);

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
streams(void)
{
	return http_server_stats(server).streams;
}

static uint64_t
reaped(void)
{
	return http_server_stats(server).reaped;
}

static tally_status
write_text(const char *text)
{
	return http_push_write(push, text, strlen(text));
}

/* A client whose stream is open and silent. */
static int
listener(char *text)
{
	int fd = client();

	say(fd, GET);
	wait_for(&is_open);
	hear_times(fd, text, "hello\n", 1);
	return fd;
}

/* ---- what arrives ------------------------------------------------------------ */

Test(http_push, sends_each_write_at_once_and_its_end)
{
	char text[ANSWER_BYTES], line[32];
	int64_t before;
	int fd;

	start();
	fd = listener(text);
	cr_assert(strstr(text, "HTTP/1.1 200 "), "%s", text);
	cr_assert(strstr(text, "Content-Type: text/event-stream\r\n"), "%s", text);
	before = clock_mono_ms();
	for (int i = 0; i < 100; i++) {
		(void)snprintf(line, sizeof line, "line %d\n", i);
		cr_assert_eq(write_text(line), TALLY_OK);
		hear_times(fd, text, line, 1);
	}
	/* Nagle's algorithm or a cork would hold each of them back for 40 or 200 ms. */
	cr_assert_lt(clock_mono_ms() - before, 2000);
	http_push_end(push);
	hear_times(fd, text, "0\r\n\r\n", 1);
	/* The connection goes on. */
	http_push_free(push);
	say(fd, GET);
	wait_for(&is_open);
	hear_times(fd, text, "hello\n", 1);
	cr_assert_eq(atomic_load(&n_gone), 0);
	(void)close(fd);
}

Test(http_push, sends_what_was_written_before_the_answer_and_ended_before_it)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	must_hold = true;
	fd = client();
	say(fd, GET);
	wait_for(&is_open);
	cr_assert_eq(write_text("and more\n"), TALLY_OK);
	http_push_end(push);
	cr_assert_eq(write_text("too late\n"), TALLY_CLOSED);
	http_push_free(push);
	push = http_push_new(PUSH_BYTES, on_gone, NULL);
	cr_assert_eq(write_text("another\n"), TALLY_OK);
	answer(atomic_load(&held));
	hear_times(fd, text, "another\n", 1);
	http_push_free(push);
	push = NULL;
	hear_times(fd, text, "0\r\n\r\n", 1);
	wait_until(streams, 0);
	(void)close(fd);
}

Test(http_push, sends_to_an_http_1_0_client_until_it_closes)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "GET / HTTP/1.0\r\n\r\n");
	wait_for(&is_open);
	hear_times(fd, text, "hello\n", 1);
	cr_assert_eq(write_text("line\n"), TALLY_OK);
	hear_times(fd, text, "line\n", 1);
	http_push_end(push);
	cr_assert_eq(hear(fd, text, sizeof text), 0, "an HTTP/1.0 body ends with the connection");
	cr_assert_eq(atomic_load(&n_gone), 0);
	(void)close(fd);
}

Test(http_push, tells_the_writer_of_a_head_request_that_nobody_reads)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = client();
	say(fd, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_for(&is_open);
	hear_times(fd, text, "\r\n\r\n", 1);
	wait_for(&gone);
	(void)close(fd);
}

static void *
write_many(void *arg)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;
	char line[64];

	for (int i = 0; i < 20000; i++) {
		tally_status status;

		(void)snprintf(line, sizeof line, "%08d of many lines of the same length\n", i);
		while ((status = write_text(line)) == TALLY_FULL && clock_mono_ms() < until)
			(void)poll(NULL, 0, 1);
		cr_assert_eq(status, TALLY_OK);
	}
	http_push_end(push);
	return arg;
}

Test(http_push, keeps_the_order_and_every_byte_under_load)
{
	static char text[4 << 20];
	size_t len = 0, n;
	pthread_t writer;
	const char *at;
	int fd;

	start();
	first_text = NULL;
	fd = client();
	say(fd, "GET / HTTP/1.0\r\n\r\n");
	wait_for(&is_open);
	pthread_create(&writer, NULL, write_many, NULL);
	while ((n = hear(fd, text + len, sizeof text - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	pthread_join(writer, NULL);
	at = strstr(text, "\r\n\r\n") + 4;
	for (int i = 0; i < 20000; i++) {
		char line[64];
		int size =
		    snprintf(line, sizeof line, "%08d of many lines of the same length\n", i);

		cr_assert_eq(strncmp(at, line, (size_t)size), 0, "line %d is %.50s", i, at);
		at += size;
	}
	cr_assert_str_empty(at);
	(void)close(fd);
}

/* ---- clients that leave or dawdle -------------------------------------------- */

static void
close_whole(int fd)
{
	(void)close(fd);
}

static void
close_half(int fd)
{
	(void)shutdown(fd, SHUT_WR);
}

static void
reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	(void)close(fd);
}

static void
check_left(void (*leave)(int fd))
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = listener(text);
	cr_assert_eq(write_text("line\n"), TALLY_OK);
	hear_times(fd, text, "line\n", 1);
	leave(fd);
	wait_for(&gone);
	cr_assert_eq(status_in_gone, TALLY_CLOSED);
	wait_until(connections, 0);
	cr_assert_eq(streams(), 0);
	cr_assert_eq(reaped(), 0);
	cr_assert_eq(write_text("line\n"), TALLY_CLOSED);
	http_push_free(push);
	push = NULL;
	cr_assert_eq(atomic_load(&n_gone), 1);
}

Test(http_push, tells_of_a_client_that_closes_a_silent_stream)
{
	check_left(close_whole);
}

Test(http_push, tells_of_a_client_that_closes_its_half)
{
	check_left(close_half);
}

Test(http_push, tells_of_a_client_that_resets)
{
	check_left(reset);
}

Test(http_push, may_be_freed_by_the_writer_that_is_told)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	frees_in_gone = true;
	fd = listener(text);
	(void)close(fd);
	wait_for(&gone);
	wait_until(connections, 0);
	cr_assert_eq(atomic_load(&n_gone), 1);
}

Test(http_push, tells_of_a_client_that_left_before_the_answer)
{
	int fd;

	start();
	must_hold = true;
	fd = client();
	say(fd, GET);
	wait_for(&is_open);
	(void)close(fd);
	while (http_server_stats(server).gone == 0)
		(void)poll(NULL, 0, 1);
	answer(atomic_load(&held));
	cr_assert_eq(atomic_load(&n_gone), 1, "it is told before http_reply returns");
	cr_assert_eq(write_text("line\n"), TALLY_CLOSED);
	wait_until(connections, 0);
}

Test(http_push, does_not_tell_a_writer_that_has_ended_or_let_go)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = listener(text);
	http_push_free(push);
	push = NULL;
	(void)close(fd);
	wait_until(connections, 0);
	cr_assert_eq(atomic_load(&n_gone), 0);
}

Test(http_push, does_not_cut_a_silent_stream_at_the_stall_limit)
{
	char text[ANSWER_BYTES];
	int64_t until;
	int fd;

	options.stall_timeout_ms = options.idle_timeout_ms = options.request_timeout_ms = SHORT_MS;
	start();
	fd = listener(text);
	/* The time is what is tested. */
	until = clock_mono_ms() + (int64_t)SHORT_MS * 4;
	while (clock_mono_ms() < until) {
		cr_assert_eq(write_text("."), TALLY_OK);
		hear_times(fd, text, ".", 1);
		(void)poll(NULL, 0, SHORT_MS + SHORT_MS / 2);
	}
	cr_assert_eq(write_text("line\n"), TALLY_OK);
	hear_times(fd, text, "line\n", 1);
	cr_assert_eq(reaped(), 0);
	(void)close(fd);
	wait_for(&gone);
}

Test(http_push, is_full_for_a_client_that_does_not_read_and_cuts_it)
{
	static char kilobyte[1024];
	char text[ANSWER_BYTES];
	int64_t until = clock_mono_ms() + DEADLINE_MS;
	tally_status status = TALLY_OK;
	int n_full = 0, fd;

	memset(kilobyte, 'x', sizeof kilobyte);
	options.stall_timeout_ms = SHORT_MS;
	start();
	fd = listener(text);
	while (status != TALLY_CLOSED && clock_mono_ms() < until) {
		status = http_push_write(push, kilobyte, sizeof kilobyte);
		n_full += status == TALLY_FULL;
	}
	cr_assert_eq(status, TALLY_CLOSED);
	cr_assert_gt(n_full, 0);
	wait_for(&gone);
	wait_until(connections, 0);
	cr_assert_eq(reaped(), 1);
	(void)close(fd);
}

Test(http_push, takes_no_more_than_its_room)
{
	char block[PUSH_BYTES + 1] = { 0 };

	start();
	push = http_push_new(PUSH_BYTES, NULL, NULL);
	cr_assert_eq(http_push_write(push, block, PUSH_BYTES + 1), TALLY_FULL);
	cr_assert_eq(http_push_write(push, block, PUSH_BYTES), TALLY_OK);
	cr_assert_eq(http_push_write(push, block, 1), TALLY_FULL);
	cr_assert_eq(http_push_write(push, block, 0), TALLY_OK);
}

/* ---- the end ----------------------------------------------------------------- */

Test(http_push, is_sent_to_its_end_by_a_server_that_drains)
{
	char text[ANSWER_BYTES];
	int fd;

	start();
	fd = listener(text);
	http_server_quiesce(server);
	cr_assert_eq(write_text("bye\n"), TALLY_OK);
	http_push_free(push);
	push = NULL;
	http_server_drain(server, DEADLINE_MS);
	http_server_stop(server);
	server = NULL;
	hear_times(fd, text, "0\r\n\r\n", 1);
	cr_assert(strstr(text, "bye\n"));
	(void)close(fd);
}

Test(http_push, does_not_hold_up_a_server_that_drains)
{
	char text[ANSWER_BYTES];
	int64_t before;
	int fd;

	start();
	fd = listener(text);
	before = clock_mono_ms();
	http_server_drain(server, DEADLINE_MS);
	cr_assert_lt(clock_mono_ms() - before, DEADLINE_MS / 2);
	(void)close(fd);
	wait_for(&gone);
}
