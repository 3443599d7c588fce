/* The Kafka clients, against librdkafka's mock cluster, which can be made to fail, and where
 * TEST_KAFKA names one against a real broker too. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <criterion/hooks.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/admin.h"
#include "kafka/group.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "support/kafka_test.h"

#define TEST_S 60

#define NOT_LEADER        6  /* of Kafka's protocol: try again */
#define MESSAGE_TOO_LARGE 10 /* try it no more */
#define LOADING           14 /* the coordinator: try again */

static struct broker broker;
static struct tally_error err;
static struct reports reports;
static struct inbox inbox;

static void
begin(void)
{
	reports_init(&reports);
	inbox_init(&inbox);
	broker_open(&broker, false);
}

static void
begin_real(void)
{
	reports_init(&reports);
	inbox_init(&inbox);
	if (getenv("TEST_KAFKA"))
		broker_open(&broker, true);
}

static void
end(void)
{
	inbox_fini(&inbox);
	if (broker.config.brokers)
		broker_close(&broker);
}

/* ---- producer ---------------------------------------------------------------- */

static struct kafka_producer *
start_producer(enum kafka_durability durability, int timeout_ms)
{
	struct kafka_producer *producer = NULL;

	cr_assert_eq(kafka_producer_start(&broker.config, durability, timeout_ms, &producer, &err),
		     TALLY_OK, "%s", err.detail);
	return producer;
}

static tally_status
send_text(struct kafka_producer *producer, const char *text)
{
	const struct kafka_outgoing message = {
		.topic = broker.topic,
		.partition = 0,
		.value = text,
		.value_len = strlen(text),
		.on_delivered = reports_add,
		.ctx = &reports,
	};

	return kafka_producer_send(producer, &message);
}

static struct kafka_reader *
start_reader(int32_t partition)
{
	const struct kafka_reader_options options = {
		.topic = broker.topic,
		.partition = partition,
		.on_message = inbox_add,
		.ctx = &inbox,
	};
	struct kafka_reader *reader = NULL;

	cr_assert_eq(kafka_reader_start(&broker.config, &options, &reader, &err), TALLY_OK, "%s",
		     err.detail);
	return reader;
}

BOTH(producer, reports_the_end_of_every_message_once)
{
	struct kafka_producer *producer = start_producer(KAFKA_ALL, 20000);

	for (int i = 0; i < 1000; i++)
		cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_expect(reports_await(&reports, 1000, BROKER_PATIENCE_MS));
	cr_expect_eq(kafka_producer_pending(producer), 0);
	kafka_producer_stop(producer, 1000);
	cr_expect_eq(reports.n, 1000);
	cr_expect_eq(reports.n_ok, 1000);
	cr_expect_eq(reports.partition, 0);
	cr_expect_eq(reports.offset, 999);
}

BOTH(producer, sends_what_nobody_asks_about_too)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);
	struct kafka_reader *reader = start_reader(0);
	const struct kafka_outgoing message = {
		.topic = broker.topic, .partition = 0, .value = "7", .value_len = 1
	};

	AWAIT(kafka_reader_is_positioned(reader));
	cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
	kafka_producer_stop(producer, BROKER_PATIENCE_MS); /* the stop delivers it */
	cr_expect(inbox_await(&inbox, 1, BROKER_PATIENCE_MS));
	kafka_reader_stop(reader);
}

BOTH(producer, sends_key_value_and_headers_as_they_are)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);
	struct kafka_reader *reader = start_reader(2);
	const struct tally_header headers[] = {
		{ "tally-id", "abc", 3 },
		{ "empty",    "",    0 },
		{ "tally-id", "\0z", 2 },
	};
	struct tally_header got[8];
	const struct kafka_outgoing message = {
		.topic = broker.topic,
		.partition = 2,
		.key = "k\0y",
		.key_len = 3,
		.owned_value = strdup("value"),
		.value_len = 5,
		.headers = headers,
		.n_headers = 3,
		.on_delivered = reports_add,
		.ctx = &reports,
	};
	size_t len;

	inbox.keeps_messages = true;
	AWAIT(kafka_reader_is_positioned(reader));
	cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
	cr_assert(inbox_await(&inbox, 1, BROKER_PATIENCE_MS));
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	const struct kafka_message *come = inbox.all[0].message;
	cr_expect_eq(memcmp(kafka_message_key(come, &len), "k\0y", 3), 0);
	cr_expect_eq(len, 3);
	cr_expect_eq(memcmp(kafka_message_value(come, &len), "value", 5), 0);
	cr_expect_eq(len, 5);
	cr_expect_eq(kafka_message_headers(come, got, 2), 2);
	cr_assert_eq(kafka_message_headers(come, got, 8), 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_str_eq(got[i].name, headers[i].name);
		cr_assert_eq(got[i].len, headers[i].len);
		cr_expect(got[i].len == 0 || !memcmp(got[i].value, headers[i].value, got[i].len));
	}
	cr_expect_str_eq(kafka_message_topic(come), broker.topic);
	cr_expect_eq(kafka_message_partition(come), 2);
	cr_expect_eq(kafka_message_offset(come), reports.offset);
	cr_expect_lt(llabs((long long)(kafka_message_time_ms(come) - clock_unix_ms())), 60000);
	inbox_fini(&inbox);
	kafka_reader_stop(reader);
	kafka_producer_stop(producer, 1000);
}

