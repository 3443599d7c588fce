/* Messages that were deleted before they were read, by retention or by hand.
 *
 * An offset that is not there may also have been a transaction's marker, so the broker is asked
 * where its log begins. */
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#include "kafka/group_inner.h"

#define ASK_MS   1000
#define AGAIN_MS 1000 /* of one partition, whose producer may use many transactions */

void
group_note_gap(struct kafka_group *group, struct owned *owned, int64_t from, int64_t to)
{
	int64_t now_ms = clock_mono_ms(), low, high;
	char text[256];

	if (owned->gap_ms > 0 && now_ms - owned->gap_ms < AGAIN_MS)
		return;
	owned->gap_ms = now_ms;
	if (rd_kafka_query_watermark_offsets(group->client, group->topic, owned->partition, &low,
					     &high, ASK_MS)
		!= RD_KAFKA_RESP_ERR_NO_ERROR
	    || low <= from)
		return;
	if (low > to)
		low = to;
	atomic_fetch_add(&group->n_missed, (uint64_t)(low - from));
	(void)snprintf(text, sizeof text,
		       "%s: %" PRId64 " messages of partition %" PRId32
		       " of %s were deleted before they were read",
		       group->options.group, low - from, owned->partition, group->topic);
	group_log(group, LOG_ERR, text);
}
