/* Bytes on a connection: a real server reads them as requests.  Whatever they are, each answer is
 * whole, one that refuses is the last, and there are as many as requests that were handled (but
 * for those that libmicrohttpd refuses by itself). */
#include "fuzz/fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server.h"

#define MAX_BODY   1000
#define MAX_TARGET 200
#define LONG_MS    60000
#define OUT_BYTES  ((size_t)1 << 20)
#define PATIENCE   60000

static struct http_server *server;
static atomic_uint n_calls;
static atomic_uint n_refused;

static void
answer(struct http_request *request, unsigned status)
{
	struct http_response response;
	size_t len;

	if (status == 200) {
		FUZZ_MUST(http_request_target(request)->path[0] == '/');
		(void)http_request_body(request, &len);
		FUZZ_MUST(len <= MAX_BODY);
	}
	http_response_init(&response, status);
	http_response_static(&response, "x", 1);
	http_reply(request, &response);
}

static void
handle(void *ctx, struct http_request *request)
{
	const struct tally_error *refusal = http_request_refusal(request);

	(void)ctx;
	atomic_fetch_add(&n_calls, 1);
	if (refusal)
		atomic_fetch_add(&n_refused, 1);
	answer(request, refusal ? 400 : 200);
}

static void
start(void)
{
	const struct http_server_options options = { .listen = "127.0.0.1:0",
						     .n_threads = 1,
						     .max_connections = 20,
						     .max_body_bytes = MAX_BODY,
						     .max_target_bytes = MAX_TARGET,
						     .request_timeout_ms = LONG_MS,
						     .idle_timeout_ms = LONG_MS,
						     .stall_timeout_ms = LONG_MS,
						     .handler = handle };
	struct tally_error err = { 0 };

	FUZZ_MUST(http_server_start(&options, &server, &err) == TALLY_OK);
}

/* A connection from one of many addresses of this machine: each has but so many ports, and those
 * of closed connections rest for a minute. */
static int
client(void)
{
	static uint32_t turn;
	uint32_t here = turn++ % (1u << 20);
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr = { htonl(0x7f100000u + here) } };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((in_port_t)http_server_port(server)),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	FUZZ_MUST(fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
	FUZZ_MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	return fd;
}

/* Waits for something to read; libFuzzer's alarm interrupts it now and then. */
static void
await(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int n;

	while ((n = poll(&pollfd, 1, PATIENCE)) < 0)
		FUZZ_MUST(errno == EINTR);
	FUZZ_MUST(n == 1); /* or it hangs */
}

/* Sends all, says that there is no more, and reads what comes; how much that is.  The server may
 * reset the connection when it has heard enough. */
static size_t
talk(const uint8_t *data, size_t size, char *out)
{
	struct linger linger = { .l_onoff = 1 };
	int fd = client();
	size_t len = 0;
	ssize_t n = 1;

	for (size_t at = 0; at < size && n > 0; at += n > 0 ? (size_t)n : 0)
		n = send(fd, data + at, size - at, MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	for (n = 1; n > 0; len += n > 0 ? (size_t)n : 0) {
		await(fd);
		FUZZ_MUST(len < OUT_BYTES);
		n = recv(fd, out + len, OUT_BYTES - len, 0);
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	(void)close(fd);
	return len;
}

static size_t
count(const char *text, size_t len, const char *part)
{
	size_t n = 0;
	const char *end = text + len;

	while ((text = memmem(text, (size_t)(end - text), part, strlen(part)))) {
		n++;
		text += strlen(part);
	}
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[OUT_BYTES];

	if (!server)
		start();
	atomic_store(&n_calls, 0);
	atomic_store(&n_refused, 0);
	size_t len = talk(data, size, out);
	size_t n_right = count(out, len, "HTTP/1.1 200 ") + count(out, len, "HTTP/1.0 200 ");
	FUZZ_MUST(n_right <= atomic_load(&n_calls));
	FUZZ_MUST(atomic_load(&n_refused) <= 1);
	const char *refusal = memmem(out, len, " 400 ", 5);
	if (refusal)
		FUZZ_MUST(count(refusal, (size_t)(out + len - refusal), " 200 OK") == 0);
	return 0;
}
