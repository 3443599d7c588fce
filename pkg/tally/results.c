#include <tally/results.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/consume.h>
#include <tally/lookback.h>
#include <tally/seen.h>

#define COMMIT_MS 1000 /* between commits */

/* A partition that is ours. */
struct owned {
	int32_t partition;
	int64_t boundary; /* what stands below this offset was done with before */
	int64_t stamp_ms; /* the broker's of the latest message: the clock of this partition */
	int64_t done;     /* the offset to commit, or -1 */
	int64_t done_ms;  /* the stamp of the message before it */
	bool is_dirty;    /* it is not committed yet */
	struct tally_seen *seen;
	struct tally_parts *parts;
};

struct tally_results {
	struct tally_trouble trouble; /* first: see struct tally_role */
	rd_kafka_t *consumer;
	bool is_from_end;
	size_t max_bytes;
	size_t max_ids;
	int64_t lookback_ms;
	int64_t committed_at_ms; /* when, by tally_consume_clock_ms */
	bool is_lost;            /* partitions could not be taken over: join again */
	struct owned *owned;
	size_t n_owned;
};

/* ---- commit ------------------------------------------------------------------ */

/* The committed offset's metadata is the stamp of the message before it, so that a reader knows how
 * far back it must read. */
static bool
add_commit(rd_kafka_topic_partition_list_t *list, const struct owned *owned)
{
	rd_kafka_topic_partition_t *item =
	    rd_kafka_topic_partition_list_add(list, TALLY_TOPIC_RESULTS, owned->partition);
	char *text = malloc(24); /* freed with the list, by librdkafka */

	if (!text)
		return false;
	item->offset = owned->done;
	item->metadata = text;
	item->metadata_size = (size_t)snprintf(text, 24, "%" PRId64, owned->done_ms);
	return true;
}

/* Commits what is done and not committed yet. */
static rd_kafka_resp_err_t
commit(struct tally_results *results, bool is_async)
{
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new((int)results->n_owned);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	bool ok = true;

	for (size_t i = 0; i < results->n_owned; i++) {
		if (results->owned[i].is_dirty)
			ok = add_commit(list, &results->owned[i]) && ok;
	}
	if (list->cnt > 0)
		code = ok ? rd_kafka_commit(results->consumer, list, is_async)
			  : RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
	rd_kafka_topic_partition_list_destroy(list);
	/* An asynchronous one that fails is made good by the next, or by a repetition. */
	for (size_t i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < results->n_owned; i++)
		results->owned[i].is_dirty = false;
	results->committed_at_ms = tally_consume_clock_ms();
	return code;
}

static void
commit_now_and_then(struct tally_results *results)
{
	if (tally_consume_clock_ms() - results->committed_at_ms >= COMMIT_MS)
		(void)commit(results, true);
}

tally_status
tally_results_commit(struct tally_results *results, struct tally_error *err)
{
	rd_kafka_resp_err_t code = commit(results, false);

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_consume_fail(err, TALLY_KAFKA_UNAVAILABLE, "committing offsets",
					  rd_kafka_err2str(code));
	return TALLY_OK;
}

/* ---- partitions come and go -------------------------------------------------- */

static void
give_up_partitions(struct tally_results *results)
{
	for (size_t i = 0; i < results->n_owned; i++) {
		tally_seen_free(results->owned[i].seen);
		tally_parts_free(results->owned[i].parts);
	}
	free(results->owned);
	results->owned = NULL;
	results->n_owned = 0;
}

/* Who begins at the end says so at once: the end of a later reader would be another one. */
static void
begin_at(struct owned *owned, int64_t offset)
{
	owned->done = offset;
	owned->done_ms = tally_consume_unix_ms();
	owned->is_dirty = true;
}

/* Keeps the partitions of the list, and what was committed there, as theirs. */
static bool
keep_partitions(struct tally_results *results, const rd_kafka_topic_partition_list_t *committed)
{
	size_t n = (size_t)committed->cnt;

	results->owned = calloc(n ? n : 1, sizeof *results->owned);
	if (!results->owned)
		return false;
	for (; results->n_owned < n; results->n_owned++) {
		struct owned *owned = &results->owned[results->n_owned];

		*owned = (struct owned){
			.partition = committed->elems[results->n_owned].partition,
			.boundary = committed->elems[results->n_owned].offset,
			.done = -1,
			.seen = tally_seen_new(results->max_ids),
			.parts = tally_parts_new(results->max_bytes, TALLY_RUNS_MAX),
		};
		if (results->is_from_end && committed->elems[results->n_owned].metadata_size == 0)
			begin_at(owned, owned->boundary);
		if (!owned->seen || !owned->parts) {
			results->n_owned++;
			give_up_partitions(results);
			return false;
		}
	}
	return true;
}

static bool
take_over(struct tally_results *results, rd_kafka_topic_partition_list_t *list)
{
	if (!tally_lookback_boundaries(results->consumer, list, results->is_from_end)
	    || !keep_partitions(results, list))
		return false;
	if (tally_lookback_starts(results->consumer, list, results->lookback_ms))
		return true;
	give_up_partitions(results);
	return false;
}

