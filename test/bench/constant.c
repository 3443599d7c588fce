/* constant - asks at a constant rate, whatever the answers do, and measures each from the moment at
 * which it was to be asked: a service that stalls is not asked less, and the wait counts.
 *
 *   constant HOST:PORT DATASET USERS RATE SECONDS [EVERY [CONNECTIONS]]
 *
 * A DATASET of jobs:NAME submits jobs instead, and asks for the document of a recent one with every
 * tenth request: what concerns these is "poll_...".
 *
 * Logins are userN, N at random.  Every EVERY seconds (10) it prints a line of JSON about them.  A
 * request that finds no connection free waits for one of CONNECTIONS (256), and so does its
 * latency.  Quantiles are those of buckets an eighth of their value wide at most.  One thread. */
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

#define MAX_CONNECTIONS 4096
#define HEAD_MAX        4096
#define N_BUCKETS       512
#define TICK_NS         500000
#define LAST_S          30 /* for what is under way at the end */
#define N_IDS           1024
#define ID_CHARS        39
#define POLL_EVERY      10

struct bench;

struct connection {
	struct bench *bench;
	struct loop_watch watch;
	int64_t due_us;      /* of the request under way */
	char head[HEAD_MAX]; /* of its answer, as much as came; terminated */
	size_t head_len;
	size_t left; /* of the body, once the head is there */
	bool has_head;
	bool is_ok;
	bool is_refused; /* 503: there is no place now */
	bool is_poll;
	bool is_busy;
	TAILQ_ENTRY(connection) link; /* while it is free */
};

/* Of one interval. */
struct figures {
	uint64_t n_ok, n_failed, n_refused; /* those refused have failed, too */
	int64_t max_us;
	uint64_t buckets[N_BUCKETS];
};

/* Jobs that were accepted, the latest of them. */
struct ids {
	char text[N_IDS][ID_CHARS + 1];
	uint64_t n;
};

struct bench {
	const char *host, *dataset;
	struct sockaddr_storage address;
	socklen_t address_len;
	uint64_t n_users;
	double rate;
	int64_t began_us, until_us, every_us, printed_us;
	uint64_t n_due;  /* requests that were to be asked so far */
	uint64_t n_sent; /* of these */
	size_t n_open;   /* under way */
	struct loop *loop;
	struct loop_watch tick;
	struct connection *connections;
	TAILQ_HEAD(, connection) free; /* the one that has been idle longest first */
	size_t n_connections;
	struct figures now, polls;
	bool are_jobs;
	struct ids ids;
	uint64_t seed;
};

static void __attribute__((noreturn))
die(const char *what)
{
	(void)fprintf(stderr, "constant: %s\n", what);
	exit(1);
}

/* ---- figures ---- */

/* Eight buckets for each power of two. */
static size_t
bucket_of(int64_t us)
{
	uint64_t value = us < 8 ? 8 : (uint64_t)us;
	unsigned power = 63u - (unsigned)__builtin_clzll(value);
	size_t bucket = (size_t)(power - 3) * 8 + (size_t)(value >> (power - 3)) - 8;

	return bucket < N_BUCKETS ? bucket : N_BUCKETS - 1;
}

/* The upper end of a bucket. */
static double
bucket_ms(size_t bucket)
{
	return (double)((bucket % 8 + 9) << (bucket / 8)) / 1000.0;
}

static double
quantile(const struct figures *figures, double at)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < N_BUCKETS; i++) {
		seen += figures->buckets[i];
		if ((double)seen >= at * (double)figures->n_ok)
			return bucket_ms(i);
	}
	return bucket_ms(N_BUCKETS - 1);
}

