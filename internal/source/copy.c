#include "source/copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "source/copy_inner.h"

#define RANGE_ROWS  INT64_C(100000) /* of a range, about */
#define RANGE_BYTES ((size_t)2 << 30)
#define NAMES_BYTES ((size_t)1 << 20)
#define MAX_RANGES  ((uint64_t)1 << 32)

/* A copy that is under way. */
struct copy {
	const struct copy_job *job;
	struct copy_from from;
	struct ch_session to;
	struct copy_progress progress;
	struct copy_ranges ranges;   /* of ids */
	struct copy_digest *digests; /* of what ClickHouse has of each */
};

static void
report(struct copy *copy)
{
	if (copy->job->on_progress)
		copy->job->on_progress(copy->job->ctx, &copy->progress);
}

static tally_status
open_both(struct copy *copy, struct tally_error *err)
{
	const struct copy_job *job = copy->job;
	tally_status status = copy_from_open(&copy->from, job->name, job->from, err);

	return status == TALLY_OK ? ch_session_open(&copy->to, job->name, job->to, err) : status;
}

static tally_status
copy_names(struct copy *copy, const char *table, struct tally_error *err)
{
	struct buf names = BUF_INIT(NAMES_BYTES);
	tally_status status = copy_from_names(&copy->from, table, &names, err);

	if (status == TALLY_OK)
		status = copy_to_names(&copy->to, copy->job->name, table, names.data, err);
	buf_fini(&names);
	return status;
}

/* Ranges of as many ids as have about RANGE_ROWS rows, if the ids are spread evenly. */
static tally_status
make_ranges(struct copy *copy, struct tally_error *err)
{
	struct copy_progress *progress = &copy->progress;
	tally_status status =
	    copy_from_extent(&copy->from, &copy->ranges.all, &progress->n_all, err);
	uint64_t n_ids, n_ranges;

	if (status != TALLY_OK || copy->ranges.all.first > copy->ranges.all.last)
		return status;
	n_ids = (uint64_t)copy->ranges.all.last - (uint64_t)copy->ranges.all.first;
	n_ranges = (uint64_t)(progress->n_all / RANGE_ROWS) + 1;
	if (n_ids >= INT64_MAX || n_ranges > MAX_RANGES)
		return tally_fail(err, TALLY_SOURCE_ERROR, "%s: the ids of logs are too far apart",
				  copy->job->name);
	copy->ranges.width = (int64_t)(n_ids / n_ranges) + 1;
	copy->ranges.n = n_ids / (uint64_t)copy->ranges.width + 1;
	return copy_to_ranges(&copy->to, copy->job->name, &copy->ranges, &copy->digests, err);
}

static bool
is_same(const struct copy_digest *a, const struct copy_digest *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

static tally_status
copy_range(struct copy *copy, size_t i, struct tally_error *err)
{
	const struct copy_digest *there = &copy->digests[i];
	struct copy_range range = { copy->ranges.all.first + (int64_t)i * copy->ranges.width,
				    copy->ranges.all.last };
	struct buf rows = BUF_INIT(RANGE_BYTES);
	struct copy_digest digest;
	tally_status status;

	if (range.last - range.first >= copy->ranges.width)
		range.last = range.first + copy->ranges.width - 1;
	status = copy_from_rows(&copy->from, &range, &rows, &digest, err);
	if (status == TALLY_OK && !is_same(&digest, there)) {
		status =
		    copy_to_rows(&copy->to, copy->job->name, &range, there->count > 0, &rows, err);
		copy->progress.n_copied += status == TALLY_OK ? digest.count : 0;
	}
	copy->progress.n_done += status == TALLY_OK ? digest.count : 0;
	buf_fini(&rows);
	return status;
}

static tally_status
verify(struct copy *copy, struct tally_error *err)
{
	struct copy_digest from[COPY_BUCKETS] = { 0 }, to[COPY_BUCKETS] = { 0 };
	const char *name = copy->job->name;
	tally_status status = copy_from_buckets(&copy->from, copy->ranges.all.last, from, err);

	if (status == TALLY_OK)
		status = copy_to_buckets(&copy->to, name, copy->ranges.all.last, to, err);
	for (int i = 0; status == TALLY_OK && i < COPY_BUCKETS; i++) {
		if (is_same(&from[i], &to[i])) {
			copy->progress.n_verified++;
			continue;
		}
		return tally_fail(
		    err, TALLY_SOURCE_ERROR,
		    "%s: of the users whose id is %d modulo %d PostgreSQL has %" PRId64
		    " rows and ClickHouse %" PRId64 "%s: run it again",
		    name, i, COPY_BUCKETS, from[i].count, to[i].count,
		    from[i].count == to[i].count ? " others" : "");
	}
	return status;
}

static tally_status
copy_all(struct copy *copy, struct tally_error *err)
{
	tally_status status = open_both(copy, err);

	if (status == TALLY_OK)
		status = copy_names(copy, "space_type", err);
	if (status == TALLY_OK)
		status = copy_names(copy, "event_type", err);
	if (status == TALLY_OK)
		status = make_ranges(copy, err);
	for (size_t i = 0; status == TALLY_OK && i < copy->ranges.n; i++) {
		status = copy_range(copy, i, err);
		report(copy);
	}
	return status == TALLY_OK ? verify(copy, err) : status;
}

tally_status
copy_activity(const struct copy_job *job, struct copy_progress *out_progress,
	      struct tally_error *err)
{
	struct copy copy = { .job = job };
	tally_status status = copy_all(&copy, err);

	*out_progress = copy.progress;
	copy_from_close(&copy.from);
	ch_session_close(&copy.to);
	free(copy.digests);
	return status;
}
