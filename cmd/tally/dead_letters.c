/* dead_letters.c - what no worker could read, in tally.dead-letters: looked at, submitted again as
 * a new job, deleted.  Kafka deletes only what is oldest in a partition, so dropping one letter
 * from among others is not to be had: they are gone by themselves after two weeks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/job.h>

#include "kafka/admin.h"
#include "kafka/browse.h"
#include "message.h"
#include "submit.h"
#include "table.h"

#define READ_MS       10000
#define DEFAULT_LIMIT 50
#define MAX_LIMIT     10000

struct letters {
	struct cli *cli;
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	struct kafka_config kafka;
};

/* Where a letter stands: "OFFSET" or "PARTITION/OFFSET". */
struct where {
	int32_t partition;
	int64_t offset;
};

static bool
read_where(const char *text, struct where *out_where)
{
	char *end;
	long long number = strtoll(text, &end, 10);

	*out_where = (struct where){ 0, number };
	if (end != text && *end == '/' && number >= 0 && number <= TALLY_PARTITION_MAX) {
		out_where->partition = (int32_t)number;
		text = end + 1;
		out_where->offset = strtoll(text, &end, 10);
	}
	return end != text && *end == '\0' && out_where->offset >= 0;
}

/* The topic/partition/offset that a letter comes from. */
static void
origin_of(const struct kafka_message *message, char *out, size_t size)
{
	char topic[256], partition[16], offset[32];

	message_header(message, TALLY_HEADER_ORIGIN_TOPIC, topic, sizeof topic);
	message_header(message, TALLY_HEADER_ORIGIN_PARTITION, partition, sizeof partition);
	message_header(message, TALLY_HEADER_ORIGIN_OFFSET, offset, sizeof offset);
	(void)snprintf(out, size, "%s/%s/%s", topic, partition, offset);
}

/* ---- list -------------------------------------------------------------------- */

static json_t *
row_of(const struct kafka_message *message)
{
	char where[32], time[MESSAGE_TIME_CHARS], reason[256], origin[320];
	size_t len;

	(void)kafka_message_value(message, &len);
	(void)snprintf(where, sizeof where, "%d/%" PRId64, (int)kafka_message_partition(message),
		       kafka_message_offset(message));
	message_time(kafka_message_time_ms(message), time);
	message_header(message, TALLY_HEADER_REASON, reason, sizeof reason);
	origin_of(message, origin, sizeof origin);
	/* The reason quotes nothing of the message, so it is UTF-8; else it is left out. */
	return json_pack("{s:s, s:s, s:s*, s:s*, s:I}", "letter", where, "time", time, "reason",
			 reason, "origin", origin, "bytes", (json_int_t)len);
}

/* The last letters of the topic, at most limit. */
static tally_status
read_all(const struct letters *letters, int limit, json_t *rows, struct tally_error *err)
{
	const struct kafka_browse_options options = { .topic = TALLY_TOPIC_DEAD_LETTERS };
	struct kafka_browse *browse = NULL;
	struct kafka_message *message;
	tally_status status = kafka_browse_open(&letters->kafka, &options, &browse, err);

	while (status == TALLY_OK) {
		status = kafka_browse_next(browse, READ_MS, &message);
		if (status != TALLY_OK)
			break;
		(void)json_array_append_new(rows, row_of(message));
		if (json_array_size(rows) > (size_t)limit)
			(void)json_array_remove(rows, 0);
		kafka_message_free(message);
	}
	kafka_browse_close(browse);
	if (status == TALLY_DEADLINE_EXCEEDED)
		return tally_fail(err, status, "Kafka sent nothing for %d ms", READ_MS);
	return status == TALLY_CLOSED ? TALLY_OK : status;
}

