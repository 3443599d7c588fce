/* server_timing.h - the header Server-Timing (W3C): where the time of a request for rows went.
 *
 *   gateway  from the whole request to its message, of the caller that began the flight
 *   ...      what the worker said (tally-timing: queue, batch, each step, encode, worker)
 *   return   of that caller: what is left of the way from its message to the reply, which is the
 *            hops through Kafka
 *   total    from the whole request to its answer */
#ifndef GATEWAY_SERVER_TIMING_H
#define GATEWAY_SERVER_TIMING_H

#include <stdint.h>

#include <tally/message.h>

#define SERVER_TIMING_BYTES (TALLY_TIMING_MAX + 128)

/* Moments of a request, clock_mono_us(). */
struct server_times {
	int64_t arrived_us;
	int64_t published_us; /* 0: it joined a flight under way */
	int64_t replied_us;
};

/* The duration of an entry of the worker's part, in microseconds; 0 without it. */
int64_t server_timing_find_us(const char *worker, const char *name);

/* Writes the value of the header; worker is the worker's part, "" when there is none. */
void server_timing_write(const struct server_times *times, const char *worker,
			 char out[SERVER_TIMING_BYTES]);

#endif
