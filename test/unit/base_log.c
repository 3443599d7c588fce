#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

static int out; /* what came to standard error */

static void
capture(enum log_level level, enum log_format format)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
	close(ends[1]);
	out = ends[0];
	log_open(level, format);
}

/* What was written so far, terminated; a new line begins at its start. */
static const char *
written(void)
{
	static char text[1 << 17];
	ssize_t n = read(out, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static size_t
count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* The part of a line after its time. */
static const char *
after_ts(const char *line)
{
	const char *at = strstr(line, "level");

	return at ? at : line;
}

Test(log, writes_logfmt_with_a_utc_time)
{
	const char *line;

	capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	log_info("worker started", LOG_STR("lane", "sync"), LOG_INT("n", -4), LOG_UINT("u", 7),
		 LOG_BOOL("ok", true), LOG_FLOAT("f", 0.25), LOG_STR("absent", NULL),
		 LOG_STR("empty", ""));
	line = written();
	cr_expect_eq(strncmp(line, "ts=20", 5), 0);
	cr_expect_eq(strcspn(line, "Z"), strlen("ts=2025-06-29T10:00:00.123"), "%s", line);
	cr_expect_str_eq(after_ts(line),
			 "level=info event=\"worker started\" lane=sync n=-4 u=7 ok=true f=0.25\n");
}

Test(log, writes_json)
{
	capture(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_warn("x", LOG_STR("s", "a b"), LOG_INT("n", 1), LOG_FLOAT("f", NAN));
	cr_expect_str_eq(after_ts(written()),
			 "level\":\"warn\",\"event\":\"x\",\"s\":\"a b\",\"n\":1,\"f\":null}\n");
}

static const struct {
	const char *value, *logfmt, *json;
} escapes[] = {
	{ "plain",          "plain",				    "\"plain\""                       },
	{ "a=b",            "\"a=b\"",				  "\"a=b\""                         },
	{ "say \"hi\"",     "\"say \\\"hi\\\"\"",                       "\"say \\\"hi\\\"\""              },
	{ "back\\slash",    "\"back\\\\slash\"",                        "\"back\\\\slash\""               },
	{ "two\nlines\r\t", "\"two\\nlines\\r\\t\"",                    "\"two\\nlines\\r\\t\""           },
	{ "\x1B[31m",       "\"\\u001b[31m\"",                          "\"\\u001b[31m\""                 },
	{ "\x7F",           "\"\\u007f\"",                              "\"\\u007f\""                     },
	{ "\xC2\x9B"
	  "2J",    "\"\\u009b2J\"",			    "\"\\u009b2J\""                   },
	{ "ЖК Ромашка",     "\"ЖК Ромашка\"",                           "\"ЖК Ромашка\""                  },
	{ "bad\xFF\xC3",    "\"bad\xEF\xBF\xBD\xEF\xBF\xBD\"",          "\"bad\xEF\xBF\xBD\xEF\xBF\xBD\"" },
	{ "\xED\xA0\x80",   "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"",
         "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""						       },
};

static void
expect_escapes(enum log_format format)
{
	capture(LOG_LEVEL_DEBUG, format);
	for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
		char expected[256];
		bool is_json = format == LOG_FORMAT_JSON;

		log_debug("e", LOG_STR("v", escapes[i].value));
		(void)snprintf(expected, sizeof expected,
			       is_json ? "level\":\"debug\",\"event\":\"e\",\"v\":%s}\n"
				       : "level=debug event=e v=%s\n",
			       is_json ? escapes[i].json : escapes[i].logfmt);
		cr_expect_str_eq(after_ts(written()), expected, "case %zu", i);
	}
}

Test(log, escapes_values_in_logfmt)
{
	expect_escapes(LOG_FORMAT_LOGFMT);
}

Test(log, escapes_values_in_json)
{
	expect_escapes(LOG_FORMAT_JSON);
}

Test(log, says_what_an_error_says)
{
	struct tally_error err = { 0 };

	capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	(void)tally_fail(&err, TALLY_SOURCE_ERROR, "no such column");
	log_error("step failed", LOG_ERROR(&err));
	cr_expect_str_eq(after_ts(written()), "level=error event=\"step failed\" code=source_error "
					      "error=\"no such column\"\n");
}

Test(log, leaves_out_levels_below_its_own_and_keeps_errno)
{
	capture(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT);
	errno = ENOENT;
	log_info("quiet");
	log_warn("loud");
	cr_expect_eq(errno, ENOENT);
	cr_expect_str_eq(after_ts(written()), "level=warn event=loud\n");
}

Test(log, cuts_long_values_and_drops_fields_that_do_not_fit)
{
	static char big[5000];
	const char *line;

	memset(big, 'x', sizeof big - 1);
	capture(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_info("big", LOG_STR("a", big), LOG_STR("b", big), LOG_STR("c", big), LOG_STR("d", big),
		 LOG_INT("last", 1));
	line = written();
	cr_expect_leq(strlen(line), LOG_LINE_MAX);
	cr_expect_eq(count_lines(line), 1);
	cr_expect_not_null(strstr(line, "xxx...\",\"b\""));
	cr_expect_null(strstr(line, "\"d\""));
	cr_expect_not_null(strstr(line, "\"last\":1,\"truncated\":true}\n"));
}

Test(log, limits_a_call_site_and_tells_how_much_it_left_out)
{
	const char *text;
	size_t n;

	capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	for (int i = 0; i < 500; i++)
		log_info("flood");
	n = count_lines(written());
	/* The loop may meet the turn of a second. */
	cr_expect(n == LOG_SITE_A_SECOND || n == 2 * LOG_SITE_A_SECOND, "%zu lines", n);
	log_info("another site");
	cr_expect_not_null(strstr(written(), "another site"));
	log_close();
	text = written();
	cr_expect_not_null(strstr(text, "suppressed="), "%s", text);
	cr_expect_not_null(strstr(text, "base_log.c:"), "%s", text);
}

Test(log, never_waits_for_a_reader_and_reports_what_it_dropped, .timeout = 20)
{
	uint64_t dropped;
	const char *text;

	capture(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
	for (int i = 0; i < 5000; i++)
		log_debug("line of some length, so that the pipe fills", LOG_INT("i", i));
	dropped = log_dropped();
	cr_expect_gt(dropped, 0);
	while (*written())
		;
	log_info("read again");
	text = written();
	cr_expect_not_null(strstr(text, "dropped="), "%s", text);
	cr_expect_not_null(strstr(text, "read again"), "%s", text);
	cr_expect_eq(log_dropped(), dropped);
	cr_expect_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0, "shared with others");
}

Test(log, never_waits_for_a_socket, .timeout = 20)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
	log_open(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
	for (int i = 0; i < 20000; i++)
		log_debug("line of some length, so that the socket fills", LOG_INT("i", i));
	cr_expect_gt(log_dropped(), 0);
	close(ends[0]);
	log_debug("nobody is there: no SIGPIPE");
}

Test(log, parses_levels_and_formats)
{
	enum log_level level = LOG_LEVEL_ERROR;
	enum log_format format = LOG_FORMAT_LOGFMT;

	cr_expect(log_level_from("debug", &level));
	cr_expect_eq(level, LOG_LEVEL_DEBUG);
	cr_expect_not(log_level_from("DEBUG", &level));
	cr_expect_not(log_level_from("", &level));
	cr_expect(log_format_from("json", &format));
	cr_expect_eq(format, LOG_FORMAT_JSON);
	cr_expect_not(log_format_from("xml", &format));
}
