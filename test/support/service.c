#include "support/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "source/migrate.h"

#define DRAIN_MS 10000

__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("service: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	abort();
}

static void
check(tally_status status, const struct tally_error *err)
{
	if (status != TALLY_OK)
		die("%s: %s", tally_status_code(status), err->detail);
}

bool
service_pause(int64_t until_ms, const char *what, int line)
{
	const struct timespec moment = { 0, 2000000 };

	if (clock_mono_ms() > until_ms)
		die("line %d: it did not come to %s", line, what);
	(void)nanosleep(&moment, NULL);
	return true;
}

/* ---- databases --------------------------------------------------------------- */

static void
ignore(void *ctx, const struct migration *migration)
{
	(void)ctx;
	(void)migration;
}

static void
make_database(const struct cluster *cluster, const char *name, const char *variable)
{
	char url[160], folder[32], sql[64];
	const struct migrate_job job = { .name = name,
					 .url = url,
					 .folder = folder,
					 .lock_ms = SERVICE_PATIENCE_MS,
					 .on_migration = ignore };
	struct tally_error err = { 0 };
	PGconn *pg = PQconnectdb(cluster->url);

	(void)snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
	PGresult *result = PQexec(pg, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die("%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
	(void)snprintf(url, sizeof url, "postgresql://tally@127.0.0.1:%d/%s", cluster->port, name);
	(void)snprintf(folder, sizeof folder, "migrations/%s", name);
	check(migrate_up(&job, &err), &err);
	(void)setenv(variable, url, 1);
}

struct cluster *
service_databases(void)
{
	struct cluster *cluster = cluster_start();

	make_database(cluster, "db1", "TALLY_SOURCE_DB1");
	make_database(cluster, "db2", "TALLY_SOURCE_DB2");
	make_database(cluster, "jobs", "TEST_POSTGRES_URL_JOBS");
	return cluster;
}

/* ---- parts ------------------------------------------------------------------- */

void
service_init(struct service *service, const char *const *flags)
{
	char *argv[32] = { (char *)(uintptr_t)"test", (char *)(uintptr_t)"--listen",
			   (char *)(uintptr_t)"127.0.0.1:0", (char *)(uintptr_t)"--datasets",
			   (char *)(uintptr_t)"test/support/datasets" };
	struct tally_error err = { 0 };
	int argc = 5;

	memset(service, 0, sizeof *service);
	service->solo = solo_new();
	for (; flags && *flags && argc < 31; flags++)
		argv[argc++] = (char *)(uintptr_t)*flags; /* they are not written */
	broker_open(&service->broker, false);
	(void)setenv("TALLY_KAFKA", service->broker.config.brokers, 1);
	check(config_load(CONFIG_BOTH, argc, argv, false, &service->config, &err), &err);
	check(catalog_load(service->config->datasets, &service->catalog, &err), &err);
}

static void
on_gateway_ready(void *ctx, unsigned port)
{
	struct service *service = ctx;

	(void)port;
	atomic_store(&service->is_gateway_ready, true);
}

static void
on_fatal(void *ctx, const struct tally_error *err)
{
	struct service *service = ctx;

	if (!service->may_fail)
		die("fatal: %s", err->detail);
	service->fatal = *err;
	atomic_store(&service->is_fatal, true);
}

void
service_start_gateway_unready(struct service *service)
{
	const struct gateway_options options = {
		.config = service->config,
		.kafka = &service->broker.config,
		.catalog = service->catalog,
		.events = { on_gateway_ready, on_fatal, service },
	};
	struct tally_error err = { 0 };

	atomic_store(&service->is_gateway_ready, false);
	check(gateway_start(&options, &service->gateway, &err), &err);
	service->port = gateway_port(service->gateway);
}

void
service_start_gateway(struct service *service)
{
	service_start_gateway_unready(service);
	SERVICE_AWAIT(atomic_load(&service->is_gateway_ready));
}

static void
on_lane_ready(void *ctx)
{
	(void)ctx; /* tests ask the lane */
}

static struct lane *
start_lane(struct service *service, const struct lane_kind *kind)
{
	const struct lane_options options = {
		.kind = kind,
		.config = service->config,
		.kafka = &service->broker.config,
		.catalog = service->catalog,
		.events = { on_lane_ready, on_fatal, service },
		.solo = service->solo,
		.seat = kind == &lane_jobs,
	};
	struct tally_error err = { 0 };
	struct lane *lane;

	check(lane_start(&options, &lane, &err), &err);
	return lane;
}

void
service_start_lane_unready(struct service *service)
{
	service->lane = start_lane(service, &lane_sync);
}

void
service_start_lane(struct service *service)
{
	service_start_lane_unready(service);
	SERVICE_AWAIT(lane_is_ready(service->lane));
}

void
service_start_jobs_unready(struct service *service)
{
	service->jobs = start_lane(service, &lane_jobs);
}

void
service_start_jobs(struct service *service)
{
	service_start_jobs_unready(service);
	SERVICE_AWAIT(lane_is_ready(service->jobs));
}

void
service_start(struct service *service, const char *const *flags)
{
	service_init(service, flags);
	service_start_gateway(service);
	service_start_lane(service);
}

void
service_stop_gateway(struct service *service, int drain_ms)
{
	gateway_stop(service->gateway, drain_ms);
	service->gateway = NULL;
}

void
service_stop_lane(struct service *service, int drain_ms)
{
	lane_stop(service->lane, drain_ms);
	service->lane = NULL;
}

void
service_stop_jobs(struct service *service, int drain_ms)
{
	lane_stop(service->jobs, drain_ms);
	service->jobs = NULL;
}

void
service_stop(struct service *service)
{
	service_stop_gateway(service, DRAIN_MS);
	service_stop_lane(service, DRAIN_MS);
	service_stop_jobs(service, DRAIN_MS);
	solo_free(service->solo);
	catalog_free(service->catalog);
	config_free(service->config);
	broker_close(&service->broker);
}

/* ---- callers ----------------------------------------------------------------- */

/* Sends a whole request on a connection of its own. */
static struct call
send_request(const struct service *service, const char *text, size_t len)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)service->port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval patience = { SERVICE_PATIENCE_MS * 2 / 1000, 0 };
	struct call call = { socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), clock_mono_ms() };

	if (call.fd < 0 || connect(call.fd, (struct sockaddr *)&address, sizeof address) != 0
	    || setsockopt(call.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0
	    || send(call.fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("no connection to the gateway: %s", strerror(errno));
	return call;
}

struct call
call_begin(const struct service *service, const char *path, const char *headers)
{
	char text[4096];
	int len =
	    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%s\r\n",
		     path, headers);

	return send_request(service, text, (size_t)len);
}

struct call
call_post(const struct service *service, const char *path, const char *headers, const char *body)
{
	char text[8192];
	int len = snprintf(text, sizeof text,
			   "POST %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
			   "Content-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s",
			   path, strlen(body), headers, body);

	return send_request(service, text, (size_t)len);
}

void
call_leave(struct call *call)
{
	(void)close(call->fd);
	call->fd = -1;
}

/* Everything until the other side closes; *out_len bytes, terminated. */
static char *
read_all(int fd, size_t *out_len)
{
	size_t cap = 4096, len = 0;
	char *text = malloc(cap + 1);
	ssize_t n;

	while (text && (n = recv(fd, text + len, cap - len, 0)) > 0) {
		len += (size_t)n;
		if (len == cap)
			text = realloc(text, (cap *= 2) + 1);
	}
	if (!text)
		die("out of memory");
	text[len] = '\0';
	*out_len = len;
	return text;
}

void
call_end(struct call *call, struct answer *out_answer)
{
	size_t len, head_len;
	char *text = read_all(call->fd, &len);
	const char *end = strstr(text, "\r\n\r\n");

	memset(out_answer, 0, sizeof *out_answer);
	out_answer->took_ms = clock_mono_ms() - call->began_ms;
	call_leave(call);
	out_answer->body = text;
	if (!end) {
		text[0] = '\0';
		return;
	}
	head_len = (size_t)(end - text) + 2;
	if (head_len >= sizeof out_answer->head)
		die("a head of %zu bytes", head_len);
	memcpy(out_answer->head, text, head_len);
	out_answer->body_len = len - head_len - 2;
	memmove(text, end + 4, out_answer->body_len + 1);
	(void)sscanf(out_answer->head, "HTTP/1.1 %d", &out_answer->status);
}

void
ask(const struct service *service, const char *path, const char *headers, struct answer *out_answer)
{
	struct call call = call_begin(service, path, headers);

	call_end(&call, out_answer);
}

const char *
answer_header(const struct answer *answer, const char *name)
{
	static _Thread_local char value[512];
	size_t len = strlen(name);

	for (const char *line = strchr(answer->head, '\n'); line; line = strchr(line, '\n')) {
		line++;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1 + strspn(line + len + 1, " ");
		(void)snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r\n"), line);
		return value;
	}
	return NULL;
}

void
answer_fini(struct answer *answer)
{
	free(answer->body);
	answer->body = NULL;
}

static double
find_metric(const char *text, const char *name)
{
	size_t len = strlen(name);
	double value = -1.0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			value = strtod(line + len, NULL);
	}
	return value;
}

double
service_metric(const struct service *service, const char *name)
{
	struct answer answer;

	ask(service, "/metrics", "", &answer);
	double value = find_metric(answer.body, name);
	answer_fini(&answer);
	return value;
}

double
metric_here(const char *name)
{
	struct buf buf = BUF_INIT(1 << 20);

	if (metrics_write(&buf) != TALLY_OK || buf_append(&buf, "", 1) != TALLY_OK)
		die("no metrics");
	double value = find_metric(buf.data, name);
	buf_fini(&buf);
	return value;
}

void
echo_expect(const char *text, char *out, size_t cap)
{
	size_t len = (size_t)snprintf(out, cap, "{\"status\":\"ok\",\"data\":[");

	for (size_t i = 1; i <= strlen(text); i++)
		len += (size_t)snprintf(out + len, cap - len, "%s{\"text\":\"%s\",\"n\":%zu}",
					i > 1 ? "," : "", text, i);
	(void)snprintf(out + len, cap - len, "]}");
}
