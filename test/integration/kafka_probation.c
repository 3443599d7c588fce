/* Starts of messages, as a group keeps them in the metadata of its offsets: against the mock
 * cluster, which can be made to fail, and where TEST_KAFKA names one a real broker too. */
#include <criterion/criterion.h>

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "kafka/group.h"
#include "support/kafka_test.h"

#define TEST_S 90

#define LOADING 14 /* the coordinator: try again */
#define NO_NEWS (-1)

static struct broker broker;
static struct tally_error err;
static struct inbox inbox;    /* ordinary messages */
static struct inbox suspects; /* and those that are none; their starts are kept below */
static unsigned starts[100];
static atomic_int news = NO_NEWS;
static atomic_bool is_stuck;
static char group_name[100];

static void
begin(void)
{
	inbox_init(&inbox);
	inbox_init(&suspects);
	broker_open(&broker, false);
	(void)snprintf(group_name, sizeof group_name, "%s.group", broker.topic);
}

static void
begin_real(void)
{
	inbox_init(&inbox);
	inbox_init(&suspects);
	if (getenv("TEST_KAFKA"))
		broker_open(&broker, true);
	(void)snprintf(group_name, sizeof group_name, "%s.group", broker.topic);
}

static void
end(void)
{
	if (broker.config.brokers)
		broker_close(&broker);
}

/* ---- a member ---------------------------------------------------------------- */

static bool
on_suspect(void *ctx, struct kafka_message *message, uint64_t epoch, unsigned n)
{
	size_t i = inbox_count(ctx);

	if (i < sizeof starts / sizeof *starts)
		starts[i] = n;
	return inbox_add_group(ctx, message, epoch);
}

static bool
on_message(void *ctx, struct kafka_message *message, uint64_t epoch)
{
	(void)ctx;
	return inbox_add_group(&inbox, message, epoch);
}

static void
on_news(void *ctx, enum kafka_news what)
{
	(void)ctx;
	atomic_store(&news, (int)what);
}

static bool
stuck(void *ctx)
{
	(void)ctx;
	return atomic_load(&is_stuck);
}

static struct kafka_group *
join_by(const struct kafka_config *config)
{
	const struct kafka_group_options options = {
		.group = group_name,
		.topic = broker.topic,
		.on_message = on_message,
		.ctx = &suspects,
		.max_uncommitted = 100,
		.on_suspect = on_suspect,
		.on_news = on_news,
		.is_stuck = stuck,
	};
	struct kafka_group *group = NULL;

	cr_assert_eq(kafka_group_start(config, &options, &group, &err), TALLY_OK, "%s", err.detail);
	return group;
}

static struct kafka_group *
join(void)
{
	return join_by(&broker.config);
}

typedef void end_fn(struct kafka_group *group, int32_t partition, int64_t offset, uint64_t epoch);

static void
end_with(struct kafka_group *group, const struct received *received, end_fn *fn)
{
	fn(group, received->partition, received->offset, received->epoch);
}

static tally_status
begin_suspect(struct kafka_group *group, size_t index)
{
	const struct received *received = &suspects.all[index];

	return kafka_group_begin(group, received->partition, received->offset, received->epoch);
}

static bool
has_come(enum kafka_news what)
{
	int expected = (int)what;

	return atomic_compare_exchange_strong(&news, &expected, NO_NEWS);
}

/* ---- what is stored ---------------------------------------------------------- */

static rd_kafka_t *
open_client(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", broker.config.brokers, reason,
				sizeof reason);
	(void)rd_kafka_conf_set(conf, "group.id", group_name, reason, sizeof reason);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
	cr_assert_not_null(client, "%s", reason);
	return client;
}

/* "OFFSET STARTS", without who wrote it. */
static const char *
stored_in(int32_t partition)
{
	static char text[64];
	rd_kafka_t *client = open_client();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_t *item =
	    rd_kafka_topic_partition_list_add(list, broker.topic, partition);
	cr_assert_eq(rd_kafka_committed(client, list, BROKER_PATIENCE_MS),
		     RD_KAFKA_RESP_ERR_NO_ERROR);
	int n = item->metadata_size > 0 ? 1 : 0;
	(void)snprintf(text, sizeof text, "%ld %.*s", (long)item->offset, n,
		       n > 0 ? (const char *)item->metadata : "");
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(client);
	return text;
}

static const char *
stored(void)
{
	return stored_in(0);
}

