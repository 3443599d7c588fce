/* Event streams over real sockets, with a job store that answers what the test says: what a client
 * hears, in which order, and what is left when it leaves or the gateway stops. */
#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the streams stand on is made here; under other names, because the library has it, too. */
#define job_store_get          test_job_store_get
#define job_store_watch        test_job_store_watch
#define job_store_unwatch      test_job_store_unwatch
#define gateway_jobs_begin     test_gateway_jobs_begin
#define gateway_jobs_end       test_gateway_jobs_end
#define gateway_jobs_store     test_gateway_jobs_store
#define gateway_jobs_check_id  test_gateway_jobs_check_id
#define exchange_reply         test_exchange_reply
#define exchange_problem       test_exchange_problem
#define exchange_tenant        test_exchange_tenant
#define exchange_wait          test_exchange_wait
#define exchange_take_wait     test_exchange_take_wait
#define gateway_get_job_events test_gateway_get_job_events
#define job_events_new         test_job_events_new
#define job_events_close       test_job_events_close
#define job_events_free        test_job_events_free
#define job_events_count       test_job_events_count
#include "../../internal/gateway/job_events.c"
#include "gateway/problem.h"
#include "support/tcp.h"

#define DEADLINE_MS  10000
#define ANSWER_BYTES 65536
#define MAX_STREAMS  3
#define ID           "06abcdefghjkmnpqrstvwxyz0123456789abcde"

static struct gateway gateway;
static struct http_server *server;
static tally_status id_status;
static bool is_foreign;
static int64_t created_ms;
static bool has_jobs;
static atomic_int n_inside;

/* ---- the store --------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	job_found_fn *found;
	void *ctx;
} looked_up[MAX_STREAMS + 1];
static size_t n_looked_up;
static struct job_watch *watches[MAX_STREAMS + 1];
static size_t n_watches;
static tally_status get_status, watch_status;

tally_status
job_store_get(struct job_store *store, const char *tenant, const struct tally_job_id *id,
	      job_found_fn *found, void *ctx)
{
	(void)store;
	cr_assert_str_eq(tenant, "default");
	cr_assert_str_eq(id->text, ID);
	pthread_mutex_lock(&lock);
	if (get_status == TALLY_OK) {
		looked_up[n_looked_up].found = found;
		looked_up[n_looked_up++].ctx = ctx;
	}
	pthread_mutex_unlock(&lock);
	return get_status;
}

tally_status
job_store_watch(struct job_store *store, struct job_watch *watch)
{
	int64_t in_ms = watch->deadline_ms - clock_mono_ms();

	(void)store;
	cr_assert(in_ms > 10000 && in_ms <= 15000);
	pthread_mutex_lock(&lock);
	if (watch_status == TALLY_OK)
		watches[n_watches++] = watch;
	pthread_mutex_unlock(&lock);
	return watch_status;
}

bool
job_store_unwatch(struct job_store *store, struct job_watch *watch)
{
	bool was_there = false;

	(void)store;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_watches && !was_there; i++) {
		was_there = watches[i] == watch;
		if (was_there)
			watches[i] = watches[--n_watches];
	}
	pthread_mutex_unlock(&lock);
	return was_there;
}

/* Waits until the store has n of what is counted. */
static void
wait_for(const size_t *counted, size_t n)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;
	bool is_there = false;

	while (!is_there) {
		pthread_mutex_lock(&lock);
		is_there = *counted == n;
		pthread_mutex_unlock(&lock);
		cr_assert(is_there || clock_mono_ms() < until, "it did not happen");
		(void)poll(NULL, 0, is_there ? 0 : 1);
	}
}

static struct job
job_in(enum job_state state)
{
	struct job job = { .id = { ID },
			   .tenant = "default",
			   .created_ms = created_ms,
			   .deadline_ms = created_ms + 3600000,
			   .state = state,
			   .has_request = true,
			   .dataset = (char *)(uintptr_t)"comments",
			   .params = (char *)(uintptr_t)"{\"login\":\"two\\nlines\"}",
			   .finished_ms = created_ms + 5,
			   .n_parts = 1 };

	return job;
}