static void
print(struct bench *bench, int64_t now_us)
{
	const struct figures *now = &bench->now;
	double span_s = (double)(now_us - bench->printed_us) / 1e6;

	if (bench->are_jobs)
		(void)printf("{\"poll_ok\": %llu, \"poll_failed\": %llu, \"poll_p50\": %.2f, "
			     "\"poll_p99\": %.2f, \"poll_max\": %.2f}\n",
			     (unsigned long long)bench->polls.n_ok,
			     (unsigned long long)bench->polls.n_failed,
			     quantile(&bench->polls, 0.5), quantile(&bench->polls, 0.99),
			     (double)bench->polls.max_us / 1000.0);
	(void)printf(
	    "{\"at\": %.0f, \"rate\": %.0f, \"ok\": %llu, \"failed\": %llu, \"refused\": %llu, "
	    "\"late\": %llu, \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}\n",
	    (double)(now_us - bench->began_us) / 1e6, (double)now->n_ok / span_s,
	    (unsigned long long)now->n_ok, (unsigned long long)now->n_failed,
	    (unsigned long long)now->n_refused, (unsigned long long)(bench->n_due - bench->n_sent),
	    quantile(now, 0.5), quantile(now, 0.99), quantile(now, 0.999),
	    (double)now->max_us / 1000.0);
	(void)fflush(stdout);
	bench->now = bench->polls = (struct figures){ 0 };
	bench->printed_us = now_us;
}

/* ---- one request ---- */

static void ask_next(struct bench *bench);
static void open_connection(struct bench *bench, struct connection *connection);

static uint64_t
draw(struct bench *bench)
{
	bench->seed = bench->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return 1 + (bench->seed >> 33) % bench->n_users;
}

static int64_t
due_us(const struct bench *bench, uint64_t number)
{
	return bench->began_us + (int64_t)((double)number / bench->rate * 1e6);
}

static void
finish(struct connection *connection)
{
	struct bench *bench = connection->bench;
	struct figures *figures = connection->is_poll ? &bench->polls : &bench->now;
	int64_t took_us = clock_mono_us() - connection->due_us;

	if (connection->is_ok) {
		figures->n_ok++;
		figures->buckets[bucket_of(took_us)]++;
	} else {
		figures->n_failed++;
		figures->n_refused += connection->is_refused;
	}
	if (took_us > figures->max_us)
		figures->max_us = took_us;
	bench->n_open--;
	connection->is_busy = false;
	TAILQ_INSERT_TAIL(&bench->free, connection, link);
}

/* Keeps the id of a job that was accepted. */
static void
keep_id(struct bench *bench, const char *head)
{
	static const char field[] = "\r\nLocation: /v1/jobs/";
	const char *id = strstr(head, field);

	if (!id)
		die("a job without Location");
	memcpy(bench->ids.text[bench->ids.n++ % N_IDS], id + sizeof field - 1, ID_CHARS);
}

/* Looks for the end of the head; what of the body came with it is counted. */
static void
read_head(struct connection *connection)
{
	const char *end = strstr(connection->head, "\r\n\r\n");
	const char *field;

	if (!end) {
		if (connection->head_len + 1 == HEAD_MAX)
			die("an answer's head is too long");
		return;
	}
	field = strcasestr(connection->head, "\r\nContent-Length:");
	if (!field || field > end)
		die("an answer without Content-Length");
	connection->has_head = true;
	bool is_job = connection->bench->are_jobs && !connection->is_poll;
	connection->is_ok =
	    strncmp(connection->head, is_job ? "HTTP/1.1 202 " : "HTTP/1.1 200 ", 13) == 0;
	connection->is_refused = strncmp(connection->head, "HTTP/1.1 503 ", 13) == 0;
	if (is_job && connection->is_ok)
		keep_id(connection->bench, connection->head);
	connection->left = strtoul(field + 17, NULL, 10)
			   - (connection->head_len - (size_t)(end + 4 - connection->head));
}

/* The server closed it: a request that was under way has failed. */
static void
open_again(struct connection *connection)
{
	struct bench *bench = connection->bench;

	connection->is_ok = connection->is_refused = false;
	if (connection->is_busy)
		finish(connection);
	TAILQ_REMOVE(&bench->free, connection, link);
	loop_unwatch(bench->loop, &connection->watch);
	(void)close(connection->watch.fd);
	open_connection(bench, connection);
	ask_next(bench);
}

