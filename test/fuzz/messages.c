/* A message of any topic: its key, headers and value as anybody may write them.
 *
 *   KEY LF  NAME: VALUE LF ...  LF  VALUE          "- LF" is no key, "NAME LF" a header without value
 *
 * Every reader reads it; what one takes is written again and read as the same.  The recorder's
 * projection takes it too, as a message of each topic. */
#include "fuzz/fuzz.h"

#include <string.h>

#include <tally/parts.h>

#include "support/job_messages.h"

#define HEADERS    200
#define STAMP_MS   INT64_C(1751200000500)
#define PARTITIONS 12

struct message {
	char *text; /* owned; cut in place */
	const char *key;
	size_t key_len;
	struct tally_header headers[HEADERS];
	size_t n;
	const char *value;
	size_t value_len;
};

/* Cuts the next line off; NULL: there is none. */
static char *
next_line(char **at, char *end)
{
	char *line = *at;
	char *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;

	if (!stop)
		return NULL;
	*stop = '\0';
	*at = stop + 1;
	return line;
}

static void
read_header(struct message *message, char *line, size_t len)
{
	struct tally_header *header = &message->headers[message->n++];
	char *colon = memmem(line, len, ": ", 2);

	*header = (struct tally_header){ .name = line };
	if (!colon)
		return;
	*colon = '\0';
	header->value = colon + 2;
	header->len = len - (size_t)(colon + 2 - line);
}

static void
read_message(struct message *message, const uint8_t *data, size_t size)
{
	char *at, *end, *line;

	*message = (struct message){ .text = fuzz_exact(data, size) };
	at = message->text;
	end = at + size;
	line = next_line(&at, end);
	if (line && strcmp(line, "-") != 0) {
		message->key = line;
		message->key_len = (size_t)(at - 1 - line);
	}
	while (message->n < HEADERS && (line = next_line(&at, end)) && at - 1 > line)
		read_header(message, line, (size_t)(at - 1 - line));
	message->value = at;
	message->value_len = (size_t)(end - at);
}

/* ---- the sync lane ----------------------------------------------------------- */

static void
read_sync_request(const struct message *message)
{
	struct tally_sync_request request, again;
	struct tally_headers headers;
	struct tally_error err = { 0 };

	if (tally_sync_request_read(message->headers, message->n, &request, &err) != TALLY_OK) {
		fuzz_must_be_plain(err.detail);
		return;
	}
	FUZZ_MUST(request.budget_ms > 0);
	FUZZ_MUST(tally_sync_request_write(&request, &headers) == TALLY_OK);
	if (!request.trace.text[0])
		return; /* it is written all the same, and that is not read */
	FUZZ_MUST(tally_sync_request_read(headers.items, headers.n, &again, &err) == TALLY_OK);
	FUZZ_MUST(memcmp(&request.id, &again.id, sizeof request.id) == 0);
	FUZZ_MUST(strcmp(request.tenant, again.tenant) == 0
		  && strcmp(request.trace.text, again.trace.text) == 0);
	FUZZ_MUST(request.reply_partition == again.reply_partition
		  && request.budget_ms == again.budget_ms && request.no_cache == again.no_cache);
}

static void
read_sync_reply(const struct message *message)
{
	struct tally_sync_reply reply, again;
	struct tally_headers headers;
	struct tally_error err = { 0 };

	if (tally_sync_reply_read(message->key, message->key_len, message->headers, message->n,
				  &reply, &err)
	    != TALLY_OK) {
		fuzz_must_be_plain(err.detail);
		return;
	}
	FUZZ_MUST(reply.n_as_of <= TALLY_SOURCES_MAX);
	FUZZ_MUST(tally_sync_reply_write(&reply, &headers) == TALLY_OK);
	FUZZ_MUST(tally_sync_reply_read(message->key, message->key_len, headers.items, headers.n,
					&again, &err)
		  == TALLY_OK);
	FUZZ_MUST(reply.state == again.state && reply.run == again.run
		  && reply.error_code == again.error_code && reply.n_as_of == again.n_as_of
		  && strcmp(reply.timing, again.timing) == 0);
}

/* ---- the job lane ------------------------------------------------------------ */

static void
read_job_request(const struct message *message)
{
	const struct tally_job_context context = { STAMP_MS, PARTITIONS };
	struct tally_job_request request, again;
	struct tally_headers headers;
	struct tally_error err = { 0 };

	if (tally_job_request_read(message->headers, message->n, &context, &request, &err)
	    != TALLY_OK) {
		fuzz_must_be_plain(err.detail);
		return;
	}
	FUZZ_MUST(request.reply_partition >= 0 && request.reply_partition < PARTITIONS);
	FUZZ_MUST(request.deadline_ms - request.created_ms <= TALLY_JOB_DEADLINE_MAX_MS);
	FUZZ_MUST(tally_job_request_write(&request, &headers) == TALLY_OK);
	FUZZ_MUST(tally_job_request_read(headers.items, headers.n, &context, &again, &err)
		  == TALLY_OK);
	FUZZ_MUST(strcmp(request.id.text, again.id.text) == 0);
	FUZZ_MUST(request.is_foreign == again.is_foreign
		  && request.reply_partition == again.reply_partition
		  && request.deadline_ms == again.deadline_ms
		  && strcmp(request.idempotency_key, again.idempotency_key) == 0
		  && strcmp(request.tenant, again.tenant) == 0);
}