/* Answers the look-up that came first. */
static void
answer(tally_status status, enum job_state state, int64_t watermark_ms)
{
	struct job job = job_in(state);

	wait_for(&n_looked_up, 1);
	n_looked_up = 0;
	looked_up[0].found(looked_up[0].ctx, status, status == TALLY_OK ? &job : NULL,
			   watermark_ms);
}

/* Ends the only watch. */
static void
wake(tally_status status, enum job_state state, int64_t watermark_ms)
{
	struct job job = job_in(state);
	struct job_watch *watch;

	wait_for(&n_watches, 1);
	watch = watches[0];
	n_watches = 0;
	watch->found(watch->ctx, status, status == TALLY_OK ? &job : NULL, watermark_ms);
}

/* ---- the gateway ------------------------------------------------------------- */

struct gateway_jobs *
gateway_jobs_begin(const struct exchange *exchange)
{
	struct tally_error err = { .status = TALLY_NOT_FOUND };

	if (!has_jobs) {
		exchange_problem(exchange, &err, NULL);
		return NULL;
	}
	atomic_fetch_add(&n_inside, 1);
	return (struct gateway_jobs *)(void *)&gateway;
}

void
gateway_jobs_end(struct gateway_jobs *jobs)
{
	(void)jobs;
	atomic_fetch_sub(&n_inside, 1);
}

struct job_store *
gateway_jobs_store(struct gateway_jobs *jobs)
{
	return (struct job_store *)(void *)jobs;
}

tally_status
gateway_jobs_check_id(const struct gateway_jobs *jobs, const char *tenant, const char *text,
		      size_t len, struct tally_job_id *out_id, struct tally_job_id_parts *out_parts)
{
	(void)jobs;
	(void)tenant;
	(void)snprintf(out_id->text, sizeof out_id->text, "%.*s", (int)len, text);
	*out_parts = (struct tally_job_id_parts){ created_ms, 0, is_foreign };
	return id_status;
}

void
exchange_reply(const struct exchange *exchange, struct http_response *response)
{
	http_reply(exchange->request, response);
}

void
exchange_problem(const struct exchange *exchange, const struct tally_error *error,
		 const struct params_faults *faults)
{
	struct http_response response;
	const char *code = tally_status_code(error->status);

	(void)faults;
	http_response_init(&response, problem_http_status(error->status));
	http_response_static(&response, code, strlen(code));
	exchange_reply(exchange, &response);
}

bool
exchange_wait(struct exchange *exchange)
{
	(void)exchange;
	return true;
}

struct tenant *
exchange_take_wait(struct exchange *exchange)
{
	(void)exchange;
	return NULL;
}

const char *
exchange_tenant(const struct exchange *exchange)
{
	(void)exchange;
	return "default";
}

static void
handle(void *ctx, struct http_request *request)
{
	const char *path = http_request_target(request)->path;
	struct exchange exchange = { .gateway = ctx, .request = request, .variable = path + 1 };

	exchange.variable_len = strlen(exchange.variable);
	gateway_get_job_events(&exchange);
}

/* ---- the server and its clients ---------------------------------------------- */

static void
init(void)
{
	const struct http_server_options options = { .listen = "127.0.0.1:0",
						     .n_threads = 2,
						     .max_connections = 20,
						     .max_body_bytes = 1000,
						     .max_target_bytes = 200,
						     .request_timeout_ms = 60000,
						     .idle_timeout_ms = 60000,
						     .stall_timeout_ms = 60000,
						     .handler = handle,
						     .ctx = &gateway };
	struct tally_error err = { 0 };

	has_jobs = true;
	created_ms = clock_unix_ms() - 60000;
	gateway.events = job_events_new(MAX_STREAMS);
	cr_assert_eq(http_server_start(&options, &server, &err), TALLY_OK, "%s", err.detail);
}