BOTH(producer, tells_no_value_from_an_empty_one_by_its_length_only)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);
	struct kafka_reader *reader = start_reader(0);
	const struct kafka_outgoing tombstone = { .topic = broker.topic, .partition = 0 };
	size_t len = 1;

	inbox.keeps_messages = true;
	AWAIT(kafka_reader_is_positioned(reader));
	cr_assert_eq(kafka_producer_send(producer, &tombstone), TALLY_OK);
	cr_assert(inbox_await(&inbox, 1, BROKER_PATIENCE_MS));
	cr_expect_null(kafka_message_key(inbox.all[0].message, &len));
	cr_expect_eq(len, 0);
	(void)kafka_message_value(inbox.all[0].message, &len);
	cr_expect_eq(len, 0);
	inbox_fini(&inbox);
	kafka_reader_stop(reader);
	kafka_producer_stop(producer, 1000);
}

BOTH(producer, chooses_the_partition_by_murmur2_of_the_key)
{
	/* Of Kafka's own clients: toPositive(murmur2(key)) % 4. */
	static const struct {
		const char *key;
		int32_t partition;
	} cases[] = {
		{ "kafka",             0xd067cf64 & 0x7fffffff & 3 },
		{ "giberish123456789", 0x8f552b0c & 0x7fffffff & 3 },
		{ "1234",              0x9fc97b14 & 0x7fffffff & 3 },
		{ "234",               0xe7c009ca & 0x7fffffff & 3 },
	};
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct kafka_outgoing message = {
			.topic = broker.topic,
			.partition = -1,
			.key = cases[i].key,
			.key_len = strlen(cases[i].key),
			.on_delivered = reports_add,
			.ctx = &reports,
		};
		cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
		cr_assert(reports_await(&reports, i + 1, BROKER_PATIENCE_MS));
		cr_expect_eq(reports.partition, cases[i].partition, "key %s: partition %d",
			     cases[i].key, reports.partition);
	}
	kafka_producer_stop(producer, 1000);
}

BOTH(producer, warms_up_with_the_topic_and_its_partitions)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);
	int n = 0;

	cr_expect_eq(kafka_producer_warm(producer, broker.topic, 10000, &n, &err), TALLY_OK, "%s",
		     err.detail);
	cr_expect_eq(n, 4);
	cr_expect_not(kafka_producer_is_dead(producer));
	kafka_producer_stop(producer, 0);
	kafka_producer_stop(NULL, 0);
}

/* A broker counts a batch as one message: a burst of small ones must not become one that is too
 * large. */
REAL(producer, sends_a_burst_to_a_topic_of_small_messages)
{
	struct kafka_producer *producer = start_producer(KAFKA_ALL, 20000);
	struct kafka_topic_report states[32];
	char value[1000];
	struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_REQUESTS_JOBS,
		.value = value,
		.value_len = sizeof value,
		.on_delivered = reports_add,
		.ctx = &reports,
	};
	size_t n;
	const struct tally_topic *topics = tally_topics(&n);

	memset(value, 'x', sizeof value);
	cr_assert_eq(kafka_topics_create(&broker.config, topics, n, states, &err), TALLY_OK);
	for (int i = 0; i < 2000; i++)
		cr_assert_eq(kafka_producer_send(producer, &message), TALLY_OK);
	cr_expect(reports_await(&reports, 2000, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.n_ok, 2000);
	kafka_producer_stop(producer, 1000);
}

/* What a quiet producer has said. */
static atomic_int n_lost;

static void
count_lost(void *ctx, tally_status status, const struct kafka_message *message)
{
	struct tally_header headers[2];

	cr_expect_eq(ctx, &n_lost);
	cr_expect_eq(status, TALLY_KAFKA_UNAVAILABLE, "%s", tally_status_code(status));
	cr_assert_eq(kafka_message_headers(message, headers, 2), 1);
	cr_expect_str_eq(headers[0].name, "number");
	cr_expect_eq(headers[0].len, 1);
	atomic_fetch_add(&n_lost, 1);
}

