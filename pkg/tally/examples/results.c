/* results.c - a service that prints each result of Tally once: id, state and rows.
 *
 *   cc results.c $(pkg-config --cflags --libs tally) -o results
 *   ./results 127.0.0.1:9092 billing */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include <tally/results.h>

static volatile sig_atomic_t is_stopped;

static void
on_signal(int signal)
{
	is_stopped = signal;
}

int
main(int argc, char **argv)
{
	struct tally_results_settings settings = { 0 };
	struct tally_results *results = NULL;
	struct tally_answer answer;
	struct tally_error err = { 0 };
	tally_status status;

	settings.kafka.servers = argc > 1 ? argv[1] : "127.0.0.1:9092";
	settings.group = argc > 2 ? argv[2] : "example";
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	status = tally_results_open(&settings, &results, &err);
	while (!is_stopped && (status == TALLY_OK || tally_status_is_retryable(status))) {
		status = tally_results_next(results, 200, &answer, &err);
		if (status != TALLY_OK)
			continue;
		printf("%s %s %" PRIu64 "\n", answer.result.id.text,
		       tally_state_name(answer.result.state), answer.result.rows);
		fflush(stdout);
		status = tally_results_done(results, &answer); /* it will not come again */
		tally_answer_fini(&answer);
	}
	tally_results_close(results);
	if (!is_stopped)
		fprintf(stderr, "%s: %s\n", tally_status_code(status), err.detail);
	return is_stopped ? 0 : 1;
}
