#include "worker/control.h"

#include <pthread.h>
#include <stdlib.h>

#include <tally/job.h>

#include "base/clock.h"
#include "base/log.h"
#include "kafka/reader.h"
#include "worker/cancelled.h"

#define IDS_MAX 1000000 /* about 130 MB */
/* Clocks differ: a little past its deadline a job may still be taken here. */
#define SLACK_MS 600000

struct control {
	pthread_mutex_t lock; /* guards cancelled */
	struct cancelled *cancelled;
	size_t n_readers;
	struct kafka_reader *readers[];
};

static void
add(struct control *control, const struct tally_control *message)
{
	int64_t now_ms = clock_unix_ms();
	int64_t deadline_ms = message->deadline_ms + SLACK_MS;
	int64_t last_ms = now_ms + TALLY_JOB_DEADLINE_MAX_MS + SLACK_MS;

	if (deadline_ms > last_ms)
		deadline_ms = last_ms; /* no job lives longer */
	pthread_mutex_lock(&control->lock);
	tally_status status = cancelled_add(control->cancelled, &message->id, deadline_ms, now_ms);
	pthread_mutex_unlock(&control->lock);
	if (status != TALLY_OK)
		log_warn("out of memory for a cancelled job, ignoring",
			 LOG_STR("job", message->id.text));
}

/* On a reader's thread. */
static void
on_message(void *ctx, struct kafka_message *message)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);
	struct tally_error err = { 0 };
	struct tally_control control;
	size_t key_len;
	const void *key = kafka_message_key(message, &key_len);

	if (tally_control_read(key, key_len, headers, n, &control, &err) != TALLY_OK)
		log_warn("control message cannot be read, ignoring", LOG_ERROR(&err));
	else if (control.kind == TALLY_CONTROL_CANCEL)
		add(ctx, &control);
	kafka_message_free(message);
}

tally_status
control_start(const struct kafka_config *config, int n_partitions, struct control **out_control,
	      struct tally_error *err)
{
	size_t n = (size_t)n_partitions;
	struct control *control = calloc(1, sizeof *control + n * sizeof(struct kafka_reader *));
	tally_status status = TALLY_OK;

	if (!control)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	pthread_mutex_init(&control->lock, NULL);
	control->cancelled = cancelled_new(IDS_MAX);
	if (!control->cancelled)
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	while (status == TALLY_OK && control->n_readers < n) {
		const struct kafka_reader_options options = {
			.topic = TALLY_TOPIC_CONTROL,
			.partition = (int32_t)control->n_readers,
			.from_start = true,
			.on_message = on_message,
			.ctx = control,
		};
		status = kafka_reader_start(config, &options, &control->readers[control->n_readers],
					    err);
		control->n_readers += status == TALLY_OK;
	}
	if (status != TALLY_OK) {
		control_stop(control);
		return status;
	}
	*out_control = control;
	return TALLY_OK;
}

void
control_stop(struct control *control)
{
	if (!control)
		return;
	for (size_t i = 0; i < control->n_readers; i++)
		kafka_reader_stop(control->readers[i]);
	cancelled_free(control->cancelled);
	pthread_mutex_destroy(&control->lock);
	free(control);
}

bool
control_has_caught_up(const struct control *control)
{
	for (size_t i = 0; i < control->n_readers; i++) {
		if (!kafka_reader_has_caught_up(control->readers[i]))
			return false;
	}
	return true;
}

bool
control_is_cancelled(struct control *control, const struct tally_job_id *id)
{
	pthread_mutex_lock(&control->lock);
	bool is_cancelled = cancelled_has(control->cancelled, id);
	pthread_mutex_unlock(&control->lock);
	return is_cancelled;
}