static tally_status
send_number(struct kafka_producer *producer, const char *number)
{
	const struct tally_header header = { "number", number, 1 };
	const struct kafka_outgoing message = {
		.topic = broker.topic, .partition = 0, .headers = &header, .n_headers = 1
	};

	return kafka_producer_send(producer, &message);
}

MOCK(producer, that_is_quiet_tells_of_each_message_that_fails_and_of_no_other)
{
	struct kafka_reader *reader = start_reader(0);
	struct kafka_producer *producer = NULL;
	int n;

	AWAIT(kafka_reader_is_positioned(reader));
	cr_assert_eq(
	    kafka_producer_start_quiet(&broker.config, 1500, count_lost, &n_lost, &producer, &err),
	    TALLY_OK, "%s", err.detail);
	cr_assert_eq(kafka_producer_warm(producer, broker.topic, 10000, &n, &err), TALLY_OK);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(send_number(producer, "1"), TALLY_OK);
	cr_expect(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	AWAIT(kafka_producer_pending(producer) == 0);
	cr_expect_eq(atomic_load(&n_lost), 0);
	kafka_mock_down(broker.mock);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(send_number(producer, "2"), TALLY_OK);
	AWAIT(atomic_load(&n_lost) == 5);
	/* Also of those that a stop leaves behind. */
	for (int i = 0; i < 3; i++)
		cr_assert_eq(send_number(producer, "3"), TALLY_OK);
	kafka_producer_stop(producer, 0);
	cr_expect_eq(atomic_load(&n_lost), 8);
	kafka_reader_stop(reader);
}

REAL(producer, says_that_there_is_no_such_topic)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 3000);
	struct kafka_outgoing message = { .topic = "tally.test.none",
					  .on_delivered = reports_add,
					  .ctx = &reports };
	int n = -1;

	cr_expect_eq(kafka_producer_warm(producer, "tally.test.none", 10000, &n, &err),
		     TALLY_NOT_FOUND, "%s", err.detail);
	cr_expect_eq(n, -1);
	/* At once, or when the producer has heard it of the broker. */
	if (kafka_producer_send(producer, &message) == TALLY_OK) {
		cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
		cr_expect_eq(reports.last, TALLY_KAFKA_UNAVAILABLE);
	}
	kafka_producer_stop(producer, 0);
}

BOTH(producer, says_that_there_is_no_such_partition)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 3000);
	struct kafka_outgoing message = {
		.topic = broker.topic, .partition = 99, .on_delivered = reports_add, .ctx = &reports
	};
	int n;

	cr_assert_eq(kafka_producer_warm(producer, broker.topic, 10000, &n, &err), TALLY_OK);
	if (kafka_producer_send(producer, &message) == TALLY_OK) {
		cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
		cr_expect_eq(reports.last, TALLY_KAFKA_UNAVAILABLE);
	}
	kafka_producer_stop(producer, 0);
}

BOTH(producer, refuses_what_no_broker_takes)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);
	struct kafka_outgoing message = {
		.topic = broker.topic,
		.partition = 0,
		.owned_value = calloc(1, TALLY_MAX_MESSAGE_BYTES + 1),
		.value_len = TALLY_MAX_MESSAGE_BYTES + 1,
		.on_delivered = reports_add,
		.ctx = &reports,
	};

	cr_expect_eq(kafka_producer_send(producer, &message), TALLY_TOO_LARGE);
	free(message.owned_value); /* not taken */
	kafka_producer_stop(producer, 1000);
	cr_expect_eq(reports.n, 0);
}

MOCK(producer, reports_what_this_broker_finds_too_large)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);

	kafka_mock_fail(broker.mock, KAFKA_MOCK_PRODUCE, MESSAGE_TOO_LARGE, 1);
	cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.last, TALLY_TOO_LARGE);
	kafka_producer_stop(producer, 1000);
}

MOCK(producer, tries_again_what_failed_in_passing)
{
	struct kafka_producer *producer = start_producer(KAFKA_ALL, 20000);

	kafka_mock_fail(broker.mock, KAFKA_MOCK_PRODUCE, NOT_LEADER, 3);
	cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.last, TALLY_OK);
	kafka_producer_stop(producer, 1000);
}

/* One that goes out behind a message that is refused must not be taken before it: that would be out
 * of order, and an idempotent producer's first message would be lost and reported as stored. */