static int
list_letters(struct letters *letters)
{
	static const struct table_column columns[] = {
		{ "letter", false },
                { "time",   false },
                { "reason", false },
		{ "origin", false },
                { "bytes",  true  },
	};
	bool as_json = cli_flag(letters->cli, "--json");
	json_auto_t *rows = json_array();
	struct tally_error err = { 0 };
	const char *text = NULL;
	int limit = DEFAULT_LIMIT;
	tally_status status;
	size_t index;
	json_t *row;

	if (!cli_option(letters->cli, "--limit", &text) || !cli_number(text, 1, MAX_LIMIT, &limit)
	    || letters->cli->n_words > 0)
		return cli_usage(&command_dead_letters, "list takes --limit 1 to %d", MAX_LIMIT);
	status = read_all(letters, limit, rows, &err);
	if (status == TALLY_OK && !as_json)
		status = table_print_rows(stdout, columns, sizeof columns / sizeof *columns, rows);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	json_array_foreach(rows, index, row)
	{
		if (as_json)
			api_print_job(row, true);
	}
	return CLI_OK;
}

/* ---- one letter -------------------------------------------------------------- */

/* Calls use with the letter that the first word names.  Returns an exit code. */
static int
with_letter(struct letters *letters, int (*use)(const struct kafka_message *message, void *ctx),
	    void *ctx)
{
	struct kafka_browse *browse = NULL;
	struct kafka_message *message = NULL;
	struct tally_error err = { 0 };
	struct where where;
	tally_status status;
	int code;

	if (letters->cli->n_words != 1 || !read_where(letters->cli->words[0], &where))
		return cli_usage(&command_dead_letters,
				 "say which letter: OFFSET or PARTITION/OFFSET");
	status = kafka_browse_open_at(&letters->kafka, TALLY_TOPIC_DEAD_LETTERS, where.partition,
				      where.offset, &browse, &err);
	if (status == TALLY_OK)
		status = kafka_browse_next(browse, READ_MS, &message);
	if (status == TALLY_CLOSED
	    || (status == TALLY_OK && kafka_message_offset(message) != where.offset))
		status = tally_fail(&err, TALLY_NOT_FOUND, "there is no letter %d/%" PRId64,
				    (int)where.partition, where.offset);
	code = status == TALLY_OK ? use(message, ctx) : cli_fail(status, &err);
	kafka_message_free(message);
	kafka_browse_close(browse);
	return code;
}

static void
print_headers(const struct kafka_message *message)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);

	for (size_t i = 0; i < n; i++) {
		(void)printf("%s: ", headers[i].name);
		/* Whatever a stranger sent must not steer a terminal. */
		for (size_t at = 0; at < headers[i].len; at++) {
			unsigned char byte = ((const unsigned char *)headers[i].value)[at];

			(void)fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, stdout);
		}
		(void)fputc('\n', stdout);
	}
	(void)fputc('\n', stdout);
}

static int
show(const struct kafka_message *message, void *ctx)
{
	const bool *has_value_only = ctx;
	size_t len;
	const void *value = kafka_message_value(message, &len);

	if (!*has_value_only)
		print_headers(message);
	if (len > 0)
		(void)fwrite(value, 1, len, stdout); /* main looks at ferror */
	if (!*has_value_only)
		(void)fputc('\n', stdout);
	return CLI_OK;
}

static int
show_letter(struct letters *letters)
{
	bool has_value_only = cli_flag(letters->cli, "--value");

	return with_letter(letters, show, &has_value_only);
}

/* ---- replay ------------------------------------------------------------------ */

/* The job that the letter was to be, or where it comes from. */
static void
name_of(const struct kafka_message *message, char *out, size_t size)
{
	struct tally_job_id id;
	struct tally_job_id_parts parts;

	message_header(message, TALLY_HEADER_CE_SUBJECT, out, size);
	if (tally_job_id_parse(out, strlen(out), &id, &parts) != TALLY_OK)
		origin_of(message, out, size);
}

/* The request of a letter with labels.replay_of; the caller frees it.  NULL: it is no request. */
static char *
replay_text(const struct kafka_message *message)
{
	size_t len;
	const char *value = kafka_message_value(message, &len);
	json_auto_t *request = json_loadb(value ? value : "", len, JSON_REJECT_DUPLICATES, NULL);
	json_t *labels = json_object_get(request, "labels");
	char name[257];

	if (!json_is_object(request))
		return NULL;
	name_of(message, name, sizeof name);
	if (!json_is_object(labels)) {
		labels = json_object();
		(void)json_object_set_new(request, "labels", labels);
	}
	(void)json_object_set_new(labels, "replay_of", json_string(name));
	return json_dumps(request, JSON_COMPACT);
}

