/* The job lane: nobody waits at a gateway, and nothing may be lost: acks=all, and an offset is done
 * when every part of its result is stored.
 *
 * A result past TALLY_PART_BYTES goes out in parts, one after the other to one partition, where the
 * idempotent producer keeps their order.  The producer borrows the parts from the body, so they are
 * in memory once.  When it has no room the task waits among the lane's unsent and goes on where it
 * was; when a part is lost the request runs again, as another run, since readers never mix two. */
#include <string.h>

#include <tally/job.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/lane_inner.h"
#include "worker/slices.h"
#include "worker/timing.h"

#define RESULT_TIMEOUT_MS 30000
#define WARM_MS           1000
#define WARN_EVERY_MS     30000
#define CLOCK_SLACK_MS    60000            /* of a clock that is kept by NTP, and then some */
#define FORGET_MS         (10 * 60 * 1000) /* the contract's: «deadline + 10 min» */
#define MAX_UNCOMMITTED   1000             /* what a worker that dies leaves to be done again */
/* Rows take between a half and four times of what they are as JSON: a value is 24 bytes, and a row
 * number of each step comes on top; {"n":1}, is 8. */
#define ROWS_PER_JSON 4
#define HELD_RESULTS  2

struct job_task {
	struct task task;
	struct tally_job_request head;
	/* of the answer that is under way */
	uint32_t n_parts;
	uint32_t next_part; /* 0-based; those before were given to the producer */
	atomic_uint n_owed; /* reports to come, and one as long as parts are to be sent */
	_Atomic(tally_status) failure;
};

static struct job_task *
job_of(struct task *task)
{
	return (struct job_task *)(void *)task;
}

static struct lane_limits
limits(const struct config *config)
{
	size_t in_parts = TALLY_PARTS_MAX * (size_t)config->part_bytes;
	size_t result_bytes = (size_t)config->job_result_max_bytes;
	size_t batch_bytes = (size_t)config->batch_bytes;

	if (result_bytes > in_parts)
		result_bytes = in_parts;
	return (struct lane_limits){
		.query_timeout_ms = (int)config->job_query_timeout_ms,
		.batch_bytes = batch_bytes > ROWS_PER_JSON * result_bytes
				   ? batch_bytes
				   : ROWS_PER_JSON * result_bytes,
		.result_bytes = result_bytes,
		.held_bytes = HELD_RESULTS * result_bytes,
		.max_uncommitted = MAX_UNCOMMITTED,
		.patience_ms = config->job_patience_ms,
	};
}

/* ---- before the first request ---- */

/* How many partitions a topic has; false, and a word now and then, while that is not known. */
static bool
count_partitions(struct lane *lane, const char *topic, int *out_n)
{
	struct tally_error err = { 0 };
	int64_t now_ms = clock_mono_ms();

	if (kafka_producer_warm(lane->answers, topic, WARM_MS, out_n, &err) == TALLY_OK)
		return true;
	if (lane->warned_ms == 0 || now_ms - lane->warned_ms >= WARN_EVERY_MS) {
		log_warn("no jobs are taken yet", LOG_STR("topic", topic), LOG_ERROR(&err));
		lane->warned_ms = now_ms;
	}
	return false;
}

/* Ids of foreign jobs are spread by the number of partitions: all must mean the same. */
static bool
has_right_partitions(struct lane *lane)
{
	int64_t wanted = lane->options.config->results_partitions;
	struct tally_error err = { 0 };
	int n;

	if (!count_partitions(lane, TALLY_TOPIC_RESULTS, &n))
		return false;
	if (n == wanted)
		return true;
	(void)tally_fail(&err, TALLY_WRONG_SETTING,
			 "TALLY_RESULTS_PARTITIONS is %lld, and %s has %d partitions: give all "
			 "programs the number that the broker has",
			 (long long)wanted, TALLY_TOPIC_RESULTS, n);
	lane_fail(lane, &err);
	return false;
}

static bool
prepare(struct lane *lane)
{
	struct tally_error err = { 0 };
	int n;

	if (lane->control)
		return control_has_caught_up(lane->control);
	if (!has_right_partitions(lane) || !count_partitions(lane, TALLY_TOPIC_CONTROL, &n))
		return false;
	if (control_start(lane->options.kafka, n, &lane->control, &err) != TALLY_OK)
		lane_fail(lane, &err);
	return false; /* it has just begun to read */
}

