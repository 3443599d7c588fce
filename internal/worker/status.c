#include "worker/status.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "config/program.h"
#include "http/server.h"

#define METRICS_MAX_BYTES (4 * 1024 * 1024)

struct worker_status {
	const struct lane *lane;
	struct http_server *server;
};

static void
answer_text(struct http_request *request, unsigned code, const char *text)
{
	struct http_response response;

	http_response_init(&response, code);
	http_response_header(&response, "Content-Type", "text/plain; charset=utf-8");
	http_response_static(&response, text, strlen(text));
	http_reply(request, &response);
}

static void
answer_metrics(struct http_request *request)
{
	struct buf buf = BUF_INIT(METRICS_MAX_BYTES);
	struct http_response response;
	size_t len;

	if (metrics_write(&buf) != TALLY_OK) {
		buf_fini(&buf);
		answer_text(request, 500, "no memory for the metrics\n");
		return;
	}
	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", METRICS_CONTENT_TYPE);
	char *text = buf_take(&buf, &len);
	http_response_owned(&response, text, len);
	http_reply(request, &response);
}

static void
on_request(void *ctx, struct http_request *request)
{
	struct worker_status *status = ctx;

	if (http_request_refusal(request)) {
		answer_text(request, 400, "malformed request\n");
		return;
	}
	const char *path = http_request_target(request)->path;
	if (strcmp(http_request_method(request), "GET") != 0)
		answer_text(request, 405, "only GET\n");
	else if (strcmp(path, "/metrics") == 0)
		answer_metrics(request);
	else if (strcmp(path, "/livez") == 0)
		answer_text(request, 200, "ok\n");
	else if (strcmp(path, "/readyz") == 0 && lane_is_ready(status->lane))
		answer_text(request, 200, "ok\n");
	else if (strcmp(path, "/readyz") == 0)
		answer_text(request, 503, "not ready: datasets or partitions are missing\n");
	else
		answer_text(request, 404, "there are /metrics, /livez and /readyz\n");
}

tally_status
worker_status_start(const struct config *config, const struct lane *lane,
		    struct worker_status **out_status, struct tally_error *err)
{
	struct worker_status *status = calloc(1, sizeof *status);
	const struct http_server_options options = {
		.listen = config->metrics_listen,
		.n_threads = 1,
		.max_connections = 64,
		.max_body_bytes = 0,
		.max_target_bytes = 1024,
		.request_timeout_ms = 5000,
		.idle_timeout_ms = 60000,
		.stall_timeout_ms = 10000,
		.handler = on_request,
		.ctx = status,
		.on_log = program_log_http,
	};

	*out_status = NULL;
	if (!status)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (config->metrics_listen[0] == '\0') {
		free(status);
		return TALLY_OK;
	}
	status->lane = lane;
	tally_status started = http_server_start(&options, &status->server, err);
	if (started != TALLY_OK) {
		free(status);
		return started;
	}
	metrics_add_process("tally-worker");
	log_info("listening", LOG_STR("program", "tally-worker"),
		 LOG_UINT("port", http_server_port(status->server)));
	*out_status = status;
	return TALLY_OK;
}

void
worker_status_stop(struct worker_status *status)
{
	if (!status)
		return;
	http_server_quiesce(status->server);
	http_server_stop(status->server);
	free(status);
}
