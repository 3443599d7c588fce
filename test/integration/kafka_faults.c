/* What becomes of the Kafka clients when a broker refuses their requests, one kind after the other,
 * and when topics change under them: partitions that are added, messages that are deleted before
 * they were read, a topic that goes and comes again.  Against the mock cluster, which refuses what
 * it is told to, and where TEST_KAFKA names one against a real broker, whose topics can change. */
#include <criterion/criterion.h>

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "kafka/admin.h"
#include "kafka/group_inner.h"
#include "kafka/producer.h"
#include "support/kafka_test.h"

#define TEST_S 90

/* Of Kafka's protocol. */
#define NOT_LEADER      6
#define LOADING         14
#define NOT_COORDINATOR 16
#define OUT_OF_ORDER    45

static struct broker broker;
static struct tally_error err;
static struct reports reports;
static struct inbox inbox;
static char group_name[100];

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
	if (!getenv("TEST_KAFKA"))
		return;
	broker_open(&broker, true);
	broker_set(&broker, "topic.metadata.refresh.interval.ms", "500");
}

static void
end(void)
{
	inbox_fini(&inbox);
	if (broker.config.brokers)
		broker_close(&broker);
}

static atomic_int n_suspects; /* messages that were to run alone */

static bool
on_suspect(void *ctx, struct kafka_message *message, uint64_t epoch, unsigned starts)
{
	(void)starts;
	atomic_fetch_add(&n_suspects, 1);
	return inbox_add_group(ctx, message, epoch);
}

static void
on_news(void *ctx, enum kafka_news news)
{
	(void)ctx;
	(void)news;
}

static bool
is_stuck(void *ctx)
{
	(void)ctx;
	return false;
}

/* is_counted: with the starts of messages, as workers have them. */
static struct kafka_group *
join_as(bool is_counted)
{
	const struct kafka_group_options options = {
		.group = group_name,
		.topic = broker.topic,
		.on_message = inbox_add_group,
		.ctx = &inbox,
		.max_uncommitted = 100,
		.on_suspect = is_counted ? on_suspect : NULL,
		.on_news = is_counted ? on_news : NULL,
		.is_stuck = is_counted ? is_stuck : NULL,
	};
	struct kafka_group *group = NULL;

	(void)snprintf(group_name, sizeof group_name, "%s.group", broker.topic);
	cr_assert_eq(kafka_group_start(&broker.config, &options, &group, &err), TALLY_OK, "%s",
		     err.detail);
	return group;
}

static struct kafka_group *
join(void)
{
	return join_as(false);
}

static void
done(struct kafka_group *group, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		kafka_group_done(group, inbox.all[i].partition, inbox.all[i].offset,
				 inbox.all[i].epoch);
}

