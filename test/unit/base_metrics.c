#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>

#include "base/metrics.h"

static char *
text_of_all(void)
{
	static char text[1 << 18];
	struct buf buf = BUF_INIT(sizeof text);

	cr_assert_eq(metrics_write(&buf), TALLY_OK);
	(void)snprintf(text, sizeof text, "%.*s", (int)buf.len, buf.data);
	buf_fini(&buf);
	return text;
}

static void
expect_has(const char *text, const char *part)
{
	cr_expect_not_null(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

TestSuite(metrics, .fini = metrics_reset);

Test(metrics, writes_counters_and_gauges_with_their_labels)
{
	struct metric *requests =
	    metrics_counter("t_requests_total", "Requests", "dataset", "code");
	struct metric *depth = metrics_gauge("t_depth", "Depth", NULL, NULL);

	metric_add(metric_series(requests, "comments", "ok"), 2);
	metric_add(metric_series(requests, "comments", "ok"), 1);
	metric_set(metric_series(depth, NULL, NULL), 9);
	metric_move(metric_series(depth, NULL, NULL), -12);
	cr_expect_str_eq(text_of_all(), "# HELP t_requests_total Requests\n"
					"# TYPE t_requests_total counter\n"
					"t_requests_total{dataset=\"comments\",code=\"ok\"} 3\n"
					"# HELP t_depth Depth\n"
					"# TYPE t_depth gauge\n"
					"t_depth -3\n");
}

Test(metrics, gives_the_same_handle_for_the_same_name_and_labels)
{
	struct metric *a = metrics_counter("t_a_total", "A", "x", NULL);

	cr_expect_eq(a, metrics_counter("t_a_total", "A", "x", NULL));
	cr_expect_eq(metric_series(a, "1", NULL), metric_series(a, "1", NULL));
	cr_expect_neq(metric_series(a, "1", NULL), metric_series(a, "12", NULL));
	cr_expect_neq(metric_series(a, "12", NULL), metric_series(a, "1", NULL));
}

Test(metrics, escapes_helps_and_label_values)
{
	struct metric *a = metrics_counter("t_a_total", "two\nlines \\ \"quoted\"", "x", NULL);
	const char *text;

	metric_add(metric_series(a, "a\"b\\c\nd ЖК", NULL), 1);
	text = text_of_all();
	expect_has(text, "# HELP t_a_total two\\nlines \\\\ \"quoted\"\n");
	expect_has(text, "t_a_total{x=\"a\\\"b\\\\c\\nd ЖК\"} 1\n");
}

Test(metrics, buckets_are_cumulative_and_end_in_the_count)
{
	static const struct metrics_bounds bounds = {
		3, { 0.1, 1, 2.5 }
	};
	struct metric *h = metrics_histogram("t_seconds", "Time", "lane", NULL, &bounds);
	struct metric_series *sync = metric_series(h, "sync", NULL);
	static const double values[] = { 0.05, 0.1, 0.5, 2.5, 100, NAN };

	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		metric_observe(sync, values[i]);
	cr_expect_str_eq(text_of_all(), "# HELP t_seconds Time\n"
					"# TYPE t_seconds histogram\n"
					"t_seconds_bucket{lane=\"sync\",le=\"0.1\"} 2\n"
					"t_seconds_bucket{lane=\"sync\",le=\"1\"} 3\n"
					"t_seconds_bucket{lane=\"sync\",le=\"2.5\"} 4\n"
					"t_seconds_bucket{lane=\"sync\",le=\"+Inf\"} 5\n"
					"t_seconds_sum{lane=\"sync\"} 103.15\n"
					"t_seconds_count{lane=\"sync\"} 5\n");
}

Test(metrics, counts_into_other_past_the_ceiling_and_for_what_is_not_text)
{
	struct metric *a = metrics_counter("t_a_total", "A", "x", "y");
	char value[16];

	for (int i = 0; i < METRICS_SERIES_MAX + 50; i++) {
		(void)snprintf(value, sizeof value, "%d", i);
		metric_add(metric_series(a, value, "v"), 1);
	}
	metric_add(metric_series(a, "\xFF", "v"), 1);
	expect_has(text_of_all(), "t_a_total{x=\"other\",y=\"other\"} 51\n");
}

Test(metrics, cuts_long_values_between_letters)
{
	struct metric *a = metrics_counter("t_a_total", "A", "x", NULL);
	char value[2 * METRICS_VALUE_MAX + 2] = "a";

	for (int i = 0; i < METRICS_VALUE_MAX; i++)
		memcpy(value + 1 + 2 * i, "Ж", 3);
	metric_add(metric_series(a, value, NULL), 1);
	metric_add(metric_series(a, value, NULL), 1);
	expect_has(text_of_all(), "ЖЖ\"} 2\n");
}

static double
read_number(void *ctx)
{
	return *(double *)ctx;
}

Test(metrics, reads_callbacks_when_written_until_they_are_forgotten)
{
	struct metric *a = metrics_gauge("t_a", "A", "source", NULL);
	double db1 = 0.1, db2 = INFINITY;
	const char *text;

	metrics_callback(a, "db1", NULL, read_number, &db1);
	metrics_callback(a, "db2", NULL, read_number, &db2);
	text = text_of_all();
	expect_has(text, "t_a{source=\"db1\"} 0.1\n");
	expect_has(text, "t_a{source=\"db2\"} +Inf\n");
	metrics_forget(&db1);
	text = text_of_all();
	cr_expect_null(strstr(text, "db1"));
	expect_has(text, "db2");
}

Test(metrics, leaves_the_buffer_as_it_was_when_it_is_full)
{
	struct buf buf = BUF_INIT(40);

	metric_add(metric_series(metrics_counter("t_a_total", "A", NULL, NULL), NULL, NULL), 1);
	cr_assert_eq(buf_puts(&buf, "before"), TALLY_OK);
	cr_expect_eq(metrics_write(&buf), TALLY_TOO_LARGE);
	cr_expect_eq(buf.len, 6);
	buf_fini(&buf);
}

Test(metrics, takes_more_metrics_than_it_writes)
{
	static char names[METRICS_MAX + 5][24];

	for (int i = 0; i < METRICS_MAX + 5; i++) {
		(void)snprintf(names[i], sizeof names[i], "t_%d_total", i);
		metric_add(metric_series(metrics_counter(names[i], "N", NULL, NULL), NULL, NULL),
			   1);
	}
	cr_expect_null(strstr(text_of_all(), "t_256_total"));
}

Test(metrics, tells_about_the_process)
{
	const char *text;

	metrics_add_process("test");
	text = text_of_all();
	expect_has(text, "\nprocess_open_fds ");
	expect_has(text, "\nprocess_start_time_seconds 1");
	expect_has(text, "tally_build_info{program=\"test\",version=\"");
}