/* An rd_kafka_conf_set_rebalance_cb function; called by poll and close, in the caller's thread. */
static void
on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
	     void *ctx)
{
	struct tally_results *results = ctx;

	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		give_up_partitions(results);
		results->is_lost = !take_over(results, list);
		(void)rd_kafka_assign(consumer, results->is_lost ? NULL : list);
		return;
	}
	(void)commit(results, false); /* too late when they were lost: then they come again */
	give_up_partitions(results);
	(void)rd_kafka_assign(consumer, NULL);
}

/* ---- open and close ---------------------------------------------------------- */

static tally_status
subscribe(struct tally_results *results, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t code;

	rd_kafka_topic_partition_list_add(topics, TALLY_TOPIC_RESULTS, RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(results->consumer, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return tally_consume_fail(err, TALLY_INTERNAL_ERROR, "subscribing",
					  rd_kafka_err2str(code));
	return TALLY_OK;
}

static tally_status
open_consumer(struct tally_results *results, const struct tally_results_settings *settings,
	      struct tally_error *err)
{
	/* Offsets and assignment are ours: of all assignors those that take everything away and
	 * give it out anew. */
	const struct tally_property properties[] = {
		{ "group.id",                      settings->group },
		{ "enable.auto.commit",            "false"         },
		{ "enable.auto.offset.store",      "false"         },
		{ "auto.offset.reset",             "earliest"      },
		{ "partition.assignment.strategy", "roundrobin"    },
	};
	const struct tally_role role = {
		.type = RD_KAFKA_CONSUMER,
		.properties = properties,
		.n = sizeof properties / sizeof *properties,
		.on_rebalance = on_rebalance,
		.ctx = results,
	};
	tally_status status;

	if (!settings->group || !settings->group[0])
		return tally_fail(err, TALLY_WRONG_SETTING, "a group needs a name");
	status = tally_consume_open(&settings->kafka, &role, &results->consumer, err);
	if (status != TALLY_OK)
		return status;
	(void)rd_kafka_poll_set_consumer(results->consumer);
	return subscribe(results, err);
}

tally_status
tally_results_open(const struct tally_results_settings *settings,
		   struct tally_results **out_results, struct tally_error *err)
{
	struct tally_results *results = calloc(1, sizeof *results);
	tally_status status;

	if (!results)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	results->is_from_end = settings->is_from_end;
	results->max_bytes = settings->max_bytes > 0 ? settings->max_bytes : TALLY_RESULTS_BYTES;
	results->max_ids = settings->max_ids > 0 ? settings->max_ids : TALLY_RESULTS_IDS;
	results->lookback_ms =
	    settings->lookback_ms > 0 ? settings->lookback_ms : TALLY_RESULTS_LOOKBACK_MS;
	results->committed_at_ms = tally_consume_clock_ms();
	status = open_consumer(results, settings, err);
	if (status != TALLY_OK) {
		tally_results_close(results);
		return status;
	}
	*out_results = results;
	return TALLY_OK;
}

void
tally_results_close(struct tally_results *results)
{
	if (!results)
		return;
	if (results->consumer) {
		(void)rd_kafka_consumer_close(results->consumer); /* commits by on_rebalance */
		rd_kafka_destroy(results->consumer);
	}
	give_up_partitions(results);
	free(results);
}

/* ---- next and done ----------------------------------------------------------- */

static struct owned *
owned_of(const struct tally_results *results, int32_t partition)
{
	for (size_t i = 0; i < results->n_owned; i++) {
		if (results->owned[i].partition == partition)
			return &results->owned[i];
	}
	return NULL;
}

static size_t
held_bytes(const struct tally_results *results)
{
	size_t n = 0;

	for (size_t i = 0; i < results->n_owned; i++)
		n += tally_parts_bytes(results->owned[i].parts);
	return n;
}

/* Partitions share the ceiling.  Where it is reached, those that are behind may hold what the
 * clock of others says is stale. */
static void
share_bytes(struct tally_results *results, struct owned *owned, size_t len)
{
	int64_t latest_ms = 0;
	size_t others;

	for (size_t i = 0; i < results->n_owned; i++)
		if (results->owned[i].stamp_ms > latest_ms)
			latest_ms = results->owned[i].stamp_ms;
	for (size_t i = 0; i < results->n_owned; i++)
		if (held_bytes(results) + len > results->max_bytes)
			tally_parts_age(results->owned[i].parts, latest_ms);
	others = held_bytes(results) - tally_parts_bytes(owned->parts);
	tally_parts_limit(owned->parts,
			  others < results->max_bytes ? results->max_bytes - others : 0);
}

/* Adds a part; TALLY_OK when the result is complete by it, also when it is too large to be held:
 * *out_body is empty then. */
static tally_status
add_part(struct tally_results *results, struct owned *owned, const rd_kafka_message_t *message,
	 const struct tally_job_result *result, struct tally_body *out_body)
{
	tally_status status;

	share_bytes(results, owned, message->len);
	status = tally_parts_add(owned->parts, result, message->payload, message->len,
				 owned->stamp_ms, out_body);
	if (status == TALLY_TOO_LARGE)
		return tally_job_result_is_last(result) ? TALLY_OK : TALLY_RESULT_NOT_READY;
	/* A run without its beginning, or that is not whole: another one may be. */
	return status == TALLY_BAD_REQUEST ? TALLY_RESULT_NOT_READY : status;
}

/* What a message completes: TALLY_OK, or TALLY_RESULT_NOT_READY when there is nothing to tell. */
static tally_status
complete(struct tally_results *results, struct owned *owned, const rd_kafka_message_t *message,
	 const struct tally_job_result *result, struct tally_answer *out_answer)
{
	struct tally_body body = { NULL, 0 };
	tally_status status = TALLY_OK;

	if (tally_job_result_is_part(result))
		status = add_part(results, owned, message, result, &body);
	if (status != TALLY_OK)
		return status;
	tally_parts_drop(owned->parts, &result->id);
	status = tally_seen_add(owned->seen, &result->id, result->deadline_ms + TALLY_SEEN_AFTER_MS,
				owned->stamp_ms);
	if (status == TALLY_OK && message->offset >= owned->boundary)
		return tally_consume_answer(message, result, &body, SIZE_MAX, out_answer);
	free(body.bytes);
	return status == TALLY_OK ? TALLY_RESULT_NOT_READY : status;
}

static tally_status
take_result(struct tally_results *results, const rd_kafka_message_t *message,
	    struct tally_answer *out_answer)
{
	struct owned *owned = owned_of(results, message->partition);
	int64_t stamp_ms = tally_consume_stamp_ms(message);
	struct tally_job_result result;

	if (!owned)
		return TALLY_RESULT_NOT_READY; /* of before a rebalance */
	if (stamp_ms > owned->stamp_ms)
		owned->stamp_ms = stamp_ms;
	if (tally_consume_read(message, &result) != TALLY_OK)
		return TALLY_RESULT_NOT_READY; /* somebody else's */
	if (tally_seen_has(owned->seen, &result.id))
		return TALLY_RESULT_NOT_READY;
	return complete(results, owned, message, &result, out_answer);
}

/* Errors that do not go away by themselves have a status of their own. */
static tally_status
status_of(rd_kafka_resp_err_t code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		return TALLY_NOT_FOUND;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		return TALLY_FORBIDDEN;
	default:
		return TALLY_RESULT_NOT_READY;
	}
}

static tally_status
take(struct tally_results *results, rd_kafka_message_t *message, struct tally_answer *out_answer,
     struct tally_error *err)
{
	tally_status status;

	tally_consume_note(&results->trouble, message);
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		status = take_result(results, message, out_answer);
		if (status == TALLY_NO_MEMORY)
			(void)tally_fail(err, status, "out of memory for a result");
	} else {
		status = status_of(message->err);
		if (status != TALLY_RESULT_NOT_READY)
			(void)tally_consume_fail(err, status, TALLY_TOPIC_RESULTS,
						 results->trouble.text);
	}
	rd_kafka_message_destroy(message);
	return status;
}