static struct kafka_producer *
start_producer(enum kafka_durability durability)
{
	struct kafka_producer *producer = NULL;

	cr_assert_eq(kafka_producer_start(&broker.config, durability, 5000, &producer, &err),
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

/* ---- refused requests -------------------------------------------------------- */

/* An idempotent producer that is out of step with its broker cannot go on: whoever has it must see
 * that and end (worker/intake.c, gateway/jobs_keeper.c), instead of waiting for ever. */
MOCK(producer_faults, that_are_fatal_are_told_and_leave_no_message_without_a_report)
{
	struct kafka_producer *producer = start_producer(KAFKA_ALL);

	cr_assert_eq(send_text(producer, "1"), TALLY_OK);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.n_ok, 1);
	cr_expect_not(kafka_producer_is_dead(producer));
	kafka_mock_fail(broker.mock, KAFKA_MOCK_PRODUCE, OUT_OF_ORDER, 1);
	cr_assert_eq(send_text(producer, "2"), TALLY_OK);
	cr_assert(reports_await(&reports, 2, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.n_ok, 1);
	AWAIT(kafka_producer_is_dead(producer));
	cr_expect_eq(send_text(producer, "3"), TALLY_KAFKA_UNAVAILABLE);
	kafka_producer_stop(producer, 1000);
}

/* Requests of a group are refused, n times each; nothing is left out, and what is done stays so. */
static void
refuse(enum kafka_mock_request request, int code, int n)
{
	struct kafka_group *group = join();

	send_numbers(&broker, 0, 0, 5);
	cr_assert(inbox_await(&inbox, 5, BROKER_PATIENCE_MS));
	kafka_mock_fail(broker.mock, request, code, n);
	done(group, 0, 5);
	send_numbers(&broker, 0, 5, 5);
	AWAIT(inbox_count(&inbox) >= 10);
	done(group, 5, inbox_count(&inbox));
	AWAIT(kafka_group_lag(group) == 0);
	kafka_group_stop(group, 5000);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(inbox.all[i].number, i);
	send_numbers(&broker, 0, 10, 1);
	group = join();
	cr_assert(inbox_await(&inbox, 11, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[10].number, 10, "what was done does not come again");
	kafka_group_stop(group, 5000);
}

MOCK(group_faults, of_fetches_leave_nothing_out)
{
	refuse(KAFKA_MOCK_FETCH, NOT_LEADER, 3);
}

MOCK(group_faults, of_commits_leave_nothing_out)
{
	refuse(KAFKA_MOCK_COMMIT, NOT_COORDINATOR, 2);
}

MOCK(group_faults, of_metadata_leave_nothing_out)
{
	refuse(KAFKA_MOCK_METADATA, LOADING, 3);
}

MOCK(group_faults, of_joining_are_tried_again)
{
	kafka_mock_fail(broker.mock, KAFKA_MOCK_JOIN, LOADING, 3);
	send_numbers(&broker, 0, 0, 3);
	struct kafka_group *group = join();

	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	kafka_group_stop(group, 5000);
}

/* ---- topics that change ------------------------------------------------------ */

/* A client for what Tally itself never asks of a broker. */
struct admin {
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
};

static struct admin
open_admin(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	struct admin admin;

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", broker.config.brokers, NULL, 0);
	admin.client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
	cr_assert_not_null(admin.client);
	admin.queue = rd_kafka_queue_new(admin.client);
	return admin;
}

/* Waits for the broker's answer, which must not be an error. */
static void
close_admin(struct admin *admin)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, BROKER_PATIENCE_MS);

	cr_assert_not_null(event);
	cr_assert_eq(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR, "%s",
		     rd_kafka_event_error_string(event));
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(admin->queue);
	rd_kafka_destroy(admin->client);
}

static void
add_partitions(size_t n)
{
	struct admin admin = open_admin();
	char reason[256];
	rd_kafka_NewPartitions_t *more =
	    rd_kafka_NewPartitions_new(broker.topic, n, reason, sizeof reason);

	rd_kafka_CreatePartitions(admin.client, &more, 1, NULL, admin.queue);
	close_admin(&admin);
	rd_kafka_NewPartitions_destroy(more);
}

static void
delete_before(int32_t partition, int64_t offset)
{
	struct admin admin = open_admin();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, broker.topic, partition)->offset = offset;
	rd_kafka_DeleteRecords_t *records = rd_kafka_DeleteRecords_new(list);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_DeleteRecords(admin.client, &records, 1, NULL, admin.queue);
	close_admin(&admin);
	rd_kafka_DeleteRecords_destroy(records);
}

static enum kafka_topic_state
look_at_topic(void)
{
	const struct tally_topic topic = { .name = broker.topic };
	struct kafka_topic_report found = { .state = KAFKA_TOPIC_MISSING };

	cr_assert_eq(kafka_topics_look(&broker.config, &topic, 1, &found, &err), TALLY_OK, "%s",
		     err.detail);
	return found.state;
}

REAL(topic_faults, a_group_reads_partitions_that_are_added_from_their_beginning)
{
	struct kafka_group *group = join_as(true);

	AWAIT(kafka_group_partitions(group) == 4);
	add_partitions(6);
	send_numbers(&broker, 5, 0, 3); /* before the group can know of it */
	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(inbox.all[i].partition, 5);
		cr_expect_eq(inbox.all[i].number, i);
	}
	cr_expect_eq(kafka_group_partitions(group), 6);
	cr_expect_eq(atomic_load(&n_suspects), 0, "nobody ended with them");
	kafka_group_stop(group, 5000);
}

