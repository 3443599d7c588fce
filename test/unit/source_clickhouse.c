/* A ClickHouse source against a server that does as it is told: answers whole and cut off, errors of
 * every kind, silence.  Whatever comes, a query ends once, as documented, and never with rows that are
 * not the whole answer. */
#include <criterion/criterion.h>

#include <zlib.h>

#include "base/clock.h"
#include "source/clickhouse.h"
#include "source/open.h"
#include "support/asking.h"
#include "support/cluster.h"
#include "support/http_script.h"

#define BYTES(text) text, sizeof(text) - 1

/* Two rows of n Int64, s String: 7 and "seven", 8 and "". */
#define HEAD               "\2\1n\1s\5Int64\6String"
#define ROWS               "\7\0\0\0\0\0\0\0\5seven\10\0\0\0\0\0\0\0\0"
#define OK                 "HTTP/1.1 200 OK\r\nX-ClickHouse-Format: RowBinaryWithNamesAndTypes\r\n"
#define TAG                "X-ClickHouse-Exception-Tag: dngjzjnxkvlwkeua\r\n"
#define CODE(status, code) "HTTP/1.1 " status "\r\nX-ClickHouse-Exception-Code: " code "\r\n"

/* How a body is told from what follows. */
enum framing {
	LENGTH,        /* Content-Length */
	LENGTH_BEYOND, /* ... of more than there is */
	CHUNKS,
	CHUNKS_OPEN, /* without the last one */
	TO_THE_END,  /* of the connection */
	RAW,         /* no HTTP of ours: the head as it is */
};

/* An answer in words. */
struct reply {
	const char *head; /* the first lines */
	enum framing framing;
	const char *body;
	size_t len;
	size_t slice;
	enum http_then then;
};

/* Its bytes; the caller frees them. */
static struct http_act
make_act(const struct reply *reply)
{
	size_t cap = reply->len + strlen(reply->head) + 128;
	char *bytes = malloc(cap);
	int n = 0;

	switch (reply->framing) {
	case LENGTH:
	case LENGTH_BEYOND:
		n = snprintf(bytes, cap, "%sContent-Length: %zu\r\n\r\n", reply->head,
			     reply->len + (reply->framing == LENGTH_BEYOND));
		break;
	case CHUNKS:
	case CHUNKS_OPEN:
		n = snprintf(bytes, cap, "%sTransfer-Encoding: chunked\r\n\r\n%zx\r\n", reply->head,
			     reply->len);
		break;
	case TO_THE_END:
		n = snprintf(bytes, cap, "%sConnection: close\r\n\r\n", reply->head);
		break;
	case RAW:
		n = snprintf(bytes, cap, "%s", reply->head);
		break;
	}
	memcpy(bytes + n, reply->body, reply->len);
	n += (int)reply->len;
	if (reply->framing == CHUNKS || reply->framing == CHUNKS_OPEN) {
		memcpy(bytes + n, "\r\n", 2);
		n += 2;
	}
	if (reply->framing == CHUNKS) {
		memcpy(bytes + n, "0\r\n\r\n", 5);
		n += 5;
	}
	return (struct http_act){ bytes, (size_t)n, reply->slice, reply->then };
}

static struct loop *loop;
static struct source *source;
static struct http_script *script;

static void
begin(void)
{
	struct tally_error err;

	cr_assert_eq(loop_new(NULL, NULL, &loop, &err), TALLY_OK, "%s", err.detail);
}

static void
open_port(int port, size_t connections, size_t queue_max, const char *words)
{
	char url[256];
	const struct source_options options = {
		.name = "db2",
		.url = url,
		.loop = loop,
		.connections = connections,
		.queue_max = queue_max,
		.seed = 1,
	};
	struct tally_error err;

	(void)snprintf(url, sizeof url, "clickhouse://tally:secret@127.0.0.1:%d/activity%s", port,
		       words);
	cr_assert_eq(source_open(&options, &source, &err), TALLY_OK, "%s", err.detail);
}

#define ACTS 4

static struct http_act acts[ACTS];

static void
start_script(const struct reply *const *replies, size_t n)
{
	cr_assert_leq(n, ACTS);
	for (size_t i = 0; i < n; i++)
		acts[i] = make_act(replies[i]);
	script = http_script_start(acts, n);
}

