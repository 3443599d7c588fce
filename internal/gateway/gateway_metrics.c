#include "base/clock.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_events.h"

static double
read_waiters(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)flights_count(gateway->flights);
}

static double
read_queue(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)admission_queue_ms(&gateway->admission, clock_mono_us(),
					  flights_in_air(gateway->flights))
	       / 1e3;
}

static double
read_streams(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)job_events_count(gateway->events);
}

static double
read_pending(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)kafka_producer_pending(gateway->producer);
}

static double
read_lag(void *ctx)
{
	struct gateway *gateway = ctx;

	return gateway->reader ? (double)kafka_reader_lag(gateway->reader) : -1.0;
}

static double
read_connections(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)http_server_stats(gateway->server).connections;
}

static double
read_gone(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)http_server_stats(gateway->server).gone;
}

static double
read_reaped(void *ctx)
{
	struct gateway *gateway = ctx;

	return (double)http_server_stats(gateway->server).reaped;
}

struct metric_series *
gateway_refused_metric(const char *topic)
{
	return metric_series(
	    metrics_counter("tally_messages_refused_total",
			    "Messages to this gateway that are no answers, or forged", "topic",
			    NULL),
	    topic, NULL);
}

void
gateway_add_metrics(struct gateway *gateway)
{
	struct gateway_metrics *metrics = &gateway->metrics;

	metrics->requests =
	    metrics_counter("tally_requests_total", "Requests answered", "dataset", "outcome");
	metrics->seconds = metric_series(metrics_histogram("tally_request_seconds",
							   "From a whole request to its answer",
							   NULL, NULL, &metrics_seconds),
					 NULL, NULL);
	metrics->coalesced = metric_series(
	    metrics_counter("tally_coalesced_total",
			    "Requests that joined an identical one on its way", NULL, NULL),
	    NULL, NULL);
	metrics->late =
	    metric_series(metrics_counter("tally_late_replies_total",
					  "Replies that nobody waited for any more", NULL, NULL),
			  NULL, NULL);
	metrics->refused = gateway_refused_metric(TALLY_TOPIC_REPLIES);
}

void
gateway_add_callbacks(struct gateway *gateway)
{
	metrics_callback(metrics_gauge("tally_waiters", "Callers that wait for rows", NULL, NULL),
			 NULL, NULL, read_waiters, gateway);
	metrics_callback(metrics_gauge("tally_predicted_wait_seconds",
				       "How long a new request would wait for a worker; 0 while "
				       "there is no queue",
				       NULL, NULL),
			 NULL, NULL, read_queue, gateway);
	metrics_callback(metrics_gauge("tally_event_streams",
				       "Callers that follow a job (server-sent events)", NULL,
				       NULL),
			 NULL, NULL, read_streams, gateway);
	metrics_callback(metrics_gauge("tally_kafka_queue_messages",
				       "Messages on their way to the broker", "topic", NULL),
			 TALLY_TOPIC_REQUESTS_SYNC, NULL, read_pending, gateway);
	metrics_callback(
	    metrics_gauge("tally_kafka_lag", "Messages not read yet; -1 unknown", "topic", NULL),
	    TALLY_TOPIC_REPLIES, NULL, read_lag, gateway);
	metrics_callback(
	    metrics_gauge("tally_http_connections", "Connections that are open", NULL, NULL), NULL,
	    NULL, read_connections, gateway);
	metrics_callback(metrics_counter("tally_http_gone_total",
					 "Clients that left before their answer", NULL, NULL),
			 NULL, NULL, read_gone, gateway);
	metrics_callback(metrics_counter("tally_http_reaped_total",
					 "Connections that were cut because they were too slow",
					 NULL, NULL),
			 NULL, NULL, read_reaped, gateway);
	metrics_add_process("tally-gateway");
}
