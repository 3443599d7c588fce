/* gateway.h - HTTP in, Kafka in the middle, HTTP out.
 *
 *   HTTP thread: route, check parameters, join or begin a flight, publish
 *   reader thread: a reply -> its flight's callers -> HTTP
 *   deadline thread: callers whose wait ran out
 *   starter thread: metadata and the reply partition's position, then ends */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "config/config.h"
#include "dataset/catalog.h"
#include "kafka/config.h"

struct gateway;

/* What a gateway tells its owner; on any thread. */
struct gateway_events {
	void (*on_ready)(void *ctx, unsigned port);                 /* once */
	void (*on_fatal)(void *ctx, const struct tally_error *err); /* the process must stop */
	void *ctx;
};

struct gateway_options {
	const struct config *config;
	const struct kafka_config *kafka;
	const struct catalog *catalog;
	struct gateway_events events;
};

/* Listens, and connects to Kafka in the background; options' pointers outlive the gateway.
 * TALLY_WRONG_SETTING: the address cannot be used, or is open to others without API keys or --open;
 * the file of API keys is wrong.
 * TALLY_NO_MEMORY, TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status gateway_start(const struct gateway_options *options,
					    struct gateway **out_gateway, struct tally_error *err);

/* The port that it listens on. */
unsigned gateway_port(const struct gateway *gateway);

/* Reads the API keys again; what is wrong goes to the log, and the keys stay as they were.  Accepts
 * NULL.  Any thread, before gateway_stop. */
void gateway_reload(struct gateway *gateway);

/* Takes no more requests, gives those that wait drain_ms, answers the rest with 503, and frees the
 * gateway.  Accepts NULL. */
void gateway_stop(struct gateway *gateway, int drain_ms);

#endif
