/* buf.h - a growable byte buffer that is born with a ceiling.
 *
 * One thread at a time.  After a failed append the contents are what they were before it. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include <tally/status.h>

struct buf {
	char *data;         /* not terminated */
	size_t len;         /* bytes in use */
	size_t cap;         /* bytes allocated */
	size_t limit_bytes; /* len never passes it */
};

/* An empty buffer that may grow to limit bytes; no allocation yet. */
#define BUF_INIT(limit) ((struct buf){ .limit_bytes = (limit) })

/* Releases the contents; the buffer is empty and may be used again.  Accepts NULL. */
void buf_fini(struct buf *buf);

/* Makes room for len more bytes, so that the next appends of that many cannot fail.
 * TALLY_TOO_LARGE past the ceiling, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status buf_reserve(struct buf *buf, size_t len);

/* Appends a copy of len bytes.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status buf_append(struct buf *buf, const void *data, size_t len);

/* Appends a terminated string without its end.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status buf_puts(struct buf *buf, const char *text);

/* Appends formatted text; not for hot paths.  TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Moves the contents out: the caller frees the result with free(), *out_len is its length; the
 * buffer is empty afterwards.  NULL when the buffer is empty. */
char *buf_take(struct buf *buf, size_t *out_len);

#endif
