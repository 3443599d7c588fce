/* client.h - inside the folder only: the settings of each role, and how librdkafka's names become
 * ours. */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include <stdbool.h>

#include "kafka/config.h"

struct client_setting {
	const char *name;
	const char *value;
};

/* A configuration of ours: common settings, then the role's (NULL name ends them), then the
 * properties of config.  The caller frees it, or gives it to rd_kafka_new. */
TALLY_MUST_CHECK tally_status client_conf(const struct kafka_config *config,
					  const struct client_setting *role,
					  rd_kafka_conf_t **out_conf, struct tally_error *err);

/* A handle from conf, which is taken in every case. */
TALLY_MUST_CHECK tally_status client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
					 rd_kafka_t **out_client, struct tally_error *err);

/* Whether a line of librdkafka's log is no news: that it ignores a property which is for the other
 * kind of client.  The same properties are given to all clients of a process. */
bool client_is_noise(const char *facility, const char *text);

/* The partitions of a topic in the metadata of all topics (asking for one that is not there may
 * create it); 0: there is none. */
int client_count_partitions(const struct rd_kafka_metadata *metadata, const char *topic);

/* Says "no broker answers at ..." */
tally_status
client_no_broker(const struct kafka_config *config, int timeout_ms, struct tally_error *err);

#endif