static void
on_event(void *ctx, int fd, uint32_t events)
{
	static char body[1 << 16];
	struct connection *connection = ctx;
	ssize_t n;

	(void)events;
	if (connection->has_head)
		n = recv(fd, body, sizeof body < connection->left ? sizeof body : connection->left,
			 0);
	else
		n = recv(fd, connection->head + connection->head_len,
			 HEAD_MAX - 1 - connection->head_len, 0);
	if (n <= 0) {
		open_again(connection);
		return;
	}
	if (connection->has_head) {
		connection->left -= (size_t)n;
	} else {
		connection->head_len += (size_t)n;
		connection->head[connection->head_len] = '\0';
		read_head(connection);
	}
	if (connection->has_head && connection->left == 0) {
		finish(connection);
		ask_next(connection->bench);
	}
}

static int
write_request(struct bench *bench, const struct connection *connection, char out[512])
{
	unsigned long long user = draw(bench);
	char body[128];

	if (connection->is_poll) {
		uint64_t n_ids = bench->ids.n < N_IDS ? bench->ids.n : N_IDS;
		return snprintf(out, 512, "GET /v1/jobs/%s HTTP/1.1\r\nHost: %s\r\n\r\n",
				bench->ids.text[user % n_ids], bench->host);
	}
	if (!bench->are_jobs)
		return snprintf(out, 512,
				"GET /api/%s/?login=user%llu HTTP/1.1\r\nHost: %s\r\n\r\n",
				bench->dataset, user, bench->host);
	int n =
	    snprintf(body, sizeof body, "{\"dataset\":\"%s\",\"params\":{\"login\":\"user%llu\"}}",
		     bench->dataset, user);
	return snprintf(out, 512,
			"POST /v1/jobs HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
			"Content-Length: %d\r\n\r\n%s",
			bench->host, n, body);
}

static void
ask(struct bench *bench, struct connection *connection, int64_t at_us)
{
	char request[512];

	connection->is_poll =
	    bench->are_jobs && bench->ids.n > 0 && bench->n_sent % POLL_EVERY == 0;
	int n = write_request(bench, connection, request);
	connection->due_us = at_us;
	connection->head_len = 0;
	connection->has_head = false;
	connection->is_busy = true;
	bench->n_open++;
	/* What cannot be sent is found by on_event: the server has closed the connection. */
	(void)!send(connection->watch.fd, request, (size_t)n, MSG_NOSIGNAL);
}

/* Asks what is due, as far as there are connections. */
static void
ask_next(struct bench *bench)
{
	while (!TAILQ_EMPTY(&bench->free) && bench->n_sent < bench->n_due) {
		struct connection *connection = TAILQ_FIRST(&bench->free);

		TAILQ_REMOVE(&bench->free, connection, link);
		ask(bench, connection, due_us(bench, bench->n_sent++));
	}
}

/* ---- time ---- */

static void
on_tick(void *ctx, int fd, uint32_t events)
{
	struct bench *bench = ctx;
	int64_t now_us = clock_mono_us();
	uint64_t ticks;

	(void)events;
	(void)!read(fd, &ticks, sizeof ticks);
	while (now_us < bench->until_us && due_us(bench, bench->n_due) <= now_us)
		bench->n_due++;
	ask_next(bench);
	if (now_us - bench->printed_us >= bench->every_us)
		print(bench, now_us);
	bool is_done = bench->n_sent == bench->n_due && bench->n_open == 0;
	if (now_us >= bench->until_us
	    && (is_done || now_us >= bench->until_us + LAST_S * INT64_C(1000000))) {
		if (bench->now.n_ok + bench->now.n_failed > 0)
			print(bench, now_us);
		loop_stop(bench->loop);
	}
}

/* ---- setting up ---- */