static void
open_script(const struct reply *reply, const struct reply *later, size_t connections)
{
	start_script((const struct reply *const[]){ reply, later }, later ? 2 : 1);
	open_port(http_script_port(script), connections, 100, "");
}

/* Ends the source and the server, in the middle of a test too. */
static void
close_script(void)
{
	source_free(source);
	source = NULL;
	http_script_stop(script);
	script = NULL;
	for (size_t i = 0; i < ACTS; i++) {
		free(acts[i].bytes);
		acts[i].bytes = NULL;
	}
}

static void
end(void)
{
	close_script();
	loop_free(loop);
}

TestSuite(clickhouse, .init = begin, .fini = end, .timeout = 60);

static void
expect_both_rows(const struct asking *asking)
{
	cr_assert_eq(asking->status, TALLY_OK, "%s", asking->err.detail);
	cr_assert_eq(asking->rows->n_rows, 2);
	cr_expect_eq(rows_cell(asking->rows, 0, 0)->i, 7);
	cr_expect_arr_eq(rows_cell(asking->rows, 0, 1)->text, "seven", 5);
	cr_expect_eq(rows_cell(asking->rows, 1, 0)->i, 8);
	cr_expect_eq(rows_cell(asking->rows, 1, 1)->len, 0);
}

static void
ask_whole(void)
{
	struct asking asking;

	asking_init(&asking, "SELECT n, s FROM t", NULL, 0, NULL);
	(void)asking_run(&asking, source, loop);
	expect_both_rows(&asking);
	asking_fini(&asking);
}

/* ---- answers ------------------------------------------------------------------------------- */

static const struct reply whole = { OK TAG, CHUNKS, BYTES(HEAD ROWS), 0, HTTP_KEEP };

Test(clickhouse, asks_over_one_kept_connection)
{
	const char *request;

	open_script(&whole, NULL, 1);
	for (int i = 0; i < 3; i++)
		ask_whole();
	cr_expect_eq(http_script_connections(script), 1);
	cr_expect_eq(source->stats.connected, 1);
	cr_expect_eq(source->stats.queries, 3);
	cr_expect_eq(source->stats.errors, 0);
	request = http_script_request(script, 0);
	cr_expect_eq(strncmp(request, "POST /?readonly=2&", 18), 0, "%s", request);
	cr_expect(strstr(request, "&max_execution_time=10 HTTP/1.1\r\n"), "%s", request);
	cr_expect(strstr(request, "&query_id=tally-"));
	cr_expect(strstr(request, "\r\nX-ClickHouse-User: tally\r\n"));
	cr_expect(strstr(request, "\r\nX-ClickHouse-Key: secret\r\n"));
	cr_expect(strstr(request, "\r\nX-ClickHouse-Database: activity\r\n"));
	cr_expect(strstr(request, "\r\n\r\nSELECT n, s FROM t"));
}

Test(clickhouse, reads_an_answer_in_pieces_of_any_size)
{
	for (size_t slice = 1; slice < 20; slice += 3) {
		const struct reply reply = { OK, CHUNKS, BYTES(HEAD ROWS), slice, HTTP_KEEP };

		open_script(&reply, NULL, 1);
		ask_whole();
		close_script();
	}
}

Test(clickhouse, has_several_queries_in_flight_and_others_wait_in_order)
{
	struct asking askings[9];

	open_script(&whole, NULL, 3);
	for (int i = 0; i < 9; i++) {
		asking_init(&askings[i], "SELECT n, s FROM t", NULL, 0, NULL);
		asking_start(&askings[i], source);
	}
	cr_expect_eq(source->stats.waiting, 6);
	for (int i = 0; i < 9; i++) {
		cr_assert(asking_wait(&askings[i], loop));
		expect_both_rows(&askings[i]);
		cr_expect_eq(askings[i].n_done, 1);
		asking_fini(&askings[i]);
	}
	cr_expect_eq(http_script_connections(script), 3);
}