static void
fini(void)
{
	int64_t until = clock_mono_ms() + DEADLINE_MS;

	job_events_close(gateway.events);
	while (job_events_count(gateway.events) > 0) {
		cr_assert_lt(clock_mono_ms(), until, "a stream is left");
		(void)poll(NULL, 0, 1);
	}
	cr_assert_eq(atomic_load(&n_inside), 0);
	cr_assert_eq(n_watches, 0);
	http_server_stop(server);
	job_events_free(gateway.events);
}

TestSuite(job_events, .init = init, .fini = fini, .timeout = 60);

static int
client(const char *headers)
{
	int fd = tcp_connect(http_server_port(server));
	char text[300];
	int len = snprintf(text, sizeof text, "GET /" ID " HTTP/1.0\r\n%s\r\n", headers);

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	cr_assert_eq(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
	return fd;
}

/* Appends what comes until a text is there; NULL: until the end. */
static void
hear(int fd, char *out, const char *text)
{
	size_t len = strlen(out);
	ssize_t n = 1;

	while (text ? !strstr(out, text) : n > 0) {
		n = tcp_hear(fd, out + len, ANSWER_BYTES - 1 - len, DEADLINE_MS);
		cr_assert_geq(n, 0, "nothing came after: %s", out);
		cr_assert(!text || n > 0, "closed after: %s", out);
		len += (size_t)n;
		out[len] = '\0';
	}
	if (!text)
		(void)close(fd);
}

static int
count(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part))) {
		n++;
		text += strlen(part);
	}
	return n;
}

/* ---- what is heard ----------------------------------------------------------- */

Test(job_events, tell_each_change_of_state_and_end)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("");

	answer(TALLY_OK, JOB_QUEUED, 0);
	hear(fd, text, "\"state\":\"queued\"");
	cr_assert(strstr(text, " 200 "), "%s", text);
	cr_assert(strstr(text, "Content-Type: text/event-stream\r\n"), "%s", text);
	cr_assert(strstr(text, "Cache-Control: no-store\r\n"), "%s", text);
	cr_assert(strstr(text, "\r\n\r\nretry: 2000\n\nid: 1\nevent: state\ndata: {\"id\":\"" ID),
		  "%s", text);
	wake(TALLY_OK, JOB_RUNNING, 0);
	hear(fd, text, "\"state\":\"running\"");
	wake(TALLY_OK, JOB_SUCCEEDED, 0);
	hear(fd, text, NULL);
	cr_assert(strstr(text, "\n\nid: 2\nevent: state\ndata: {"), "%s", text);
	cr_assert(strstr(text, "\n\nid: 3\nevent: state\ndata: {"), "%s", text);
	cr_assert_eq(count(text, "\ndata: "), 3);
	cr_assert_str_eq(text + strlen(text) - 2, "\n\n");
}

Test(job_events, tell_a_final_job_once)
{
	static const enum job_state states[] = { JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED };

	for (size_t i = 0; i < 3; i++) {
		char text[ANSWER_BYTES] = "";
		int fd = client("");

		answer(TALLY_OK, states[i], 0);
		hear(fd, text, NULL);
		cr_assert_eq(count(text, "id: 3\nevent: state\n"), 1, "%s", text);
		cr_assert(strstr(text, job_state_name(states[i])), "%s", text);
	}
}

Test(job_events, begin_before_the_job_is_recorded)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("");

	answer(TALLY_NOT_FOUND, 0, created_ms + 60000);
	hear(fd, text, "\"state\":\"queued\"");
	/* Still nothing. */
	wake(TALLY_NOT_FOUND, 0, created_ms + 60000);
	hear(fd, text, "\n\n:\n\n");
	wake(TALLY_OK, JOB_CANCELLED, 0);
	hear(fd, text, NULL);
	cr_assert_eq(count(text, "\ndata: "), 2, "%s", text);
	cr_assert(strstr(text, "id: 3\n"), "%s", text);
}

Test(job_events, end_for_an_id_that_never_was_a_job)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("");

	answer(TALLY_NOT_FOUND, 0, 0);
	hear(fd, text, "queued");
	wake(TALLY_NOT_FOUND, 0, created_ms + 60001);
	hear(fd, text, NULL);
	cr_assert_eq(count(text, "\ndata: "), 1, "%s", text);
}