REAL(topic_faults, a_group_whose_messages_were_deleted_goes_on_at_the_first_that_is_left)
{
	send_numbers(&broker, 0, 0, 20);
	struct kafka_group *group = join();

	cr_assert(inbox_await(&inbox, 20, BROKER_PATIENCE_MS));
	done(group, 0, 3);
	kafka_group_stop(group, 5000);
	delete_before(0, 10);
	group = join();
	cr_assert(inbox_await(&inbox, 30, BROKER_PATIENCE_MS));
	for (int i = 0; i < 10; i++)
		cr_expect_eq(inbox.all[20 + i].number, 10 + i);
	cr_expect_eq(kafka_group_missed(group), 7, "of 20 three were done, and ten deleted");
	done(group, 20, 30);
	AWAIT(kafka_group_lag(group) == 0);
	kafka_group_stop(group, 5000);
	cr_expect_eq(inbox.n, 30);
}

static bool
take_three(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	(void)inbox_add_group(ctx, message, epoch);
	return inbox_count(ctx) != 3;
}

REAL(topic_faults, a_group_without_room_goes_on_when_what_it_refused_was_deleted)
{
	const struct kafka_group_options options = {
		.group = broker.topic,
		.topic = broker.topic,
		.on_message = take_three,
		.ctx = &inbox,
		.max_uncommitted = 100,
	};
	rd_kafka_topic_partition_list_t *first = rd_kafka_topic_partition_list_new(1);
	struct kafka_group *group = NULL;

	rd_kafka_topic_partition_list_add(first, broker.topic, 0);
	send_numbers(&broker, 0, 0, 20);
	cr_assert_eq(kafka_group_start(&broker.config, &options, &group, &err), TALLY_OK);
	AWAIT(inbox_count(&inbox) == 3);
	/* As when it is assigned anew: then it is not paused. */
	cr_assert_eq(rd_kafka_resume_partitions(group->client, first), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_topic_partition_list_destroy(first);
	AWAIT(group->owned[0].refused_from == 3);
	delete_before(0, 10);
	kafka_group_resume(group);
	cr_assert(inbox_await(&inbox, 13, BROKER_PATIENCE_MS));
	for (int i = 0; i < 10; i++)
		cr_expect_eq(inbox.all[3 + i].number, 10 + i);
	kafka_group_stop(group, 5000);
}

/* What librdkafka was known to do: it takes a partition for paused that nobody has paused. */
BOTH(group_faults, a_partition_that_stands_still_is_read_again)
{
	rd_kafka_topic_partition_list_t *first = rd_kafka_topic_partition_list_new(1);
	struct kafka_group *group = join_as(true);

	rd_kafka_topic_partition_list_add(first, broker.topic, 0);
	send_numbers(&broker, 0, 0, 3);
	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	cr_assert_eq(rd_kafka_pause_partitions(group->client, first), RD_KAFKA_RESP_ERR_NO_ERROR);
	send_numbers(&broker, 0, 3, 5);
	cr_assert(inbox_await(&inbox, 8, BROKER_PATIENCE_MS));
	AWAIT(kafka_group_stalls(group) == 1);
	send_numbers(&broker, 0, 8, 2);
	cr_assert(inbox_await(&inbox, 10, BROKER_PATIENCE_MS));
	for (int i = 0; i < 10; i++)
		cr_expect_eq(inbox.all[i].number, i);
	cr_expect_eq(kafka_group_stalls(group), 1);
	kafka_group_stop(group, 5000);
	rd_kafka_topic_partition_list_destroy(first);
}

/* An unclean election, or a topic that was made again: here the place of reading is set back. */
BOTH(group_faults, a_log_that_goes_back_is_done_again_from_there)
{
	rd_kafka_topic_partition_list_t *first = rd_kafka_topic_partition_list_new(1);
	struct kafka_group *group = join_as(true);

	rd_kafka_topic_partition_list_add(first, broker.topic, 0)->offset = 0;
	send_numbers(&broker, 0, 0, 6);
	cr_assert(inbox_await(&inbox, 6, BROKER_PATIENCE_MS));
	done(group, 0, 2);
	rd_kafka_error_t *error =
	    rd_kafka_seek_partitions(group->client, first, BROKER_PATIENCE_MS);
	cr_assert_null(error, "%s", rd_kafka_error_string(error));
	cr_assert(inbox_await(&inbox, 12, BROKER_PATIENCE_MS));
	for (int i = 0; i < 6; i++)
		cr_expect_eq(inbox.all[6 + i].number, i);
	done(group, 2, 12);
	AWAIT(kafka_group_lag(group) == 0);
	kafka_group_stop(group, 5000);
	rd_kafka_topic_partition_list_destroy(first);
}

static atomic_int n_again;

static void
note_again(void *ctx, int level, const char *text)
{
	(void)ctx;
	(void)level;
	if (strstr(text, "reading it again"))
		atomic_fetch_add(&n_again, 1);
}

/* Three messages, and the marker of their end. */
static void
send_transaction(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", broker.config.brokers, reason,
				sizeof reason);
	(void)rd_kafka_conf_set(conf, "transactional.id", broker.topic, reason, sizeof reason);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
	cr_assert_not_null(client, "%s", reason);
	cr_assert_null(rd_kafka_init_transactions(client, BROKER_PATIENCE_MS));
	cr_assert_null(rd_kafka_begin_transaction(client));
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rd_kafka_producev(
				 client, RD_KAFKA_V_TOPIC(broker.topic), RD_KAFKA_V_PARTITION(0),
				 RD_KAFKA_V_VALUE((char[]){ "0" }, 1), RD_KAFKA_V_END),
			     RD_KAFKA_RESP_ERR_NO_ERROR);
	cr_assert_null(rd_kafka_commit_transaction(client, BROKER_PATIENCE_MS));
	rd_kafka_destroy(client);
}

