/* A gateway with jobs and a job lane in one process: several threads submit, with keys and without,
 * wait and leave, while the broker goes and comes and both are stopped in the midst of it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "support/service.h"

#define CALLERS 6
#define ROUNDS  3
#define CALLS   30
#define SECRET  "a secret for tests of 34 characters"

static struct service service;
static atomic_int n_right;
static atomic_int n_wrong;

static void
judge(struct answer *answer, const char *what)
{
	switch (answer->status) {
	case 200:
	case 202:
		atomic_fetch_add(&n_right, 1);
		break;
	case 0: /* cut by a stop */
	case 409:
	case 503:
	case 504:
		break;
	default:
		atomic_fetch_add(&n_wrong, 1);
		(void)fprintf(stderr, "%s: %d %s\n", what, answer->status, answer->body);
	}
	answer_fini(answer);
}

/* Submits in one of five ways; keys and their requests are everybody's. */
static struct call
begin_call(int caller, int i)
{
	char line[128] = "", body[128];

	(void)snprintf(body, sizeof body, "{\"dataset\":\"echo\",\"params\":{\"text\":\"t%d\"}}",
		       i);
	switch (i % 5) {
	case 0:
		break;
	case 1:
		(void)snprintf(line, sizeof line, "Prefer: wait=2\r\n");
		break;
	case 2:
		(void)snprintf(line, sizeof line, "Idempotency-Key: k%d\r\n", i);
		break;
	case 3:
		(void)snprintf(line, sizeof line, "Idempotency-Key: k%d\r\nPrefer: wait=2\r\n", i);
		break;
	default:
		(void)snprintf(body, sizeof body, "/api/echo/?text=r%dn%d", caller, i);
		return call_begin(&service, body, "Prefer: respond-async, wait=2\r\n");
	}
	return call_post(&service, "/v1/jobs", line, body);
}

static void *
call_on(void *arg)
{
	int caller = (int)(intptr_t)arg;
	struct answer answer;

	for (int i = 0; i < CALLS; i++) {
		struct call call = begin_call(caller, i);
		if (i % 7 == 6) {
			call_leave(&call);
			continue;
		}
		call_end(&call, &answer);
		judge(&answer, "job");
		if (i % 16 == 0)
			(void)service_metric(&service, "tally_job_waits");
	}
	return NULL;
}

static void
start(void)
{
	const char *const flags[] = { "--jobs", getenv("TEST_POSTGRES_URL_JOBS"), "--job-secret",
				      SECRET, NULL };

	service_init(&service, flags);
	service_start_gateway(&service);
	service_start_jobs(&service);
}

static void
run_round(int round)
{
	pthread_t callers[CALLERS];
	int n_before = atomic_load(&n_right);

	start();
	for (intptr_t i = 0; i < CALLERS; i++)
		pthread_create(&callers[i], NULL, call_on, (void *)i);
	SERVICE_AWAIT(atomic_load(&n_right) > n_before + 20);
	if (round == 1) {
		kafka_mock_down(service.broker.mock);
		kafka_mock_up(service.broker.mock);
	}
	if (round == 2) {
		service_stop_jobs(&service, 50);
		service_start_jobs(&service);
	}
	for (int i = 0; i < CALLERS; i++)
		pthread_join(callers[i], NULL);
	service_stop(&service);
}

/* Stops both while callers wait, and others come. */
static void
stop_in_the_midst(int drain_ms)
{
	struct call calls[40];
	struct answer answer;

	start();
	for (int i = 0; i < 40; i++)
		calls[i] = begin_call(99, i);
	service_stop_gateway(&service, drain_ms);
	service_stop_jobs(&service, drain_ms);
	for (int i = 0; i < 40; i++) {
		call_end(&calls[i], &answer);
		judge(&answer, "stopped");
	}
	service_stop(&service);
}

int
main(void)
{
	struct cluster *cluster = service_databases();

	for (int round = 0; round < ROUNDS; round++)
		run_round(round);
	stop_in_the_midst(10000);
	stop_in_the_midst(0);
	cluster_stop(cluster);
	(void)printf("jobs: %d answers right, %d wrong\n", n_right, n_wrong);
	return n_wrong == 0 && n_right > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
