/* prefer.h - the Prefer request header (RFC 7240): what Tally reads of it is wait=N and
 * respond-async; other preferences are ignored, as the RFC asks. */
#ifndef GATEWAY_PREFER_H
#define GATEWAY_PREFER_H

#include <stdbool.h>
#include <stdint.h>

struct prefer {
	bool has_wait;
	uint32_t wait_s; /* as asked for; not yet cut to the limit */
	bool is_async;   /* respond-async */
};

/* Reads one header value into *prefer (zeroed by the caller; call once for each header line).  The
 * first of two equal preferences counts (RFC 7240, section 2); a wait that is not a number is
 * ignored like an unknown preference.  Quoted values are understood. */
void prefer_read(const char *value, struct prefer *prefer);

#endif