MOCK(producer, sends_nothing_behind_a_message_that_may_be_refused)
{
	broker_set(&broker, "batch.num.messages", "1");
	struct kafka_producer *producer = start_producer(KAFKA_ALL, 20000);
	struct kafka_reader *reader = start_reader(0);
	char text[8];

	AWAIT(kafka_reader_is_positioned(reader));
	kafka_mock_slow(broker.mock, 100); /* so that there is time for others behind it */
	kafka_mock_fail(broker.mock, KAFKA_MOCK_PRODUCE, NOT_LEADER, 1);
	for (int i = 0; i < 10; i++) {
		(void)snprintf(text, sizeof text, "%d", i);
		cr_assert_eq(send_text(producer, text), TALLY_OK);
	}
	cr_assert(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	for (int i = 0; i < 10; i++)
		cr_expect_eq(inbox.all[i].number, i, "%d: %d", i, inbox.all[i].number);
	kafka_producer_stop(producer, BROKER_PATIENCE_MS);
	kafka_reader_stop(reader);
}

MOCK(producer, is_full_with_as_many_messages_as_its_queue_takes)
{
	broker_set(&broker, "queue.buffering.max.messages", "10");
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 20000);

	kafka_mock_down(broker.mock);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_expect_eq(send_text(producer, "x"), TALLY_FULL);
	cr_expect_geq(kafka_producer_pending(producer), 10);
	kafka_mock_up(broker.mock);
	cr_expect(reports_await(&reports, 10, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.n_ok, 10);
	cr_expect_eq(send_text(producer, "x"), TALLY_OK);
	cr_expect(reports_await(&reports, 11, BROKER_PATIENCE_MS));
	kafka_producer_stop(producer, 1000);
}

MOCK(producer, reports_what_a_broker_that_is_away_never_took)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 1000);
	int64_t began_ms = clock_mono_ms();
	int n;

	kafka_mock_down(broker.mock);
	cr_expect_eq(kafka_producer_warm(producer, broker.topic, 300, &n, &err),
		     TALLY_KAFKA_UNAVAILABLE);
	cr_expect_str_eq(err.source, "kafka");
	cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.last, TALLY_KAFKA_UNAVAILABLE);
	cr_expect_lt(clock_mono_ms() - began_ms, 5000);
	kafka_producer_stop(producer, 0);
}

MOCK(producer, does_not_know_what_became_of_a_message_without_an_answer)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 1000);
	int n;

	cr_assert_eq(kafka_producer_warm(producer, broker.topic, 10000, &n, &err), TALLY_OK);
	cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	kafka_mock_slow(broker.mock, 10000);
	cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_assert(reports_await(&reports, 2, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.last, TALLY_OUTCOME_UNKNOWN);
	kafka_mock_slow(broker.mock, 0);
	kafka_producer_stop(producer, 0);
}

static void
stop_with_pending(enum kafka_durability durability)
{
	struct kafka_producer *producer = start_producer(durability, 60000);
	int64_t began_ms;

	kafka_mock_down(broker.mock);
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	began_ms = clock_mono_ms();
	kafka_producer_stop(producer, 200);
	cr_expect_lt(clock_mono_ms() - began_ms, 3000);
	cr_expect_eq(reports.n, 5000, "%zu reports", reports.n);
	cr_expect_eq(reports.n_ok, 0);
}

MOCK(producer, reports_every_message_that_is_pending_when_it_stops)
{
	stop_with_pending(KAFKA_LEADER);
}

MOCK(producer, reports_every_message_that_is_pending_when_an_idempotent_one_stops)
{
	stop_with_pending(KAFKA_ALL);
}

MOCK(producer, reports_messages_under_way_when_it_stops)
{
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 60000);

	cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	kafka_mock_slow(broker.mock, 5000);
	for (int i = 0; i < 500; i++)
		cr_assert_eq(send_text(producer, "x"), TALLY_OK);
	kafka_producer_stop(producer, 100);
	cr_expect_eq(reports.n, 501, "%zu reports", reports.n);
	kafka_mock_slow(broker.mock, 0);
}

/* ---- settings ---------------------------------------------------------------- */

static int n_noise;

static void
note_line(void *ctx, int level, const char *text)
{
	(void)ctx;
	(void)level;
	n_noise += strstr(text, "property and will be ignored") != NULL;
}

MOCK(settings, of_the_other_kind_of_client_are_no_news)
{
	broker.config.on_log = note_line;
	broker_set(&broker, "queue.buffering.max.messages", "1000");
	struct kafka_producer *producer = start_producer(KAFKA_LEADER, 1000);
	struct kafka_reader *reader = start_reader(0);
	const struct kafka_group_options options = { .group = "g",
						     .topic = broker.topic,
						     .on_message = inbox_add_group,
						     .ctx = &inbox,
						     10 };
	struct kafka_group *group;

	cr_assert_eq(kafka_group_start(&broker.config, &options, &group, &err), TALLY_OK);
	kafka_group_stop(group, 3000);
	kafka_reader_stop(reader);
	kafka_producer_stop(producer, 0);
	cr_expect_eq(n_noise, 0);
}