Test(job_events, go_on_while_the_store_is_away)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("");

	answer(TALLY_OK, JOB_QUEUED, 0);
	for (int i = 0; i < 5; i++)
		wake(TALLY_JOB_STORE_UNAVAILABLE, 0, 0);
	wake(TALLY_OK, JOB_QUEUED, 0);
	wake(TALLY_OK, JOB_FAILED, 0);
	hear(fd, text, NULL);
	cr_assert_eq(count(text, "\n:\n"), 6, "%s", text);
	cr_assert_eq(count(text, "\ndata: "), 2, "%s", text);
}

struct resumed {
	const char *header;
	enum job_state state;
	const char *ids; /* of the events that come */
};

static const struct resumed resumed[] = {
	{ "",		      JOB_RUNNING,   "23" },
	{ "Last-Event-ID: 1\r\n",  JOB_QUEUED,    "3"  },
	{ "Last-Event-ID: 1\r\n",  JOB_RUNNING,   "23" },
	{ "Last-Event-ID: 2\r\n",  JOB_RUNNING,   "3"  },
	{ "Last-Event-ID: 2\r\n",  JOB_QUEUED,    "3"  }, /* another gateway told of running */
	{ "Last-Event-ID: 2\r\n",  JOB_FAILED,    "3"  },
	{ "Last-Event-ID: 3\r\n",  JOB_QUEUED,    ""   }, /* it was made up */
	{ "Last-Event-ID: 4\r\n",  JOB_SUCCEEDED, "3"  },
	{ "Last-Event-ID: 11\r\n", JOB_SUCCEEDED, "3"  },
	{ "Last-Event-ID: \r\n",   JOB_SUCCEEDED, "3"  },
};

Test(job_events, resume_without_repeating)
{
	for (size_t i = 0; i < sizeof resumed / sizeof *resumed; i++) {
		char text[ANSWER_BYTES] = "", ids[8] = "";
		int fd = client(resumed[i].header);
		size_t n = 0;

		answer(TALLY_OK, resumed[i].state, 0);
		if (!job_state_is_final(resumed[i].state))
			wake(TALLY_OK, JOB_SUCCEEDED, 0);
		hear(fd, text, NULL);
		for (const char *at = text; (at = strstr(at, "\nid: ")); at++)
			ids[n++] = at[5];
		cr_assert_str_eq(ids, resumed[i].ids, "%s%s", resumed[i].header, text);
	}
}

Test(job_events, say_that_there_is_nothing_more)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("Last-Event-ID: 3\r\n");

	answer(TALLY_OK, JOB_FAILED, 0);
	hear(fd, text, NULL);
	cr_assert(strstr(text, " 204 "), "%s", text);
	cr_assert_not(strstr(text, "data"), "%s", text);
}

/* ---- what is refused --------------------------------------------------------- */

static void
check_refused(const char *expected)
{
	char text[ANSWER_BYTES] = "";

	hear(client(""), text, NULL);
	cr_assert(strstr(text, expected), "%s", text);
	cr_assert_eq(job_events_count(gateway.events), 0);
}

Test(job_events, are_refused_before_the_store_is_asked)
{
	id_status = TALLY_NOT_FOUND;
	check_refused(" 404 ");
	id_status = TALLY_EXPIRED;
	check_refused(" 410 ");
	id_status = TALLY_OK;
	get_status = TALLY_SATURATED;
	check_refused(" 503 ");
	has_jobs = false;
	check_refused(" 404 ");
	cr_assert_eq(n_looked_up, 0);
}

struct unfound {
	tally_status status;
	int64_t watermark_ms; /* after the id's time */
	bool is_foreign;
	const char *expected;
};

static const struct unfound unfound[] = {
	{ TALLY_NOT_FOUND,             60001, false, " 404 " },
	{ TALLY_NOT_FOUND,             0,     true,  " 404 " },
	{ TALLY_JOB_STORE_UNAVAILABLE, 0,     false, " 503 " },
};

