/* micro - the hot functions by themselves, without databases, Kafka or sockets, for valgrind to
 * count their instructions: a count repeats where a clock does not.
 *
 *   micro CASE   runs the case REPEATS times within measured(), and prints for how many requests
 *   micro        prints the names of the cases
 *
 * Rows come from canned_rows(), which is not to be counted.  The datasets are the shipped ones, the
 * shapes those of the generated data: 30 days, or 33 posts, a user. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tally/fingerprint.h>
#include <tally/message.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION (void)0 /* it compiles, and counts nothing */
#endif

#include "dataset/transcode.h"
#include "http/target.h"
#include "support/rig.h"

#define REPEATS   5
#define MAX_TEXT  4096
#define TARGET    "/api/comments/?login=user12345"
#define LOGIN     "user12345"
#define N_BATCH   256
#define DAYS      30
#define POSTS     33
#define FIRST_DAY 20240 /* since 1970 */

struct stage {
	struct rig *rig; /* of cases on the engine, and for bodies */
	size_t n;        /* requests of a batch */
};

typedef void work_fn(struct stage *stage);

/* What valgrind looks for by name. */
void measured(work_fn *work, struct stage *stage);
tally_status canned_rows(void *ctx, const struct source_query *query, struct rows *rows);

static void
must(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "micro: %s\n", what);
	exit(1);
}

/* ---- rows ---- */

static size_t
count_tuples(const struct source_query *query)
{
	size_t n = 1;

	for (size_t i = 0; i < query->statement->n_binds; i++) {
		if (query->statement->binds[i].is_array)
			n = query->arguments[i].n;
	}
	return n;
}

/* The value of the bind that has the column's name, or NULL. */
static const struct value *
bound(const struct source_query *query, const char *name, size_t tuple)
{
	for (size_t i = 0; i < query->statement->n_binds; i++) {
		if (strcmp(query->statement->binds[i].name, name) == 0)
			return &query->arguments[i].values[tuple];
	}
	return NULL;
}

static struct value
invented(enum tally_type type, size_t tuple, size_t row, char text[64])
{
	struct value value = { .type = (uint8_t)type, .state = VALUE_SET };

	if (type == TALLY_TEXT) {
		value.len = (uint32_t)snprintf(text, 64, "Post %zu of a user with a login", tuple);
		value.text = text;
	} else {
		value.i = type == TALLY_DATE ? (int64_t)(FIRST_DAY + row)
					     : (int64_t)(tuple * 7919 + row * 104729) % 1000003;
	}
	return value;
}

static tally_status
add_row(const struct source_query *query, struct rows *rows, size_t tuple, size_t row)
{
	struct value *cells;
	tally_status status = rows_add(rows, &cells);

	for (size_t i = 0; status == TALLY_OK && i < rows->n_columns; i++) {
		const struct source_column *column = &query->statement->shape->columns[i];
		const struct value *key = bound(query, column->name, tuple);
		char text[64];

		cells[i] = key ? *key : invented(column->type, tuple, row, text);
		if (cells[i].type == TALLY_TEXT && cells[i].state == VALUE_SET)
			status = rows_copy_text(rows, cells[i].text, cells[i].len, &cells[i].text);
	}
	return status;
}

/* A canned_rows_fn; ctx is how many rows a tuple has. */
__attribute__((noinline)) tally_status
canned_rows(void *ctx, const struct source_query *query, struct rows *rows)
{
	size_t n = count_tuples(query), per = *(const size_t *)ctx;
	tally_status status = TALLY_OK;

	for (size_t tuple = 0; tuple < n; tuple++) {
		for (size_t row = 0; row < per && status == TALLY_OK; row++)
			status = add_row(query, rows, tuple, row);
	}
	return status;
}

/* ---- the engine ---- */

static size_t one = 1, days = DAYS, posts = POSTS;

#define CANNED(tag_, columns_, per)                                                                \
	{ .tag = (tag_),                                                                           \
	  .columns = (columns_),                                                                   \
	  .answer = canned_rows,                                                                   \
	  .ctx = &(per),                                                                           \
	  .delay_ms = CANNED_AT_ONCE }

static struct canned_statement general[] = {
	CANNED("JOIN users", "login text, user_id int", one),
	CANNED("JOIN logs",
	       "user_id int, since date, until date, date date, logins int, logouts int, "
	       "blog_actions int",
	       days),
};

static struct canned_statement comments[] = {
	CANNED("JOIN users u", "login text, user_login text, user_id int", one),
	CANNED("JOIN logs", "user_id int, since date, until date, post_id int, total_comments int",
	       posts),
	CANNED("FROM post p", "post_id int, post_header text, post_author_login text", one),
};

static void
open_rig(struct stage *stage, bool is_general, size_t n)
{
	char text[MAX_TEXT], request[64];
	const char *path =
	    is_general ? "deploy/datasets/general.sql" : "deploy/datasets/comments.sql";
	FILE *file = fopen(path, "re");

	must(file != NULL, "run it from the top of the tree");
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	(void)fclose(file);
	stage->rig = is_general ? rig_new(text, general, 2) : rig_new(text, comments, 3);
	stage->n = n;
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(request, sizeof request, "login=user%zu", i);
		rig_request(stage->rig, request);
	}
}

static void
run_engine(struct stage *stage)
{
	rig_run(stage->rig);
	must(stage->rig->answers[0].status == TALLY_OK, "the engine failed");
}

