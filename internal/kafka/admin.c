#include "kafka/admin.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kafka/client.h"

static tally_status
open_client(const struct kafka_config *config, rd_kafka_t **out_client, struct tally_error *err)
{
	static const struct client_setting role[] = {
		{ NULL, NULL }
	};
	rd_kafka_conf_t *conf;
	tally_status status = client_conf(config, role, &conf, err);

	return status == TALLY_OK ? client_new(RD_KAFKA_PRODUCER, conf, out_client, err) : status;
}

static tally_status
look(const struct kafka_config *config, rd_kafka_t *client, const struct tally_topic *topics,
     struct kafka_topic_report *reports, size_t n, struct tally_error *err)
{
	const struct rd_kafka_metadata *metadata;

	if (rd_kafka_metadata(client, 1, NULL, &metadata, KAFKA_ADMIN_MS)
	    != RD_KAFKA_RESP_ERR_NO_ERROR)
		return client_no_broker(config, KAFKA_ADMIN_MS, err);
	for (size_t i = 0; i < n; i++) {
		int partitions = client_count_partitions(metadata, topics[i].name);

		reports[i] = (struct kafka_topic_report){
			.topic = &topics[i],
			.state = partitions > 0 ? KAFKA_TOPIC_EXISTS : KAFKA_TOPIC_MISSING,
			.partitions = partitions,
		};
	}
	rd_kafka_metadata_destroy(metadata);
	return TALLY_OK;
}

static void
set_number(rd_kafka_NewTopic_t *topic, const char *name, int64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRId64, number);
	(void)rd_kafka_NewTopic_set_config(topic, name, text);
}

/* NULL when the name or a number is refused. */
static rd_kafka_NewTopic_t *
describe(const struct tally_topic *topic)
{
	char reason[128];
	rd_kafka_NewTopic_t *new =
	    rd_kafka_NewTopic_new(topic->name, topic->partitions, -1, reason, sizeof reason);

	if (!new)
		return NULL;
	(void)rd_kafka_NewTopic_set_config(new, "cleanup.policy", "delete");
	(void)rd_kafka_NewTopic_set_config(new, "message.timestamp.type", "LogAppendTime");
	set_number(new, "retention.ms", topic->retention_ms);
	set_number(new, "segment.ms", topic->segment_ms);
	set_number(new, "max.message.bytes", topic->max_message_bytes);
	return new;
}

/* Reads the broker's answer to one CreateTopics request. */
static tally_status
read_answer(rd_kafka_event_t *event, struct tally_error *err)
{
	const rd_kafka_topic_result_t **results;
	size_t n;

	if (rd_kafka_event_error(event))
		return tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "creating topics: %s",
				  rd_kafka_event_error_string(event));
	results =
	    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
	for (size_t i = 0; i < n; i++) {
		rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);

		/* Somebody else was faster: that is what we wanted. */
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR
		    && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
			return tally_fail(err, TALLY_INTERNAL_ERROR, "creating topic %s: %s",
					  rd_kafka_topic_result_name(results[i]),
					  rd_kafka_topic_result_error_string(results[i]));
	}
	return TALLY_OK;
}

