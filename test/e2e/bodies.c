/* bodies.c - prints the body of each result that the library gives for one job, a line each, until
 * the result of another job, END, which was published after it to the same partition.
 *
 *   bodies SERVERS GROUP ID END */
#include <stdio.h>
#include <string.h>

#include <tally/results.h>

/* Prints what is to be printed of an answer; whether it was the end. */
static bool
is_end(const struct tally_answer *answer, char **argv)
{
	if (strcmp(answer->result.id.text, argv[3]) == 0)
		puts(answer->body ? answer->body : "");
	return strcmp(answer->result.id.text, argv[4]) == 0;
}

int
main(int argc, char **argv)
{
	struct tally_results_settings settings = { 0 };
	struct tally_results *results = NULL;
	struct tally_error err = { 0 };
	bool has_ended = false;
	tally_status status;

	if (argc != 5)
		return 2;
	settings.kafka.servers = argv[1];
	settings.group = argv[2];
	status = tally_results_open(&settings, &results, &err);
	while (!has_ended && (status == TALLY_OK || tally_status_is_retryable(status))) {
		struct tally_answer answer;

		status = tally_results_next(results, 1000, &answer, &err);
		if (status != TALLY_OK)
			continue;
		has_ended = is_end(&answer, argv);
		status = tally_results_done(results, &answer);
		tally_answer_fini(&answer);
	}
	tally_results_close(results);
	if (!has_ended)
		fprintf(stderr, "%s: %s\n", tally_status_code(status), err.detail);
	return has_ended ? 0 : 1;
}
