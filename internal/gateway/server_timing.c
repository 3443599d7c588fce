#include "gateway/server_timing.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hop.h"

int64_t
server_timing_find_us(const char *worker, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = worker; (at = strstr(at, name)) != NULL; at += len) {
		bool is_begin = at == worker || at[-1] == ' ';
		if (is_begin && strncmp(at + len, ";dur=", 5) == 0) {
			double ms = strtod(at + len + 5, NULL);
			return ms > 0 && ms < 1e9 ? (int64_t)(ms * 1000) : 0;
		}
	}
	return 0;
}

/* The worker's part, as a whole or not at all. */
static size_t
add_worker(char *out, size_t len, const char *worker)
{
	size_t worker_len = strlen(worker);

	if (worker_len == 0 || len + 2 + worker_len >= SERVER_TIMING_BYTES)
		return len;
	if (len > 0) {
		memcpy(out + len, ", ", 2);
		len += 2;
	}
	memcpy(out + len, worker, worker_len + 1);
	return len + worker_len;
}

void
server_timing_write(const struct server_times *times, const char *worker,
		    char out[SERVER_TIMING_BYTES])
{
	bool is_first = times->published_us > 0;
	size_t len = 0;

	out[0] = '\0';
	if (is_first)
		len = hop_append(out, len, SERVER_TIMING_BYTES, "gateway",
				 times->published_us - times->arrived_us);
	len = add_worker(out, len, worker);
	if (is_first)
		len = hop_append(out, len, SERVER_TIMING_BYTES, "return",
				 times->replied_us - times->published_us
				     - server_timing_find_us(worker, "queue")
				     - server_timing_find_us(worker, "worker"));
	(void)hop_append(out, len, SERVER_TIMING_BYTES, "total",
			 times->replied_us - times->arrived_us);
}
