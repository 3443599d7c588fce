#include "jobs/recorder_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define DAYS_MS 60000 /* how often the days are looked at */

/* Levels as in syslog(3). */
enum { WARNING = 4 };

tally_status
recorder_step_init(struct recorder_step *step, const struct recorder_options *options,
		   const struct record_options *record, struct tally_error *err)
{
	step->limit = PROJECTION_MAX;
	step->rules.secrets = &options->secrets;
	step->rules.results_partitions = options->results_partitions;
	step->on_log = options->on_log;
	step->ctx = options->ctx;
	step->projection = projection_new();
	if (!step->projection)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	return record_new(record, &step->record, err);
}

void
recorder_step_fini(struct recorder_step *step)
{
	projection_free(step->projection);
	record_free(step->record);
}

tally_status
recorder_step_begin(struct recorder_step *step, const struct kafka_config *kafka,
		    struct tally_error *err)
{
	static const char *const topics[] = { TALLY_TOPIC_REQUESTS_JOBS, TALLY_TOPIC_RESULTS };
	struct kafka_ranges *ranges = NULL;
	tally_status status = kafka_ranges_start(kafka, &ranges, err);

	for (size_t i = 0; i < sizeof topics / sizeof *topics && status == TALLY_OK; i++) {
		const struct kafka_range *all;
		size_t n;

		status = kafka_ranges_ask(ranges, topics[i], RECORDER_ASK_MS, &all, &n, err);
		if (status == TALLY_OK)
			status = record_begin_topic(step->record, topics[i], n, err);
	}
	kafka_ranges_stop(ranges);
	return status;
}

/* ---- one message ------------------------------------------------------------- */

static enum projection_outcome
add(struct recorder_step *step, const struct recorder_item *item, struct tally_error *err)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	struct projection_message message = {
		.topic = item->topic,
		.partition = kafka_message_partition(item->message),
		.offset = kafka_message_offset(item->message),
		.stamp_ms = kafka_message_time_ms(item->message),
		.headers = headers,
	};

	message.key = kafka_message_key(item->message, &message.key_len);
	message.value = kafka_message_value(item->message, &message.value_len);
	message.n_headers = kafka_message_headers(item->message, headers, TALLY_HEADERS_MAX);
	return projection_add(step->projection, &step->rules, &message, err);
}

static void
complain(const struct recorder_step *step, const struct recorder_item *item, const char *why,
	 size_t n_others)
{
	char text[768];

	if (!step->on_log)
		return;
	(void)snprintf(text, sizeof text,
		       "a message is not recorded topic=%s partition=%" PRId32 " offset=%" PRId64
		       " reason=\"%s\" others=%zu",
		       kafka_message_topic(item->message), kafka_message_partition(item->message),
		       kafka_message_offset(item->message), why, n_others);
	step->on_log(step->ctx, WARNING, text);
}

/* ---- many -------------------------------------------------------------------- */

/* What has become of the messages of a transaction. */
struct outcome {
	size_t n; /* all */
	size_t n_projected;
	size_t n_refused;
	const struct recorder_item *refused; /* the first of these, and why */
	struct tally_error why;
};

static tally_status
project(struct recorder_step *step, const struct recorder_item *items, size_t n,
	struct outcome *out)
{
	enum projection_outcome outcome = PROJECTION_DONE;

	*out = (struct outcome){ 0 };
	projection_reset(step->projection);
	while (out->n < n) {
		struct tally_error why = { 0 };

		outcome = add(step, &items[out->n], &why);
		if (outcome == PROJECTION_FLUSH || outcome == PROJECTION_NO_MEMORY)
			break;
		out->n_projected += outcome == PROJECTION_DONE;
		out->n_refused += outcome == PROJECTION_REFUSED || outcome == PROJECTION_SKIPPED;
		if (outcome == PROJECTION_REFUSED && !out->refused) {
			out->refused = &items[out->n];
			out->why = why;
		}
		out->n++;
	}
	return outcome == PROJECTION_NO_MEMORY ? TALLY_NO_MEMORY : TALLY_OK;
}

static void
count(struct recorder_step *step, const struct outcome *done)
{
	atomic_fetch_add(step->n_recorded, done->n_projected);
	atomic_fetch_add(step->n_refused, done->n_refused);
	if (done->refused)
		complain(step, done->refused, done->why.detail, done->n_refused - 1);
}

static tally_status
look_at_days(struct recorder_step *step, struct tally_error *err)
{
	tally_status status;

	if (step->days_at_ms > 0 && clock_mono_ms() - step->days_at_ms < DAYS_MS)
		return TALLY_OK;
	status = record_days(step->record, clock_unix_ms(), &step->rules.days, err);
	if (status == TALLY_OK)
		step->days_at_ms = clock_mono_ms();
	return status;
}

/* Something in these messages is refused by the store: half of them is tried, until it is one.  A
 * day that was dropped meanwhile is found out on the way, as the days are looked at again. */
static bool
narrow(struct recorder_step *step, const struct recorder_item *items, const struct outcome *failed,
       const struct tally_error *why)
{
	bool is_found = failed->n == 1 && step->limit == 1;

	step->days_at_ms = 0;
	step->limit = failed->n > 1 ? failed->n / 2 : 1;
	if (!is_found)
		return false;
	atomic_fetch_add(step->n_refused, 1);
	complain(step, items, why->detail, 0);
	return true;
}

tally_status
recorder_step(struct recorder_step *step, const struct recorder_item *items, size_t n,
	      size_t *out_n, struct tally_error *err)
{
	for (;;) {
		struct outcome done;
		struct tally_error why = { 0 };
		tally_status status = look_at_days(step, err);

		if (status == TALLY_OK)
			status = project(step, items, n < step->limit ? n : step->limit, &done);
		if (status != TALLY_OK)
			return status;
		status = record_write(step->record, step->projection, &why);
		if (status == TALLY_OK)
			count(step, &done);
		if (status == TALLY_OK
		    || (status == TALLY_BAD_REQUEST && narrow(step, items, &done, &why))) {
			step->limit = PROJECTION_MAX;
			*out_n = done.n;
			return TALLY_OK;
		}
		if (status != TALLY_BAD_REQUEST) {
			step->days_at_ms = 0;
			*err = why;
			return status;
		}
	}
}