Test(clickhouse, sends_keys_as_parameters_and_the_trace_as_query_id)
{
	static const struct source_bind binds[] = {
		{ "user_id", TALLY_INT,  true, false, false },
		{ "nick",    TALLY_TEXT, true, true,  false }
	};
	const struct value ids[] = {
		{ .type = TALLY_INT, .state = VALUE_SET, .i = 5  },
		{ .type = TALLY_INT, .state = VALUE_SET, .i = -6 }
	};
	const struct value nicks[] = {
		{ .type = TALLY_TEXT, .state = VALUE_SET, .len = 3, .text = "a'&" },
		{ .type = TALLY_TEXT },
	};
	const struct source_argument arguments[] = {
		{ ids,   2 },
                { nicks, 2 }
	};
	struct asking asking;
	const char *request;

	open_script(&whole, NULL, 1);
	asking_init(&asking, "SELECT $1, $2", binds, 2, arguments);
	asking.query.trace_id = "0af7651916cd43dd8448eb211c80319c-and-more";
	(void)asking_run(&asking, source, loop);
	expect_both_rows(&asking);
	asking_fini(&asking);
	request = http_script_request(script, 0);
	cr_expect(strstr(request, "&param_user_id=%5B5%2C-6%5D"), "%s", request);
	cr_expect(strstr(request, "&param_nick=%5B%27a%5C%27%26%27%2CNULL%5D"), "%s", request);
	cr_expect(strstr(request, "query_id=0af7651916cd43dd8448eb211c80319c-"), "%s", request);
	cr_expect(strstr(request, "SELECT {user_id:Array(Int64)}, {nick:Array(Nullable(String))}"));
}

#define DESCRIBED                                                                                  \
	"\3\4name\4type\7comment\6String\6String\6String"                                          \
	"\1n\6UInt64\0\5since\20Nullable(Date32)\0"

Test(clickhouse, describes_columns_and_types)
{
	const struct reply reply = { OK, LENGTH, BYTES(DESCRIBED), 0, HTTP_KEEP };
	struct asking asking;

	open_script(&reply, NULL, 1);
	asking_init(&asking, "SELECT n, since FROM t -- all", NULL, 0, NULL);
	asking_describe(&asking, source);
	cr_assert(asking_wait(&asking, loop));
	cr_assert_eq(asking.status, TALLY_OK, "%s", asking.err.detail);
	cr_assert_eq(asking.described->n_columns, 2);
	cr_expect_str_eq(asking.described->columns[0].name, "n");
	cr_expect_eq(asking.described->columns[0].type, TALLY_INT);
	cr_expect_str_eq(asking.described->columns[1].name, "since");
	cr_expect_eq(asking.described->columns[1].type, TALLY_DATE);
	cr_expect(strstr(http_script_request(script, 0),
			 "\r\n\r\nDESCRIBE TABLE (SELECT n, since FROM t -- all\n)"));
	asking_fini(&asking);
}

/* ---- compression --------------------------------------------------------------------------- */

#define MANY 40000

