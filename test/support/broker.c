#include "support/broker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "kafka/admin.h"

/* Ends the process, without Criterion: race tests link this folder too. */
static void
check(tally_status status, const struct tally_error *err)
{
	if (status == TALLY_OK)
		return;
	(void)fprintf(stderr, "broker: %s: %s\n", tally_status_code(status), err->detail);
	abort();
}

/* A real broker tells of a new topic only a moment later. */
static void
await_topic(const struct broker *broker, const struct tally_topic *topic)
{
	const struct timespec look = { 0, 20000000 };
	int64_t until_ms = clock_mono_ms() + BROKER_PATIENCE_MS;
	struct kafka_topic_report report;
	struct tally_error err = { 0 };

	do {
		nanosleep(&look, NULL);
		check(kafka_topics_look(&broker->config, topic, 1, &report, &err), &err);
	} while (report.state != KAFKA_TOPIC_EXISTS && clock_mono_ms() < until_ms);
}

static void
make_topic(struct broker *broker)
{
	static int n;
	struct tally_topic topic = {
		.name = broker->topic,
		.partitions = 4,
		.retention_ms = 600000,
		.segment_ms = 150000,
		.max_message_bytes = TALLY_MAX_MESSAGE_BYTES,
	};
	struct kafka_topic_report report;
	struct tally_error err = { 0 };

	(void)snprintf(broker->topic, sizeof broker->topic, "tally.test.%d.%lld.%d", (int)getpid(),
		       (long long)clock_unix_ms(), n++);
	check(kafka_topics_create(&broker->config, &topic, 1, &report, &err), &err);
	await_topic(broker, &topic);
}

void
broker_open(struct broker *broker, bool is_real)
{
	struct tally_error err = { 0 };

	*broker = (struct broker){ .config.client_id = "test", .partitions = 4 };
	broker->config.properties = broker->properties;
	broker_set(broker, "fetch.wait.max.ms", "5");
	if (is_real) {
		broker->config.brokers = getenv("TEST_KAFKA");
		make_topic(broker);
		return;
	}
	check(kafka_mock_start(&broker->mock, &err), &err);
	broker->config.brokers = kafka_mock_brokers(broker->mock);
	(void)snprintf(broker->topic, sizeof broker->topic, "%s", TALLY_TOPIC_REPLIES);
}

bool
broker_delete_topic(const struct broker *broker)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(broker->topic);
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", broker->config.brokers, NULL, 0);
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
	queue = rd_kafka_queue_new(client);
	rd_kafka_DeleteTopics(client, &topic, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, BROKER_PATIENCE_MS);
	bool is_deleted = event && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_DeleteTopic_destroy(topic);
	rd_kafka_destroy(client);
	return is_deleted;
}

void
broker_close(struct broker *broker)
{
	if (broker->mock)
		kafka_mock_stop(broker->mock);
	else
		(void)broker_delete_topic(broker); /* one may have done so */
}

void
broker_set(struct broker *broker, const char *name, const char *value)
{
	broker->properties[broker->config.n_properties++] = (struct kafka_property){ name, value };
}

/* ---- waiting ----------------------------------------------------------------- */

static void
init_wait(pthread_mutex_t *lock, pthread_cond_t *changed)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static bool
await(pthread_mutex_t *lock, pthread_cond_t *changed, const size_t *n, size_t wanted, int within_ms)
{
	int64_t at_ms = clock_mono_ms() + within_ms;
	struct timespec at = { at_ms / 1000, at_ms % 1000 * 1000000 };
	int error = 0;
	bool has_come;

	pthread_mutex_lock(lock);
	while (*n < wanted && error != ETIMEDOUT)
		error = pthread_cond_timedwait(changed, lock, &at);
	has_come = *n >= wanted;
	pthread_mutex_unlock(lock);
	return has_come;
}

void
reports_init(struct reports *reports)
{
	memset(reports, 0, sizeof *reports);
	init_wait(&reports->lock, &reports->changed);
}

