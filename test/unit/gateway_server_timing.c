/* Server-Timing: who began a flight sees all of the way, who joined it only what is its own. */
#include <criterion/criterion.h>

#include <string.h>

#include "gateway/server_timing.h"

#define WORKER "queue;dur=2.00, batch;dur=0.10, user;dur=1.00, encode;dur=0.05, worker;dur=1.50"

static const struct {
	struct server_times times;
	const char *worker;
	const char *expected;
} cases[] = {
	{ { 1000, 1100, 6000 },
         WORKER,			      "gateway;dur=0.10, " WORKER ", return;dur=1.40, total;dur=5.00"                        },
	{ { 1000, 0, 6000 },    WORKER,       WORKER ", total;dur=5.00"                                                              },
	{ { 1000, 1100, 6000 }, "",           "gateway;dur=0.10, return;dur=4.90, total;dur=5.00"                                    },
	{ { 1000, 0, 1004 },    "",           "total;dur=0.00"								       },
	{ { 1000, 0, 1005 },    "",           "total;dur=0.01"								       },
	/* The clock of the queue is the broker's: the rest may come out below zero. */
	{ { 1000, 1100, 2000 },
         WORKER,			      "gateway;dur=0.10, " WORKER ", return;dur=0.00, total;dur=1.00"                        },
	/* A step may be called anything, and a worker may say anything. */
	{ { 0, 100, 1100 },
         "myqueue;dur=9.00, worker;dur=0.40", "gateway;dur=0.10, myqueue;dur=9.00, worker;dur=0.40, return;dur=0.60, total;dur=1.10" },
	{ { 0, 100, 1100 },
         "worker;dur=x, queue",	       "gateway;dur=0.10, worker;dur=x, queue, "
	  "return;dur=1.00, total;dur=1.10"							   },
};

Test(server_timing, adds_the_gateways_part_to_the_workers)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char value[SERVER_TIMING_BYTES];

		server_timing_write(&cases[i].times, cases[i].worker, value);
		cr_expect_str_eq(value, cases[i].expected, "case %zu: %s", i, value);
	}
}

Test(server_timing, has_room_for_the_longest)
{
	const struct server_times longest = { 0, INT64_MAX / 2, INT64_MAX };
	char worker[TALLY_TIMING_MAX + 1], value[SERVER_TIMING_BYTES];

	memset(worker, 'x', TALLY_TIMING_MAX);
	worker[TALLY_TIMING_MAX] = '\0';
	server_timing_write(&longest, worker, value);
	cr_expect_not_null(strstr(value, ", total;dur="));
	cr_expect_eq(strlen(strchr(strstr(value, "total"), '.')), 3, "it ends with its decimals");
}
