/* config.h - what every Kafka client of Tally is made from. */
#ifndef KAFKA_CONFIG_H
#define KAFKA_CONFIG_H

#include <stddef.h>

#include <tally/status.h>

/* A line of librdkafka's or of ours; level as in syslog(3), 3 error ... 7 debug.  Any thread. */
typedef void kafka_log_fn(void *ctx, int level, const char *text);

/* A librdkafka property (its CONFIGURATION.md) that overrides ours. */
struct kafka_property {
	const char *name;
	const char *value;
};

/* Borrowed by what is made from it, for its whole life. */
struct kafka_config {
	const char *brokers; /* bootstrap.servers */
	const char *client_id;
	const struct kafka_property *properties;
	size_t n_properties;
	kafka_log_fn *on_log; /* may be NULL */
	void *log_ctx;
};

/* Checks the properties without connecting.  TALLY_WRONG_SETTING names the one that is wrong. */
TALLY_MUST_CHECK tally_status kafka_config_check(const struct kafka_config *config,
						 struct tally_error *err);

#endif