/* ---- messages ---- */

static const struct tally_sync_request request_head = {
	.reply_partition = 3,
	.budget_ms = 10000,
	.tenant = "default",
	.trace = { .text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
};

/* What the gateway does to a request before it is published. */
static void
write_request(struct stage *stage)
{
	const struct definition *definition = stage->rig->definition;
	struct params_faults faults = { .n = 0 };
	struct tally_headers headers;
	struct http_target target;
	struct params *params = NULL;
	char fingerprint[33], data[2048];
	size_t len;

	must(http_target_parse(TARGET, &target, NULL) == TALLY_OK, "target");
	const struct params_text texts[] = {
		{ target.arguments[0].name, target.arguments[0].value, target.arguments[0].len }
	};
	must(params_from_texts(definition, texts, 1, &params, &faults, NULL) == TALLY_OK
		 && params_fingerprint(params, "default", fingerprint, NULL) == TALLY_OK
		 && params_encode(params, data, sizeof data, &len, NULL) == TALLY_OK
		 && tally_sync_request_write(&request_head, &headers) == TALLY_OK,
	     "request");
	params_free(params);
	http_target_fini(&target);
}

/* What the worker does to it when it arrives. */
static void
read_request(struct stage *stage)
{
	static const char value[] =
	    "{\"dataset\":\"comments\",\"params\":{\"login\":\"" LOGIN "\"}}";
	static struct tally_headers headers; /* as they came from the broker */
	struct params_faults faults = { .n = 0 };
	struct tally_sync_request head;
	struct tally_request *request = NULL;
	struct params *params = NULL;

	if (headers.n == 0)
		must(tally_sync_request_write(&request_head, &headers) == TALLY_OK, "headers");
	must(tally_sync_request_read(headers.items, headers.n, &head, NULL) == TALLY_OK
		 && tally_request_decode(value, sizeof value - 1, &request, NULL) == TALLY_OK
		 && params_from_request(stage->rig->definition, tally_request_view(request),
					&params, &faults, NULL)
			== TALLY_OK,
	     "request");
	params_free(params);
	tally_request_free(request);
}

/* The headers of a reply, written by the worker and read by the gateway. */
static void
pass_reply(struct stage *stage)
{
	const struct tally_sync_reply reply = {
		.state = TALLY_SUCCEEDED,
		.run = 1234567890123456789,
		.as_of = { { "db1", 1751155200000 }, { "db2", 1751155200000 } },
		.n_as_of = 2,
		.timing = "user;dur=0.4, activity;dur=1.9, post;dur=2.1",
	};
	struct tally_headers headers;
	struct tally_sync_reply read;
	char key[TALLY_REQUEST_ID_HEX + 1];

	(void)stage;
	tally_request_id_format(&reply.id, key);
	must(tally_sync_reply_write(&reply, &headers) == TALLY_OK, "reply");
	must(tally_sync_reply_read(key, sizeof key - 1, headers.items, headers.n, &read, NULL)
		 == TALLY_OK,
	     "reply");
}

/* ---- formats ---- */

static void
transcode(struct stage *stage, enum transcode_format format)
{
	const struct engine_answer *answer = &stage->rig->answers[0];
	struct transcode *stream =
	    transcode_new(stage->rig->definition, format, false, answer->body, answer->body_len);
	char out[16384];
	size_t len;

	must(stream != NULL, "out of memory");
	do
		must(transcode_read(stream, out, sizeof out, &len) == TALLY_OK, "transcode");
	while (len > 0);
	transcode_free(stream);
}

static void
to_csv(struct stage *stage)
{
	transcode(stage, TRANSCODE_CSV);
}

static void
to_ndjson(struct stage *stage)
{
	transcode(stage, TRANSCODE_NDJSON);
}

/* ---- cases ---- */

static const struct micro_case {
	const char *name;
	work_fn *work;
	bool is_general;
	size_t n; /* requests of a batch */
} cases[] = {
	{ "general, batch of 256",              run_engine,    true,  N_BATCH },
	{ "general, batch of 1",                run_engine,    true,  1       },
	{ "comments, batch of 256",             run_engine,    false, N_BATCH },
	{ "comments, batch of 1",               run_engine,    false, 1       },
	{ "gateway writes a request",           write_request, false, 1       },
	{ "worker reads a request",             read_request,  false, 1       },
	{ "headers of a reply, there and back", pass_reply,    false, 1       },
	{ "33 comments to CSV",                 to_csv,        false, 1       },
	{ "33 comments to NDJSON",              to_ndjson,     false, 1       },
};

__attribute__((noinline)) void
measured(work_fn *work, struct stage *stage)
{
	for (int i = 0; i < REPEATS; i++)
		work(stage);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct stage stage = { 0 };

		if (argc < 2)
			(void)printf("%s\n", cases[i].name);
		if (argc < 2 || strcmp(argv[1], cases[i].name) != 0)
			continue;
		open_rig(&stage, cases[i].is_general, cases[i].n);
		rig_run(stage.rig);
		cases[i].work(&stage); /* what is done once is done */
		CALLGRIND_START_INSTRUMENTATION;
		measured(cases[i].work, &stage);
		(void)printf("%zu\n", REPEATS * stage.n);
		rig_free(stage.rig);
		return 0;
	}
	return argc < 2 ? 0 : 2;
}