Test(job_events, of_a_job_past_its_retention_are_refused)
{
	char text[ANSWER_BYTES] = "";
	int fd;

	created_ms -= JOB_RETENTION_MS;
	fd = client("");
	answer(TALLY_OK, JOB_SUCCEEDED, 0);
	hear(fd, text, NULL);
	cr_assert(strstr(text, " 410 "), "%s", text);
}

Test(job_events, are_refused_by_what_the_store_says)
{
	for (size_t i = 0; i < sizeof unfound / sizeof *unfound; i++) {
		char text[ANSWER_BYTES] = "";
		int fd;

		is_foreign = unfound[i].is_foreign;
		fd = client("");
		answer(unfound[i].status, 0, created_ms + unfound[i].watermark_ms);
		hear(fd, text, NULL);
		cr_assert(strstr(text, unfound[i].expected), "%s", text);
	}
}

Test(job_events, are_not_more_than_allowed)
{
	char text[ANSWER_BYTES];
	int fds[MAX_STREAMS];

	for (size_t i = 0; i < MAX_STREAMS; i++) {
		fds[i] = client("");
		answer(TALLY_OK, JOB_QUEUED, 0);
		text[0] = '\0';
		hear(fds[i], text, "queued");
		wait_for(&n_watches, i + 1);
	}
	text[0] = '\0';
	hear(client(""), text, NULL);
	cr_assert(strstr(text, " 503 "), "%s", text);
	(void)close(fds[0]);
	wait_for(&n_watches, MAX_STREAMS - 1);
	while (job_events_count(gateway.events) == MAX_STREAMS)
		(void)poll(NULL, 0, 1);
	fds[0] = client("");
	answer(TALLY_OK, JOB_QUEUED, 0);
	wait_for(&n_watches, MAX_STREAMS);
	for (size_t i = 0; i < MAX_STREAMS; i++)
		(void)close(fds[i]);
}

Test(job_events, end_when_the_store_takes_no_more_watches)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("");

	watch_status = TALLY_SATURATED;
	answer(TALLY_OK, JOB_QUEUED, 0);
	hear(fd, text, NULL);
	cr_assert_eq(count(text, "\ndata: "), 1, "%s", text);
}

/* ---- who leaves, and the end ------------------------------------------------- */

Test(job_events, leave_nothing_behind_when_the_client_leaves)
{
	char text[ANSWER_BYTES] = "";
	int fd = client("");

	answer(TALLY_OK, JOB_QUEUED, 0);
	hear(fd, text, "queued");
	wait_for(&n_watches, 1);
	(void)close(fd);
	wait_for(&n_watches, 0);
	while (job_events_count(gateway.events) > 0)
		(void)poll(NULL, 0, 1);
}

Test(job_events, of_a_client_that_left_before_the_first_answer_end)
{
	int fd = client("");

	wait_for(&n_looked_up, 1);
	(void)close(fd);
	while (http_server_stats(server).gone == 0)
		(void)poll(NULL, 0, 1);
	answer(TALLY_OK, JOB_QUEUED, 0);
	cr_assert_eq(job_events_count(gateway.events), 0);
	cr_assert_eq(n_watches, 0);
}

Test(job_events, end_when_the_gateway_stops)
{
	char text[ANSWER_BYTES] = "", other[ANSWER_BYTES] = "", third[ANSWER_BYTES] = "";
	int watched = client(""), asked;

	answer(TALLY_OK, JOB_QUEUED, 0);
	hear(watched, text, "queued");
	asked = client("");
	wait_for(&n_looked_up, 1);
	job_events_close(gateway.events);
	hear(watched, text, NULL);
	cr_assert_eq(job_events_count(gateway.events), 1, "the store has one in hand");
	answer(TALLY_JOB_STORE_UNAVAILABLE, 0, 0);
	hear(asked, other, NULL);
	cr_assert(strstr(other, " 503 "), "%s", other);
	hear(client(""), third, NULL);
	cr_assert(strstr(third, " 503 "), "%s", third);
}