MOCK(settings, that_do_not_exist_are_named)
{
	struct kafka_producer *producer;

	cr_expect_eq(kafka_config_check(&broker.config, &err), TALLY_OK);
	broker_set(&broker, "no.such.property", "1");
	cr_expect_eq(kafka_config_check(&broker.config, &err), TALLY_WRONG_SETTING);
	cr_expect_not_null(strstr(err.detail, "no.such.property"), "%s", err.detail);
	cr_expect_eq(kafka_producer_start(&broker.config, KAFKA_ALL, 1000, &producer, &err),
		     TALLY_WRONG_SETTING);
}

/* ---- reader ------------------------------------------------------------------ */

BOTH(reader, gets_what_comes_after_it_was_positioned_and_nothing_before)
{
	send_numbers(&broker, 1, 100, 5);
	struct kafka_reader *reader = start_reader(1);

	AWAIT(kafka_reader_is_positioned(reader));
	send_numbers(&broker, 0, 500, 3); /* another partition */
	send_numbers(&broker, 1, 200, 50);
	cr_assert(inbox_await(&inbox, 50, BROKER_PATIENCE_MS));
	AWAIT(kafka_reader_lag(reader) == 0);
	kafka_reader_stop(reader);
	cr_assert_eq(inbox.n, 50);
	for (int i = 0; i < 50; i++)
		cr_expect_eq(inbox.all[i].number, 200 + i);
}

BOTH(reader, stops_while_it_is_idle)
{
	struct kafka_reader *reader = start_reader(0);
	int64_t began_ms;

	AWAIT(kafka_reader_is_positioned(reader));
	began_ms = clock_mono_ms();
	kafka_reader_stop(reader);
	cr_expect_lt(clock_mono_ms() - began_ms, 2000);
	kafka_reader_stop(NULL);
}

MOCK(reader, waits_for_a_broker_that_is_not_there_yet)
{
	kafka_mock_down(broker.mock);
	struct kafka_reader *reader = start_reader(0);

	cr_expect_eq(kafka_reader_lag(reader), -1);
	cr_expect_not(kafka_reader_is_positioned(reader));
	kafka_mock_up(broker.mock);
	AWAIT(kafka_reader_is_positioned(reader));
	send_numbers(&broker, 0, 1, 1);
	cr_expect(inbox_await(&inbox, 1, BROKER_PATIENCE_MS));
	kafka_reader_stop(reader);
}

MOCK(reader, stops_though_the_broker_is_away)
{
	kafka_mock_down(broker.mock);
	struct kafka_reader *reader = start_reader(0);
	int64_t began_ms = clock_mono_ms();

	kafka_reader_stop(reader);
	cr_expect_lt(clock_mono_ms() - began_ms, 5000);
}