void
reports_add(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct reports *reports = ctx;

	pthread_mutex_lock(&reports->lock);
	reports->n++;
	reports->n_ok += status == TALLY_OK;
	reports->last = status;
	reports->partition = partition;
	reports->offset = offset;
	pthread_cond_broadcast(&reports->changed);
	pthread_mutex_unlock(&reports->lock);
}

bool
reports_await(struct reports *reports, size_t n, int within_ms)
{
	return await(&reports->lock, &reports->changed, &reports->n, n, within_ms);
}

void
inbox_init(struct inbox *inbox)
{
	memset(inbox, 0, sizeof *inbox);
	inbox->room = INBOX_MAX;
	init_wait(&inbox->lock, &inbox->changed);
}

void
inbox_fini(struct inbox *inbox)
{
	for (size_t i = 0; i < inbox->n; i++)
		kafka_message_free(inbox->all[i].message);
	inbox->n = 0;
}

static int
read_number(const struct kafka_message *message)
{
	char text[16] = "";
	size_t len;
	const void *value = kafka_message_value(message, &len);

	if (value && len < sizeof text)
		memcpy(text, value, len);
	return (int)strtol(text, NULL, 10);
}

bool
inbox_add_group(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	struct inbox *inbox = ctx;
	bool has_room;

	pthread_mutex_lock(&inbox->lock);
	if (inbox->n == INBOX_MAX)
		abort();
	inbox->all[inbox->n++] = (struct received){
		.number = read_number(message),
		.partition = kafka_message_partition(message),
		.offset = kafka_message_offset(message),
		.epoch = epoch,
		.message = inbox->keeps_messages ? message : NULL,
	};
	has_room = inbox->n < inbox->room;
	pthread_cond_broadcast(&inbox->changed);
	if (!inbox->keeps_messages)
		kafka_message_free(message);
	pthread_mutex_unlock(&inbox->lock);
	return has_room;
}

void
inbox_add(void *ctx, struct kafka_message *message)
{
	(void)inbox_add_group(ctx, message, 0);
}

size_t
inbox_count(struct inbox *inbox)
{
	size_t n;

	pthread_mutex_lock(&inbox->lock);
	n = inbox->n;
	pthread_mutex_unlock(&inbox->lock);
	return n;
}

bool
inbox_await(struct inbox *inbox, size_t n, int within_ms)
{
	return await(&inbox->lock, &inbox->changed, &inbox->n, n, within_ms);
}

/* ---- messages ---------------------------------------------------------------- */

/* A partition that was just added is known to the whole of the broker only a moment later. */
static void
await_partition(struct kafka_producer *producer, const char *topic, int32_t partition)
{
	int64_t until_ms = clock_mono_ms() + BROKER_PATIENCE_MS;
	struct tally_error err;
	int n = 0;

	while ((kafka_producer_warm(producer, topic, 1000, &n, &err) != TALLY_OK || n <= partition)
	       && clock_mono_ms() < until_ms)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
}

void
send_numbers(struct broker *broker, int32_t partition, int first, int n)
{
	struct kafka_producer *producer;
	struct tally_error err = { 0 };
	struct reports reports;

	reports_init(&reports);
	check(kafka_producer_start(&broker->config, KAFKA_ALL, BROKER_PATIENCE_MS, &producer, &err),
	      &err);
	await_partition(producer, broker->topic, partition);
	for (int i = 0; i < n; i++) {
		char text[16];
		struct kafka_outgoing message = {
			.topic = broker->topic,
			.partition = partition,
			.value = text,
			.value_len = (size_t)snprintf(text, sizeof text, "%d", first + i),
			.on_delivered = reports_add,
			.ctx = &reports,
		};

		check(kafka_producer_send(producer, &message), &err);
	}
	if (!reports_await(&reports, (size_t)n, BROKER_PATIENCE_MS) || reports.n_ok != (size_t)n) {
		(void)fprintf(stderr, "broker: %zu of %d messages stored\n", reports.n_ok, n);
		abort();
	}
	kafka_producer_stop(producer, 0);
}
