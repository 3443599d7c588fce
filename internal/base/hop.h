/* hop.h - an entry of Server-Timing (W3C Server Timing, section 4): "NAME;dur=MS", milliseconds
 * with two digits behind the point. */
#ifndef BASE_HOP_H
#define BASE_HOP_H

#include <stddef.h>
#include <stdint.h>

/* Appends an entry to the text of len bytes, ", " before it unless it is the first, and an end; us
 * below 0 counts as 0.  Returns the new length, or len when the entry does not fit into cap bytes:
 * then the text is as it was.  No printf: it is on the way of every request. */
size_t hop_append(char *text, size_t len, size_t cap, const char *name, int64_t us);

#endif