MOCK(reader, goes_on_where_it_was_when_the_broker_comes_back)
{
	struct kafka_reader *reader = start_reader(0);

	AWAIT(kafka_reader_is_positioned(reader));
	send_numbers(&broker, 0, 0, 10);
	cr_assert(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	for (int round = 1; round < 4; round++) {
		kafka_mock_down(broker.mock);
		kafka_mock_up(broker.mock);
		kafka_mock_fail(broker.mock, KAFKA_MOCK_FETCH, NOT_LEADER, 2);
		send_numbers(&broker, 0, 10 * round, 10);
		cr_assert(inbox_await(&inbox, 10 * ((size_t)round + 1), BROKER_PATIENCE_MS));
	}
	kafka_reader_stop(reader);
	cr_assert_eq(inbox.n, 40);
	for (int i = 0; i < 40; i++)
		cr_expect_eq(inbox.all[i].number, i);
}

/* ---- group ------------------------------------------------------------------- */

static char group_name[100];

static struct kafka_group *
join(struct inbox *into, int max_uncommitted)
{
	const struct kafka_group_options options = {
		.group = group_name,
		.topic = broker.topic,
		.on_message = inbox_add_group,
		.ctx = into,
		.max_uncommitted = max_uncommitted,
	};
	struct kafka_group *group = NULL;

	(void)snprintf(group_name, sizeof group_name, "%s.group", broker.topic);
	cr_assert_eq(kafka_group_start(&broker.config, &options, &group, &err), TALLY_OK, "%s",
		     err.detail);
	return group;
}

static void
done(struct kafka_group *group, const struct inbox *from, size_t index)
{
	const struct received *received = &from->all[index];

	kafka_group_done(group, received->partition, received->offset, received->epoch);
}

BOTH(group, gets_what_waits_and_gets_again_what_was_not_done)
{
	send_numbers(&broker, 0, 0, 20);
	struct kafka_group *group = join(&inbox, 100);

	cr_assert(inbox_await(&inbox, 20, BROKER_PATIENCE_MS));
	cr_expect_eq(kafka_group_partitions(group), 4);
	cr_expect_eq(kafka_group_lag(group), 20);
	for (size_t i = 0; i < 20; i++) {
		if (i != 5 && i != 9)
			done(group, &inbox, i);
	}
	kafka_group_stop(group, 5000);
	cr_assert_eq(inbox.n, 20);
	group = join(&inbox, 100);
	cr_assert(inbox_await(&inbox, 35, BROKER_PATIENCE_MS));
	for (int i = 0; i < 15; i++)
		cr_expect_eq(inbox.all[20 + i].number, 5 + i);
	for (size_t i = 20; i < 35; i++)
		done(group, &inbox, i);
	AWAIT(kafka_group_lag(group) == 0);
	kafka_group_stop(group, 5000);
	send_numbers(&broker, 0, 20, 1);
	group = join(&inbox, 100);
	cr_assert(inbox_await(&inbox, 36, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[35].number, 20); /* nothing done comes again */
	kafka_group_stop(group, 5000);
}

MOCK(group, commits_while_it_runs)
{
	send_numbers(&broker, 0, 0, 3);
	struct kafka_group *group = join(&inbox, 100);

	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	kafka_mock_fail(broker.mock, KAFKA_MOCK_COMMIT, LOADING, 2); /* tried again */
	for (size_t i = 0; i < 3; i++)
		done(group, &inbox, i);
	send_numbers(&broker, 0, 3, 1);
	cr_assert(inbox_await(&inbox, 4, BROKER_PATIENCE_MS));
	done(group, &inbox, 3);
	kafka_group_stop(group, 5000);
	send_numbers(&broker, 0, 4, 1);
	group = join(&inbox, 100);
	cr_assert(inbox_await(&inbox, 5, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[4].number, 4);
	kafka_group_stop(group, 5000);
	kafka_group_stop(NULL, 0);
}

BOTH(group, pauses_when_there_is_no_room_and_loses_nothing)
{
	inbox.room = 5;
	send_numbers(&broker, 0, 0, 50);
	struct kafka_group *group = join(&inbox, 100);

	cr_assert(inbox_await(&inbox, 5, BROKER_PATIENCE_MS));
	cr_expect_not(inbox_await(&inbox, 6, 500));
	pthread_mutex_lock(&inbox.lock);
	inbox.room = 20;
	pthread_mutex_unlock(&inbox.lock);
	kafka_group_resume(group);
	cr_assert(inbox_await(&inbox, 20, BROKER_PATIENCE_MS));
	cr_expect_not(inbox_await(&inbox, 21, 500));
	pthread_mutex_lock(&inbox.lock);
	inbox.room = INBOX_MAX;
	pthread_mutex_unlock(&inbox.lock);
	kafka_group_resume(group);
	cr_assert(inbox_await(&inbox, 50, BROKER_PATIENCE_MS));
	kafka_group_stop(group, 5000);
	cr_assert_eq(inbox.n, 50);
	for (int i = 0; i < 50; i++)
		cr_expect_eq(inbox.all[i].number, i);
}

BOTH(group, takes_no_more_of_a_partition_than_may_be_uncommitted)
{
	send_numbers(&broker, 0, 0, 200);
	send_numbers(&broker, 1, 1000, 1);
	struct kafka_group *group = join(&inbox, 8);

	cr_assert(inbox_await(&inbox, 9, BROKER_PATIENCE_MS)); /* the other one is not held up */
	cr_expect_not(inbox_await(&inbox, 10, 500));
	for (size_t i = 0; i < 201; i++) {
		cr_assert(inbox_await(&inbox, i + 1, BROKER_PATIENCE_MS), "%zu", i);
		cr_assert_leq(inbox_count(&inbox), i + 9);
		done(group, &inbox, i);
	}
	kafka_group_stop(group, 5000);
	cr_assert_eq(inbox.n, 201);
	int next = 0;
	for (size_t i = 0; i < 201; i++) {
		if (inbox.all[i].partition == 0)
			cr_expect_eq(inbox.all[i].number, next++);
	}
}

/* How many of n numbers are in neither inbox; a message may come more than once. */
static int
n_missing(struct inbox *a, struct inbox *b, int n)
{
	bool *has_come = calloc((size_t)n, sizeof *has_come);
	int missing = 0;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n; i++)
		has_come[a->all[i].number] = true;
	pthread_mutex_unlock(&a->lock);
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->n; i++)
		has_come[b->all[i].number] = true;
	pthread_mutex_unlock(&b->lock);
	for (int i = 0; i < n; i++)
		missing += !has_come[i];
	free(has_come);
	return missing;
}

/* Each number at least once in either inbox. */
static void
expect_all(struct inbox *a, struct inbox *b, int n)
{
	cr_expect_eq(n_missing(a, b, n), 0, "%d of %d messages never came", n_missing(a, b, n), n);
}

static struct inbox other;

BOTH(group, shares_its_partitions_among_members_and_takes_over_those_of_one_that_leaves)
{
	struct kafka_group *first = join(&inbox, 1000);

	inbox_init(&other);
	AWAIT(kafka_group_partitions(first) == 4);
	struct kafka_group *second = join(&other, 1000);
	AWAIT(kafka_group_partitions(first) == 2 && kafka_group_partitions(second) == 2);
	for (int i = 0; i < 4; i++)
		send_numbers(&broker, i, 100 * i, 100);
	AWAIT(n_missing(&inbox, &other, 400) == 0);
	kafka_group_stop(second, 5000); /* nothing of it was committed: the first gets it */
	AWAIT(kafka_group_partitions(first) == 4);
	other.n = 0; /* the messages of a member that left count no more; freed with the process */
	AWAIT(n_missing(&inbox, &other, 400) == 0);
	kafka_group_stop(first, 5000);
}

BOTH(group, that_has_no_room_during_a_rebalance_goes_on_after_it)
{
	inbox.room = 5;
	for (int i = 0; i < 4; i++)
		send_numbers(&broker, i, 10 * i, 10);
	struct kafka_group *first = join(&inbox, 1000);

	inbox_init(&other);
	cr_assert(inbox_await(&inbox, 5, BROKER_PATIENCE_MS));
	struct kafka_group *second = join(&other, 1000);
	AWAIT(kafka_group_partitions(first) == 2 && kafka_group_partitions(second) == 2);
	cr_assert(inbox_await(&other, 20, BROKER_PATIENCE_MS));
	cr_expect_not(inbox_await(&inbox, 6, 500));
	pthread_mutex_lock(&inbox.lock);
	inbox.room = INBOX_MAX;
	pthread_mutex_unlock(&inbox.lock);
	kafka_group_resume(first);
	cr_assert(inbox_await(&inbox, 25, BROKER_PATIENCE_MS));
	kafka_group_stop(second, 5000);
	kafka_group_stop(first, 5000);
	expect_all(&inbox, &other, 40);
	inbox_fini(&other);
}

BOTH(group, reads_on_what_was_full_when_it_went_and_comes_back)
{
	const int max = 8;

	for (int i = 0; i < 4; i++)
		send_numbers(&broker, i, 100 * i, 20);
	struct kafka_group *first = join(&inbox, max);
	cr_assert(inbox_await(&inbox, 4 * max, BROKER_PATIENCE_MS));
	inbox_init(&other);
	struct kafka_group *second = join(&other, max);
	cr_assert(inbox_await(&other, 2 * max, BROKER_PATIENCE_MS));
	cr_assert(inbox_await(&inbox, (4 + 2) * max, BROKER_PATIENCE_MS));
	kafka_group_stop(second, 5000);
	cr_expect(inbox_await(&inbox, (4 + 2 + 4) * max, BROKER_PATIENCE_MS));
	kafka_group_stop(first, 5000);
	inbox_fini(&other);
}

BOTH(group, ignores_what_is_done_under_an_older_assignment)
{
	send_numbers(&broker, 0, 0, 2);
	struct kafka_group *group = join(&inbox, 100);

	cr_assert(inbox_await(&inbox, 2, BROKER_PATIENCE_MS));
	done(group, &inbox, 0);
	inbox.all[1].epoch--;
	done(group, &inbox, 1);
	kafka_group_stop(group, 5000);
	group = join(&inbox, 100);
	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[2].number, 1);
	kafka_group_stop(group, 5000);
}

