/* copy_inner.h - inside the folder only: the two sides of a copy. */
#ifndef SOURCE_COPY_INNER_H
#define SOURCE_COPY_INNER_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "source/ch_session.h"
#include "source/copy.h"

/* Sums are of remainders, so that no number of rows makes them overflow. */
#define COPY_PRIME "1000000007"

/* What a set of rows of logs is told by. */
struct copy_digest {
	int64_t count;
	int64_t ids;
	int64_t users;
	int64_t objects;
	int64_t kinds; /* 256 x event type + space type */
	int64_t times; /* microseconds since 1970 */
};

#define COPY_SUMS (sizeof(struct copy_digest) / sizeof(int64_t))

/* A range of ids, both included. */
struct copy_range {
	int64_t first;
	int64_t last;
};

/* Ranges of width ids that make up all; the last may be shorter. */
struct copy_ranges {
	struct copy_range all;
	int64_t width;
	size_t n;
};

/* ---- PostgreSQL: all calls read ---- */

struct copy_from {
	const char *name;
	PGconn *pg;
};

/* Connects.  Close also on failure. */
TALLY_MUST_CHECK tally_status copy_from_open(struct copy_from *from, const char *name,
					     const char *url, struct tally_error *err);

/* Closes the connection.  Accepts a zeroed one. */
void copy_from_close(struct copy_from *from);

/* The ids that there are (first > last: none) and how many rows. */
TALLY_MUST_CHECK tally_status copy_from_extent(struct copy_from *from, struct copy_range *out_range,
					       int64_t *out_count, struct tally_error *err);

/* Appends the rows of a range in RowBinary to rows, and digests them.  TALLY_TOO_LARGE. */
TALLY_MUST_CHECK tally_status copy_from_rows(struct copy_from *from, const struct copy_range *range,
					     struct buf *rows, struct copy_digest *out_digest,
					     struct tally_error *err);

/* The digests of the buckets of users, for ids up to last. */
TALLY_MUST_CHECK tally_status copy_from_buckets(struct copy_from *from, int64_t last,
						struct copy_digest digests[COPY_BUCKETS],
						struct tally_error *err);

/* The rows of space_type or event_type as "(1,'global'),..." for ClickHouse; terminated. */
TALLY_MUST_CHECK tally_status copy_from_names(struct copy_from *from, const char *table,
					      struct buf *out, struct tally_error *err);

/* ---- ClickHouse ---- */

/* Adds the names of a lookup table that are not there; names as copy_from_names has them. */
TALLY_MUST_CHECK tally_status copy_to_names(struct ch_session *to, const char *name,
					    const char *table, const char *names,
					    struct tally_error *err);

/* The digest of each range; *out_digests is the caller's. */
TALLY_MUST_CHECK tally_status copy_to_ranges(struct ch_session *to, const char *name,
					     const struct copy_ranges *ranges,
					     struct copy_digest **out_digests,
					     struct tally_error *err);

/* Replaces what is there of a range; has_some: there is something. */
TALLY_MUST_CHECK tally_status copy_to_rows(struct ch_session *to, const char *name,
					   const struct copy_range *range, bool has_some,
					   const struct buf *rows, struct tally_error *err);

/* As copy_from_buckets. */
TALLY_MUST_CHECK tally_status copy_to_buckets(struct ch_session *to, const char *name, int64_t last,
					      struct copy_digest digests[COPY_BUCKETS],
					      struct tally_error *err);

#endif
