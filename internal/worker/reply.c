/* Answers out, and dead letters.  An offset is done when what its request came to is stored, never
 * before. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/lane_inner.h"

static void
count(const struct task *task, tally_status outcome)
{
	metric_add(
	    metric_series(task->lane->metrics.answers, task->dataset, tally_status_code(outcome)),
	    1);
}

void
lane_sent(struct task *task, tally_status status)
{
	if (status != TALLY_OK) {
		log_warn("not stored", LOG_STR("what", task->lane->kind->answers),
			 LOG_STR("code", tally_status_code(status)), LOG_STR("trace", task->trace));
		/* Rows are read again; an error is only told again. */
		if (task->answer->status == TALLY_OK)
			answer_release(TAKE(task->answer));
		lane_give_back(task, status);
		return;
	}
	count(task, task->answer->status);
	if (task->fault)
		lane_send_letter(task);
	else
		lane_end(task, true);
}

void
lane_answer(struct task *task, struct answer *answer)
{
	answer_release(TAKE(task->answer));
	if (!answer) {
		lane_give_back(task, TALLY_NO_MEMORY);
		return;
	}
	task->answer = answer_share(answer);
	task->lane->kind->send(task);
}

void
lane_answer_error(struct task *task, const struct tally_error *error)
{
	struct answer *answer = answer_of_error(&task->lane->store, error);

	lane_answer(task, answer);
	answer_release(answer);
}

/* ---- dead letters ---- */

static void
add_origin(struct tally_headers *headers, const struct task *task, const struct tally_error *error)
{
	char number[24];

	tally_headers_add(headers, TALLY_HEADER_REASON, error->detail);
	tally_headers_add(headers, TALLY_HEADER_ORIGIN_TOPIC, kafka_message_topic(task->message));
	snprintf(number, sizeof number, "%d", kafka_message_partition(task->message));
	tally_headers_add(headers, TALLY_HEADER_ORIGIN_PARTITION, number);
	snprintf(number, sizeof number, "%lld", (long long)kafka_message_offset(task->message));
	tally_headers_add(headers, TALLY_HEADER_ORIGIN_OFFSET, number);
	snprintf(number, sizeof number, "%lld", (long long)kafka_message_time_ms(task->message));
	tally_headers_add(headers, TALLY_HEADER_ORIGIN_TIME, number);
}

/* The broker's word on a dead letter; on the producer's thread. */
static void
on_letter(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct task *task = ctx;

	(void)partition;
	(void)offset;
	if (status != TALLY_OK) {
		log_warn("not stored", LOG_STR("what", TALLY_TOPIC_DEAD_LETTERS),
			 LOG_STR("code", tally_status_code(status)), LOG_STR("trace", task->trace));
		lane_give_back(task, status);
		return;
	}
	if (!task->answer)
		count(task, TALLY_BAD_REQUEST); /* nobody could be told */
	lane_end(task, true);
}

void
lane_send_letter(struct task *task)
{
	struct tally_headers headers = { .n = 0 };
	struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_DEAD_LETTERS,
		.partition = -1,
		.on_delivered = on_letter,
		.ctx = task,
	};

	task->is_dead = true;
	message.key = kafka_message_key(task->message, &message.key_len);
	/* One that is too large with our headers is kept without its value; the origin tells where
	 * that can still be read. */
	if (task->delivery != TALLY_TOO_LARGE)
		message.value = kafka_message_value(task->message, &message.value_len);
	add_origin(&headers, task, task->fault);
	message.headers = headers.items;
	message.n_headers = headers.n;
	tally_status status = kafka_producer_send(task->lane->dead_letters, &message);
	if (status != TALLY_OK)
		lane_give_back(task, status);
}

void
lane_dead_letter(struct task *task, const struct tally_error *error)
{
	struct lane *lane = task->lane;

	free(task->fault); /* of a time when memory was short */
	task->fault = malloc(sizeof *task->fault);
	if (!task->fault) {
		lane_give_back(task, TALLY_NO_MEMORY);
		return;
	}
	*task->fault = *error;
	log_warn("dead letter", LOG_STR("lane", lane->kind->name),
		 LOG_INT("partition", kafka_message_partition(task->message)),
		 LOG_INT("offset", kafka_message_offset(task->message)), LOG_ERROR(error));
	metric_add(lane->metrics.dead_letters, 1);
	if (task->has_caller)
		lane_answer_error(task, error);
	else
		lane_send_letter(task);
}
