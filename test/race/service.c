/* A gateway and a lane in one process, asked by several threads at once, while callers leave, waits
 * run out, the broker goes and comes, and both are stopped in the midst of it. */
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
#define CALLS   60

static struct service service;
static atomic_bool is_over; /* nobody asks any more */
static atomic_int n_right;
static atomic_int n_refused;
static atomic_int n_wrong;

static void
ask_echo(int caller, int i)
{
	char path[64], text[32], body[4096];
	struct answer answer;

	/* Every third is everybody's, so that it is shared. */
	(void)snprintf(text, sizeof text, i % 3 == 0 ? "shared%d" : "t%dn%d", i % 3 ? caller : i,
		       i);
	(void)snprintf(path, sizeof path, "/api/echo/?text=%s", text);
	echo_expect(text, body, sizeof body);
	ask(&service, path, "", &answer);
	if (answer.status == 200 && strcmp(answer.body, body) == 0) {
		atomic_fetch_add(&n_right, 1);
	} else if (answer.status == 503 || answer.status == 504 || answer.status == 0) {
		atomic_fetch_add(&n_refused, 1);
	} else {
		atomic_fetch_add(&n_wrong, 1);
		(void)fprintf(stderr, "%s: %d %s\n", path, answer.status, answer.body);
	}
	answer_fini(&answer);
}

static void
ask_and_leave(int caller, int i)
{
	char path[64];
	struct call call;

	(void)snprintf(path, sizeof path, "/api/slow/?text=t%d&ms=%d", i % 2 ? caller : 0, i % 40);
	call = call_begin(&service, path, "");
	call_leave(&call);
}

static void
ask_in_vain(int i)
{
	struct answer answer;
	char path[64];

	(void)snprintf(path, sizeof path, "/api/slow/?text=late%d&ms=1200", i);
	ask(&service, path, "Prefer: wait=1\r\n", &answer);
	answer_fini(&answer);
}

static void *
call_on(void *arg)
{
	int caller = (int)(intptr_t)arg;

	for (int i = 0; i < CALLS && !atomic_load(&is_over); i++) {
		ask_echo(caller, i);
		if (i % 4 == 0)
			ask_and_leave(caller, i);
		if (i == CALLS / 2 && caller == 0)
			ask_in_vain(i);
		if (i % 16 == 0)
			(void)service_metric(&service, "tally_waiters");
	}
	return NULL;
}

/* Another worker takes over while requests are under way. */
static void
replace_lane(void)
{
	service_stop_lane(&service, 50);
	service_start_lane(&service);
}

static void
run_round(int round)
{
	pthread_t callers[CALLERS];

	service_start(&service, NULL);
	for (intptr_t i = 0; i < CALLERS; i++)
		pthread_create(&callers[i], NULL, call_on, (void *)i);
	SERVICE_AWAIT(atomic_load(&n_right) > 60 * (round + 1));
	if (round == 1) {
		kafka_mock_down(service.broker.mock);
		kafka_mock_up(service.broker.mock);
	}
	if (round == 2)
		replace_lane();
	for (int i = 0; i < CALLERS; i++)
		pthread_join(callers[i], NULL);
	service_stop(&service);
}

/* Stops both while callers wait for slow rows; each must be answered. */
static void
stop_in_the_midst(int drain_ms)
{
	struct call calls[20];
	struct answer answer;

	service_start(&service, NULL);
	for (int i = 0; i < 20; i++) {
		char path[64];

		(void)snprintf(path, sizeof path, "/api/slow/?text=t%d&ms=%d", i / 2, 10 * i);
		calls[i] = call_begin(&service, path, "");
	}
	SERVICE_AWAIT(service_metric(&service, "tally_waiters") > 10);
	service_stop_gateway(&service, drain_ms);
	service_stop_lane(&service, drain_ms);
	for (int i = 0; i < 20; i++) {
		call_end(&calls[i], &answer);
		if (answer.status != 200 && answer.status != 503) {
			(void)fprintf(stderr, "call %d: %d %s\n", i, answer.status, answer.body);
			atomic_fetch_add(&n_wrong, 1);
		}
		answer_fini(&answer);
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
	(void)printf("service: %d answers right, %d refused, %d wrong\n", n_right, n_refused,
		     n_wrong);
	return n_wrong == 0 && n_right > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
