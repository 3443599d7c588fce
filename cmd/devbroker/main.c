/* tally-devbroker - an in-memory Kafka for development: librdkafka's mock cluster with the topics
 * of Tally.  Nothing is kept when it ends.  Its clients should set TALLY_KAFKA_FETCH_WAIT_MAX_MS=5:
 * it does not wake a waiting fetch. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "kafka/mock.h"

static const char help[] =
    "usage: tally-devbroker\n"
    "\n"
    "Runs an in-memory Kafka broker for development, on a free port of 127.0.0.1, with the\n"
    "topics of Tally.  Once it is ready it prints\n"
    "\n"
    "    tally-devbroker: ready on 127.0.0.1:PORT\n"
    "\n"
    "and runs until SIGTERM or SIGINT.  Nothing is kept.  Give the address to the programs:\n"
    "\n"
    "    export TALLY_KAFKA=127.0.0.1:PORT TALLY_KAFKA_FETCH_WAIT_MAX_MS=5\n"
    "\n"
    "Exit codes: 0 ended by a signal, 1 the broker did not start, 2 wrong usage.\n";

/* Serves until a signal of the set comes; the signals are blocked in every thread. */
static int
serve(const sigset_t *ends)
{
	struct tally_error err = { 0 };
	struct kafka_mock *mock;
	int signal_number;

	if (kafka_mock_start(&mock, &err) != TALLY_OK) {
		(void)fprintf(stderr, "tally-devbroker: %s\n", err.detail);
		return 1;
	}
	(void)printf("tally-devbroker: ready on %s\n", kafka_mock_brokers(mock));
	(void)fflush(stdout); /* who started it waits for this line, mostly through a pipe */
	while (sigwait(ends, &signal_number) != 0)
		continue;
	kafka_mock_stop(mock);
	return 0;
}

int
main(int argc, char **argv)
{
	sigset_t ends;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(help, stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("tally-devbroker %s\n", version_text());
		return 0;
	}
	if (argc > 1) {
		(void)fputs(help, stderr);
		return 2;
	}
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before librdkafka makes its threads */
	return serve(&ends);
}
