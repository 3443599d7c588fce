/* broker.h - a broker for tests, the mock or a real one, and what came of messages.
 *
 * Helpers end the test's process with a message when the broker fails them.  Waits have deadlines
 * and return false when these come. */
#ifndef SUPPORT_BROKER_H
#define SUPPORT_BROKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kafka/config.h"
#include "kafka/message.h"
#include "kafka/mock.h"
#include "kafka/producer.h"

#define BROKER_PATIENCE_MS 20000
#define INBOX_MAX          20000

/* A broker with one topic for the test. */
struct broker {
	struct kafka_mock *mock; /* NULL: the broker of TEST_KAFKA */
	struct kafka_config config;
	struct kafka_property properties[4];
	char topic[80];
	int partitions;
};

/* Starts the mock, or makes a topic of its own in the broker of TEST_KAFKA. */
void broker_open(struct broker *broker, bool is_real);

/* Stops the mock, or removes the topic. */
void broker_close(struct broker *broker);

/* Deletes the topic of a real broker; whether the broker says that it did. */
bool broker_delete_topic(const struct broker *broker);

/* Another property for clients from now on. */
void broker_set(struct broker *broker, const char *name, const char *value);

/* Reports of a producer: how many of each status, and where the last was stored. */
struct reports {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t n;
	size_t n_ok;
	tally_status last;
	int32_t partition;
	int64_t offset;
};

/* Prepares; nothing to release. */
void reports_init(struct reports *reports);

/* A kafka_delivered_fn; ctx is the reports. */
void reports_add(void *ctx, tally_status status, int32_t partition, int64_t offset);

/* Waits for n reports in all. */
bool reports_await(struct reports *reports, size_t n, int within_ms);

/* What is known of a message that has come. */
struct received {
	int number; /* its value, when that is one */
	int32_t partition;
	int64_t offset;
	uint64_t epoch;
	struct kafka_message *message; /* only in an inbox that keeps messages */
};

/* What has come.  Messages are freed at once (their client's stop would wait for them), unless
 * keeps_messages is set: then by inbox_fini. */
struct inbox {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t n;
	size_t room; /* inbox_add_group says false when n reaches it */
	bool keeps_messages;
	struct received all[INBOX_MAX];
};

/* An empty inbox with room for all. */
void inbox_init(struct inbox *inbox);

/* Frees the messages; call it before their client is stopped. */
void inbox_fini(struct inbox *inbox);

/* A kafka_reader_fn and a kafka_group_fn. */
void inbox_add(void *ctx, struct kafka_message *message);
bool inbox_add_group(void *ctx, struct kafka_message *message, uint64_t epoch);

/* How many have come. */
size_t inbox_count(struct inbox *inbox);

/* Waits for n messages in all. */
bool inbox_await(struct inbox *inbox, size_t n, int within_ms);

/* Sends values "first" ... "first + n - 1" in decimal to a partition, and waits until they are
 * stored. */
void send_numbers(struct broker *broker, int32_t partition, int first, int n);

#endif