/* As a worker that died left it. */
static void
store(int64_t offset, const char *metadata)
{
	rd_kafka_t *client = open_client();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, broker.topic, 0);

	item->offset = offset;
	item->metadata = strdup(metadata);
	item->metadata_size = strlen(metadata);
	cr_assert_eq(rd_kafka_commit(client, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(client);
}

/* ---- tests ------------------------------------------------------------------- */

BOTH(starts, are_stored_before_the_first_message_and_taken_back_by_who_leaves)
{
	struct kafka_group *group = join();

	AWAIT(kafka_group_partitions(group) == 4);
	cr_expect_str_eq(stored(), "0 1");
	send_numbers(&broker, 0, 0, 3);
	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	for (size_t i = 0; i < 3; i++)
		end_with(group, &inbox.all[i], kafka_group_done);
	AWAIT(strcmp(stored(), "3 1") == 0);
	kafka_group_stop(group, 5000);
	cr_expect_str_eq(stored(), "3 0");
	cr_expect_eq(inbox_count(&suspects), 0);
}

BOTH(starts, bring_what_was_there_onto_probation_one_by_one)
{
	send_numbers(&broker, 0, 0, 3);
	store(0, "2 somebody");
	struct kafka_group *group = join();

	cr_assert(inbox_await(&suspects, 3, BROKER_PATIENCE_MS));
	cr_expect_eq(starts[0], 2);
	cr_expect_eq(starts[1], 1);
	send_numbers(&broker, 0, 3, 1);
	cr_assert(inbox_await(&inbox, 1, BROKER_PATIENCE_MS), "what came later is ordinary");
	cr_expect_eq(begin_suspect(group, 1), TALLY_FULL, "not before the head");
	cr_assert_eq(begin_suspect(group, 0), TALLY_OK);
	cr_expect_eq(begin_suspect(group, 1), TALLY_FULL);
	AWAIT(has_come(KAFKA_BEGUN));
	cr_expect_str_eq(stored(), "0 3");
	end_with(group, &suspects.all[0], kafka_group_done);
	cr_assert_eq(begin_suspect(group, 1), TALLY_OK);
	AWAIT(has_come(KAFKA_BEGUN)); /* of this one, and so the other one is over */
	cr_expect_str_eq(stored(), "1 2");
	end_with(group, &suspects.all[1], kafka_group_back);
	AWAIT(has_come(KAFKA_OVER));
	cr_expect_str_eq(stored(), "1 1");
	cr_assert_eq(begin_suspect(group, 1), TALLY_OK);
	AWAIT(has_come(KAFKA_BEGUN));
	end_with(group, &suspects.all[1], kafka_group_done);
	AWAIT(has_come(KAFKA_OVER));
	cr_expect_str_eq(stored(), "2 1");
	kafka_group_stop(group, 5000);
	cr_expect_str_eq(stored(), "2 1", "one of them is left");
}

BOTH(starts, of_three_condemn_the_head)
{
	send_numbers(&broker, 0, 0, 2);
	store(0, "3 somebody");
	struct kafka_group *group = join();

	cr_assert(inbox_await(&suspects, 2, BROKER_PATIENCE_MS));
	cr_expect_eq(starts[0], KAFKA_CONDEMNED);
	cr_expect_eq(starts[1], 1);
	cr_expect_eq(begin_suspect(group, 0), TALLY_FULL);
	end_with(group, &suspects.all[0], kafka_group_done);
	cr_expect_eq(begin_suspect(group, 1), TALLY_OK);
	AWAIT(has_come(KAFKA_BEGUN));
	end_with(group, &suspects.all[1], kafka_group_done);
	AWAIT(has_come(KAFKA_OVER));
	kafka_group_stop(group, 5000);
	cr_expect_str_eq(stored(), "2 0");
}

MOCK(starts, that_cannot_be_stored_let_nothing_run)
{
	send_numbers(&broker, 0, 0, 1);
	store(0, "1 somebody");
	struct kafka_group *group = join();

	cr_assert(inbox_await(&suspects, 1, BROKER_PATIENCE_MS));
	kafka_mock_slow(broker.mock, 300);
	cr_assert_eq(begin_suspect(group, 0), TALLY_OK);
	cr_expect_eq(atomic_load(&news), NO_NEWS);
	kafka_mock_fail(broker.mock, KAFKA_MOCK_COMMIT, LOADING, 3);
	AWAIT(has_come(KAFKA_BEGUN));
	kafka_mock_slow(broker.mock, 0);
	cr_expect_str_eq(stored(), "0 2");
	end_with(group, &suspects.all[0], kafka_group_done);
	AWAIT(has_come(KAFKA_OVER));
	kafka_group_stop(group, 5000);
}

static atomic_bool is_revoked;

static void
note_revoked(void *ctx, int level, const char *text)
{
	(void)ctx;
	(void)level;
	if (strstr(text, "revoked"))
		atomic_store(&is_revoked, true);
}

/* The mock refuses commits while members join again; a real broker takes them. */
REAL(starts, and_work_in_hand_end_before_a_rebalance)
{
	broker.config.on_log = note_revoked;
	struct kafka_group *first = join();

	AWAIT(kafka_group_partitions(first) == 4);
	send_numbers(&broker, 0, 0, 3);
	cr_assert(inbox_await(&inbox, 3, BROKER_PATIENCE_MS));
	struct kafka_group *second = join();
	AWAIT(atomic_load(&is_revoked));
	for (size_t i = 0; i < 3; i++)
		end_with(first, &inbox.all[i], kafka_group_done);
	AWAIT(kafka_group_partitions(first) == 2 && kafka_group_partitions(second) == 2);
	send_numbers(&broker, 0, 3, 1);
	cr_assert(inbox_await(&inbox, 4, BROKER_PATIENCE_MS));
	cr_expect_eq(inbox.all[3].offset, 3, "the others are not done again");
	cr_expect_eq(inbox_count(&suspects), 0);
	kafka_group_stop(second, 5000);
	kafka_group_stop(first, 5000);
}

static atomic_bool is_holding;
static atomic_bool is_stopping;

/* Holds the thread of a group that gives its partitions away until the group is being stopped. */
static void
hold_revoked(void *ctx, int level, const char *text)
{
	const struct timespec a_moment = { 0, 20000000 };
	int64_t until_ms = clock_mono_ms() + BROKER_PATIENCE_MS;

	(void)ctx;
	(void)level;
	if (!atomic_load(&is_holding) || !strstr(text, "revoked"))
		return;
	atomic_store(&is_revoked, true);
	while (!atomic_load(&is_stopping) && clock_mono_ms() < until_ms)
		nanosleep(&a_moment, NULL);
	nanosleep(&a_moment, NULL); /* it is, in a moment */
}

static void *
stop_revoked(void *group)
{
	atomic_store(&is_stopping, true);
	kafka_group_stop(group, 5000);
	return NULL;
}

/* Both leave at once, as in a shutdown: the last one is stopped while it gives its partitions away
 * for the first one's sake.  A real broker takes the commits of that moment. */
REAL(starts, of_who_is_stopped_in_a_rebalance_do_not_count)
{
	struct kafka_config others = broker.config;
	pthread_t stopper;

	broker.config.on_log = hold_revoked;
	struct kafka_group *last = join();
	AWAIT(kafka_group_partitions(last) == 4);
	struct kafka_group *first = join_by(&others);
	AWAIT(kafka_group_partitions(last) == 2 && kafka_group_partitions(first) == 2);
	for (int32_t i = 0; i < 4; i++)
		cr_expect_str_eq(stored_in(i), "0 1");
	atomic_store(&is_holding, true);
	kafka_group_stop(first, 5000);
	AWAIT(atomic_load(&is_revoked));
	cr_assert_eq(pthread_create(&stopper, NULL, stop_revoked, last), 0);
	pthread_join(stopper, NULL);
	for (int32_t i = 0; i < 4; i++)
		cr_expect_str_eq(stored_in(i), "0 0");
}

/* Another member comes while the head runs: the first one has to give everything away. */
static void
rebalance_while_one_runs(const char *expected)
{
	send_numbers(&broker, 0, 0, 1);
	store(0, "1 somebody");
	struct kafka_group *first = join();

	cr_assert(inbox_await(&suspects, 1, BROKER_PATIENCE_MS));
	cr_assert_eq(begin_suspect(first, 0), TALLY_OK);
	AWAIT(has_come(KAFKA_BEGUN));
	struct kafka_group *second = join();
	cr_assert(inbox_await(&suspects, 2, BROKER_PATIENCE_MS));
	cr_expect_str_eq(stored(), expected);
	end_with(first, &suspects.all[0], kafka_group_done); /* of an assignment that is over */
	AWAIT(has_come(KAFKA_OVER));
	cr_expect_str_eq(stored(), expected);
	kafka_group_stop(second, 5000);
	kafka_group_stop(first, 5000);
}

BOTH(starts, of_what_runs_during_a_rebalance_do_not_count)
{
	rebalance_while_one_runs("0 1");
}

BOTH(starts, of_what_hangs_during_a_rebalance_count)
{
	atomic_store(&is_stuck, true);
	rebalance_while_one_runs("0 2");
}
