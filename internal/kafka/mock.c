#include "kafka/mock.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <stdlib.h>

struct kafka_mock {
	rd_kafka_t *client; /* the cluster lives in its threads */
	rd_kafka_mock_cluster_t *cluster;
};

static tally_status
create_topics(struct kafka_mock *mock, struct tally_error *err)
{
	size_t n;
	const struct tally_topic *topics = tally_topics(&n);

	for (size_t i = 0; i < n; i++) {
		if (rd_kafka_mock_topic_create(mock->cluster, topics[i].name, topics[i].partitions,
					       1)
		    != RD_KAFKA_RESP_ERR_NO_ERROR)
			return tally_fail(err, TALLY_INTERNAL_ERROR, "mock topic %s",
					  topics[i].name);
	}
	return TALLY_OK;
}

/* The client is only the cluster's host; that it has no brokers of its own is no news. */
static rd_kafka_conf_t *
quiet_conf(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	(void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0); /* a constant: cannot fail */
	return conf;
}

tally_status
kafka_mock_start(struct kafka_mock **out_mock, struct tally_error *err)
{
	struct kafka_mock *mock = calloc(1, sizeof *mock);
	char reason[256] = "out of memory";
	tally_status status;

	if (!mock)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	mock->client = rd_kafka_new(RD_KAFKA_PRODUCER, quiet_conf(), reason, sizeof reason);
	if (mock->client)
		mock->cluster = rd_kafka_mock_cluster_new(mock->client, 1);
	status = mock->cluster ? create_topics(mock, err)
			       : tally_fail(err, TALLY_INTERNAL_ERROR, "mock broker: %s", reason);
	if (status != TALLY_OK) {
		kafka_mock_stop(mock);
		return status;
	}
	*out_mock = mock;
	return TALLY_OK;
}

const char *
kafka_mock_brokers(const struct kafka_mock *mock)
{
	return rd_kafka_mock_cluster_bootstraps(mock->cluster);
}

void
kafka_mock_stop(struct kafka_mock *mock)
{
	if (!mock)
		return;
	if (mock->cluster)
		rd_kafka_mock_cluster_destroy(mock->cluster);
	if (mock->client)
		rd_kafka_destroy(mock->client);
	free(mock);
}

/* ---- faults ------------------------------------------------------------------ */

#define BROKER 1 /* the cluster's only one */

void
kafka_mock_down(struct kafka_mock *mock)
{
	(void)rd_kafka_mock_broker_set_down(mock->cluster, BROKER);
}

void
kafka_mock_up(struct kafka_mock *mock)
{
	(void)rd_kafka_mock_broker_set_up(mock->cluster, BROKER);
}

void
kafka_mock_slow(struct kafka_mock *mock, int ms)
{
	(void)rd_kafka_mock_broker_set_rtt(mock->cluster, BROKER, ms);
}

void
kafka_mock_fail(struct kafka_mock *mock, enum kafka_mock_request request, int code, int n)
{
	for (int i = 0; i < n; i++)
		rd_kafka_mock_push_request_errors(mock->cluster, (int16_t)request, 1,
						  (rd_kafka_resp_err_t)code);
}