BOTH(group, that_is_quiet_takes_nothing_and_still_commits)
{
	send_numbers(&broker, 0, 0, 5);
	struct kafka_group *group = join(&inbox, 100);

	cr_assert(inbox_await(&inbox, 5, BROKER_PATIENCE_MS));
	kafka_group_quiesce(group);
	size_t n = inbox_count(&inbox);
	send_numbers(&broker, 0, 5, 5);
	kafka_group_resume(group);
	cr_expect_not(inbox_await(&inbox, n + 1, 500));
	for (size_t i = 0; i < n; i++)
		done(group, &inbox, i);
	kafka_group_quiesce(group); /* again: at once */
	kafka_group_stop(group, 5000);
	group = join(&inbox, 100);
	cr_assert(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[5].number, 5);
	kafka_group_stop(group, 5000);
	cr_expect_eq(inbox.n, 10);
}

MOCK(group, goes_on_when_the_broker_comes_back)
{
	send_numbers(&broker, 0, 0, 10);
	struct kafka_group *group = join(&inbox, 100);

	cr_assert(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	for (size_t i = 0; i < 10; i++)
		done(group, &inbox, i);
	kafka_mock_down(broker.mock);
	kafka_mock_up(broker.mock);
	send_numbers(&broker, 0, 10, 10);
	AWAIT(inbox_count(&inbox) >= 20 && inbox.all[inbox_count(&inbox) - 1].number == 19);
	kafka_group_stop(group, 5000);
	inbox_init(&other);
	expect_all(&inbox, &other, 20);
}

/* Within its time though the coordinator is gone, with something to commit or without. */
static void
stop_without_a_broker(size_t n_done)
{
	int64_t began_ms;

	send_numbers(&broker, 0, 0, 10);
	struct kafka_group *group = join(&inbox, 100);
	cr_assert(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	kafka_mock_down(broker.mock);
	for (size_t i = 0; i < n_done; i++)
		done(group, &inbox, i);
	began_ms = clock_mono_ms();
	kafka_group_quiesce(group);
	kafka_group_stop(group, 3000);
	int64_t took_ms = clock_mono_ms() - began_ms;
	cr_expect_lt(took_ms, 5000, "%ld ms", (long)took_ms);
}

MOCK(group, stops_in_time_without_a_broker_and_nothing_done)
{
	stop_without_a_broker(0);
}

MOCK(group, stops_in_time_without_a_broker_and_something_to_commit)
{
	stop_without_a_broker(10);
}

MOCK(group, stops_in_time_before_it_has_met_a_broker)
{
	kafka_mock_down(broker.mock);
	struct kafka_group *group = join(&inbox, 100);
	int64_t began_ms = clock_mono_ms();

	cr_expect_eq(kafka_group_lag(group), -1);
	kafka_group_stop(group, 3000);
	cr_expect_lt(clock_mono_ms() - began_ms, 5000);
}

/* ---- topics ------------------------------------------------------------------ */

BOTH(topics, are_looked_at)
{
	const struct tally_topic topics[] = {
		{ .name = broker.topic },
		{ .name = "tally.test.none" },
	};
	struct kafka_topic_report found[2];

	cr_assert_eq(kafka_topics_look(&broker.config, topics, 2, found, &err), TALLY_OK, "%s",
		     err.detail);
	cr_expect_eq(found[0].topic, &topics[0]);
	cr_expect_eq(found[0].state, KAFKA_TOPIC_EXISTS);
	cr_expect_eq(found[0].partitions, 4);
	cr_expect_eq(found[1].state, KAFKA_TOPIC_MISSING);
	cr_expect_eq(found[1].partitions, 0);
}

REAL(topics, are_created_once)
{
	struct broker more = broker;
	struct tally_topic topics[2] = {
		{ more.topic,   3, 600000, 150000, 1048576 },
		{ broker.topic, 9, 600000, 150000, 1048576 },
	};
	struct kafka_topic_report found[2];

	(void)snprintf(more.topic, sizeof more.topic, "%.60s.more", broker.topic);
	cr_assert_eq(kafka_topics_create(&broker.config, topics, 2, found, &err), TALLY_OK, "%s",
		     err.detail);
	cr_expect_eq(found[0].state, KAFKA_TOPIC_CREATED);
	cr_expect_eq(found[0].partitions, 3);
	cr_expect_eq(found[1].state, KAFKA_TOPIC_EXISTS);
	cr_expect_eq(found[1].partitions, 4); /* as it was */
	AWAIT(kafka_topics_look(&broker.config, topics, 2, found, &err) == TALLY_OK
	      && found[0].state == KAFKA_TOPIC_EXISTS);
	cr_assert_eq(kafka_topics_create(&broker.config, topics, 2, found, &err), TALLY_OK, "%s",
		     err.detail);
	cr_expect_eq(found[0].state, KAFKA_TOPIC_EXISTS);
	cr_expect_eq(found[0].partitions, 3);
	broker_close(&more);
}

Test(topics, cannot_be_looked_at_without_a_broker, .timeout = 60)
{
	const struct kafka_config config = { .brokers = "127.0.0.1:1", .client_id = "test" };
	const struct tally_topic topic = { .name = "tally.replies" };
	struct kafka_topic_report found;

	cr_expect_eq(kafka_topics_look(&config, &topic, 1, &found, &err), TALLY_KAFKA_UNAVAILABLE);
	cr_expect_not_null(strstr(err.detail, "127.0.0.1:1"), "%s", err.detail);
}
