#include "kafka/client.h"

#include <string.h>

#include <tally/topics.h>

/* What all roles share.  Reasons: Nagle's algorithm is on by default in librdkafka 2.0.2 and costs
 * up to 40 ms; topics are made by "tally topics create", never by accident; a broker that comes
 * back must not be waited for longer than a second. */
static const struct client_setting common[] = {
	{ "socket.nagle.disable",               "true"     },
	{ "socket.keepalive.enable",            "true"     },
	{ "allow.auto.create.topics",           "false"    },
	{ "reconnect.backoff.ms",               "50"       },
	{ "reconnect.backoff.max.ms",           "1000"     },
	{ "log.connection.close",               "false"    },
	{ "message.max.bytes",                  "16777216" },
	{ "topic.metadata.refresh.interval.ms", "30000"    },
	{ NULL,				 NULL       },
};

_Static_assert(TALLY_MAX_MESSAGE_BYTES == 16777216, "message.max.bytes above is this number");

bool
client_is_noise(const char *facility, const char *text)
{
	return strcmp(facility, "CONFWARN") == 0
	       && (strstr(text, "is a consumer property")
		   || strstr(text, "is a producer property"));
}

static void
on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	const struct kafka_config *config = rd_kafka_opaque(client);

	if (config && config->on_log && !client_is_noise(facility, text))
		config->on_log(config->log_ctx, level, text);
}

static tally_status
set(rd_kafka_conf_t *conf, const char *name, const char *value, struct tally_error *err)
{
	char reason[256];

	if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
		return TALLY_OK;
	return tally_fail(err, TALLY_WRONG_SETTING, "Kafka property %s: %s", name, reason);
}

static tally_status
set_all(rd_kafka_conf_t *conf, const struct client_setting *settings, struct tally_error *err)
{
	for (; settings->name; settings++) {
		tally_status status = set(conf, settings->name, settings->value, err);

		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

tally_status
client_conf(const struct kafka_config *config, const struct client_setting *role,
	    rd_kafka_conf_t **out_conf, struct tally_error *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	tally_status status = set(conf, "bootstrap.servers", config->brokers, err);

	if (status == TALLY_OK)
		status = set(conf, "client.id", config->client_id, err);
	if (status == TALLY_OK)
		status = set_all(conf, common, err);
	if (status == TALLY_OK)
		status = set_all(conf, role, err);
	for (size_t i = 0; i < config->n_properties && status == TALLY_OK; i++)
		status = set(conf, config->properties[i].name, config->properties[i].value, err);
	if (status != TALLY_OK) {
		rd_kafka_conf_destroy(conf);
		return status;
	}
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_opaque(conf, (void *)(uintptr_t)config);
	*out_conf = conf;
	return TALLY_OK;
}

tally_status
client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **out_client,
	   struct tally_error *err)
{
	char reason[256];
	rd_kafka_t *client = rd_kafka_new(type, conf, reason, sizeof reason);

	if (!client) {
		rd_kafka_conf_destroy(conf); /* on failure it stays ours */
		return tally_fail(err, TALLY_WRONG_SETTING, "Kafka client: %s", reason);
	}
	*out_client = client;
	return TALLY_OK;
}

tally_status
client_no_broker(const struct kafka_config *config, int timeout_ms, struct tally_error *err)
{
	tally_status status = tally_fail(
	    err, TALLY_KAFKA_UNAVAILABLE,
	    "no Kafka broker answers at %s within %d ms: is it running? TALLY_KAFKA names it",
	    config->brokers, timeout_ms);

	if (err)
		memcpy(err->source, "kafka", sizeof "kafka");
	return status;
}

tally_status
kafka_config_check(const struct kafka_config *config, struct tally_error *err)
{
	static const struct client_setting none[] = {
		{ NULL, NULL }
	};
	rd_kafka_conf_t *conf;
	tally_status status = client_conf(config, none, &conf, err);

	if (status == TALLY_OK)
		rd_kafka_conf_destroy(conf);
	return status;
}

int
client_count_partitions(const struct rd_kafka_metadata *metadata, const char *topic)
{
	for (int i = 0; i < metadata->topic_cnt; i++) {
		if (strcmp(metadata->topics[i].topic, topic) == 0 && !metadata->topics[i].err)
			return metadata->topics[i].partition_cnt;
	}
	return 0;
}
