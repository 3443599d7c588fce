/* curl_loop.h - libcurl's multi interface on our event loop: transfers that never block.
 *
 * curl says which sockets it waits for and until when; the loop tells it what has happened.
 * Connections are kept between transfers.  Everything on the loop's thread. */
#ifndef SOURCE_CURL_LOOP_H
#define SOURCE_CURL_LOOP_H

#include <curl/curl.h>

#include "base/loop.h"

/* The end of a transfer: its handle is off the loop and may be added again, here too. */
typedef void curl_loop_done_fn(void *ctx, CURL *easy, CURLcode code);

/* Must not move while it is in use. */
struct curl_loop {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	curl_loop_done_fn *done;
	void *ctx;
};

/* Begins; at most max_connections are kept.  TALLY_NO_MEMORY.  Fini also on failure. */
TALLY_MUST_CHECK tally_status curl_loop_init(struct curl_loop *curl_loop, struct loop *loop,
					     size_t max_connections, curl_loop_done_fn *done,
					     void *ctx);

/* Closes the connections; no transfer is on the loop any more.  Accepts a zeroed one. */
void curl_loop_fini(struct curl_loop *curl_loop);

/* Starts a transfer; done comes once, never before this returns.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status curl_loop_add(struct curl_loop *curl_loop, CURL *easy);

/* Ends a transfer without done, and closes its connection.  Not from within curl's callbacks. */
void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy);

#endif