/* A marker is never delivered: it is looked for once, and nothing has stood still. */
REAL(group_faults, the_end_of_a_transaction_is_no_partition_that_stands_still)
{
	broker.config.on_log = note_again;
	struct kafka_group *group = join_as(true);

	send_transaction();
	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	AWAIT(atomic_load(&n_again) == 1);
	send_numbers(&broker, 0, 7, 1);
	cr_assert(inbox_await(&inbox, 4, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[3].number, 7);
	cr_expect_eq(kafka_group_stalls(group), 0);
	kafka_group_stop(group, 5000);
	cr_expect_eq(inbox_count(&inbox), 4);
}

REAL(topic_faults, a_topic_that_was_deleted_is_missed_and_nobody_makes_it_again)
{
	const struct tally_topic topic = { broker.topic, 4, 600000, 150000, 1048576 };
	struct kafka_topic_report found;
	struct kafka_producer *producer = start_producer(KAFKA_ALL);
	struct kafka_group *group = join();

	AWAIT(kafka_group_partitions(group) == 4);
	cr_assert_eq(send_text(producer, "0"), TALLY_OK);
	cr_assert(inbox_await(&inbox, 1, BROKER_PATIENCE_MS));
	done(group, 0, 1);
	cr_assert(reports_await(&reports, 1, BROKER_PATIENCE_MS));
	cr_assert(broker_delete_topic(&broker));
	AWAIT(look_at_topic() == KAFKA_TOPIC_MISSING);
	/* At once, or with a report, but never as stored. */
	if (send_text(producer, "1") == TALLY_OK)
		cr_expect(reports_await(&reports, 2, BROKER_PATIENCE_MS));
	cr_expect_eq(reports.n_ok, 1);
	cr_expect_eq(look_at_topic(), KAFKA_TOPIC_MISSING);
	kafka_producer_stop(producer, 1000);
	kafka_group_stop(group, 5000);

	cr_assert_eq(kafka_topics_create(&broker.config, &topic, 1, &found, &err), TALLY_OK, "%s",
		     err.detail);
	AWAIT(look_at_topic() == KAFKA_TOPIC_EXISTS);
	send_numbers(&broker, 0, 7, 1);
	group = join();
	AWAIT(inbox_count(&inbox) == 2);
	cr_expect_eq(inbox.all[1].number, 7, "the offsets of the old one went with it");
	kafka_group_stop(group, 5000);
}