/* The body of an answer of MANY rows of n Int64; the caller frees it. */
static char *
make_many(bool is_zipped, size_t *out_len)
{
	static const char head[] = "\1\1n\5Int64";
	size_t len = sizeof head - 1 + MANY * 8;
	char *plain = calloc(1, len);
	char *zipped = malloc(len);
	z_stream zip = { 0 };

	memcpy(plain, head, sizeof head - 1);
	*out_len = len;
	if (!is_zipped) {
		free(zipped);
		return plain;
	}
	cr_assert_eq(deflateInit2(&zip, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	zip.next_in = (unsigned char *)plain;
	zip.avail_in = (unsigned)len;
	zip.next_out = (unsigned char *)zipped;
	zip.avail_out = (unsigned)len;
	cr_assert_eq(deflate(&zip, Z_FINISH), Z_STREAM_END);
	*out_len = zip.total_out;
	(void)deflateEnd(&zip);
	free(plain);
	return zipped;
}

Test(clickhouse, asks_for_compression_when_the_last_answer_was_large)
{
	static const char zip_head[] = OK "Content-Encoding: gzip\r\n";
	size_t plain_len, zipped_len;
	char *plain = make_many(false, &plain_len);
	char *zipped = make_many(true, &zipped_len);
	const struct reply replies[] = {
		{ OK,       LENGTH, plain,  plain_len,       0, HTTP_KEEP },
		{ zip_head, LENGTH, zipped, zipped_len,      0, HTTP_KEEP },
		{ zip_head, LENGTH, zipped, zipped_len - 40, 0, HTTP_KEEP },
	};
	struct asking asking;

	start_script((const struct reply *const[]){ &replies[0], &replies[1], &replies[2] }, 3);
	open_port(http_script_port(script), 1, 1, "");
	asking_init(&asking, "SELECT n", NULL, 0, NULL);
	asking.query.budget_bytes = 8 << 20;
	for (int i = 0; i < 2; i++) {
		asking.is_over = false;
		cr_assert_eq(asking_run(&asking, source, loop), TALLY_OK, "%s", asking.err.detail);
		cr_expect_eq(asking.rows->n_rows, MANY);
		asking_fini(&asking);
	}
	cr_expect_null(strstr(http_script_request(script, 0), "gzip"));
	cr_expect(strstr(http_script_request(script, 1), "enable_http_compression=1"));
	cr_expect(strstr(http_script_request(script, 1), "Accept-Encoding: gzip"));
	asking.is_over = false;
	asking.rows = NULL;
	cr_expect_eq(asking_run(&asking, source, loop), TALLY_SOURCE_UNAVAILABLE);
	cr_expect_null(asking.rows);
	free(plain);
	free(zipped);
}

/* ---- faults -------------------------------------------------------------------------------- */

#define EXCEPTION                                                                                  \
	"Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero. "               \
	"(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 25.3.1.1)\n"

#define TAGGED                                                                                       \
	"\r\n__exception__\r\ndngjzjnxkvlwkeua\r\nCode: 395. DB::Exception: no\n30 dngjzjnxkvlwkeua" \
	"\r\n__exception__\r\n"

/* What the server does at a query for n and s, and how the query ends. */
static const struct fault {
	const char *what;
	struct reply reply;
	tally_status status;
	const char *detail;
} faults[] = {
	{ "cut in the head",
         { "HTTP/1.1 200 OK\r\nTransfer-Enc", RAW, BYTES(""), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "broke off"				 },
	{ "closed without a word",
         { "", RAW, BYTES(""), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "reset without a word",
         { "", RAW, BYTES(""), 0, HTTP_RESET },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "no HTTP",
         { "Port 9000 is for clickhouse-client\r\n", RAW, BYTES(""), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "chunks end without the last one, between rows",
         { OK, CHUNKS_OPEN, BYTES(HEAD ROWS), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "chunks end without the last one, in a row",
         { OK TAG, CHUNKS_OPEN, BYTES(HEAD "\7\0\0\0\0\0\0\0\5"), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "reset between rows",
         { OK TAG, CHUNKS_OPEN, BYTES(HEAD ROWS), 0, HTTP_RESET },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "a chunk without a length",
         { OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", RAW, BYTES(HEAD), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "shorter than its length",
         { OK, LENGTH_BEYOND, BYTES(HEAD ROWS), 0, HTTP_CLOSE },
         TALLY_SOURCE_UNAVAILABLE,											      "connection was lost"                       },
	{ "whole for HTTP, cut in a number",
         { OK, LENGTH, BYTES(HEAD "\7\0\0"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "broke off"				 },
	{ "whole for HTTP, cut in a text",
         { OK, CHUNKS, BYTES(HEAD "\7\0\0\0\0\0\0\0\5se"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "broke off"				 },
	{ "whole for HTTP, cut between the values of a row",
         { OK, CHUNKS, BYTES(HEAD "\7\0\0\0\0\0\0\0"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "broke off"				 },
	{ "whole for HTTP, cut in the types",
         { OK, LENGTH, BYTES("\2\1n\1s\5Int6"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "broke off"				 },
	{ "empty",					   { OK, LENGTH, BYTES(""), 0, HTTP_KEEP }, TALLY_SOURCE_UNAVAILABLE, "broke off"                                 },
	{ "a type of another product",
         { OK, LENGTH, BYTES("\2\1n\1s\4Blob\5Int64"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "type Blob, which Tally does not know"      },
	{ "text instead of rows",
         { OK, LENGTH, BYTES("\377\377\377 is no number of columns"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "not in RowBinary"                          },
	{ "a null flag that is none",
         { OK, LENGTH, BYTES("\2\1n\1s\17Nullable(Int64)\6String\2"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "not in RowBinary"                          },
	{ "one column less",
         { OK, LENGTH, BYTES("\1\1n\5Int64\7\0\0\0\0\0\0\0"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "other columns"			     },
	{ "another type",
         { OK, LENGTH, BYTES("\2\1n\1s\6String\6String"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "other columns"			     },
	{ "another name",
         { OK, LENGTH, BYTES("\2\1m\1s\5Int64\6String"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "other columns"			     },
	{ "an array",
         { OK, LENGTH, BYTES("\2\1n\1s\14Array(Int64)\6String"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "type Array(Int64)"                         },
	{ "a text past the budget",
         { OK, LENGTH_BEYOND, BYTES(HEAD "\7\0\0\0\0\0\0\0\377\377\377\377\177abcd"), 0,
	    HTTP_HANG },
         TALLY_TOO_LARGE,												       "take more than"			    },
	{ "an exception instead of rows",
         { CODE("500 Oh", "153"), CHUNKS,
	    BYTES("Code: 153. DB::Exception: Division by zero. (ILLEGAL_DIVISION)"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "refused the query: ILLEGAL_DIVISION (153)" },
	{ "a table that is gone",
         { CODE("404 Not Found", "60"), LENGTH,
	    BYTES("Code: 60. DB::Exception: t? (UNKNOWN_TABLE) (version 1)\n"), 0, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "UNKNOWN_TABLE (60)"                        },
	{ "an exception with status 200",
         { CODE("200 OK", "241"), LENGTH,
	    BYTES("Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED)"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "MEMORY_LIMIT_EXCEEDED (241)"               },
	{ "an exception without its header",
         { "HTTP/1.1 500 Oh\r\n", LENGTH, BYTES("Code: 60. DB::Exception: t? (UNKNOWN_TABLE)"), 0,
	    HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "UNKNOWN_TABLE (60)"                        },
	{ "the server's own time limit",
         { CODE("500 Oh", "159"), LENGTH,
	    BYTES("Code: 159. DB::Exception: late (TIMEOUT_EXCEEDED)"), 0, HTTP_KEEP },
         TALLY_DEADLINE_EXCEEDED,											       "TIMEOUT_EXCEEDED (159)"                    },
	{ "a wrong password",
         { CODE("403 Forbidden", "516"), LENGTH,
	    BYTES("Code: 516. DB::Exception: tally: secret? (AUTHENTICATION_FAILED)"), 0,
	    HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "AUTHENTICATION_FAILED (516)"               },
	{ "too many queries",
         { CODE("500 Oh", "202"), LENGTH,
	    BYTES("Code: 202. DB::Exception: (TOO_MANY_SIMULTANEOUS_QUERIES)"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "(202)"				     },
	{ "an exception cut off itself",
         { CODE("500 Oh", "60"), CHUNKS_OPEN, BYTES("Code: 60. DB::Exc"), 0, HTTP_CLOSE },
         TALLY_SOURCE_ERROR,												    "(60)"				      },
	{ "an exception behind rows, tagged",
         { OK TAG, CHUNKS, BYTES(HEAD ROWS TAGGED), 0, HTTP_CLOSE },
         TALLY_SOURCE_ERROR,												    "(395)"				     },
	{ "an exception behind rows, marked",
         { OK, CHUNKS_OPEN, BYTES(HEAD ROWS "__exception__\r\n" EXCEPTION), 0, HTTP_CLOSE },
         TALLY_SOURCE_ERROR,												    "NON_ZERO (395)"			    },
	{ "an exception behind rows, whole for HTTP",
         { OK, TO_THE_END, BYTES(HEAD ROWS EXCEPTION), 0, HTTP_CLOSE },
         TALLY_SOURCE_ERROR,												    "NON_ZERO (395)"			    },
	{ "an exception behind half a row",
         { OK, CHUNKS, BYTES(HEAD "\7\0\0\0" EXCEPTION), 3, HTTP_KEEP },
         TALLY_SOURCE_ERROR,												    "NON_ZERO (395)"			    },
	{ "a proxy without a server",
         { "HTTP/1.1 502 Bad Gateway\r\n", LENGTH, BYTES("bad"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "HTTP status 502, not as ClickHouse"        },
	{ "a proxy that is full",
         { "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n", LENGTH, BYTES(""), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "HTTP status 503"                           },
	{ "another service",
         { "HTTP/1.1 404 Not Found\r\n", LENGTH, BYTES("<html>"), 0, HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "HTTP status 404"                           },
	{ "a redirect, which is not followed",
         { "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n", LENGTH, BYTES(""), 0,
	    HTTP_KEEP },
         TALLY_SOURCE_UNAVAILABLE,											      "HTTP status 302"                           },
	{ "no answer",
         { "", RAW, BYTES(""), 0, HTTP_HANG },
         TALLY_DEADLINE_EXCEEDED,											       "no answer before"                          },
	{ "rows, and then nothing",
         { OK, CHUNKS_OPEN, BYTES(HEAD ROWS), 0, HTTP_HANG },
         TALLY_DEADLINE_EXCEEDED,											       "no answer before"                          },
};

static struct source_column both_columns[] = {
	{ (char[]){ "n" }, TALLY_INT  },
        { (char[]){ "s" }, TALLY_TEXT }
};
static const struct source_shape both = { both_columns, 2 };

/* The fault, and then a right answer to the next query. */
static void
check_fault(const struct fault *fault)
{
	struct asking asking;

	open_script(&fault->reply, &whole, 1);
	asking_init(&asking, "SELECT n, s FROM t", NULL, 0, NULL);
	asking.statement.shape = &both;
	asking.query.budget_bytes = 4096;
	if (fault->reply.then == HTTP_HANG && fault->status == TALLY_DEADLINE_EXCEEDED)
		asking.query.deadline_ms = clock_mono_ms() + 100;
	(void)asking_run(&asking, source, loop);
	cr_expect_eq(asking.status, fault->status, "%s: %s, %s", fault->what,
		     tally_status_code(asking.status), asking.err.detail);
	cr_expect(strstr(asking.err.detail, fault->detail), "%s: %s", fault->what,
		  asking.err.detail);
	cr_expect_null(strstr(asking.err.detail, "secret"), "%s", asking.err.detail);
	cr_expect_null(asking.rows, "%s", fault->what);
	cr_expect_eq(asking.n_done, 1, "%s", fault->what);
	cr_expect_str_eq(asking.err.source, "db2");
	cr_expect_eq(source->stats.errors, 1);
	asking_fini(&asking);
	ask_whole();
	cr_expect_eq(http_script_requests(script), 2, "%s: was sent again", fault->what);
	close_script();
}

Test(clickhouse, ends_every_fault_as_documented_and_answers_the_next_query)
{
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		check_fault(&faults[i]);
}

Test(clickhouse, tells_the_writer_of_a_dataset_what_the_server_said)
{
	static const struct {
		struct reply reply;
		tally_status status;
		const char *detail;
	} refused[] = {
		{ { CODE("404 Not Found", "60"), LENGTH,
		    BYTES("Code: 60. DB::Exception: t? (UNKNOWN_TABLE) (version 1)\n"), 0,
		    HTTP_KEEP },
                 TALLY_WRONG_DEFINITION,   "test.sql:14: t? (UNKNOWN_TABLE) (60)"             },
		{ { CODE("403 Forbidden", "516"), LENGTH,
		    BYTES("Code: 516. (AUTHENTICATION_FAILED)"), 0, HTTP_KEEP },
                 TALLY_SOURCE_UNAVAILABLE, "AUTHENTICATION_FAILED"                            },
		{ { OK, LENGTH, BYTES("\2\4name\4type\6String\6String\1m\3Map"), 0, HTTP_KEEP },
                 TALLY_WRONG_DEFINITION,   "column m has type Map, which Tally does not know" },
		{ { OK, LENGTH, BYTES(HEAD ROWS), 0, HTTP_KEEP },
                 TALLY_SOURCE_UNAVAILABLE, "not that of DESCRIBE"                             },
		{ { OK, LENGTH, BYTES("\0"), 0, HTTP_KEEP },
                 TALLY_SOURCE_UNAVAILABLE, "not in RowBinary"                                 },
	};

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct asking asking;

		open_script(&refused[i].reply, NULL, 1);
		asking_init(&asking, "SELECT 1", NULL, 0, NULL);
		asking_describe(&asking, source);
		cr_assert(asking_wait(&asking, loop));
		cr_expect_eq(asking.status, refused[i].status, "case %zu: %s", i,
			     asking.err.detail);
		cr_expect(strstr(asking.err.detail, refused[i].detail), "%s", asking.err.detail);
		cr_expect_null(asking.described);
		close_script();
	}
}

Test(clickhouse, asks_again_when_a_kept_connection_was_closed_meanwhile)
{
	const struct reply last = { OK TAG, CHUNKS, BYTES(HEAD ROWS), 0, HTTP_CLOSE };

	open_script(&last, &whole, 1);
	ask_whole();
	ask_whole();
	cr_expect_eq(http_script_connections(script), 2);
	cr_expect_eq(source->stats.errors, 0);
	cr_expect_eq(source->stats.reconnects, 1);
}

/* ---- away, late, cancelled ----------------------------------------------------------------- */

static const struct reply silence = { "", RAW, BYTES(""), 0, HTTP_HANG };

static void
expect_unavailable(int port, int deadline_ms)
{
	struct asking askings[5];

	open_port(port, 2, 100, "");
	for (int i = 0; i < 5; i++) {
		asking_init(&askings[i], "SELECT 1", NULL, 0, NULL);
		askings[i].query.deadline_ms = clock_mono_ms() + deadline_ms;
		asking_start(&askings[i], source);
	}
	for (int i = 0; i < 5; i++) {
		cr_assert(asking_wait(&askings[i], loop));
		cr_expect_eq(askings[i].status, TALLY_SOURCE_UNAVAILABLE, "%s",
			     askings[i].err.detail);
		cr_expect(strstr(askings[i].err.detail, "db2 cannot be reached: "), "%s",
			  askings[i].err.detail);
		cr_expect_leq(askings[i].ended_ms - askings[i].query.since_ms, 5000);
	}
	source_free(source);
	source = NULL;
}

Test(clickhouse, fails_after_a_second_when_nobody_listens)
{
	int port;

	cluster_close(cluster_listen_silently(&port));
	expect_unavailable(port, 10000);
	expect_unavailable(port, 100);
}

Test(clickhouse, cancels_what_runs_and_what_waits)
{
	struct asking running, waiting;

	open_script(&silence, &whole, 1);
	asking_init(&running, "SELECT 1", NULL, 0, NULL);
	asking_init(&waiting, "SELECT 2", NULL, 0, NULL);
	asking_start(&running, source);
	asking_start(&waiting, source);
	while (http_script_requests(script) < 1)
		loop_step(loop, 10);
	source_cancel(source, &waiting.query);
	cr_expect(waiting.is_over && waiting.status == TALLY_CANCELLED);
	source_cancel(source, &running.query);
	cr_expect(running.is_over && running.status == TALLY_CANCELLED);
	cr_expect_eq(source->stats.connected, 0);
	ask_whole();
	cr_expect_eq(running.n_done, 1);
}

Test(clickhouse, keeps_to_its_queue_and_to_deadlines_of_what_waits)
{
	struct asking running, waiting, refused;

	start_script((const struct reply *const[]){ &silence, &whole }, 2);
	open_port(http_script_port(script), 1, 1, "");
	asking_init(&running, "SELECT 1", NULL, 0, NULL);
	asking_init(&waiting, "SELECT 2", NULL, 0, NULL);
	asking_init(&refused, "SELECT 3", NULL, 0, NULL);
	asking_start(&running, source);
	waiting.query.deadline_ms = clock_mono_ms() + 100;
	asking_start(&waiting, source);
	asking_start(&refused, source);
	cr_expect(refused.is_over && refused.status == TALLY_SATURATED);
	cr_assert(asking_wait(&waiting, loop));
	cr_expect_eq(waiting.status, TALLY_DEADLINE_EXCEEDED);
	cr_expect_not(running.is_over);
	source_cancel(source, &running.query);
	refused.query.deadline_ms = clock_mono_ms() - 1;
	asking_start(&refused, source);
	cr_expect_eq(refused.status, TALLY_DEADLINE_EXCEEDED);
}

Test(clickhouse, ends_everything_when_it_is_freed)
{
	struct asking askings[6];

	open_script(&silence, NULL, 2);
	for (int i = 0; i < 5; i++) {
		asking_init(&askings[i], "SELECT 1", NULL, 0, NULL);
		asking_start(&askings[i], source);
	}
	asking_init(&askings[5], "SELECT 1", NULL, 0, NULL);
	asking_describe(&askings[5], source);
	while (http_script_requests(script) < 2)
		loop_step(loop, 10);
	source_free(source);
	source = NULL;
	for (int i = 0; i < 6; i++) {
		cr_expect_eq(askings[i].n_done, 1);
		cr_expect_eq(askings[i].status, TALLY_CANCELLED);
	}
}