/* Partitions that could not be taken over are asked for again. */
static tally_status
join_again(struct tally_results *results, struct tally_error *err)
{
	results->is_lost = false;
	(void)rd_kafka_unsubscribe(results->consumer); /* what follows fails when this does */
	if (subscribe(results, err) != TALLY_OK)
		return TALLY_INTERNAL_ERROR;
	return tally_consume_fail(err, TALLY_KAFKA_UNAVAILABLE, "the offsets could not be read",
				  results->trouble.text);
}

tally_status
tally_results_next(struct tally_results *results, int timeout_ms, struct tally_answer *out_answer,
		   struct tally_error *err)
{
	int64_t until_ms = tally_consume_clock_ms() + timeout_ms;
	int64_t left = timeout_ms;
	tally_status status = TALLY_RESULT_NOT_READY;

	do {
		rd_kafka_message_t *message =
		    rd_kafka_consumer_poll(results->consumer, left > 0 ? (int)left : 0);

		commit_now_and_then(results);
		if (results->is_lost) {
			if (message)
				rd_kafka_message_destroy(message);
			return join_again(results, err);
		}
		if (message)
			status = take(results, message, out_answer, err);
		left = until_ms - tally_consume_clock_ms();
	} while (status == TALLY_RESULT_NOT_READY && left > 0);
	if (status == TALLY_RESULT_NOT_READY)
		(void)tally_consume_fail(err, status, "no result came", results->trouble.text);
	return status;
}

tally_status
tally_results_done(struct tally_results *results, const struct tally_answer *answer)
{
	struct owned *owned = owned_of(results, answer->partition);

	if (!owned || answer->offset < owned->boundary)
		return TALLY_CLOSED;
	if (answer->offset >= owned->done) {
		owned->done = answer->offset + 1;
		owned->done_ms = answer->at_ms;
		owned->is_dirty = true;
	}
	commit_now_and_then(results);
	return TALLY_OK;
}
