/* service.h - Tally in one process, for tests: a mock broker, a gateway, a worker's lanes; and
 * callers on plain sockets.
 *
 * Databases are TEST_POSTGRES_URL_DB1 and _DB2 (service_databases makes them); datasets are those
 * of test/support/datasets unless said otherwise.  Helpers end the test's process with a message
 * when something fails that is not under test. */
#ifndef SUPPORT_SERVICE_H
#define SUPPORT_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "dataset/catalog.h"
#include "gateway/gateway.h"
#include "support/broker.h"
#include "support/cluster.h"
#include "worker/lane.h"

#define SERVICE_PATIENCE_MS 45000

/* Waits until the expression holds; looks every 2 ms, and gives up after SERVICE_PATIENCE_MS. */
#define SERVICE_AWAIT(expression)                                                                  \
	do {                                                                                       \
		int64_t until_ms_ = clock_mono_ms() + SERVICE_PATIENCE_MS;                         \
		while (!(expression) && service_pause(until_ms_, #expression, __LINE__))           \
			continue;                                                                  \
	} while (0)

struct service {
	struct broker broker;
	struct config *config;
	struct catalog *catalog;
	struct gateway *gateway;
	struct solo *solo;
	struct lane *lane; /* the sync lane */
	struct lane *jobs; /* the job lane; only where a test starts it */
	unsigned port;
	atomic_bool is_gateway_ready;
	bool may_fail;        /* a fatal error is the test's, and not its end */
	atomic_bool is_fatal; /* there was one: */
	struct tally_error fatal;
};

/* A private server with databases db1, db2 and jobs, whose schemas are the migrations', into the
 * environment (TALLY_SOURCE_DB1, ..., TEST_POSTGRES_URL_JOBS); before all tests.  Stop it after
 * them. */
struct cluster *service_databases(void);

/* Prepares a service: the mock broker and the settings, of the environment and flags (NULL at the
 * end; may be NULL). */
void service_init(struct service *service, const char *const *flags);

/* Starts a part and waits until it is ready; _unready: does not wait. */
void service_start_gateway(struct service *service);
void service_start_gateway_unready(struct service *service);
void service_start_lane(struct service *service);
void service_start_lane_unready(struct service *service);

void service_start_jobs(struct service *service);
void service_start_jobs_unready(struct service *service);

/* The gateway and the sync lane. */
void service_start(struct service *service, const char *const *flags);

/* Stop a part that runs. */
void service_stop_gateway(struct service *service, int drain_ms);
void service_stop_lane(struct service *service, int drain_ms);
void service_stop_jobs(struct service *service, int drain_ms);

/* Stops what runs, and the broker. */
void service_stop(struct service *service);

/* Of SERVICE_AWAIT: a moment; ends the process after until_ms. */
bool service_pause(int64_t until_ms, const char *what, int line);

/* A request that is under way on a connection of its own. */
struct call {
	int fd;
	int64_t began_ms;
};

/* What came back. */
struct answer {
	int status; /* 0: the connection ended without an answer */
	char head[2048];
	char *body; /* terminated; release with answer_fini */
	size_t body_len;
	int64_t took_ms;
};

/* Sends a GET; headers are lines that end in CRLF, or "". */
struct call call_begin(const struct service *service, const char *path, const char *headers);

/* Sends a POST of JSON. */
struct call
call_post(const struct service *service, const char *path, const char *headers, const char *body);

/* Waits for the whole answer and closes the connection. */
void call_end(struct call *call, struct answer *out_answer);

/* Closes the connection without waiting. */
void call_leave(struct call *call);

/* Asks and waits. */
void ask(const struct service *service, const char *path, const char *headers,
	 struct answer *out_answer);

/* The value of a header of the answer, in a static buffer; NULL without it. */
const char *answer_header(const struct answer *answer, const char *name);

/* Releases the body. */
void answer_fini(struct answer *answer);

/* The value of a line of the metrics that begins with name, -1 without one. */
double service_metric(const struct service *service, const char *name);
double metric_here(const char *name); /* without asking the gateway for them */

/* What dataset echo answers, into text. */
void echo_expect(const char *text, char *out, size_t cap);

#endif