static void
add_parts(const struct message *message, const struct tally_job_result *result)
{
	struct tally_parts *parts = tally_parts_new(1 << 16, 4);
	struct tally_body body = { 0 };

	FUZZ_MUST(parts != NULL);
	for (int i = 0; i < 2; i++) {
		tally_status status =
		    tally_parts_add(parts, result, message->value, message->value_len, i, &body);

		if (status == TALLY_OK) {
			FUZZ_MUST(body.len == message->value_len);
			free(body.bytes);
		}
		FUZZ_MUST(tally_parts_bytes(parts) <= 1 << 16);
	}
	tally_parts_free(parts);
}

static void
read_result(const struct message *message)
{
	struct tally_job_result result, again;
	struct tally_headers headers;
	struct tally_error err = { 0 };

	if (tally_job_result_read(message->key, message->key_len, message->headers, message->n,
				  &result, &err)
	    != TALLY_OK) {
		fuzz_must_be_plain(err.detail);
		return;
	}
	FUZZ_MUST(tally_job_result_write(&result, STAMP_MS, &headers) == TALLY_OK);
	FUZZ_MUST(tally_job_result_read(message->key, message->key_len, headers.items, headers.n,
					&again, &err)
		  == TALLY_OK);
	FUZZ_MUST(result.state == again.state && result.part == again.part
		  && result.n_parts == again.n_parts && result.rows == again.rows
		  && result.n_as_of == again.n_as_of && result.run == again.run);
	if (tally_job_result_is_part(&result))
		add_parts(message, &result);
}

static void
read_control(const struct message *message)
{
	struct tally_control control, again;
	struct tally_headers headers;
	struct tally_error err = { 0 };

	if (tally_control_read(message->key, message->key_len, message->headers, message->n,
			       &control, &err)
	    != TALLY_OK) {
		fuzz_must_be_plain(err.detail);
		return;
	}
	FUZZ_MUST(tally_control_write(&control, &headers) == TALLY_OK);
	FUZZ_MUST(tally_control_read(message->key, message->key_len, headers.items, headers.n,
				     &again, &err)
		  == TALLY_OK);
	/* A time before 1970, which is nobody's, is written as 1970. */
	FUZZ_MUST(control.kind == again.kind && control.run == again.run
		  && (control.at_ms < 0 ? 0 : control.at_ms) == again.at_ms);
}

/* ---- the recorder ------------------------------------------------------------ */

static void
project(const struct message *message, enum projection_topic topic, int32_t partition)
{
	const struct projection_rules rules = {
		.secrets = &sample_secrets,
		.results_partitions = PARTITIONS,
		.days = { .first = projection_day(STAMP_MS) - 30,
                         .mask = UINT64_MAX,
                         .last = projection_day(STAMP_MS) + 30 },
	};
	static struct projection *projection;
	const struct projection_message it = {
		.topic = topic,
		.partition = partition,
		.offset = 7,
		.stamp_ms = STAMP_MS,
		.key = message->key,
		.key_len = message->key_len,
		.value = message->value,
		.value_len = message->value_len,
		.headers = message->headers,
		.n_headers = message->n,
	};
	struct tally_error err = { 0 };

	if (!projection)
		projection = projection_new();
	FUZZ_MUST(projection != NULL);
	enum projection_outcome outcome = projection_add(projection, &rules, &it, &err);
	FUZZ_MUST(outcome != PROJECTION_FLUSH && outcome != PROJECTION_NO_MEMORY);
	if (outcome == PROJECTION_REFUSED)
		FUZZ_MUST(err.status != TALLY_OK && projection->n_changes == 0);
	/* The same once more changes nothing. */
	size_t n = projection->n_changes;
	if (outcome == PROJECTION_DONE)
		FUZZ_MUST(projection_add(projection, &rules, &it, &err) != PROJECTION_REFUSED);
	FUZZ_MUST(projection->n_changes == n);
	projection_reset(projection);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message message;

	read_message(&message, data, size);
	read_sync_request(&message);
	read_sync_reply(&message);
	read_job_request(&message);
	read_result(&message);
	read_control(&message);
	for (int32_t partition = 0; partition < PARTITIONS; partition += 7)
		for (int topic = 0; topic < PROJECTION_TOPICS; topic++)
			project(&message, (enum projection_topic)topic, partition);
	free(message.text);
	return 0;
}