static void
watch(struct bench *bench, struct loop_watch *watch)
{
	watch->events = EPOLLIN;
	if (watch->fd < 0 || loop_watch(bench->loop, watch) != TALLY_OK)
		die("too many descriptors");
}

static void
open_connection(struct bench *bench, struct connection *connection)
{
	int one = 1;
	int fd = socket(bench->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&bench->address, bench->address_len) != 0)
		die("cannot connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	connection->bench = bench;
	connection->watch =
	    (struct loop_watch){ .fd = fd, .on_event = on_event, .ctx = connection };
	watch(bench, &connection->watch);
	connection->head_len = 0;
	connection->has_head = false;
	TAILQ_INSERT_TAIL(&bench->free, connection, link);
}

static void
resolve(struct bench *bench, char *address)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	char *colon = strrchr(address, ':');
	struct addrinfo *found;

	if (!colon)
		die("the address must be HOST:PORT");
	*colon = '\0';
	bench->host = address;
	if (getaddrinfo(address, colon + 1, &hints, &found) != 0)
		die("no such host");
	memcpy(&bench->address, found->ai_addr, found->ai_addrlen);
	bench->address_len = found->ai_addrlen;
	freeaddrinfo(found);
}

static void
start_ticking(struct bench *bench)
{
	const struct itimerspec every = {
		.it_interval = { 0, TICK_NS },
                  .it_value = { 0, TICK_NS }
	};

	bench->tick = (struct loop_watch){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.on_event = on_tick,
		.ctx = bench,
	};
	watch(bench, &bench->tick);
	if (timerfd_settime(bench->tick.fd, 0, &every, NULL) != 0)
		die("no timer");
}

static void
run(struct bench *bench, double seconds)
{
	struct tally_error err = { 0 };

	if (loop_new(NULL, NULL, &bench->loop, &err) != TALLY_OK)
		die(err.detail);
	TAILQ_INIT(&bench->free);
	bench->connections = calloc(bench->n_connections, sizeof *bench->connections);
	if (!bench->connections)
		die("out of memory");
	for (size_t i = 0; i < bench->n_connections; i++)
		open_connection(bench, &bench->connections[i]);
	start_ticking(bench);
	bench->began_us = bench->printed_us = clock_mono_us();
	bench->until_us = bench->began_us + (int64_t)(seconds * 1e6);
	loop_run(bench->loop);
	for (size_t i = 0; i < bench->n_connections; i++) {
		loop_unwatch(bench->loop, &bench->connections[i].watch);
		(void)close(bench->connections[i].watch.fd);
	}
	loop_unwatch(bench->loop, &bench->tick);
	(void)close(bench->tick.fd);
	loop_free(bench->loop);
	free(bench->connections);
}

static double
number(const char *text, double max)
{
	char *end;
	double n = strtod(text, &end);

	if (*end != '\0' || !(n > 0) || n > max)
		die("a number is wrong, or out of range");
	return n;
}

int
main(int argc, char **argv)
{
	static struct bench bench;

	if (argc < 6 || argc > 8) {
		(void)fprintf(stderr, "usage: constant HOST:PORT DATASET USERS RATE SECONDS [EVERY "
				      "[CONNECTIONS]]\n");
		return 2;
	}
	resolve(&bench, argv[1]);
	bench.are_jobs = strncmp(argv[2], "jobs:", 5) == 0;
	bench.dataset = argv[2] + (bench.are_jobs ? 5 : 0);
	bench.n_users = (uint64_t)number(argv[3], 1e9);
	bench.rate = number(argv[4], 1e6);
	bench.every_us = (int64_t)(number(argc > 6 ? argv[6] : "10", 3600) * 1e6);
	bench.n_connections = (size_t)number(argc > 7 ? argv[7] : "256", MAX_CONNECTIONS);
	bench.seed = (uint64_t)clock_mono_us();
	run(&bench, number(argv[5], 1e6));
	return 0;
}