static void
fini(struct lane *lane)
{
	control_stop(lane->control);
}

/* ---- requests ---- */

static tally_status
read_head(struct task *task, struct tally_error *err)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(task->message, headers, TALLY_HEADERS_MAX);
	const struct tally_job_context context = {
		.stamp_ms = kafka_message_time_ms(task->message),
		.results_partitions = (int)task->lane->options.config->results_partitions,
	};
	struct tally_job_request *head = &job_of(task)->head;
	tally_status status = tally_job_request_read(headers, n, &context, head, err);

	if (status != TALLY_OK)
		return status;
	task->has_caller = true;
	task->no_cache = head->no_cache;
	task->budget_ms = head->budget_ms;
	task->trace = head->trace.text;
	return TALLY_OK;
}

static bool
is_unwanted(const struct task *task)
{
	const struct job_task *job = (const struct job_task *)(const void *)task;

	return control_is_cancelled(task->lane->control, &job->head.id);
}

/* tally.started.v1: from now on the job is `running`.  It is advice: nobody asks whether it was
 * stored. */
static void
on_long_run(struct task *task, uint64_t run)
{
	const struct tally_job_request *head = &job_of(task)->head;
	struct tally_control control = {
		.kind = TALLY_CONTROL_STARTED,
		.id = head->id,
		.created_ms = head->created_ms,
		.deadline_ms = head->deadline_ms,
		.run = run,
		.attempt = 1,
		.at_ms = clock_unix_ms(),
	};
	struct tally_headers headers;

	memcpy(control.tenant, head->tenant, sizeof control.tenant);
	if (is_unwanted(task) || tally_control_write(&control, &headers) != TALLY_OK)
		return;
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_CONTROL,
		.partition = -1,
		.key = head->id.text,
		.key_len = TALLY_JOB_ID_CHARS,
		.value = "{}",
		.value_len = 2,
		.headers = headers.items,
		.n_headers = headers.n,
	};
	(void)!kafka_producer_send(task->lane->answers, &message); /* advice */
}

/* ---- results ---- */

static void
describe(const struct job_task *job, struct tally_job_result *result)
{
	const struct tally_job_request *head = &job->head;
	const struct answer *answer = job->task.answer;
	struct timing timing;

	*result = (struct tally_job_result){
		.id = head->id,
		.state = answer->status == TALLY_OK ? TALLY_SUCCEEDED : TALLY_FAILED,
		.run = answer->run,
		.attempt = 1,
		.error_code = answer->status,
		.rows = answer->n_rows,
		.has_sha256 = answer->has_sha256,
		.created_ms = head->created_ms,
		.started_ms = answer->started_ms,
		.deadline_ms = head->deadline_ms,
		.n_as_of = answer->n_as_of,
		.trace = head->trace,
	};
	memcpy(result->tenant, head->tenant, sizeof result->tenant);
	(void)snprintf(result->dataset, sizeof result->dataset, "%s", job->task.dataset);
	if (job->task.plan) {
		const unsigned char *hash = plan_definition(job->task.plan)->hash;

		for (size_t i = 0; i < sizeof result->dataset_hash / 2; i++)
			(void)snprintf(result->dataset_hash + 2 * i, 3, "%02x", hash[i]);
	}
	memcpy(result->sha256, answer->sha256, sizeof result->sha256);
	memcpy(result->as_of, answer->as_of, answer->n_as_of * sizeof *answer->as_of);
	timing_of(&job->task, &timing);
	memcpy(result->timing, timing.text, timing.len + 1);
}

static tally_status
write_headers(const struct job_task *job, struct tally_headers *headers)
{
	struct tally_job_result result;

	describe(job, &result);
	if (job->n_parts > 1) {
		bool is_last = job->next_part + 1 == job->n_parts;

		result.part = job->next_part + 1;
		result.n_parts = is_last ? job->n_parts : 0;
		result.has_sha256 = is_last;
	}
	if (tally_job_result_write(&result, clock_unix_ms(), headers) == TALLY_OK)
		return TALLY_OK;
	log_error("result headers do not fit", LOG_STR("trace", job->task.trace));
	result.timing[0] = '\0';
	result.n_as_of = 0;
	return tally_job_result_write(&result, clock_unix_ms(), headers);
}

