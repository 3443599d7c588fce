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

#endif