static tally_status
create(rd_kafka_t *client, rd_kafka_NewTopic_t **topics, size_t n, struct tally_error *err)
{
	rd_kafka_AdminOptions_t *options =
	    rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_event_t *event;
	tally_status status;

	(void)rd_kafka_AdminOptions_set_request_timeout(options, KAFKA_ADMIN_MS, NULL, 0);
	(void)rd_kafka_AdminOptions_set_operation_timeout(options, KAFKA_ADMIN_MS, NULL, 0);
	rd_kafka_CreateTopics(client, topics, n, options, queue);
	event = rd_kafka_queue_poll(queue, KAFKA_ADMIN_MS + 1000);
	if (event) {
		status = read_answer(event, err);
		rd_kafka_event_destroy(event);
	} else {
		status = tally_fail(err, TALLY_KAFKA_UNAVAILABLE,
				    "the broker did not answer within %d ms", KAFKA_ADMIN_MS);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	return status;
}

static tally_status
create_missing(rd_kafka_t *client, struct kafka_topic_report *reports, size_t n,
	       struct tally_error *err)
{
	rd_kafka_NewTopic_t *missing[64];
	size_t n_missing = 0;
	tally_status status = TALLY_OK;

	for (size_t i = 0; i < n && n_missing < sizeof missing / sizeof *missing; i++) {
		if (reports[i].state != KAFKA_TOPIC_MISSING)
			continue;
		missing[n_missing] = describe(reports[i].topic);
		if (!missing[n_missing])
			status = tally_fail(err, TALLY_NO_MEMORY, "topic %s cannot be described",
					    reports[i].topic->name);
		else
			n_missing++;
		reports[i].state = KAFKA_TOPIC_CREATED;
		reports[i].partitions = reports[i].topic->partitions;
	}
	if (status == TALLY_OK && n_missing > 0)
		status = create(client, missing, n_missing, err);
	rd_kafka_NewTopic_destroy_array(missing, n_missing);
	return status;
}

tally_status
kafka_topics_create(const struct kafka_config *config, const struct tally_topic *topics, size_t n,
		    struct kafka_topic_report *reports, struct tally_error *err)
{
	rd_kafka_t *client;
	tally_status status = open_client(config, &client, err);

	if (status != TALLY_OK)
		return status;
	status = look(config, client, topics, reports, n, err);
	if (status == TALLY_OK)
		status = create_missing(client, reports, n, err);
	rd_kafka_destroy(client);
	return status;
}

tally_status
kafka_topics_look(const struct kafka_config *config, const struct tally_topic *topics, size_t n,
		  struct kafka_topic_report *reports, struct tally_error *err)
{
	rd_kafka_t *client;
	tally_status status = open_client(config, &client, err);

	if (status != TALLY_OK)
		return status;
	status = look(config, client, topics, reports, n, err);
	rd_kafka_destroy(client);
	return status;
}

/* ---- records ----------------------------------------------------------------- */

/* Reads the broker's answer to one DeleteRecords request of one partition. */
static tally_status
read_deleted(rd_kafka_event_t *event, int64_t *out_low, struct tally_error *err)
{
	const rd_kafka_topic_partition_list_t *list;

	if (rd_kafka_event_error(event))
		return tally_fail(err, TALLY_KAFKA_UNAVAILABLE, "deleting records: %s",
				  rd_kafka_event_error_string(event));
	list = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	if (list->cnt != 1)
		return tally_fail(err, TALLY_INTERNAL_ERROR,
				  "the broker's answer is not of one"
				  " partition");
	if (list->elems[0].err)
		return tally_fail(err, TALLY_BAD_REQUEST, "%s partition %d: %s",
				  list->elems[0].topic, (int)list->elems[0].partition,
				  rd_kafka_err2str(list->elems[0].err));
	*out_low = list->elems[0].offset;
	return TALLY_OK;
}

static tally_status
delete_records(rd_kafka_t *client, rd_kafka_DeleteRecords_t *what, int64_t *out_low,
	       struct tally_error *err)
{
	rd_kafka_AdminOptions_t *options =
	    rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_event_t *event;
	tally_status status;

	(void)rd_kafka_AdminOptions_set_request_timeout(options, KAFKA_ADMIN_MS, NULL, 0);
	(void)rd_kafka_AdminOptions_set_operation_timeout(options, KAFKA_ADMIN_MS, NULL, 0);
	rd_kafka_DeleteRecords(client, &what, 1, options, queue);
	event = rd_kafka_queue_poll(queue, 2 * KAFKA_ADMIN_MS);
	if (event) {
		status = read_deleted(event, out_low, err);
		rd_kafka_event_destroy(event);
	} else {
		status = tally_fail(err, TALLY_KAFKA_UNAVAILABLE,
				    "the broker did not answer within %d ms", 2 * KAFKA_ADMIN_MS);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	return status;
}

tally_status
kafka_records_delete(const struct kafka_config *config, const char *topic, int32_t partition,
		     int64_t before, int64_t *out_low, struct tally_error *err)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_DeleteRecords_t *what;
	rd_kafka_t *client;
	tally_status status = open_client(config, &client, err);

	if (status != TALLY_OK)
		return status;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = before;
	what = rd_kafka_DeleteRecords_new(list);
	status = delete_records(client, what, out_low, err);
	rd_kafka_DeleteRecords_destroy(what);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(client);
	return status;
}
