/* Answers out: replies and dead letters.  An offset is done when what its request came to is
 * stored, never before. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane_inner.h"

/* Gives a task back to the loop: lane_retry finds it.  Any thread. */
static void
give_back(struct task *task, tally_status delivery)
{
	struct lane *lane = task->lane;

	pthread_mutex_lock(&lane->lock);
	task->delivery = delivery;
	TAILQ_INSERT_TAIL(&lane->returned, task, link);
	pthread_mutex_unlock(&lane->lock);
}

/* The broker's word on a reply or dead letter; on the producer's thread. */
static void
on_delivered(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct task *task = ctx;

	(void)partition;
	(void)offset;
	if (status != TALLY_OK) {
		log_warn("not stored", LOG_STR("what", task->is_dead ? "dead letter" : "reply"),
			 LOG_STR("code", tally_status_code(status)),
			 LOG_STR("trace", task->head.trace.text));
		give_back(task, status);
		return;
	}
	metric_add(metric_series(task->lane->metrics.requests, task->dataset,
				 tally_status_code(task->outcome)),
		   1);
	lane_end(task, true);
}

static void
publish(struct task *task, struct kafka_producer *producer, struct kafka_outgoing *message)
{
	message->on_delivered = on_delivered;
	message->ctx = task;
	tally_status status = kafka_producer_send(producer, message);
	if (status == TALLY_OK)
		return;
	free(message->owned_value);
	/* A partition that does not exist will not come by trying again. */
	if (status == TALLY_KAFKA_UNAVAILABLE && !task->is_dead
	    && !kafka_producer_is_dead(producer)) {
		log_warn("reply cannot be sent: no such partition",
			 LOG_INT("partition", message->partition));
		lane_end(task, true);
		return;
	}
	give_back(task, status);
}

void
lane_reply(struct task *task, struct tally_sync_reply *reply, char *body, size_t len)
{
	struct tally_headers headers;
	char key[TALLY_REQUEST_ID_HEX + 1];
	struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_REPLIES,
		.partition = task->head.reply_partition,
		.key = key,
		.key_len = TALLY_REQUEST_ID_HEX,
		.owned_value = body,
		.value_len = len,
	};

	reply->id = task->head.id;
	task->outcome = reply->error_code;
	tally_request_id_format(&task->head.id, key);
	if (tally_sync_reply_write(reply, &headers) != TALLY_OK) {
		log_error("reply headers do not fit", LOG_STR("trace", task->head.trace.text));
		reply->timing[0] = '\0';
		reply->n_as_of = 0;
		(void)!tally_sync_reply_write(reply, &headers);
	}
	message.headers = headers.items;
	message.n_headers = headers.n;
	publish(task, task->lane->replies, &message);
}

void
lane_reply_error(struct task *task, const struct tally_error *error)
{
	struct tally_sync_reply reply = { .state = TALLY_FAILED, .error_code = error->status };
	size_t len = 0;
	char *body = malloc(2048);

	if (!body || tally_error_encode(error, body, 2048, &len) != TALLY_OK) {
		free(body);
		body = NULL;
		len = 0;
	}
	lane_reply(task, &reply, body, len);
}

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

/* Tells whoever waits, as far as the headers tell who that is; without an offset of its own. */
static void
reply_beside(struct task *task, const struct tally_error *error)
{
	struct tally_sync_reply reply = { .id = task->head.id,
					  .state = TALLY_FAILED,
					  .error_code = TALLY_BAD_REQUEST };
	struct tally_headers headers;
	char key[TALLY_REQUEST_ID_HEX + 1];
	char body[2048];
	size_t len;

	tally_request_id_format(&task->head.id, key);
	if (tally_error_encode(error, body, sizeof body, &len) != TALLY_OK
	    || tally_sync_reply_write(&reply, &headers) != TALLY_OK)
		return;
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_REPLIES,
		.partition = task->head.reply_partition,
		.key = key,
		.key_len = TALLY_REQUEST_ID_HEX,
		.value = body,
		.value_len = len,
		.headers = headers.items,
		.n_headers = headers.n,
	};
	/* The caller's wait ends without it, too. */
	(void)!kafka_producer_send(task->lane->replies, &message);
}

void
lane_dead_letter(struct task *task, const struct tally_error *error)
{
	struct tally_headers headers = { .n = 0 };
	struct kafka_outgoing message = { .topic = TALLY_TOPIC_DEAD_LETTERS, .partition = -1 };

	if (!task->is_dead) {
		log_warn("dead letter",
			 LOG_INT("partition", kafka_message_partition(task->message)),
			 LOG_INT("offset", kafka_message_offset(task->message)), LOG_ERROR(error));
		metric_add(task->lane->metrics.dead_letters, 1);
		if (task->head.budget_ms > 0)
			reply_beside(task, error);
	}
	task->is_dead = true;
	task->outcome = TALLY_BAD_REQUEST;
	message.key = kafka_message_key(task->message, &message.key_len);
	/* One that is too large with our headers is kept without its value; the origin tells where
	 * that can still be read. */
	if (task->delivery != TALLY_TOO_LARGE)
		message.value = kafka_message_value(task->message, &message.value_len);
	add_origin(&headers, task, error);
	message.headers = headers.items;
	message.n_headers = headers.n;
	publish(task, task->lane->dead_letters, &message);
}
