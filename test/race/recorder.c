/* Two recorders over the mock broker and a private PostgreSQL, looked at from another thread, one
 * of them stopped and started while the database is killed and comes back. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "jobs/recorder.h"
#include "kafka/mock.h"
#include "kafka/producer.h"
#include "support/job_messages.h"
#include "support/job_store.h"

#define JOBS        600
#define PATIENCE_MS 120000

static struct kafka_property properties[] = {
	{ "fetch.wait.max.ms", "5" }
};
static struct kafka_config kafka = { .client_id = "test",
				     .properties = properties,
				     .n_properties = 1 };
static struct recorder *steady;
static atomic_bool is_over;
static atomic_int n_lines;

static void
check(tally_status status, const char *what)
{
	if (status == TALLY_OK)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, tally_status_code(status));
	abort();
}

static void
pause_ms(int ms)
{
	const struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };

	(void)nanosleep(&pause, NULL);
}

static void
on_log(void *ctx, int level, const char *text)
{
	(void)ctx;
	(void)level;
	atomic_fetch_add(&n_lines, text[0] != '\0');
}

static struct recorder *
start(void)
{
	const struct recorder_options options = {
		.kafka = &kafka,
		.url = store_url(),
		.secrets = sample_secrets,
		.results_partitions = SAMPLE_PARTITIONS,
		.timeout_ms = 3000,
		.on_log = on_log,
	};
	struct recorder *recorder;

	check(recorder_start(&options, &recorder, NULL), "recorder");
	return recorder;
}

static void *
look(void *arg)
{
	(void)arg;
	while (!atomic_load(&is_over)) {
		(void)recorder_stats(steady);
		pause_ms(5);
	}
	return NULL;
}

static void
publish(struct kafka_producer *producer, const struct sample_message *message)
{
	const struct kafka_outgoing outgoing = {
		.topic = message->topic == PROJECTION_REQUESTS ? TALLY_TOPIC_REQUESTS_JOBS
							       : TALLY_TOPIC_RESULTS,
		.partition = message->partition,
		.key = message->key,
		.key_len = strlen(message->key),
		.value = message->value,
		.value_len = message->value_len,
		.headers = message->headers.items,
		.n_headers = message->headers.n,
	};

	check(kafka_producer_send(producer, &outgoing), "producer");
}

static void
publish_jobs(struct kafka_producer *producer, int n)
{
	for (int i = 0; i < n; i++) {
		struct sample job = sample_ours("acme", clock_unix_ms(), i % SAMPLE_PARTITIONS);
		const struct sample_end how = { .run = 1, .body = "[]" };
		struct sample_message message;

		sample_request(&message, &job, SAMPLE_VALUE, job.id.text);
		message.partition = i % SAMPLE_PARTITIONS;
		publish(producer, &message);
		sample_result(&message, &job, &how);
		publish(producer, &message);
	}
}

static void
await(int64_t n)
{
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;

	while (store_number("SELECT count(*) FROM jobs WHERE has_request AND state = 'succeeded'")
	       < n) {
		if (clock_mono_ms() > until_ms)
			check(TALLY_DEADLINE_EXCEEDED, "recording");
		pause_ms(50);
	}
}

int
main(void)
{
	struct cluster *cluster = store_start_own();
	struct kafka_producer *producer;
	struct recorder *other;
	struct kafka_mock *mock;
	pthread_t looker;

	check(kafka_mock_start(&mock, NULL), "mock");
	kafka.brokers = kafka_mock_brokers(mock);
	check(kafka_producer_start(&kafka, KAFKA_ALL, 60000, &producer, NULL), "producer");
	steady = start();
	other = start();
	(void)pthread_create(&looker, NULL, look, NULL);
	publish_jobs(producer, JOBS / 2);
	await(1);
	recorder_stop(other, 5000);
	other = start();
	cluster_kill(cluster);
	publish_jobs(producer, JOBS / 2);
	cluster_restart(cluster);
	await(JOBS);
	recorder_stop(other, 5000);
	atomic_store(&is_over, true);
	(void)pthread_join(looker, NULL);
	recorder_stop(steady, 5000);
	kafka_producer_stop(producer, 1000);
	kafka_mock_stop(mock);
	cluster_stop(cluster);
	(void)printf("%d jobs recorded, %d lines logged\n", JOBS, atomic_load(&n_lines));
	return 0;
}