static int
replay(const struct kafka_message *message, void *ctx)
{
	const struct api *api = ctx;
	char *text = replay_text(message);
	struct http_answer answer = { 0 };
	struct tally_error err = { 0 };
	tally_status status;
	int code;

	if (!text) {
		(void)fputs("tally: the letter is not JSON: save it with show --value, mend it, and"
			    " submit it with tally submit --file\n",
			    stderr);
		return CLI_FAILED;
	}
	const struct submission submission = { .json = text, .len = strlen(text) };
	status = submit_post(api, api->client, &submission, &answer, &err);
	code = status == TALLY_OK ? api_print_answer(&answer, false) : cli_fail(status, &err);
	http_answer_fini(&answer);
	free(text);
	return code;
}

static int
replay_letter(struct letters *letters)
{
	struct api api = { 0 };
	int code = api_open(letters->cli, &command_dead_letters, &api);

	if (code == CLI_OK)
		code = with_letter(letters, replay, &api);
	api_close(&api);
	return code;
}

/* ---- drop -------------------------------------------------------------------- */

static int
drop_letters(struct letters *letters)
{
	struct tally_error err = { 0 };
	const char *text = NULL;
	struct where where;
	int64_t low;
	tally_status status;

	if (!cli_option(letters->cli, "--before", &text) || !text || !read_where(text, &where)
	    || letters->cli->n_words > 0)
		return cli_usage(&command_dead_letters,
				 "drop takes --before OFFSET or PARTITION/OFFSET");
	status = kafka_records_delete(&letters->kafka, TALLY_TOPIC_DEAD_LETTERS, where.partition,
				      where.offset, &low, &err);
	if (status != TALLY_OK)
		return cli_fail(status, &err);
	(void)printf("the first letter of partition %d is %" PRId64 "\n", (int)where.partition,
		     low);
	return CLI_OK;
}

/* ---- the words --------------------------------------------------------------- */

static int
run(struct cli *cli)
{
	static const struct {
		const char *name;
		int (*run)(struct letters *letters);
	} words[] = {
		{ "list",   list_letters  },
		{ "show",   show_letter   },
		{ "replay", replay_letter },
		{ "drop",   drop_letters  },
	};
	struct letters letters = { .cli = cli };
	struct tally_error err = { 0 };
	const char *word = cli->n_words > 0 ? cli->words[0] : "";
	tally_status status;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(words[i].name, word) != 0)
			continue;
		status = cli_kafka(cli, letters.properties, &letters.kafka, &err);
		if (status != TALLY_OK)
			return cli_fail(status, &err);
		cli->words++;
		cli->n_words--;
		return words[i].run(&letters);
	}
	return cli_usage(&command_dead_letters, "dead-letters takes list, show, replay or drop");
}

const struct cli_command command_dead_letters = {
	"dead-letters",
	"look at what could not be read, submit it again, delete it",
	"usage: tally dead-letters list [--limit N] [--json] --kafka HOST:PORT\n"
	"       tally dead-letters show LETTER [--value] --kafka HOST:PORT\n"
	"       tally dead-letters replay LETTER [--url URL] --kafka HOST:PORT\n"
	"       tally dead-letters drop --before LETTER --kafka HOST:PORT\n"
	"\n"
	"Requests that no worker could read are kept in tally.dead-letters for 14 days.  LETTER\n"
	"is OFFSET or PARTITION/OFFSET, as list says.\n"
	"\n"
	"  list    the newest letters, 50 without --limit: where they are, why, where from\n"
	"  show    headers and value of one, or only its value\n"
	"  replay  submits it to the gateway at URL as a new job, whose label replay_of names the\n"
	"          old one, or where the letter comes from\n"
	"  drop    deletes all letters of a partition that stand before LETTER\n"
	"\n"
	"    tally dead-letters list\n",
	run,
};
