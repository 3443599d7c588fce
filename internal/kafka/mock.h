/* mock.h - an in-memory broker for development and tests: librdkafka's mock cluster, in this
 * process. Nothing is kept when it ends.  It does not wake a waiting fetch: its clients should use
 * fetch.wait.max.ms=5. */
#ifndef KAFKA_MOCK_H
#define KAFKA_MOCK_H

#include <tally/status.h>
#include <tally/topics.h>

struct kafka_mock;

/* Starts one broker with the topics of Tally.  TALLY_INTERNAL_ERROR. */
TALLY_MUST_CHECK tally_status kafka_mock_start(struct kafka_mock **out_mock,
					       struct tally_error *err);

/* "127.0.0.1:PORT"; borrowed. */
const char *kafka_mock_brokers(const struct kafka_mock *mock);

/* Stops the broker.  Accepts NULL. */
void kafka_mock_stop(struct kafka_mock *mock);

/* ---- faults, for tests ---------------------------------------------------------------------- */

/* Requests by their keys in Kafka's protocol. */
enum kafka_mock_request {
	KAFKA_MOCK_PRODUCE = 0,
	KAFKA_MOCK_FETCH = 1,
	KAFKA_MOCK_METADATA = 3,
	KAFKA_MOCK_COMMIT = 8,
	KAFKA_MOCK_JOIN = 11,
};

/* Cuts the broker's connections and takes no new ones, until kafka_mock_up; its data stays. */
void kafka_mock_down(struct kafka_mock *mock);
void kafka_mock_up(struct kafka_mock *mock);

/* Answers come only after ms. */
void kafka_mock_slow(struct kafka_mock *mock, int ms);

/* The next n requests of the kind fail with an error code of Kafka's protocol. */
void kafka_mock_fail(struct kafka_mock *mock, enum kafka_mock_request request, int code, int n);

#endif
