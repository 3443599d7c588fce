/* The sync lane: a caller waits at a gateway.  What is late is of no use, and a lost reply is a
 * wait that runs out: acks=1, nothing is kept. */
#include <string.h>

#include <tally/topics.h>

#include "base/log.h"
#include "base/scratch.h"
#include "worker/lane_inner.h"
#include "worker/timing.h"

#define REPLY_TIMEOUT_MS 5000
#define WARM_MS          5000
#define HELD_BYTES       (64 * 1024 * 1024) /* what the producer's queue takes */

struct sync_task {
	struct task task;
	struct tally_sync_request head;
};

static const struct sync_task *
sync_of(const struct task *task)
{
	return (const struct sync_task *)(const void *)task;
}

static struct lane_limits
limits(const struct config *config)
{
	return (struct lane_limits){
		.query_timeout_ms = (int)config->query_timeout_ms,
		.batch_bytes = (size_t)config->batch_bytes,
		.result_bytes = (size_t)config->result_max_bytes,
		.held_bytes = HELD_BYTES,
		.max_uncommitted = (int)config->intake_max,
	};
}

/* Else the first replies would wait for the topic's metadata. */
static bool
prepare(struct lane *lane)
{
	struct tally_error err = { 0 };
	int n;

	if (kafka_producer_warm(lane->answers, TALLY_TOPIC_REPLIES, WARM_MS, &n, &err) != TALLY_OK)
		log_warn("no metadata of the replies' topic yet", LOG_ERROR(&err));
	return true;
}

static tally_status
read_head(struct task *task, struct tally_error *err)
{
	struct sync_task *sync = (struct sync_task *)(void *)task;
	SCRATCH struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(task->message, headers, TALLY_HEADERS_MAX);
	tally_status status = tally_sync_request_read(headers, n, &sync->head, err);

	if (status != TALLY_OK)
		return status; /* no part of it is to be trusted */
	task->has_caller = true;
	task->no_cache = sync->head.no_cache;
	task->budget_ms = sync->head.budget_ms;
	task->trace = sync->head.trace.text;
	return TALLY_OK;
}

/* The broker's word on a reply; on the producer's thread. */
static void
on_delivered(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	(void)partition;
	(void)offset;
	lane_sent(ctx, status);
}

static void
write_headers(const struct task *task, struct tally_headers *headers)
{
	const struct answer *answer = task->answer;
	struct timing timing;
	struct tally_sync_reply reply = {
		.id = sync_of(task)->head.id,
		.state = answer->status == TALLY_OK ? TALLY_SUCCEEDED : TALLY_FAILED,
		.run = answer->run,
		.error_code = answer->status,
		.n_as_of = answer->n_as_of,
	};

	memcpy(reply.as_of, answer->as_of, answer->n_as_of * sizeof *answer->as_of);
	timing_of(task, &timing);
	memcpy(reply.timing, timing.text, timing.len + 1);
	if (tally_sync_reply_write(&reply, headers) == TALLY_OK)
		return;
	log_error("reply headers do not fit", LOG_STR("trace", task->trace));
	reply.timing[0] = '\0';
	reply.n_as_of = 0;
	(void)!tally_sync_reply_write(&reply, headers); /* valid fields fit */
}

static void
send_reply(struct task *task)
{
	const struct tally_sync_request *head = &sync_of(task)->head;
	struct lane *lane = task->lane;
	SCRATCH struct tally_headers headers;
	char key[TALLY_REQUEST_ID_HEX + 1];

	tally_request_id_format(&head->id, key);
	write_headers(task, &headers);
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_REPLIES,
		.partition = head->reply_partition,
		.key = key,
		.key_len = TALLY_REQUEST_ID_HEX,
		.value = task->answer->body,
		.value_len = task->answer->len,
		.is_lent = true,
		.headers = headers.items,
		.n_headers = headers.n,
		.on_delivered = on_delivered,
		.ctx = task,
	};
	tally_status status = kafka_producer_send(lane->answers, &message);
	if (status == TALLY_OK)
		return;
	/* A partition that does not exist will not come by trying again. */
	if (status == TALLY_KAFKA_UNAVAILABLE) {
		log_warn("reply cannot be sent: no such partition",
			 LOG_INT("partition", head->reply_partition));
		status = TALLY_OK; /* it is as good as told */
	}
	lane_sent(task, status);
}

const struct lane_kind lane_sync = {
	.name = "sync",
	.topic = TALLY_TOPIC_REQUESTS_SYNC,
	.group = TALLY_GROUP_WORKERS "-sync",
	.answers = TALLY_TOPIC_REPLIES,
	.counter = "tally_requests_total",
	.counter_help = "Requests answered by this worker",
	.durability = KAFKA_LEADER,
	.answer_timeout_ms = REPLY_TIMEOUT_MS,
	.clock_slack_ms = INT64_MAX / 2, /* a caller's wait is shorter than clocks may differ */
	.task_size = sizeof(struct sync_task),
	.limits = limits,
	.prepare = prepare,
	.read_head = read_head,
	.send = send_reply,
};
