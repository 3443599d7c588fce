#include "worker/status.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "config/program.h"
#include "http/pages.h"

struct worker_status {
	const struct worker *worker;
	struct http_server *server;
};

static void
on_request(void *ctx, struct http_request *request)
{
	struct worker_status *status = ctx;

	if (http_request_refusal(request)) {
		http_reply_text(request, 400, "malformed request\n");
		return;
	}
	const char *path = http_request_target(request)->path;
	if (strcmp(http_request_method(request), "GET") != 0)
		http_reply_text(request, 405, "only GET\n");
	else if (strcmp(path, "/metrics") == 0)
		http_reply_metrics(request);
	else if (strcmp(path, "/livez") == 0)
		http_reply_text(request, 200, "ok\n");
	else if (strcmp(path, "/readyz") == 0 && worker_is_ready(status->worker))
		http_reply_text(request, 200, "ok\n");
	else if (strcmp(path, "/readyz") == 0)
		http_reply_text(request, 503, "not ready: datasets or partitions are missing\n");
	else
		http_reply_text(request, 404, "there are /metrics, /livez and /readyz\n");
}

tally_status
worker_status_start(const struct config *config, const struct worker *worker,
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
	status->worker = worker;
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
