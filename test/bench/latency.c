/* latency - how long one caller waits, with nothing else under way: requests one after the other
 * over one connection, beside the same statements run one after the other straight at the
 * databases.  Prints figures and judges none: they are the machine's as much as Tally's.
 *
 *   latency HOST:PORT LOGIN [REQUESTS [ROUNDS]]
 *
 * A round is REQUESTS of each kind; p50 and p99 are medians over the rounds, and so is the ratio,
 * so that a moment in which the machine is busy spoils a round and not the result.  The databases
 * are those of TALLY_SOURCE_<NAME>, the datasets those of TALLY_DATASETS (deploy/datasets). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/ask.h"
#include "bench/direct.h"
#include "dataset/catalog.h"

#define MAX_REQUESTS 10000
#define MAX_ROUNDS   101
#define WARM         100 /* for plans of prepared statements, metadata, pages */

struct figures {
	double p50[MAX_ROUNDS];
	double p99[MAX_ROUNDS];
};

struct bench {
	struct ask *ask;
	const struct definition *definition;
	struct direct *direct; /* NULL: cannot be run without a join */
	const char *login;
	char target[512];
	size_t n_requests, n_rounds;
};

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values; quantile is of [0, 1). */
static double
quantile(double *values, size_t n, double quantile)
{
	qsort(values, n, sizeof *values, compare);
	return values[(size_t)((double)n * quantile)];
}

static void
once(struct bench *bench, bool is_direct)
{
	if (is_direct)
		direct_run(bench->direct, bench->login);
	else
		ask_get(bench->ask, bench->target);
}

static void
measure(struct bench *bench, bool is_direct, size_t round, struct figures *figures)
{
	static double ms[MAX_REQUESTS];

	for (size_t i = 0; i < bench->n_requests; i++) {
		int64_t from_us = clock_mono_us();

		once(bench, is_direct);
		ms[i] = (double)(clock_mono_us() - from_us) / 1000.0;
	}
	figures->p50[round] = quantile(ms, bench->n_requests, 0.5);
	figures->p99[round] = quantile(ms, bench->n_requests, 0.99);
}

static void
print(struct bench *bench, struct figures *tally, struct figures *direct)
{
	double ratio[MAX_ROUNDS];
	size_t n = bench->n_rounds;

	for (size_t i = 0; i < n; i++)
		ratio[i] = bench->direct ? tally->p50[i] / direct->p50[i] : 0;
	double best = quantile(tally->p50, n, 0);
	printf("%-16s %8.2f %8.2f %8.2f", bench->definition->name, best,
	       quantile(tally->p50, n, 0.5), quantile(tally->p99, n, 0.5));
	if (bench->direct)
		printf(" %10.2f %10.2f %8.1f", quantile(direct->p50, n, 0.5),
		       quantile(direct->p99, n, 0.5), quantile(ratio, n, 0.5));
	printf("\n");
}

static void
run(struct bench *bench)
{
	static struct figures tally, direct;

	(void)snprintf(bench->target, sizeof bench->target, "/api/%s/?login=%s",
		       bench->definition->name, bench->login);
	for (size_t i = 0; i < WARM; i++) {
		once(bench, false);
		if (bench->direct)
			once(bench, true);
	}
	for (size_t i = 0; i < bench->n_rounds; i++) {
		measure(bench, false, i, &tally);
		if (bench->direct)
			measure(bench, true, i, &direct);
	}
	print(bench, &tally, &direct);
}

/* A number of [1, max], or fallback without one. */
static size_t
number(const char *text, size_t fallback, size_t max)
{
	size_t n = text ? strtoul(text, NULL, 10) : fallback;

	return n < 1 ? 1 : n > max ? max : n;
}

static void
print_load(const char *when)
{
	double loads[3] = { 0 };

	(void)!getloadavg(loads, 3);
	printf("load %s: %.1f of the last minute\n", when, loads[0]);
}

int
main(int argc, char **argv)
{
	const char *folder = getenv("TALLY_DATASETS");
	struct tally_error err = { 0 };
	struct catalog *catalog;

	if (argc < 3 || argc > 5) {
		(void)fprintf(stderr, "usage: latency HOST:PORT LOGIN [REQUESTS [ROUNDS]]\n");
		return 2;
	}
	if (catalog_load(folder ? folder : "deploy/datasets", &catalog, &err) != TALLY_OK) {
		(void)fprintf(stderr, "latency: %s\n", err.detail);
		return 1;
	}
	struct bench bench = {
		.ask = ask_open(argv[1]),
		.login = argv[2],
		.n_requests = number(argc > 3 ? argv[3] : NULL, 300, MAX_REQUESTS),
		.n_rounds = number(argc > 4 ? argv[4] : NULL, 9, MAX_ROUNDS),
	};
	print_load("before");
	printf("%zu rounds of %zu requests one after the other, login %s; milliseconds\n"
	       "%-16s %8s %8s %8s %10s %10s %8s\n",
	       bench.n_rounds, bench.n_requests, bench.login, "dataset", "best p50", "p50", "p99",
	       "direct p50", "direct p99", "ratio");
	for (size_t i = 0; i < catalog_count(catalog); i++) {
		bench.definition = catalog_at(catalog, i);
		bench.direct = direct_open(bench.definition);
		run(&bench);
		direct_close(bench.direct);
	}
	print_load("after");
	ask_close(bench.ask);
	catalog_free(catalog);
	return 0;
}