/* One report less to wait for; the last one ends the sending. */
static void
settle(struct job_task *job)
{
	if (atomic_fetch_sub(&job->n_owed, 1) == 1)
		lane_sent(&job->task, atomic_load(&job->failure));
}

/* The broker's word on a part; on the producer's thread. */
static void
on_delivered(void *ctx, tally_status status, int32_t partition, int64_t offset)
{
	struct job_task *job = ctx;

	(void)partition;
	(void)offset;
	if (status != TALLY_OK)
		atomic_store(&job->failure, status);
	settle(job);
}

static tally_status
send_part(struct job_task *job)
{
	const struct answer *answer = job->task.answer;
	size_t max = (size_t)job->task.lane->options.config->part_bytes;
	struct tally_headers headers;
	tally_status status = write_headers(job, &headers);

	if (status != TALLY_OK)
		return status;
	const struct kafka_outgoing message = {
		.topic = TALLY_TOPIC_RESULTS,
		.partition = job->head.reply_partition,
		.key = job->head.id.text,
		.key_len = TALLY_JOB_ID_CHARS,
		.value = answer->body ? answer->body + job->next_part * max : NULL,
		.value_len = slices_len(answer->len, max, job->next_part),
		.is_lent = true,
		.headers = headers.items,
		.n_headers = headers.n,
		.on_delivered = on_delivered,
		.ctx = job,
	};
	atomic_fetch_add(&job->n_owed, 1);
	status = kafka_producer_send(job->task.lane->answers, &message);
	if (status != TALLY_OK)
		atomic_fetch_sub(&job->n_owed, 1); /* no report comes; ours is still owed */
	return status;
}

/* Sends what is left; false when the producer has no room for all of it now. */
static bool
send_parts(struct job_task *job)
{
	while (job->next_part < job->n_parts && atomic_load(&job->failure) == TALLY_OK) {
		tally_status status = send_part(job);
		if (status == TALLY_FULL)
			return false;
		if (status != TALLY_OK)
			atomic_store(&job->failure, status);
		job->next_part++;
	}
	settle(job);
	return true;
}

static bool
has_digest(struct answer *answer)
{
	if (answer->status == TALLY_OK && !answer->has_sha256)
		answer->has_sha256 =
		    tally_sha256(answer->body, answer->len, answer->sha256) == TALLY_OK;
	return answer->status != TALLY_OK || answer->has_sha256;
}

static void
send_result(struct task *task)
{
	struct job_task *job = job_of(task);
	size_t max = (size_t)task->lane->options.config->part_bytes;

	job->n_parts = slices_count(task->answer->len, max);
	job->next_part = 0;
	atomic_store(&job->n_owed, 1);
	atomic_store(&job->failure, has_digest(task->answer) ? TALLY_OK : TALLY_INTERNAL_ERROR);
	/* Behind those that wait: the producer has no room for them. */
	if (!TAILQ_EMPTY(&task->lane->unsent) || !send_parts(job))
		TAILQ_INSERT_TAIL(&task->lane->unsent, task, link);
}

static void
on_tick(struct lane *lane)
{
	struct task *task;

	while ((task = TAILQ_FIRST(&lane->unsent)) != NULL) {
		TAILQ_REMOVE(&lane->unsent, task, link);
		if (!send_parts(job_of(task))) {
			TAILQ_INSERT_HEAD(&lane->unsent, task, link);
			return;
		}
	}
}

const struct lane_kind lane_jobs = {
	.name = "jobs",
	.topic = TALLY_TOPIC_REQUESTS_JOBS,
	.group = TALLY_GROUP_WORKERS "-jobs",
	.answers = TALLY_TOPIC_RESULTS,
	.counter = "tally_jobs_answered_total",
	.counter_help = "Jobs answered by this worker",
	.durability = KAFKA_ALL,
	.answer_timeout_ms = RESULT_TIMEOUT_MS,
	.clock_slack_ms = CLOCK_SLACK_MS,
	.forget_ms = FORGET_MS,
	.task_size = sizeof(struct job_task),
	.limits = limits,
	.prepare = prepare,
	.fini = fini,
	.read_head = read_head,
	.send = send_result,
	.is_unwanted = is_unwanted,
	.on_long_run = on_long_run,
	.on_tick = on_tick,
};
